package server_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"

	"roster/internal/codes"
	"roster/internal/server"
)

// notes is an observer that writes everything down.
type notes struct {
	mu   sync.Mutex
	list []string
}

var _ server.Observer = (*notes)(nil)

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, fmt.Sprintf(format, args...))
}

// Answered implements server.Observer.
func (n *notes) Answered(_ context.Context, a server.Answer) {
	n.add("%s %s %s %d", a.Method, a.Scheme, a.Route, a.Status)
}

// Refused implements server.Observer.
func (n *notes) Refused(status int, code codes.Code) { n.add("refused %d %s", status, code) }

// Opened implements server.Observer.
func (n *notes) Opened(kind server.StreamKind) { n.add("opened %s", kind) }

// Ended implements server.Observer.
func (n *notes) Ended(kind server.StreamKind, code string) { n.add("ended %s %s", kind, code) }

// want compares what was written down since the last call, without an order.
func (n *notes) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	slices.Sort(n.list)
	slices.Sort(want)
	if !slices.Equal(n.list, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(n.list, "\n"), strings.Join(want, "\n"))
	}
	n.list = nil
}

// observed runs a test with an observer of its server.
func observed(t *testing.T, test func(t *testing.T, s *site, n *notes)) {
	t.Helper()
	n := &notes{}
	inBubble(t, func(o *server.Options, _ *server.StreamOptions) { o.Observer = n }, func(t *testing.T, s *site) { test(t, s, n) })
}

func TestObserverOfAnswers(t *testing.T) {
	t.Parallel()
	observed(t, func(t *testing.T, s *site, n *notes) {
		const endpoint = "/graphql"
		s.ask(t, http.MethodPost, endpoint, body(`{ echo(text: "hi") }`))
		n.want(t, "POST http /graphql 200")
		s.ask(t, http.MethodPost, endpoint, body(`{ nothing }`))
		n.want(t, "POST http /graphql 200", "refused 400 GRAPHQL_VALIDATION_FAILED") // with application/json, the status is 200
		s.ask(t, http.MethodPost, endpoint, body(`{ echo(text: "`+strings.Repeat("x", maxBodyBytes)+`") }`))
		n.want(t, "POST http /graphql 413", "refused 413 BAD_REQUEST")
		s.ask(t, "INVENTED", "/nowhere", "")
		n.want(t, "_OTHER http  404", "refused 404 BAD_REQUEST")
		s.ask(t, http.MethodGet, "/", "")
		n.want(t, "GET http / 200")
		s.ask(t, http.MethodGet, "/healthz", "")
		n.want(t, "GET http /healthz 200")
	})
}

func TestObserverOfSockets(t *testing.T) {
	t.Parallel()
	const opened, ended = "opened websocket", "ended websocket "
	for name, test := range map[string]struct {
		do   func(t *testing.T, c *socket)
		want []string
	}{
		"closed by the client": {func(t *testing.T, c *socket) { c.close(t) }, []string{ended + "1000"}},
		"closed with an invented code": {func(t *testing.T, c *socket) {
			if err := c.conn.Close(4999, "mine"); err != nil {
				t.Error(err)
			}
		}, []string{ended + "other"}},
		"broken off": {func(t *testing.T, c *socket) { c.drop(t) }, []string{ended + "1006"}},
		"closed by the server": {func(t *testing.T, c *socket) {
			c.send(t, `{"type":"connection_init"}`)
			c.wantClose(t, 4429, "Too many initialisation requests")
		}, []string{ended + "4429"}},
		"a message that is too large": {func(t *testing.T, c *socket) {
			c.send(t, strings.Repeat(" ", maxBodyBytes+1))
			for range c.messages { // until the server has closed the socket
			}
			if websocket.CloseStatus(c.err) != websocket.StatusMessageTooBig {
				t.Errorf("got %v, want 1009", c.err)
			}
		}, []string{ended + "1009", "refused 413 BAD_REQUEST"}},
		"a wrong operation": {func(t *testing.T, c *socket) {
			c.send(t, subscribe("1", `{ nothing }`))
			for message := range c.messages {
				if strings.Contains(message, `"type":"error"`) {
					break
				}
			}
			c.close(t)
		}, []string{ended + "1000", "refused 400 GRAPHQL_VALIDATION_FAILED"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			observed(t, func(t *testing.T, s *site, n *notes) {
				c := s.openSocket(t)
				n.want(t, "GET http /graphql 101", opened) // although the request goes on
				test.do(t, c)
				n.want(t, test.want...)
			})
		})
	}
}

func TestObserverOfEventStreams(t *testing.T) {
	t.Parallel()
	for query, code := range map[string]string{
		`subscription { counter(to: 1) { number } }`: "complete",
		`subscription { breaks { number } }`:         "CURSOR_EXPIRED",
		`subscription { refused { number } }`:        "FORBIDDEN",
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			observed(t, func(t *testing.T, s *site, n *notes) {
				s.ask(t, http.MethodPost, "/graphql", body(query), "Accept", typeEvents)
				n.want(t, "POST http /graphql 200", "opened event_stream", "ended event_stream "+code)
			})
		})
	}
	for code, end := range map[string]func(s *site, response *http.Response){
		"disconnected": func(_ *site, response *http.Response) { _ = response.Body.Close() },
		"stopping":     func(s *site, _ *http.Response) { s.stop() },
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			observed(t, func(t *testing.T, s *site, n *notes) {
				response := s.open(t, http.MethodPost, "/graphql", body(`subscription { silent { number } }`), "Accept", typeEvents)
				defer response.Body.Close()
				n.want(t, "POST http /graphql 200", "opened event_stream")
				end(s, response)
				n.want(t, "ended event_stream "+code)
			})
		})
	}
}
