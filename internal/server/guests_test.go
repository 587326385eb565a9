package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"roster/internal/server"
	"roster/internal/server/streamtest"
)

const guestTimeout = time.Minute

// closed lets a server refuse callers without credentials, with 8 streams: 2 of them are for guests.
func closed(o *server.Options, s *server.StreamOptions) {
	callers := streamtest.NewAuthenticator()
	callers.Closed = true
	o.Authenticator = callers
	s.MaxStreams, s.GuestTimeout = 8, guestTimeout
}

// TestGuestsLeaveStreamsToOthers opens as many sockets without credentials as the server takes: it serves others still.
func TestGuestsLeaveStreamsToOthers(t *testing.T) {
	t.Parallel()
	full := refusedError{http.StatusServiceUnavailable, typeJSON + "; charset=utf-8"}
	inBubble(t, closed, func(t *testing.T, s *site) {
		known := s.socketOf(t, "ada")
		silent, nobody := s.dial(t), s.openSocket(t)
		if _, err := s.handshake(t.Context(), nil, "graphql-transport-ws"); !errors.Is(err, full) {
			t.Errorf("a guest more: got %v, want 503", err)
		}
		events := s.open(t, http.MethodPost, "/graphql", body("subscription { silent { number } }"), "Accept", typeEvents, "Authorization", "Bearer ada")
		if events.StatusCode != http.StatusOK {
			t.Errorf("an event stream of ada: got status %d, want 200", events.StatusCode)
		}
		events.Body.Close()
		// A guest that sends credentials leaves its place to another one.
		silent.send(t, `{"type":"connection_init","payload":{"Authorization":"Bearer bob"}}`)
		silent.want(t, ack)
		other := s.openSocket(t)
		if _, err := s.handshake(t.Context(), nil, "graphql-transport-ws"); !errors.Is(err, full) {
			t.Errorf("a guest more: got %v, want 503", err)
		}
		// So does a guest that leaves, once.
		nobody.close(t)
		known.close(t)
		synctest.Wait()
		nobody = s.openSocket(t)
		if _, err := s.handshake(t.Context(), nil, "graphql-transport-ws"); !errors.Is(err, full) {
			t.Errorf("a guest more: got %v, want 503", err)
		}
		for _, c := range []*socket{silent, other, nobody} {
			c.close(t)
		}
	})
}

// TestGuestsEnd waits with sockets until the server closes those of nobody.
func TestGuestsEnd(t *testing.T) {
	t.Parallel()
	inBubble(t, closed, func(t *testing.T, s *site) {
		began := time.Now()
		nobody, known := s.openSocket(t), s.socketOf(t, "ada")
		defer time.AfterFunc(time.Hour, func() { _ = nobody.conn.CloseNow() }).Stop()
		nobody.wantClose(t, 4403, "send credentials in connection_init: a socket without them is closed after a while")
		if took := time.Since(began); took != guestTimeout {
			t.Errorf("got the end after %s, want %s", took, guestTimeout)
		}
		<-time.After(guestTimeout) // of the bubble
		known.send(t, subscribe("1", "{ caller }"))
		known.want(t, next("1", `{"data":{"caller":"ada"}}`), complete("1"))
		known.close(t)
	})
	readers := func(o *server.Options, s *server.StreamOptions) {
		callers := streamtest.NewAuthenticator()
		callers.Closed, callers.Reader = true, true
		o.Authenticator = callers
		s.GuestTimeout = guestTimeout
	}
	inBubble(t, readers, func(t *testing.T, s *site) {
		reader := s.openSocket(t)
		<-time.After(2 * guestTimeout) // of the bubble
		reader.send(t, subscribe("1", "{ echo }"))
		reader.want(t, next("1", `{"data":{"echo":null}}`), complete("1"))
		reader.close(t)
	})
}

// guestBodyBytes is the maximum size of a body of nobody.
const guestBodyBytes = 64 << 10

// sized returns an object of a size in bytes, with a text in front of its end.
func sized(before string, size int) string {
	return before + strings.Repeat(" ", size-len(before)-1) + "}"
}

// TestBodiesOfNobody has bodies around the limit for callers without credentials.
func TestBodiesOfNobody(t *testing.T) {
	t.Parallel()
	large := func(o *server.Options, s *server.StreamOptions) {
		closed(o, s)
		o.MaxBodyBytes = 1 << 20
	}
	refusal := refused{http.StatusUnauthorized, "UNAUTHENTICATED", "Bearer", ""}
	inBubble(t, large, func(t *testing.T, s *site) {
		const before = `{"query":"{ caller }"`
		fits, over := sized(before, guestBodyBytes), sized(before, guestBodyBytes+1)
		if got := s.ask(t, http.MethodPost, "/graphql", fits); got.text != `{"data":{"caller":null}}` {
			t.Errorf("a body that fits: got status %d, %s, want an answer", got.status, got.text)
		}
		refusal.check(t, "a larger body", s.ask(t, http.MethodPost, "/graphql", over))
		refusal.check(t, "a larger body of unknown length", s.chunked(t, over))
		if got := s.ask(t, http.MethodPost, "/graphql", over, "Authorization", "Bearer ada"); got.text != `{"data":{"caller":"ada"}}` {
			t.Errorf("a larger body of ada: got status %d, %s, want an answer", got.status, got.text)
		}
		// The server refuses the body when it begins.
		conn := s.connect(t)
		defer conn.Close()
		write(t, conn, fmt.Sprintf("POST /graphql HTTP/1.1\r\nHost: roster.test\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{", len(over)))
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "HTTP/1.1 401 Unauthorized\r\n" {
			t.Errorf("a body that begins: got %q, %v, want 401", line, err)
		}
	})
	inBubble(t, func(o *server.Options, s *server.StreamOptions) {
		large(o, s)
		callers := streamtest.NewAuthenticator()
		callers.Closed, callers.Reader = true, true
		o.Authenticator = callers
	}, func(t *testing.T, s *site) {
		if got := s.ask(t, http.MethodPost, "/graphql", sized(`{"query":"{ caller }"`, guestBodyBytes+1)); got.status != http.StatusOK {
			t.Errorf("a larger body of a reader: got status %d, want 200", got.status)
		}
	})
}

// chunked answers a request whose header does not have the length of the body.
func (s *site) chunked(t *testing.T, body string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://roster.test/graphql", struct{ io.Reader }{strings.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", typeJSON)
	response, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return read(t, response)
}

// TestMessagesOfNobody has messages around the limit for sockets without credentials.
func TestMessagesOfNobody(t *testing.T) {
	t.Parallel()
	large := func(o *server.Options, s *server.StreamOptions) {
		closed(o, s)
		o.MaxBodyBytes = 1 << 20
	}
	inBubble(t, large, func(t *testing.T, s *site) {
		fits, over := sized(`{"type":"ping"`, guestBodyBytes), sized(`{"type":"ping"`, guestBodyBytes+1)
		known := s.socketOf(t, "ada")
		known.send(t, over)
		known.want(t, `{"type":"pong"}`)
		known.close(t)
		for name, open := range map[string]func() *socket{
			"before connection_init": func() *socket { return s.dial(t) },
			"nobody":                 func() *socket { return s.openSocket(t) },
		} {
			c := open()
			c.send(t, fits)
			c.want(t, `{"type":"pong"}`)
			c.send(t, over)
			for message := range c.messages {
				t.Errorf("%s: got %s, want no answer to a larger message", name, message)
			}
			if got := websocket.CloseStatus(c.err); got != websocket.StatusMessageTooBig {
				t.Errorf("%s: got %v, want the code 1009", name, c.err)
			}
		}
	})
}
