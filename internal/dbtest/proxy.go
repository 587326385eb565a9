package dbtest

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Proxy passes TCP connections on to a server. When it is cut, the database is away for its clients.
type Proxy struct {
	tb   testing.TB
	addr string
	// reserved are the ends of a connection from the proxy to itself. While it is open, the system does not give the
	// port to programs that ask for a free one. So a cut proxy can use it again.
	reserved []net.Conn

	turn     sync.Mutex // held by the running Cut or Restore
	serving  sync.WaitGroup
	mu       sync.Mutex
	target   string
	listener net.Listener // nil while cut
	conns    map[net.Conn]struct{}
	silences int  // calls of Silence
	mute     bool // as set by Mute
	loses    func(request []byte) bool
}

// NewProxy starts a proxy to the TCP address target. It ends with the test.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	p := &Proxy{tb: tb, target: target, conns: make(map[net.Conn]struct{})}
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("dbtest: proxy: %v", err)
	}
	p.addr = listener.Addr().String()
	if err := p.reserve(tb.Context(), listener); err != nil {
		tb.Fatalf("dbtest: proxy: keep the port: %v", errors.Join(err, listener.Close()))
	}
	p.serve(listener)
	tb.Cleanup(func() {
		p.Cut()
		for _, c := range p.reserved {
			if err := c.Close(); err != nil {
				tb.Errorf("dbtest: proxy: %v", err)
			}
		}
	})
	return p
}

// ProxyURL starts a proxy to the server of a postgres or mysql URL and returns the URL of the same database behind it.
func ProxyURL(tb testing.TB, address string) (string, *Proxy) {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatalf("dbtest: proxy: the URL of the database is malformed") // the error would show the password
	}
	target := u.Host
	if u.Port() == "" {
		switch u.Scheme {
		case "postgres", "postgresql":
			target = net.JoinHostPort(u.Hostname(), "5432")
		case "mysql":
			target = net.JoinHostPort(u.Hostname(), "3306")
		default:
			tb.Fatalf("dbtest: proxy: no server in %s", u.Redacted())
		}
	}
	p := NewProxy(tb, target)
	u.Host = p.Addr()
	return u.String(), p
}

// Addr returns the proxy's own address. It keeps the address while it is cut.
func (p *Proxy) Addr() string { return p.addr }

// Cut closes all connections and refuses new ones. When it returns, none is left.
func (p *Proxy) Cut() {
	p.tb.Helper()
	p.turn.Lock()
	defer p.turn.Unlock()
	p.mu.Lock()
	if p.listener != nil {
		if err := p.listener.Close(); err != nil {
			p.tb.Errorf("dbtest: proxy: %v", err)
		}
		p.listener = nil
	}
	for c := range p.conns {
		hangUp(c)
	}
	p.mu.Unlock()
	p.serving.Wait()
}

// restoreLimit is the time in which the port of a cut proxy must be free again. While the last connections end, the system may
// still hold it.
const restoreLimit = 10 * time.Second

// Restore accepts connections again.
func (p *Proxy) Restore() {
	p.tb.Helper()
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.listener != nil {
		return
	}
	listener, err := new(net.ListenConfig).Listen(p.tb.Context(), "tcp", p.addr)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(restoreLimit); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(end); {
		<-ticker.C
		listener, err = new(net.ListenConfig).Listen(p.tb.Context(), "tcp", p.addr)
	}
	if err != nil {
		p.tb.Fatalf("dbtest: proxy: restore: %v", err)
	}
	p.serve(listener)
}

// Redirect passes new connections to another address, such as the server's new address after a restart.
func (p *Proxy) Redirect(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Silence makes all open connections silent for ever, as when a firewall has forgotten them: both sides may send, and nothing
// arrives. New connections are as usual.
func (p *Proxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silences++
}

// Mute makes the proxy accept connections and data but pass nothing on, as when the server is frozen. Mute(false) ends
// that. What was sent meanwhile is lost.
func (p *Proxy) Mute(mute bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = mute
}

// LoseAnswers makes the proxy call f with each piece that a client sends. When f returns true, the server gets the
// piece, but the connection ends before the answer: the client does not know the outcome. The drivers send a statement
// in one piece. A nil f keeps all answers.
func (p *Proxy) LoseAnswers(f func(request []byte) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loses = f
}

func (p *Proxy) reserve(ctx context.Context, listener net.Listener) error {
	near, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return err
	}
	far, err := listener.Accept()
	if err != nil {
		return errors.Join(err, near.Close())
	}
	p.reserved = []net.Conn{near, far}
	return nil
}

func (p *Proxy) serve(listener net.Listener) {
	p.mu.Lock()
	p.listener = listener
	p.mu.Unlock()
	p.serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // the proxy was cut
			}
			p.serving.Go(func() { p.pass(listener, client) })
		}
	})
}

// pass connects a client with the target until one of them ends or the proxy is cut.
func (p *Proxy) pass(listener net.Listener, client net.Conn) {
	if !p.enter(listener, client) {
		return
	}
	defer p.leave(client)
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := new(net.Dialer).DialContext(p.tb.Context(), "tcp", target)
	if err != nil {
		return // the client's connection ends, as if the server had failed
	}
	if !p.enter(listener, server) {
		return
	}
	defer p.leave(server)
	p.mu.Lock()
	silences := p.silences
	p.mu.Unlock()
	silent := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.mute || p.silences != silences
	}
	var lost atomic.Bool
	var back sync.WaitGroup
	back.Go(func() { stream(client, server, silent, func([]byte) bool { return !lost.Load() }) })
	stream(server, client, silent, func(request []byte) bool {
		p.mu.Lock()
		loses := p.loses
		p.mu.Unlock()
		if loses != nil && loses(request) {
			lost.Store(true)
		}
		return true
	})
	back.Wait()
}

// enter records a connection, so that Cut closes it. If Cut came first, it closes the connection and returns false.
func (p *Proxy) enter(listener net.Listener, c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != listener {
		hangUp(c)
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) leave(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	hangUp(c)
}

// stream copies until a side ends or goesOn returns false. Then it ends both sides. While silent returns true, it reads and
// copies nothing.
func stream(to, from net.Conn, silent func() bool, goesOn func([]byte) bool) {
	defer hangUp(to)
	defer hangUp(from)
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !silent() {
			if !goesOn(buffer[:n]) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return // expected: tests break connections
			}
		}
		if err != nil {
			return
		}
	}
}

// hangUp closes a connection. It may be closed or broken already, so errors do not matter.
func hangUp(c net.Conn) { _ = c.Close() }
