package server_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"roster/internal/server"
	"roster/internal/server/streamtest"
)

// The bounds of the streams in these tests. All times are those of the bubble that a test runs in:
// they pass when everybody waits, and a test sees exactly how much has passed.
const (
	maxStreams      = 3
	maxOperations   = 2
	maxBodyBytes    = 1000
	pingInterval    = 15 * time.Second
	initTimeout     = 5 * time.Second
	messageTimeout  = 10 * time.Second
	readTimeout     = 30 * time.Second
	shutdownTimeout = 20 * time.Second
)

// site is a server with the schema of streamtest, on a network in memory.
type site struct {
	schema  *streamtest.Schema
	callers *streamtest.Authenticator
	dialer  func(ctx context.Context, network, address string) (net.Conn, error)
	client  *http.Client
	stop    context.CancelFunc
	stopped <-chan error // what Serve returned
	// answered has an element for each answer that has ended.
	answered chan struct{}
}

// inBubble runs test with a server in a bubble of its own, and fails when anything of the server is
// left when the test has ended. configure may be nil. Time in a bubble is testing/synctest's: it passes at once when all
// wait for it, so a test that waits an hour takes no time, and none depends on how fast the machine is.
func inBubble(t *testing.T, configure func(*server.Options, *server.StreamOptions), test func(t *testing.T, s *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := startSite(t, newMemory(), configure)
		test(t, s)
		s.end(t)
	})
}

// network is where clients reach a server.
type network interface {
	net.Listener
	dial(ctx context.Context, network, address string) (net.Conn, error)
}

func startSite(t testing.TB, n network, configure func(*server.Options, *server.StreamOptions)) *site {
	t.Helper()
	s := &site{schema: streamtest.New(), callers: streamtest.NewAuthenticator(), dialer: n.dial, answered: make(chan struct{}, 10_000)}
	options := testOptions()
	options.Executor = s.schema.Executor()
	options.Authenticator = s.callers
	options.MaxBodyBytes = maxBodyBytes
	streaming := server.StreamOptions{
		MaxStreams:    maxStreams,
		MaxOperations: maxOperations,
		PingInterval:  pingInterval,
		InitTimeout:   initTimeout,
		WriteTimeout:  messageTimeout,
	}
	if configure != nil {
		configure(&options, &streaming)
	}
	options.Streams = server.NewStreams(streaming)
	s.client = &http.Client{Transport: &http.Transport{DialContext: s.dialer}}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	s.stopped = stopped
	handler := server.New(options)
	go func() {
		stopped <- server.Serve(ctx, n, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				select {
				case s.answered <- struct{}{}:
				default: // Nobody counts.
				}
			}()
			handler.ServeHTTP(w, r)
		}), options.Streams, server.Timeouts{
			ReadHeader: readTimeout, Read: readTimeout, Write: readTimeout, Idle: readTimeout, WriteByte: messageTimeout, Shutdown: shutdownTimeout,
		}, options.Logger)
	}()
	return s
}

// end stops the server, for which it needs no time when nothing is left on it.
func (s *site) end(t *testing.T) {
	t.Helper()
	s.client.CloseIdleConnections()
	synctest.Wait()
	began := time.Now()
	s.stop()
	err := <-s.stopped
	if took := time.Since(began); err != nil || took > time.Second { // Shutdown looks after half a second at the latest
		t.Errorf("got the end of the server after %s with %v, want it within a second without an error", took, err)
	}
	if active := s.schema.Active(); active != 0 {
		t.Errorf("got %d subscriptions, want 0", active)
	}
	if watched := s.callers.Watched(); watched != 0 {
		t.Errorf("got %d watches of callers, want 0", watched)
	}
}

// idle fails unless all subscriptions have ended, without any time passing.
func (s *site) idle(t *testing.T) {
	t.Helper()
	synctest.Wait()
	if active := s.schema.Active(); active != 0 {
		t.Errorf("got %d subscriptions, want 0", active)
	}
}

// left waits until an answer has ended.
func (s *site) left(t *testing.T) {
	t.Helper()
	select {
	case <-s.answered:
	case <-time.After(time.Hour):
		t.Fatal("got no end of the answer within an hour, want one")
	}
}

// connect opens a connection.
func (s *site) connect(t *testing.T) net.Conn {
	t.Helper()
	conn, err := s.dialer(t.Context(), "tcp", "roster.test:80")
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func write(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// answer is an answer that has come to its end.
type answer struct {
	status int
	header http.Header
	text   string
	closes bool // the connection, after it
}

func read(t *testing.T, response *http.Response) answer {
	t.Helper()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text), response.Close}
}

// ask answers a request.
func (s *site) ask(t *testing.T, method, target, body string, header ...string) answer {
	t.Helper()
	response := s.open(t, method, target, body, header...)
	defer response.Body.Close()
	return read(t, response)
}

// open answers a request up to the end of the answer's head.
func (s *site) open(t *testing.T, method, target, body string, header ...string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://roster.test"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", typeJSON)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// memory is a network in memory, of which one end listens. Nothing is buffered: who sends waits for
// who receives.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemory() *memory {
	return &memory{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case m.conns <- far:
		return near, nil
	case <-m.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (m *memory) Accept() (net.Conn, error) {
	select {
	case conn := <-m.conns:
		return conn, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (m *memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

// Addr implements net.Listener.
func (*memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

// loopback is the network of the machine.
type loopback struct{ net.Listener }

func newLoopback(t testing.TB) loopback {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return loopback{listener}
}

func (l loopback) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", l.Addr().String())
}

// clients is how many clients come and go at the least of which nothing may stay.
const clients = 2000

// TestNothingStaysOfManyClients has them all at the same time.
func TestNothingStaysOfManyClients(t *testing.T) {
	t.Parallel()
	inBubble(t, many, func(t *testing.T, s *site) {
		drop := s.crowd(t, clients)
		drop()
		s.idle(t)
	})
}

// TestGoroutinesAndMemoryReturn has them come and go in groups, on a real network, and then as many
// operations on one socket. It is not parallel to others, whose goroutines and memory it would see.
func TestGoroutinesAndMemoryReturn(t *testing.T) {
	const (
		group  = 100
		memory = 256 << 10 // bytes that may come and go for reasons of their own
	)
	s := startSite(t, newLoopback(t), many)
	wave := func() {
		s.crowd(t, group)()
		for range 2 * group {
			<-s.answered
		}
	}
	wave()
	goroutines, before := runtime.NumGoroutine(), heap()
	for range clients / group {
		wave()
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(deadline); {
		<-time.After(time.Millisecond) // Connections end just after their last answers.
	}
	if now := runtime.NumGoroutine(); now > goroutines {
		t.Errorf("got %d goroutines, want at most %d", now, goroutines)
	}
	c := s.dial(t)
	c.send(t, `{"type":"connection_init"}`)
	for range clients {
		c.send(t, subscribe("1", "subscription { counter(to: 1) { number } }"))
		for message := range c.messages {
			if message == complete("1") {
				break
			}
		}
	}
	if after := heap(); after > before+memory {
		t.Errorf("got %d bytes, want at most %d", after, before+memory)
	}
	s.stop()
	c.wantClose(t, websocket.StatusGoingAway, "The server is stopping")
	if err := <-s.stopped; err != nil {
		t.Error(err)
	}
}

// many lets a crowd in.
func many(_ *server.Options, o *server.StreamOptions) { o.MaxStreams = 8 * clients } // a quarter for guests

// crowd opens so many sockets with a subscription on each, and as many event streams. The function
// that it returns drops them all.
func (s *site) crowd(t *testing.T, size int) (drop func()) {
	t.Helper()
	const query = "subscription { silent { number } }"
	var drops []func()
	for range size {
		c := s.dial(t)
		c.send(t, `{"type":"connection_init"}`, subscribe("1", query), subscribe("2", "{ echo }"))
		for range 3 { // the acknowledgement, the answer and its end
			<-c.messages
		}
		stream := s.open(t, http.MethodPost, "/graphql", body(query), "Accept", typeEvents) //nolint:bodyclose // drop closes it.
		drops = append(drops, func() {
			c.drop(t)
			stream.Body.Close()
		})
	}
	return func() {
		for _, drop := range drops {
			drop()
		}
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // for what pools hold back once
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
