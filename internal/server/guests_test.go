package server_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

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
		nobody.wantClose(t, 4403, "send credentials in connection_init: a socket without them is closed after a while")
		if took := time.Since(began); took != guestTimeout {
			t.Errorf("got the end after %s, want %s", took, guestTimeout)
		}
		time.Sleep(guestTimeout) // of the bubble
		known.send(t, subscribe("1", "{ caller }"))
		known.want(t, next("1", `{"data":{"caller":"ada"}}`), complete("1"))
		known.close(t)
	})
}
