package server_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"roster/internal/server"
)

// serve starts a server and returns its address, what stops it and where Serve's result comes.
func serve(t *testing.T, handler http.Handler, timeouts server.Timeouts) (string, context.CancelFunc, <-chan error) {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(ctx, listener, nil, handler, server.NewStreams(server.StreamOptions{}), timeouts, slog.New(slog.DiscardHandler))
	}()
	return listener.Addr().String(), stop, done
}

func TestServeLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	arrived, finish := make(chan struct{}), make(chan struct{})
	address, stop, done := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-finish
		_, _ = io.WriteString(w, "finished")
		if r.Context().Err() != nil {
			t.Error("got a cancelled request, want one that may finish")
		}
	}), server.Timeouts{Shutdown: time.Minute})
	answer := make(chan string, 1)
	go func() { answer <- exchange(t, address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") }()
	<-arrived
	stop()
	close(finish)
	if err := <-done; err != nil {
		t.Errorf("Serve: got %v, want no error", err)
	}
	if got := <-answer; !strings.HasSuffix(got, "finished") {
		t.Errorf("got %q, want the finished answer", got)
	}
}

func TestServeCutsOffWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	address, stop, done := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}), server.Timeouts{Shutdown: time.Millisecond})
	go exchange(t, address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-arrived
	stop()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "cut off after 1ms") {
		t.Errorf("Serve: got %v, want requests that were cut off after 1ms", err)
	}
}

func TestServeReportsALostListener(t *testing.T) {
	t.Parallel()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	err = server.Serve(t.Context(), listener, nil, http.NotFoundHandler(), server.NewStreams(server.StreamOptions{}), server.Timeouts{}, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Error("Serve: got no error, want that of the listener")
	}
}

func TestSlowBody(t *testing.T) {
	t.Parallel()
	// Long enough for the header to be read, and not for the body, which never comes.
	address, _, _ := serve(t, server.New(testOptions()), server.Timeouts{Read: time.Second, Shutdown: time.Second})
	got := exchange(t, address, "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	if !strings.HasPrefix(got, "HTTP/1.1 408 ") || !strings.Contains(got, "BAD_REQUEST") {
		t.Errorf("got %q, want 408 and BAD_REQUEST", got)
	}
}

func TestSlowHeaders(t *testing.T) {
	t.Parallel()
	address, _, _ := serve(t, server.New(testOptions()), server.Timeouts{ReadHeader: 50 * time.Millisecond, Shutdown: time.Second})
	for _, begun := range []string{"", "POST /gra", "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: appl"} {
		got := exchange(t, address, begun) // comes back when the connection is closed
		if got != "" && !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("%q: got %q, want nothing or 400", begun, got)
		}
	}
}

func TestIdleConnection(t *testing.T) {
	t.Parallel()
	address, _, _ := serve(t, server.New(testOptions()), server.Timeouts{Idle: 50 * time.Millisecond, Shutdown: time.Second})
	got := exchange(t, address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") // and no next request
	if !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("got %q, want 200", got)
	}
}

func TestLargeHeaders(t *testing.T) {
	t.Parallel()
	address, _, _ := serve(t, server.New(testOptions()), server.Timeouts{Shutdown: time.Second})
	got := exchange(t, address, "GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 100<<10)+"\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Errorf("got %.100q, want 431", got)
	}
}

// exchange sends text to address and returns all that comes back until the server closes.
func exchange(t *testing.T, address, text string) string {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = conn.Close() }()
	// The server may answer and close before it has read all.
	_, _ = io.WriteString(conn, text)
	answer, _ := io.ReadAll(bufio.NewReader(conn))
	return string(answer)
}
