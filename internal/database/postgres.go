package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"entgo.io/ent/dialect"
	"github.com/lib/pq"
)

// postgresEngine is PostgreSQL.
type postgresEngine struct {
	name string // host:port/database
	dsn  string
}

func parsePostgres(text string) (engine, error) {
	u, err := parseServerURL(text, "postgres")
	if err != nil {
		return nil, err
	}
	settings := map[string]string{"dbname": strings.TrimPrefix(u.Path, "/"), "user": u.User.Username()}
	if password, ok := u.User.Password(); ok {
		settings["password"] = password
	}
	// The driver wants several hosts and their ports as two lists.
	var hosts, ports []string
	local := true
	for address := range strings.SplitSeq(u.Host, ",") {
		host, port := address, ""
		if h, p, err := net.SplitHostPort(address); err == nil {
			host, port = h, p
		}
		host = strings.Trim(host, "[]")
		hosts, ports = append(hosts, host), append(ports, port)
		ip := net.ParseIP(host)
		local = local && (host == "" || host == "localhost" || strings.HasPrefix(host, "/") || ip != nil && ip.IsLoopback())
	}
	settings["host"] = strings.Join(hosts, ",")
	if slices.ContainsFunc(ports, func(p string) bool { return p != "" }) {
		settings["port"] = strings.Join(ports, ",")
	}
	for key, values := range u.Query() {
		settings[key] = values[len(values)-1]
	}
	if settings["sslmode"] == "" {
		// What does not leave the machine needs no TLS; everything else must have it unless the URL says otherwise.
		settings["sslmode"] = "require"
		if local {
			settings["sslmode"] = "disable"
		}
	}
	settings["binary_parameters"] = "yes" // one round trip for a statement that is not prepared, instead of two
	if settings["application_name"] == "" {
		settings["application_name"] = "roster"
	}
	var b strings.Builder
	for key, value := range settings {
		if value != "" {
			fmt.Fprintf(&b, "%s='%s' ", key, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value))
		}
	}
	return &postgresEngine{name: u.Host + u.Path, dsn: b.String()}, nil
}

// parseServerURL reads a URL with a host and the name of a database.
func parseServerURL(text, scheme string) (*url.URL, error) {
	example := scheme + "://USER:PASSWORD@HOST/DATABASE"
	u, err := url.Parse(text)
	if err != nil {
		// The error of url.Parse has the URL in it, and so the password.
		var reason *url.Error
		if errors.As(err, &reason) && strings.Contains(reason.Err.Error(), "port") {
			return nil, errors.New("database URL: the port is not a number")
		}
		return nil, fmt.Errorf("database URL: write %s, with %%XX for special characters in user and password", example)
	}
	switch {
	case u.Opaque != "" || u.Host == "" && u.Query().Get("host") == "":
		return nil, fmt.Errorf("database URL: no host: write %s", example)
	case strings.Trim(u.Path, "/") == "":
		return nil, fmt.Errorf("database URL: no name of a database: write %s", example)
	case strings.Contains(strings.Trim(u.Path, "/"), "/"):
		return nil, fmt.Errorf("database URL: %q is no name of a database: write %s", strings.Trim(u.Path, "/"), example)
	}
	return u, nil
}

func (*postgresEngine) dialect() string { return dialect.Postgres }

func (e *postgresEngine) String() string { return "PostgreSQL (" + e.name + ")" }

func (e *postgresEngine) connectors(Options) (write, read driver.Connector, err error) {
	c, err := pq.NewConnector(e.dsn)
	if err != nil {
		return nil, nil, errors.New(strings.TrimPrefix(err.Error(), "pq: "))
	}
	return c, c, nil
}

// SQLSTATE codes, PostgreSQL's appendix A.
const (
	pgForeignKey       = "23503"
	pgUnique           = "23505"
	pgSerialization    = "40001"
	pgDeadlock         = "40P01"
	pgLockNotAvailable = "55P03"
	pgQueryCanceled    = "57014"
	pgInvalidPassword  = "28P01"
	pgInvalidAuth      = "28000"
	pgNoDatabase       = "3D000"
	pgNoPrivilege      = "42501"
	pgTooMany          = "53300"
)

func (*postgresEngine) classify(err error) (kind Kind, constraint string) {
	var e *pq.Error
	if !errors.As(err, &e) {
		return Other, ""
	}
	switch e.Code {
	case pgUnique:
		return Unique, e.Constraint
	case pgForeignKey:
		return ForeignKey, e.Constraint
	case pgSerialization, pgDeadlock, pgLockNotAvailable:
		return Retry, ""
	case pgQueryCanceled:
		return Timeout, ""
	case pgTooMany:
		return Lost, ""
	}
	switch e.Code.Class() {
	case "08", "57": // connection exceptions; operator intervention: shutting down, starting up
		return Lost, ""
	}
	return Other, ""
}

func (e *postgresEngine) explain(err error) string {
	var pe *pq.Error
	if !errors.As(err, &pe) {
		if strings.Contains(err.Error(), "SSL is not enabled") {
			return "the server does not speak TLS: add ?sslmode=disable to the URL, or enable TLS on the server"
		}
		return explainNetwork(err)
	}
	switch pe.Code {
	case pgInvalidPassword, pgInvalidAuth:
		return "the server refuses the user or the password: check both"
	case pgNoDatabase:
		return "there is no database of this name: create it, or correct the name"
	case pgNoPrivilege:
		return "the user may not connect to this database: grant it, or take another user"
	case pgTooMany:
		return "the server has no connection left: raise its max_connections, or lower --database-max-connections"
	}
	return ""
}

// explainNetwork says why no server answered.
func explainNetwork(err error) string {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "there is no host of this name: correct the host"
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && !op.Timeout() {
		return "nothing answers there: check host and port, and that the database runs"
	}
	return ""
}

func (*postgresEngine) txOptions(write bool) *sql.TxOptions {
	if write {
		return &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

// migrateLock is an arbitrary number, the same in all versions.
const migrateLock = 0x726f73746572 // "roster"

func (*postgresEngine) locked(ctx context.Context, db *sql.DB, f func() error) (err error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if _, err := c.ExecContext(ctx, fmt.Sprintf("SELECT pg_advisory_lock(%d)", migrateLock)); err != nil {
		return fmt.Errorf("wait for the server that migrates the database: %w", err)
	}
	defer func() {
		_, unlockErr := c.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("SELECT pg_advisory_unlock(%d)", migrateLock))
		err = errors.Join(err, unlockErr)
	}()
	return f()
}
