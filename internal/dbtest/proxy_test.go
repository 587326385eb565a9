package dbtest_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"roster/internal/dbtest"
)

func TestProxy(t *testing.T) {
	t.Parallel()
	p := dbtest.NewProxy(t, echo(t))
	address := p.Addr()

	before := dial(t, address)
	say(t, before, "one\n")
	p.Cut()
	if _, err := before.Read(make([]byte, 1)); err == nil {
		t.Error("a connection after the cut: got it open, want it closed")
	}
	for range 3 {
		if c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a new connection during the cut: got %v, %v, want an error", c, err)
		}
	}
	p.Cut() // again changes nothing
	p.Restore()
	p.Restore()
	if got := p.Addr(); got != address {
		t.Errorf("got the address %s, want %s as before", got, address)
	}
	say(t, dial(t, address), "two\n")
}

func TestProxyWithoutTarget(t *testing.T) {
	t.Parallel()
	target := dbtest.NewProxy(t, "127.0.0.1:1")
	target.Cut()
	p := dbtest.NewProxy(t, target.Addr())
	if _, err := dial(t, p.Addr()).Read(make([]byte, 1)); err == nil {
		t.Error("a connection to nowhere: got it open, want it closed")
	}
}

func TestProxyRedirect(t *testing.T) {
	t.Parallel()
	p := dbtest.NewProxy(t, "127.0.0.1:1")
	p.Redirect(echo(t))
	c := dial(t, p.Addr())
	say(t, c, "one\n")
	p.Redirect("127.0.0.1:1")
	say(t, c, "two\n") // a connection stays where it is
}

func TestProxyLosesAnswers(t *testing.T) {
	t.Parallel()
	p := dbtest.NewProxy(t, echo(t))
	var seen []string
	p.LoseAnswers(func(request []byte) bool {
		seen = append(seen, string(request))
		return string(request) == "two\n"
	})
	c := dial(t, p.Addr())
	say(t, c, "one\n")
	if _, err := io.WriteString(c, "two\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); len(answer) > 0 {
		t.Errorf("got the answer %q, %v, want none", answer, err)
	}
	p.LoseAnswers(nil)
	say(t, dial(t, p.Addr()), "two\n")
	if !slices.Equal(seen, []string{"one\n", "two\n"}) {
		t.Errorf("got the requests %q, want one and two", seen)
	}
}

func TestProxyURL(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			direct := dbtest.Empty(t, e)
			address, p := dbtest.ProxyURL(t, direct)
			a, err := url.Parse(direct)
			if err != nil {
				t.Fatal(err)
			}
			a.Host = p.Addr()
			if address != a.String() {
				t.Errorf("the address is %s, want %s", address, a)
			}
			db := open(t, address)
			for range 2 {
				if err := db.PingContext(t.Context()); err != nil {
					t.Fatal(err)
				}
				p.Cut()
				if err := db.PingContext(t.Context()); err == nil {
					t.Error("the database during the cut: got an answer, want an error")
				}
				p.Restore()
			}
		})
	}
}

func TestProxyURLDefaultPort(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"postgres://u@127.0.0.1/db", "mysql://u@127.0.0.1/db"} {
		through, p := dbtest.ProxyURL(t, address)
		if u, err := url.Parse(through); err != nil || u.Host != p.Addr() {
			t.Errorf("%s: got %s, %v, want the host %s", address, through, err, p.Addr())
		}
	}
	for _, address := range []string{"sqlite:roster.db", "postgres://u:secret@h:port"} {
		if got := fatal(t, func(tb testing.TB) { dbtest.ProxyURL(tb, address) }); got == "" {
			t.Errorf("got a proxy for %s, want a failure", address)
		}
	}
}

// echo runs a server that sends back what it gets and returns its address.
func echo(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c) // until either side hangs up
			}()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// say sends a line and expects it back.
func say(t *testing.T, c net.Conn, line string) {
	t.Helper()
	if _, err := io.WriteString(c, line); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(c).ReadString('\n'); err != nil || got != line {
		t.Fatalf("got %q, %v", got, err)
	}
}

// TestProxySilence makes connections silent: neither side learns of it.
func TestProxySilence(t *testing.T) {
	t.Parallel()
	p := dbtest.NewProxy(t, echo(t))
	old := dial(t, p.Addr())
	say(t, old, "hello\n")
	p.Silence()
	fresh := dial(t, p.Addr())
	say(t, fresh, "new\n")
	p.Mute(true)
	for name, c := range map[string]net.Conn{"an old connection": old, "a new connection": fresh, "a connection since then": dial(t, p.Addr())} {
		if _, err := io.WriteString(c, "lost\n"); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: got %d bytes, %v, want silence", name, n, err)
		}
		if err := c.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	p.Mute(false)
	say(t, dial(t, p.Addr()), "again\n")
}
