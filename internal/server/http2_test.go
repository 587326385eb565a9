package server_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What begins a connection of HTTP/2: RFC 9113, sections 3.4 and 6.5.
const (
	preface  = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" // an empty SETTINGS frame
)

// overHTTP2 makes the client of a site speak HTTP/2 without TLS, as a proxy does that knows beforehand.
func (s *site) overHTTP2() {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	s.client = &http.Client{Transport: &http.Transport{
		DialContext: s.dialer, DisableCompression: true, Protocols: &protocols,
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10},
	}}
}

// TestHTTP2 has one connection carry what is asked and what lasts, beside WebSockets of HTTP/1.1 on the same server.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		dials := 0
		dial := s.dialer
		s.dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials++
			return dial(ctx, network, address)
		}
		over1 := s.client
		s.overHTTP2()
		stream := s.open(t, http.MethodPost, "/graphql", body("subscription { silent { number } }"), "Accept", typeEvents)
		defer stream.Body.Close()
		if stream.ProtoMajor != 2 || stream.Header.Get("Connection") != "" {
			t.Errorf("got %s, %v, want HTTP/2 without the header Connection", stream.Proto, stream.Header)
		}
		if got := s.ask(t, http.MethodPost, "/graphql", body(`{ echo(text: "hi") }`)); got.text != `{"data":{"echo":"hi"}}` {
			t.Errorf("beside a stream: got %+v, want the echo", got)
		}
		if got := s.ask(t, http.MethodGet, get("query", `{ echo(text: "a;b") }`), ""); got.text != `{"data":{"echo":"a;b"}}` {
			t.Errorf("by GET: got %+v, want the echo", got)
		}
		counted := s.ask(t, http.MethodPost, "/graphql", body("subscription { counter(to: 1) { number } }"), "Accept", typeEvents)
		if want := ":\n\nevent: next\ndata: {\"data\":{\"counter\":{\"number\":1}}}\n\nevent: complete\ndata:\n\n"; !strings.HasSuffix(counted.text, want[len(":\n\n"):]) {
			t.Errorf("a stream: got %q, want %q", counted.text, want)
		}
		large := s.ask(t, http.MethodPost, "/graphql", body(strings.Repeat(" ", maxBodyBytes)))
		if large.status != http.StatusRequestEntityTooLarge {
			t.Errorf("a large body: got %+v, want 413", large)
		}
		if dials != 1 {
			t.Errorf("%d connections, want 1", dials)
		}
		over2 := s.client
		s.client = over1
		socket := s.openSocket(t)
		socket.send(t, subscribe("1", "{ echo }"))
		socket.want(t, next("1", `{"data":{"echo":null}}`), complete("1"))
		socket.close(t)
		s.client = over2
		if active := s.schema.Active(); active != 1 {
			t.Errorf("%d subscriptions, want the first one", active)
		}
		stream.Body.Close()
		s.idle(t)
	})
}

// TestHTTP2StreamsAreBounded reads what the server says that it keeps to: net/http refuses more.
func TestHTTP2StreamsAreBounded(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		conn := s.connect(t)
		defer conn.Close()
		go func() { _, _ = io.WriteString(conn, preface+settings) }()
		head := make([]byte, len(settings))
		if _, err := io.ReadFull(conn, head); err != nil {
			t.Fatal(err)
		}
		parameters := make([]byte, int(head[1])<<8+int(head[2]))
		if _, err := io.ReadFull(conn, parameters); err != nil {
			t.Fatal(err)
		}
		const maxConcurrentStreams, size = 3, 6
		streams := uint32(0)
		for p := parameters; len(p) >= size; p = p[size:] {
			if binary.BigEndian.Uint16(p) == maxConcurrentStreams {
				streams = binary.BigEndian.Uint32(p[2:])
			}
		}
		if streams != 100 {
			t.Errorf("%d streams on a connection, want 100", streams)
		}
	})
}

// TestHTTP2OfDeafClients has clients that take the connection's bytes but not the answer's, and ones that take nothing.
// Both are given up.
func TestHTTP2OfDeafClients(t *testing.T) {
	t.Parallel()
	const answerSize = mebibyte
	for name, test := range map[string]struct {
		request string
		accept  string
		deaf    bool // to the connection
		want    time.Duration
	}{
		"an answer that is not read":      {fmt.Sprintf("{ long(size: %d) }", answerSize), typeJSON, false, 20 * time.Second},
		"a connection that is not read":   {fmt.Sprintf("{ long(size: %d) }", answerSize), typeJSON, true, 2 * messageTimeout},
		"a stream that is not read":       {"subscription { endless(size: 100000) { text } }", typeEvents, false, messageTimeout},
		"a stream's connection, not read": {"subscription { endless(size: 100000) { text } }", typeEvents, true, 2 * messageTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, withMemory, func(t *testing.T, s *site) {
				dial, conn := s.dialer, new(deafConn)
				s.dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
					inner, err := dial(ctx, network, address)
					conn.Conn, conn.closed = inner, make(chan struct{})
					return conn, err
				}
				s.overHTTP2()
				conn.deaf = test.deaf
				began := time.Now()
				response := s.open(t, http.MethodPost, "/graphql", body(test.request), "Accept", test.accept)
				defer response.Body.Close()
				s.left(t)
				if took := time.Since(began); took != test.want {
					t.Errorf("given up after %s, want %s", took, test.want)
				}
				if test.deaf {
					_ = conn.Close() // to end its reading
				}
				if _, err := io.Copy(io.Discard, response.Body); err == nil {
					t.Error("got the end of the answer, want an error: the answer is not complete")
				}
				_ = conn.Close()
				s.dialer = dial
				s.overHTTP2()
				if got := s.ask(t, http.MethodPost, "/graphql", body(`{ echo(text: "hi") }`)); got.text != `{"data":{"echo":"hi"}}` {
					t.Errorf("afterwards: got %+v, want the echo", got)
				}
			})
		})
	}
}

// deafConn is a connection that, when it is deaf, is not read any more after the head of an answer.
type deafConn struct {
	net.Conn
	deaf   bool
	read   int
	closed chan struct{}
	once   sync.Once
}

func (c *deafConn) Read(p []byte) (int, error) {
	const heads = 1 << 10
	if c.deaf && c.read > heads {
		<-c.closed
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(p)
	c.read += n
	return n, err
}

func (c *deafConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// TestHTTP2StreamLasts has a stream on which nothing happens for longer than a client may take to accept an event, and than
// an answer may take.
func TestHTTP2StreamLasts(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		s.overHTTP2()
		stream := s.open(t, http.MethodPost, "/graphql", body("subscription { silent { number } }"), "Accept", typeEvents)
		began := time.Now()
		lines := bufio.NewReader(stream.Body)
		for time.Since(began) < 10*time.Minute {
			if _, err := lines.ReadString('\n'); err != nil {
				t.Fatalf("after %s: got %v, want another line", time.Since(began), err)
			}
		}
		stream.Body.Close()
		s.idle(t)
	})
}

// TestHTTP2EndsWithTheServer stops a server with a stream and a query on one connection: the one ends, the other finishes.
func TestHTTP2EndsWithTheServer(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		s.overHTTP2()
		stream := s.open(t, http.MethodPost, "/graphql", body("subscription { silent { number } }"), "Accept", typeEvents)
		defer stream.Body.Close()
		waiting := make(chan string)
		go func() { waiting <- s.ask(t, http.MethodPost, "/graphql", body("{ waits(milliseconds: 3000) }")).text }()
		synctest.Wait()
		s.stop()
		if got := read(t, stream); got.text != ":\n\n" {
			t.Errorf("%q: want an end without complete", got.text)
		}
		if got := <-waiting; !strings.Contains(got, `"waited"`) {
			t.Errorf("a running query: got %q, want its answer", got)
		}
	})
}

// TestHTTP2Timeouts has clients of HTTP/2 that begin and do not go on.
func TestHTTP2Timeouts(t *testing.T) {
	t.Parallel()
	const headers = "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x83" // POST, and more to come
	for name, text := range map[string]string{
		"half a preface":          preface[:10],
		"a preface":               preface,
		"a connection":            preface + settings,
		"the beginning of a head": preface + settings + headers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, s *site) {
				conn := s.connect(t)
				defer conn.Close()
				began := time.Now()
				go func() { _, _ = io.WriteString(conn, text) }()
				_, _ = io.Copy(io.Discard, bufio.NewReader(conn))
				if took, most := time.Since(began), readTimeout+time.Second; took > most { // a second for the client to see why
					t.Errorf("given up after %s, want at most %s", took, most)
				}
			})
		})
	}
}
