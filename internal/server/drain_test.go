package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"roster/internal/server"
)

// drainable is a server that a test stops. Its page waits.
type drainable struct {
	address string
	stop    context.CancelCauseFunc
	done    <-chan error
	arrived chan struct{} // gets something when a request for the page has arrived
	finish  chan struct{} // lets one of them finish
}

func newDrainable(t *testing.T, drain time.Duration) *drainable {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	d := &drainable{listener.Addr().String(), stop, done, make(chan struct{}), make(chan struct{})}
	o := testOptions()
	o.Playground = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		d.arrived <- struct{}{}
		<-d.finish
		_, _ = io.WriteString(w, "finished")
	})
	go func() {
		done <- server.Serve(ctx, listener, nil, server.New(o), o.Streams, server.Timeouts{Drain: drain, Shutdown: time.Minute}, slog.New(slog.DiscardHandler))
	}()
	return d
}

// client is one connection to a server.
type client struct {
	net.Conn
	answers *bufio.Reader
}

func (d *drainable) connect(t *testing.T) client {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", d.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return client{conn, bufio.NewReader(conn)}
}

func (c client) send(t *testing.T, path string) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
}

// receive returns the status, the body, and whether the connection is closed.
func (c client) receive(t *testing.T) (status int, body string, closes bool) {
	t.Helper()
	response, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text), response.Close
}

// want sends a request and checks the answer.
func (c client) want(t *testing.T, path string, status int, body string, closes bool) {
	t.Helper()
	c.send(t, path)
	c.wantNext(t, path, status, body, closes)
}

func (c client) wantNext(t *testing.T, what string, status int, body string, closes bool) {
	t.Helper()
	if s, b, closed := c.receive(t); s != status || b != body || closed != closes {
		t.Errorf("%s: got %d %s, closes %t, want %d %s, %t", what, s, b, closed, status, body, closes)
	}
}

// TestDrain stops a server whose drain has no end: it takes requests on new and old connections, finishes those under way, and
// says that it is stopping.
func TestDrain(t *testing.T) {
	t.Parallel()
	d := newDrainable(t, time.Hour)
	idle, ready, busy := d.connect(t), d.connect(t), d.connect(t)
	for _, c := range []client{idle, ready} {
		c.want(t, "/readyz", http.StatusOK, `{"status":"ready"}`, false)
	}
	busy.send(t, "/")
	<-d.arrived
	d.stop(nil)
	for deadline := time.Now().Add(time.Minute); ; {
		c := d.connect(t)
		c.send(t, "/readyz")
		status, body, closes := c.receive(t)
		if status == http.StatusServiceUnavailable && body == `{"status":"stopping"}` && closes {
			break
		}
		if status != http.StatusOK || time.Now().After(deadline) {
			t.Fatalf("got %d %s, closes %t, want 503 and stopping", status, body, closes)
		}
	}
	ready.want(t, "/readyz", http.StatusServiceUnavailable, `{"status":"stopping"}`, true)
	d.connect(t).want(t, "/readyz?for=reads", http.StatusServiceUnavailable, `{"status":"stopping"}`, true)
	d.connect(t).want(t, "/healthz", http.StatusOK, `{"status":"ok"}`, true)
	idle.want(t, "/schema.graphql", http.StatusOK, testSDL, true)
	d.finish <- struct{}{}
	busy.wantNext(t, "the request under way", http.StatusOK, "finished", true)
	select {
	case err := <-d.done:
		t.Errorf("got the end of the server, %v, want its drain", err)
	default:
	}
}

// TestDrainEnds stops a server: after the drain, it takes nothing new, and finishes the requests under way.
func TestDrainEnds(t *testing.T) {
	t.Parallel()
	d := newDrainable(t, 20*time.Millisecond)
	busy, idle := d.connect(t), d.connect(t)
	idle.want(t, "/healthz", http.StatusOK, `{"status":"ok"}`, false)
	busy.send(t, "/")
	<-d.arrived
	d.stop(nil)
	if text, err := io.ReadAll(idle); err != nil || len(text) > 0 {
		t.Errorf("an idle connection: got %q, %v, want its end", text, err)
	}
	wantRefused(t, d.address)
	d.finish <- struct{}{}
	busy.wantNext(t, "the request under way", http.StatusOK, "finished", true)
	if err := <-d.done; err != nil {
		t.Errorf("Serve: got %v, want no error", err)
	}
}

// TestHandedOver lets another process take over: the listener is closed at once, and the connections are served on, without a
// word that nothing would be ready here.
func TestHandedOver(t *testing.T) {
	t.Parallel()
	d := newDrainable(t, time.Hour)
	ready, busy := d.connect(t), d.connect(t)
	ready.want(t, "/healthz", http.StatusOK, `{"status":"ok"}`, false)
	busy.send(t, "/")
	<-d.arrived
	d.stop(fmt.Errorf("upgrade: %w", server.ErrHandedOver))
	wantRefused(t, d.address)
	ready.want(t, "/readyz", http.StatusOK, `{"status":"ready"}`, true)
	d.finish <- struct{}{}
	busy.wantNext(t, "the request under way", http.StatusOK, "finished", true)
}

// wantRefused waits until an address refuses connections.
func wantRefused(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil && strings.Contains(err.Error(), "refused") {
			return
		}
		if err == nil {
			_ = conn.Close()
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %v, want a connection that is refused", err)
		}
	}
}
