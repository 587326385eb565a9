package database

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"entgo.io/ent/dialect"
)

// serverURL is the address of a database on a server.
type serverURL struct {
	*url.URL
	hosts, ports []string // of the same length
	database     string
}

// parseServerURL reads a URL with one or several hosts and the name of a database. Its errors show no part of the URL
// that could belong to a password, even if a special character splits it.
func parseServerURL(text, scheme, defaultPort string) (*serverURL, error) {
	form := "write " + scheme + "://USER:PASSWORD@HOST:PORT/DATABASE"
	const encode = "write special characters in user and password as %XX: @ as %40, / as %2F, ? as %3F, # as %23, % as %25"
	_, rest, _ := strings.Cut(text, "://")
	if at := strings.IndexAny(rest, "/?#"); at >= 0 && strings.Contains(rest[at:], "@") || strings.Contains(rest, "#") {
		return nil, errors.New("database URL: malformed: " + encode)
	}
	u, err := url.Parse(text)
	if err != nil {
		// The error of url.Parse contains the URL, and so the password.
		var reason *url.Error
		if errors.As(err, &reason) && strings.Contains(reason.Err.Error(), "port") {
			return nil, errors.New("database URL: the port is no number from 1 to 65535")
		}
		return nil, errors.New("database URL: malformed: " + encode)
	}
	s := &serverURL{URL: u, database: strings.TrimPrefix(u.Path, "/")}
	addresses := u.Host
	if addresses == "" && scheme == "postgres" {
		addresses = u.Query().Get("host") // the directory of a socket
	}
	for address := range strings.SplitSeq(addresses, ",") {
		host, port := address, defaultPort
		if h, p, err := net.SplitHostPort(address); err == nil {
			host, port = h, cmp.Or(p, defaultPort)
		}
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		if host == "" {
			return nil, errors.New("database URL: no host: " + form)
		}
		if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
			return nil, errors.New("database URL: the port is no number from 1 to 65535")
		}
		s.hosts, s.ports = append(s.hosts, host), append(s.ports, port)
	}
	if s.database == "" {
		return nil, errors.New("database URL: no name of a database: " + form)
	}
	if strings.Contains(s.database, "/") {
		return nil, fmt.Errorf("database URL: %q is no name of a database: %s", s.database, form)
	}
	return s, nil
}

// String returns the name of the database for people, without user and password.
func (s *serverURL) String() string {
	if s.Host == "" {
		return strings.Join(s.hosts, ",") + s.EscapedPath()
	}
	return s.Host + s.EscapedPath()
}

// address returns the hosts, with their ports, and the name of the database: two URLs of one database have the same.
func (s *serverURL) address() string {
	var b strings.Builder
	for i, host := range s.hosts {
		b.WriteString(net.JoinHostPort(strings.ToLower(host), s.ports[i]) + ",")
	}
	return b.String() + "/" + s.database
}

// explainNetwork says why no server answered, or why its answer is not that of a database. It does not explain slow
// servers.
func explainNetwork(err error) string {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return ""
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "there is no host of this name, or it cannot be looked up: correct the host, or check the network"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return "nothing answers there: check host and port, and that the database runs"
	}
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Sprintf("the file %s, which the URL names, cannot be read: correct its path, or its permissions", file.Path)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "what answers there does not speak TLS, or is no database: check host and port"
	}
	if untrusted(err) {
		return "the certificate of the server is not trusted, or is for another host: check the host, and the root certificate that the URL names"
	}
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) {
		return "what answers there ends the connection: check that it is the database, and see the log of the server"
	}
	return ""
}

// untrusted reports whether the certificate of a server was refused.
func untrusted(err error) bool {
	_, verified := errors.AsType[*tls.CertificateVerificationError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	return verified || unknown || host || invalid
}

// cancelLimit is the maximum time that a server may take to cancel a statement.
const cancelLimit = 2 * time.Second

// answerLimit is the maximum wait for a silent server that was asked to cancel its statement. After it, the connection
// counts as broken. 0 is no limit.
func (o Options) answerLimit() time.Duration {
	if o.StatementTimeout == 0 {
		return 0
	}
	return o.StatementTimeout + cancelLimit
}

// sitLimit is the maximum time from the start of a session on the primary until its first statement, if it must learn which server
// the primary is: the wait for a free connection, and that for a silent server.
func (o Options) sitLimit() time.Duration { return o.PoolWait + o.ConnectTimeout + cancelLimit }

// errSilent is the error of a statement on a server that does not answer.
var errSilent = errors.New("the server does not answer")

// acceptsConnection reports whether the server answers to a new connection within cancelLimit. A refusal is an answer too.
func (db *DB) acceptsConnection(ctx context.Context, p *pool) bool {
	if db.engine.dialect() == dialect.SQLite {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, cancelLimit)
	defer cancel()
	c, err := p.conns.Connect(ctx)
	if err != nil {
		m, _ := db.engine.classify(err)
		return m.kind != Other
	}
	_ = c.Close() // it was not used
	return true
}

// dialer opens connections to a PostgreSQL server with a limit on the wait for the server. lib/pq asks a server to cancel a
// statement, and would wait for ever if the server hangs.
type dialer struct {
	silence

	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// silence bounds the wait for a server that answers nothing.
type silence struct {
	// limit is the maximum wait. 0: there is none.
	limit time.Duration
	// quiet is the wait after which the server is asked, on a new connection, whether it answers at all. So a dead server is found
	// after quiet and cancelLimit, and the limit is only for the other ways to lose a connection.
	quiet time.Duration
}

func (o Options) silence() silence { return silence{limit: o.answerLimit(), quiet: o.ConnectTimeout} }

// dial returns the function that opens a network connection to a server.
func (o Options) dial() func(ctx context.Context, network, address string) (net.Conn, error) {
	dial := new(net.Dialer).DialContext
	if o.lines != nil {
		dial = o.lines.dial(dial)
	}
	return dial
}

// Dial implements pq.Dialer. lib/pq calls DialContext instead.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialTimeout implements pq.Dialer.
func (d *dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// DialContext implements pq.DialerContext.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if !connecting(ctx) {
		return d.dialCancel(ctx, network, address)
	}
	c, err := d.dial(ctx, network, address)
	if err != nil || d.limit == 0 {
		return c, err
	}
	end, _ := ctx.Deadline()
	return &limitedConn{Conn: c, silence: d.silence, ping: func(ctx context.Context) bool { return d.ping(ctx, network, address) }, opened: end}, nil
}

// connectingKey marks the context of a connection for statements. lib/pq opens a connection with another context to cancel
// a statement.
type connectingKey struct{}

func withConnecting(ctx context.Context) context.Context {
	return context.WithValue(ctx, connectingKey{}, true)
}

func connecting(ctx context.Context) bool { return ctx.Value(connectingKey{}) != nil }

// dialCancel opens a connection that asks the server to cancel a statement. lib/pq waits for its end, also after the
// connection of the statement has counted as broken.
func (d *dialer) dialCancel(ctx context.Context, network, address string) (net.Conn, error) {
	end := time.Now().Add(cancelLimit)
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	c, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &cancelConn{c}, c.SetDeadline(end)
}

// cancelConn keeps its deadline.
type cancelConn struct{ net.Conn }

// SetDeadline implements net.Conn.
func (*cancelConn) SetDeadline(time.Time) error { return nil }

// limitedConn limits each read and write, unless its user has set a deadline.
type limitedConn struct {
	net.Conn
	silence

	ping     func(ctx context.Context) bool // reports whether the server answers to a new connection, within cancelLimit
	opened   time.Time                      // the latest deadline: lib/pq sets one only until the server has said hello
	deadline bool
}

// SetDeadline implements net.Conn.
func (c *limitedConn) SetDeadline(t time.Time) error {
	if !t.IsZero() && !c.opened.IsZero() && t.After(c.opened) {
		t = c.opened
	}
	c.deadline = !t.IsZero()
	return c.Conn.SetDeadline(t)
}

// Write implements net.Conn.
func (c *limitedConn) Write(b []byte) (int, error) {
	if !c.deadline {
		_ = c.SetWriteDeadline(time.Now().Add(c.limit)) // Write would return its error too
	}
	return c.Conn.Write(b)
}

// Read implements net.Conn.
func (c *limitedConn) Read(b []byte) (int, error) {
	if c.deadline {
		return c.Conn.Read(b)
	}
	now := time.Now()
	for end := now.Add(c.limit); ; now = time.Now() {
		quiet := now.Add(c.quiet)
		last := !quiet.Before(end)
		if last {
			quiet = end
		}
		_ = c.SetReadDeadline(quiet) // Read would return its error too
		n, err := c.Conn.Read(b)
		if n > 0 || last || !errors.Is(err, os.ErrDeadlineExceeded) || !c.ping(context.Background()) {
			return n, err
		}
	}
}

// ping reports whether a PostgreSQL server answers to a question about TLS within cancelLimit. It answers before it asks
// for a user, and any answer will do.
func (d *dialer) ping(ctx context.Context, network, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, cancelLimit)
	defer cancel()
	c, err := d.dialCancel(ctx, network, address)
	if err != nil {
		return false
	}
	defer c.Close()                               //nolint:errcheck // nothing is under way
	request := []byte{0, 0, 0, 8, 4, 210, 22, 47} // SSLRequest
	if _, err := c.Write(request); err != nil {
		return false
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return err == nil
}
