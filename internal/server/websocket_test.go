package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/coder/websocket"

	"roster/internal/documents"
	"roster/internal/server"
)

const (
	ack  = `{"type":"connection_ack"}`
	pong = `{"type":"pong"}`
)

// socket is a client of GraphQL over WebSocket that takes messages in as they come.
type socket struct {
	conn     *websocket.Conn
	messages chan string // closed with the socket
	err      error       // why it was closed; set before
	dropped  chan struct{}
}

// dial opens a socket.
func (s *site) dial(t testing.TB) *socket {
	t.Helper()
	c, err := s.handshake(t.Context(), nil, "graphql-transport-ws")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refusedError is the status of the answer to a handshake that failed, and its media type.
type refusedError struct {
	status    int
	mediaType string
}

func (e refusedError) Error() string { return fmt.Sprintf("refused with %d", e.status) }

// handshake opens a socket or returns a refusedError.
func (s *site) handshake(ctx context.Context, header http.Header, subprotocols ...string) (*socket, error) {
	conn, response, err := websocket.Dial(ctx, "http://roster.test/graphql", &websocket.DialOptions{ //nolint:bodyclose // It is in memory.
		HTTPClient: s.client, HTTPHeader: header, Subprotocols: subprotocols,
	})
	if err != nil {
		if response == nil {
			return nil, err
		}
		return nil, refusedError{response.StatusCode, response.Header.Get("Content-Type")}
	}
	conn.SetReadLimit(-1)
	c := &socket{conn: conn, messages: make(chan string, 1000), dropped: make(chan struct{})}
	go func() {
		defer close(c.messages)
		for {
			var data []byte
			if _, data, c.err = conn.Read(ctx); c.err != nil {
				return
			}
			select {
			case c.messages <- string(data):
			case <-c.dropped:
				return
			}
		}
	}()
	return c, nil
}

// openSocket opens a socket and has it acknowledged.
func (s *site) openSocket(t *testing.T) *socket {
	t.Helper()
	c := s.dial(t)
	c.send(t, `{"type":"connection_init"}`)
	c.want(t, ack)
	return c
}

func (c *socket) send(t testing.TB, messages ...string) {
	t.Helper()
	for _, message := range messages {
		if err := c.conn.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
	}
}

// want fails unless messages, and none but they, have come when the server has no more to do.
func (c *socket) want(t *testing.T, messages ...string) {
	t.Helper()
	synctest.Wait()
	var got []string
	for more := true; more; {
		select {
		case message, open := <-c.messages:
			if more = open; open {
				got = append(got, message)
			}
		default:
			more = false
		}
	}
	if !slices.Equal(got, messages) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(messages, "\n"))
	}
}

// wantClose fails unless the server closes the socket in this way before anything else comes.
func (c *socket) wantClose(t *testing.T, code websocket.StatusCode, reason string) {
	t.Helper()
	for message := range c.messages {
		t.Errorf("got %s, want no message", message)
	}
	got, ok := errors.AsType[websocket.CloseError](c.err)
	if !ok || got.Code != code || got.Reason != reason {
		t.Errorf("closed by %v, want %d %q", c.err, code, reason)
	}
}

func (c *socket) close(t *testing.T) {
	t.Helper()
	if err := c.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
}

// drop breaks the connection off.
func (c *socket) drop(t testing.TB) {
	t.Helper()
	close(c.dropped)
	if err := c.conn.CloseNow(); err != nil {
		t.Error(err)
	}
}

func subscribe(id, query string) string {
	return fmt.Sprintf(`{"type":"subscribe","id":%q,"payload":%s}`, id, body(query))
}

func next(id, payload string) string {
	return fmt.Sprintf(`{"type":"next","id":%q,"payload":%s}`, id, payload)
}

func failed(id, payload string) string {
	return fmt.Sprintf(`{"type":"error","id":%q,"payload":%s}`, id, payload)
}

func complete(id string) string { return fmt.Sprintf(`{"type":"complete","id":%q}`, id) }

func TestSocketOperations(t *testing.T) {
	t.Parallel()
	for query, want := range map[string][]string{
		`{ echo(text: "hi") }`:         {next("1", `{"data":{"echo":"hi"}}`), complete("1")},
		`mutation { echo(text: "m") }`: {next("1", `{"data":{"echo":"m"}}`), complete("1")},
		`{ fails }`: {
			next("1", `{"errors":[{"message":"there is nothing","path":["fails"],"extensions":{"code":"NOT_FOUND"}}],"data":{"fails":null}}`),
			complete("1"),
		},
		`{ nothing }`: {failed("1", `[{"message":"Cannot query field \"nothing\" on type \"Query\".","locations":[{"line":1,"column":3}],"extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]`)},
		`{`:           {failed("1", `[{"message":"Expected Name, found \u003cEOF\u003e","locations":[{"line":1,"column":2}],"extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]`)},
		`{ panics }`:  {failed("1", `[{"message":"internal error","extensions":{"code":"INTERNAL","requestId":"made-here"}}]`)},
		`subscription { a: counter { n: number __typename } }`: {
			next("1", `{"data":{"a":{"n":1,"__typename":"Tick"}}}`), next("1", `{"data":{"a":{"n":2,"__typename":"Tick"}}}`),
			next("1", `{"data":{"a":{"n":3,"__typename":"Tick"}}}`), complete("1"),
		},
		`subscription { counter(to: 0) { number } }`: {complete("1")},
		`subscription { refused { number } }`:        {failed("1", `[{"message":"nobody may listen","extensions":{"code":"FORBIDDEN"}}]`)},
		`subscription { stumbles { number } }`: {
			next("1", `{"data":{"stumbles":{"number":1}}}`),
			next("1", `{"errors":[{"message":"the second is missing","path":["stumbles"],"extensions":{"code":"NOT_FOUND"}}],"data":{"stumbles":null}}`),
			next("1", `{"data":{"stumbles":{"number":3}}}`), complete("1"),
		},
		`subscription { breaks { number } }`: {
			next("1", `{"data":{"breaks":{"number":1}}}`),
			failed("1", `[{"message":"begin anew","extensions":{"code":"CURSOR_EXPIRED"}}]`),
		},
		`subscription { panics { number } }`: {
			next("1", `{"data":{"panics":{"number":1}}}`),
			failed("1", `[{"message":"internal error","extensions":{"code":"INTERNAL","requestId":"made-here"}}]`),
		},
		`subscription { silent { number } }`: nil,
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, s *site) {
				c := s.openSocket(t)
				c.send(t, subscribe("1", query))
				c.want(t, want...)
				c.close(t)
				s.idle(t)
			})
		})
	}
}

func TestSocketOperationHasAllParameters(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		c.send(t, `{"payload":{"query":"query A { echo } query B($t: String) { b: echo(text: $t) }","operationName":"B",`+
			`"variables":{"t":"\u00e4<"},"extensions":{"x":[1]},"unknown":1},"id":"\u00fc\"","type":"subscribe","unknown":{}}`)
		c.want(t, `{"type":"next","id":"ü\"","payload":{"data":{"b":"ä\u003c"}}}`, `{"type":"complete","id":"ü\""}`)
		c.send(t, `{"type":"subscribe","id":"2","payload":{"query":"{ echo }","operationName":null,"variables":null,"extensions":null}}`)
		c.want(t, next("2", `{"data":{"echo":null}}`), complete("2"))
		c.close(t)
	})
}

// TestSocketRefusals has messages of the right form whose operations are refused: the socket and its other operations
// go on.
func TestSocketRefusals(t *testing.T) {
	t.Parallel()
	for payload, reason := range map[string]string{
		`{"query":""}`:                      "the parameter query is empty",
		`{"query":"","variables":{}}`:       "the parameter query is empty",
		`{"query":"{echo}","documentId":1}`: "the parameter documentId must be a string",
		`{"documentId":"a","extensions":{"persistedQuery":{"version":1,"sha256Hash":"a"}}}`: "the parameter documentId says the same as the extension persistedQuery: send one of them",
	} {
		t.Run(payload, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, s *site) {
				early := s.dial(t)
				early.send(t, `{"type":"subscribe","id":"1","payload":`+payload+`}`)
				early.wantClose(t, 4401, "Unauthorized")
				synctest.Wait() // until the server has left the socket: it has few places for guests
				c := s.openSocket(t)
				c.send(t, subscribe("silent", "subscription { silent { number } }"))
				c.send(t, `{"type":"subscribe","id":"1","payload":`+payload+`}`)
				c.want(t, failed("1", `[{"message":"`+reason+`","extensions":{"code":"BAD_REQUEST"}}]`))
				if active := s.schema.Active(); active != 1 {
					t.Errorf("%d subscriptions go on, want 1", active)
				}
				c.send(t, subscribe("1", "{ echo }")) // the ID is free
				c.want(t, next("1", `{"data":{"echo":null}}`), complete("1"))
				c.send(t, `{"type":"subscribe","id":"silent","payload":`+payload+`}`)
				c.wantClose(t, 4409, "Subscriber for silent already exists")
			})
		})
	}
}

// TestSocketFaults has what closes a socket with 4400, before the acknowledgement as after it.
func TestSocketFaults(t *testing.T) {
	t.Parallel()
	const (
		notOne  = "a message must be one JSON object: "
		noType  = "a message must have a type, a string"
		unknown = "no client sends messages of this type"
	)
	for message, reason := range map[string]string{
		``:                                   notOne + "no object at byte 0",
		`hello`:                              notOne + "no object at byte 0",
		`[]`:                                 notOne + "no object at byte 0",
		`"ping"`:                             notOne + "no object at byte 0",
		`null`:                               notOne + "no object at byte 0",
		`{"type":"ping"`:                     notOne + "unexpected EOF at byte 14",
		`{"type":"ping"}{}`:                  notOne + "something after the object at byte 15",
		`{"type":"ping","type":"pong"}`:      notOne + "duplicate object member name at byte 15",
		"{\"type\":\"ping\",\"x\":\"\xff\"}": notOne + "invalid UTF-8 at byte 20",
		`{"type":"ping","x":"\ud800"}`:       notOne + "invalid surrogate pair in string at byte 20",
		`{"type":"subscribe","id":"1","payload":{"query":"{echo}","variables":{"a":1,"a":2}}}`: notOne + "duplicate object member name at byte 76",
		`{}`:                                                         noType,
		`{"type":null}`:                                              noType,
		`{"type":""}`:                                                noType,
		`{"type":1}`:                                                 noType,
		`{"Type":"ping"}`:                                            "the type of a message is written in another case",
		`{"type":"ping","Payload":{}}`:                               "the payload of a message is written in another case",
		`{"type":"ping","ID":{}}`:                                    "the id of a message is written in another case",
		`{"type":"PING"}`:                                            unknown,
		`{"type":"start","id":"1","payload":{}}`:                     unknown,
		`{"type":"connection_ack"}`:                                  unknown,
		`{"type":"next","id":"1","payload":{}}`:                      unknown,
		`{"type":"error","id":"1","payload":[]}`:                     unknown,
		`{"type":"connection_init","payload":[]}`:                    "the payload of a connection_init message must be an object",
		`{"type":"connection_init","payload":"x"}`:                   "the payload of a connection_init message must be an object",
		`{"type":"ping","payload":1}`:                                "the payload of a ping message must be an object",
		`{"type":"pong","payload":true}`:                             "the payload of a pong message must be an object",
		`{"type":"complete"}`:                                        "a complete message must have an id, a string",
		`{"type":"complete","id":1}`:                                 "a complete message must have an id, a string",
		`{"type":"subscribe","payload":{"query":"{}"}}`:              "a subscribe message must have an id, a string",
		`{"type":"subscribe","id":"","payload":{}}`:                  "a subscribe message must have an id, a string",
		`{"type":"subscribe","id":null,"payload":{}}`:                "a subscribe message must have an id, a string",
		`{"type":"subscribe","id":7,"payload":{}}`:                   "a subscribe message must have an id, a string",
		`{"type":"subscribe","id":"1"}`:                              "a subscribe message must have a payload, an object",
		`{"type":"subscribe","id":"1","payload":null}`:               "a subscribe message must have a payload, an object",
		`{"type":"subscribe","id":"1","payload":"{}"}`:               "a subscribe message must have a payload, an object",
		`{"type":"subscribe","id":"1","payload":{}}`:                 "the parameter query is missing",
		`{"type":"subscribe","id":"1","payload":{"query":null}}`:     "the parameter query is missing",
		`{"type":"subscribe","id":"1","payload":{"query":1}}`:        "the parameter query must be a string",
		`{"type":"subscribe","id":"1","payload":{"Query":"{echo}"}}`: "the parameter query is written in another case",
		`{"type":"subscribe","id":"1","payload":{"query":"{echo}","operationName":1}}`:   "the parameter operationName must be a string",
		`{"type":"subscribe","id":"1","payload":{"query":"{echo}","variables":[]}}`:      "the parameter variables must be an object",
		`{"type":"subscribe","id":"1","payload":{"query":"{echo}","variables":"{}"}}`:    "the parameter variables must be an object",
		`{"type":"subscribe","id":"1","payload":{"query":"{echo}","extensions":"none"}}`: "the parameter extensions must be an object",
	} {
		t.Run(message, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, s *site) {
				early := s.dial(t)
				early.send(t, message)
				early.wantClose(t, 4400, reason)
				synctest.Wait() // it was the only guest
				late := s.openSocket(t)
				late.send(t, subscribe("other", "subscription { silent { number } }"))
				late.send(t, message)
				late.wantClose(t, 4400, reason)
				s.idle(t)
				if len(reason) > 123 {
					t.Errorf("got a reason of %d bytes, want at most 123", len(reason))
				}
			})
		})
	}
}

func TestSocketTakesTextAlone(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		if err := c.conn.Write(t.Context(), websocket.MessageBinary, []byte(`{"type":"ping"}`)); err != nil {
			t.Fatal(err)
		}
		c.wantClose(t, 4400, "a message must be text")
	})
}

func TestSocketMessagesAreBounded(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		fill := func(size int) string {
			const frame = `{"type":"ping","x":""}`
			return strings.Replace(frame, `""`, `"`+strings.Repeat("x", size-len(frame))+`"`, 1)
		}
		c.send(t, fill(maxBodyBytes))
		c.want(t, pong)
		c.send(t, fill(maxBodyBytes+1))
		c.wantClose(t, websocket.StatusMessageTooBig, "read limited at 1001 bytes")
	})
}

func TestSocketSubprotocol(t *testing.T) {
	t.Parallel()
	for _, offered := range [][]string{nil, {"graphql-ws"}, {"Graphql-Transport-WS2", "x"}} {
		inBubble(t, nil, func(t *testing.T, s *site) {
			c, err := s.handshake(t.Context(), nil, offered...)
			if err != nil {
				t.Fatal(err)
			}
			c.wantClose(t, 4406, "Subprotocol not acceptable")
		})
	}
	inBubble(t, nil, func(t *testing.T, s *site) {
		c, err := s.handshake(t.Context(), nil, "graphql-ws", "graphql-transport-ws")
		if err != nil || c.conn.Subprotocol() != "graphql-transport-ws" {
			t.Fatalf("two sub-protocols: got %v, %v, want graphql-transport-ws", c, err)
		}
		c.close(t)
	})
}

func TestSocketInitialisation(t *testing.T) {
	t.Parallel()
	const initialise = `{"type":"connection_init"}`
	for name, test := range map[string]struct {
		messages []string
		answers  []string
		code     websocket.StatusCode
		reason   string
	}{
		"a payload":             {[]string{`{"type":"connection_init","payload":{"unknown":"x"}}`}, []string{ack}, 0, ""},
		"a null payload":        {[]string{`{"type":"connection_init","payload":null}`}, []string{ack}, 0, ""},
		"pings before":          {[]string{`{"type":"ping"}`, `{"type":"pong"}`, initialise}, []string{pong, ack}, 0, ""},
		"a complete before":     {[]string{complete("1"), initialise}, []string{ack}, 0, ""},
		"two":                   {[]string{initialise, initialise}, []string{ack}, 4429, "Too many initialisation requests"},
		"a second one later":    {[]string{initialise, subscribe("1", "{echo}"), initialise}, nil, 4429, "Too many initialisation requests"},
		"an operation before":   {[]string{subscribe("1", "{echo}")}, nil, 4401, "Unauthorized"},
		"an operation at once":  {[]string{initialise, subscribe("1", "{echo}")}, []string{ack, next("1", `{"data":{"echo":null}}`), complete("1")}, 0, ""},
		"a broken one before":   {[]string{`{"type":"subscribe","id":"1","payload":{}}`}, nil, 4400, "the parameter query is missing"},
		"a subscription before": {[]string{`{"type":"ping"}`, subscribe("1", "subscription{silent{number}}")}, []string{pong}, 4401, "Unauthorized"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, s *site) {
				c := s.dial(t)
				c.send(t, test.messages...)
				if test.answers != nil {
					c.want(t, test.answers...)
				}
				if test.code == 0 {
					c.close(t)
					return
				}
				for message := range c.messages {
					if test.answers != nil {
						t.Errorf("got %s, want no message", message)
					}
				}
				c.wantClose(t, test.code, test.reason)
				s.idle(t)
			})
		})
	}
}

func TestSocketInitialisationTimeout(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		began := time.Now()
		c := s.dial(t)
		c.send(t, `{"type":"ping"}`)
		c.want(t, pong)
		c.wantClose(t, 4408, "Connection initialisation timeout")
		if took := time.Since(began); took != initTimeout {
			t.Errorf("after %s, want %s", took, initTimeout)
		}
	})
}

func TestSocketPings(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		c.send(t, `{"type":"ping","payload":{"a":[1,"<ä>",null]}}`, `{"type":"ping","payload":null}`, `{"type":"ping","payload":{}}`, `{"type":"pong","payload":{"a":1}}`)
		c.want(t, `{"type":"pong","payload":{"a":[1,"\u003cä\u003e",null]}}`, pong, `{"type":"pong","payload":{}}`)
		c.close(t)
	})
}

func TestSocketIDs(t *testing.T) {
	t.Parallel()
	const silent = "subscription { silent { number } }"
	inBubble(t, nil, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		answer := []string{next("1", `{"data":{"echo":"x"}}`), complete("1")}
		for range 3 {
			c.send(t, subscribe("1", `{ echo(text: "x") }`))
			c.want(t, answer...)
		}
		c.send(t, subscribe("1", "{"))
		c.want(t, failed("1", `[{"message":"Expected Name, found \u003cEOF\u003e","locations":[{"line":1,"column":2}],"extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]`))
		c.send(t, subscribe("1", silent))
		c.want(t)
		c.send(t, complete("1"), subscribe("1", `{ echo(text: "x") }`))
		c.want(t, answer...)
		s.idle(t)
		c.send(t, complete("1"), complete("never"))
		c.want(t)
		c.send(t, subscribe("1", silent), subscribe("2", `{ echo(text: "x") }`))
		c.want(t, next("2", `{"data":{"echo":"x"}}`), complete("2"))
		c.send(t, subscribe("1", "{echo}"))
		c.wantClose(t, 4409, "Subscriber for 1 already exists")
		s.idle(t)
	})
}

func TestSocketReasonHasPlaceForAPartOfALongID(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		id := "x" + strings.Repeat("ä", 100)
		c.send(t, subscribe(id, "{ waits }"), subscribe(id, "{ waits }"))
		for range c.messages {
			t.Error("got a message, want none")
		}
		got, ok := errors.AsType[websocket.CloseError](c.err)
		if !ok || got.Code != 4409 || len(got.Reason) > 123 || !utf8.ValidString(got.Reason) ||
			got.Reason != "Subscriber for x"+strings.Repeat("ä", 46)+" already exists" {
			t.Errorf("got %v, want 4409 with the shortened ID", c.err)
		}
	})
}

// TestSocketCompleteIsTheEnd sees to it that after a complete nothing comes any more: the answer to a
// ping comes after all that was sent before it.
func TestSocketCompleteIsTheEnd(t *testing.T) {
	t.Parallel()
	t.Run("of a subscription", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, s *site) {
			c := s.openSocket(t)
			c.send(t, subscribe("1", "subscription { endless { number } }"))
			for range 10 {
				<-c.messages
			}
			c.send(t, complete("1"), `{"type":"ping"}`)
			for message := range c.messages {
				if message == pong {
					break
				}
			}
			c.want(t)
			s.idle(t)
			c.close(t)
		})
	})
	t.Run("of a query", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, s *site) {
			c := s.openSocket(t)
			c.send(t, subscribe("1", "{ waits(milliseconds: 1000) }"), complete("1"))
			c.want(t)
			<-time.After(2 * time.Second)
			c.want(t)
			c.close(t)
		})
	})
}

func TestSocketCarriesManyOperations(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		c.send(t, subscribe("slow", "{ waits(milliseconds: 1000) }"), subscribe("fast", "subscription { counter(to: 1) { number } }"))
		c.want(t, next("fast", `{"data":{"counter":{"number":1}}}`), complete("fast"))
		<-time.After(time.Second)
		c.want(t, next("slow", `{"data":{"waits":"waited"}}`), complete("slow"))
		c.close(t)
	})
}

func TestSocketOperationsAreBounded(t *testing.T) {
	t.Parallel()
	const silent = "subscription { silent { number } }"
	refused := failed("more", `[{"message":"this socket has too many running operations: complete one first","extensions":{"code":"COST_LIMIT"}}]`)
	inBubble(t, nil, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		for i := range maxOperations {
			c.send(t, subscribe(fmt.Sprint(i), silent))
		}
		c.send(t, subscribe("more", silent), subscribe("more", "{ echo }"))
		c.want(t, refused, refused)
		c.send(t, complete("0"), subscribe("0", "{ echo }"))
		c.want(t, next("0", `{"data":{"echo":null}}`), complete("0"))
		c.send(t, subscribe("0", silent), subscribe("more", silent))
		c.want(t, refused)
		c.close(t)
	})
}

func TestSocketOperationsTakeTheirTurn(t *testing.T) {
	t.Parallel()
	refused := failed("2", `[{"message":"the server has as many requests as it takes at a time: try again","extensions":{"code":"UNAVAILABLE"}}]`)
	inBubble(t, func(o *server.Options, _ *server.StreamOptions) { o.MaxRequests = 1 }, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		c.send(t, subscribe("1", "subscription { silent { number } }"))
		c.want(t)
		c.send(t, subscribe("2", "{ echo }"))
		c.want(t, next("2", `{"data":{"echo":null}}`), complete("2"))
		c.send(t, complete("1"), subscribe("1", "{ waits(milliseconds: 1000) }"))
		c.want(t)
		c.send(t, subscribe("2", "{ echo }"))
		c.want(t, refused)
		<-time.After(time.Second)
		c.want(t, next("1", `{"data":{"waits":"waited"}}`), complete("1"))
		for _, query := range []string{"{", "{ nothing }", "{ panics }", "subscription { refused { number } }"} {
			c.send(t, subscribe("2", query))
			<-c.messages
		}
		c.send(t, subscribe("2", "{ echo }"))
		c.want(t, next("2", `{"data":{"echo":null}}`), complete("2"))
		c.close(t)
	})
}

func TestSlowReadersTakeNobodysTurn(t *testing.T) {
	t.Parallel()
	inBubble(t, func(o *server.Options, _ *server.StreamOptions) { o.MaxRequests = 1 }, func(t *testing.T, s *site) {
		c := s.dialSilent(t)
		c.send(t, subscribe("1", "{ long }"))
		synctest.Wait()
		if got := s.ask(t, http.MethodPost, "/graphql", body("{ echo }")); got.status != http.StatusOK {
			t.Errorf("got status %d, %s, want 200", got.status, got.text)
		}
		c.Close()
	})
}

func TestSocketsAreBounded(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		var open []*socket
		for range maxStreams {
			open = append(open, s.openSocket(t))
		}
		if _, err := s.handshake(t.Context(), nil, "graphql-transport-ws"); !errors.Is(err, refusedError{http.StatusServiceUnavailable, typeJSON + "; charset=utf-8"}) {
			t.Errorf("one socket more: got %v, want 503", err)
		}
		open[0].close(t)
		synctest.Wait()
		open[0] = s.openSocket(t)
		for _, c := range open {
			c.close(t)
		}
	})
}

func TestSocketHandshakeFaults(t *testing.T) {
	t.Parallel()
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	for name, test := range map[string]struct {
		headers []string
		status  int
		code    string
	}{
		"another version":  {[]string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "8", "Sec-Websocket-Key", key}, http.StatusBadRequest, "BAD_REQUEST"},
		"no key":           {[]string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "13"}, http.StatusBadRequest, "BAD_REQUEST"},
		"a broken key":     {[]string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "13", "Sec-Websocket-Key", "MARKER"}, http.StatusBadRequest, "BAD_REQUEST"},
		"no upgrade":       {[]string{"Connection", "keep-alive", "Upgrade", "websocket", "Sec-Websocket-Version", "13", "Sec-Websocket-Key", key}, http.StatusUpgradeRequired, "BAD_REQUEST"},
		"another protocol": {[]string{"Connection", "Upgrade", "Upgrade", "h2c"}, http.StatusBadRequest, "BAD_REQUEST"}, // an ordinary GET without a query
		"another origin":   {[]string{"Connection", "Upgrade", "Upgrade", "websocket", "Origin", "https://elsewhere.test"}, http.StatusForbidden, "FORBIDDEN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, s *site) {
				got := s.ask(t, http.MethodGet, "/graphql", "", test.headers...)
				if got.status != test.status || onlyCode([]byte(got.text)) != test.code || strings.Contains(got.text, "MARKER") {
					t.Errorf("got status %d, %s, want %d, %s", got.status, got.text, test.status, test.code)
				}
			})
		})
	}
}

func TestSocketOrigins(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		allowed, origin, site string
		want                  bool
	}{
		{"", "", "", true},
		{"", "http://roster.test", "", true},
		{"", "https://ROSTER.test", "", true},
		{"", "https://proxy.test", "same-origin", true},
		{"", "https://elsewhere.test", "", false},
		{"", "https://elsewhere.test", "cross-site", false},
		{"", "http://roster.test:8080", "", false},
		{"", "null", "", false},
		{"https://elsewhere.test", "https://elsewhere.test", "cross-site", true},
		{"https://elsewhere.test", "http://elsewhere.test", "cross-site", false},
		{"*", "https://elsewhere.test", "cross-site", true},
		{"*", "null", "", true},
	} {
		inBubble(t, func(o *server.Options, _ *server.StreamOptions) {
			o.Origins = strings.Fields(test.allowed)
		}, func(t *testing.T, s *site) {
			header := http.Header{}
			if test.origin != "" {
				header.Set("Origin", test.origin)
			}
			if test.site != "" {
				header.Set("Sec-Fetch-Site", test.site)
			}
			c, err := s.handshake(t.Context(), header, "graphql-transport-ws")
			switch {
			case !test.want && !errors.Is(err, refusedError{http.StatusForbidden, typeJSON + "; charset=utf-8"}), test.want && err != nil:
				t.Errorf("%+v: got %v, want accepted: %t", test, err, test.want)
			case test.want:
				c.close(t)
			}
		})
	}
}

func TestSocketEndsWithItsClient(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"silent", "endless(pause: 1000)", "endless(size: 100000)"} {
		inBubble(t, nil, func(t *testing.T, s *site) {
			c := s.openSocket(t)
			c.send(t, subscribe("1", "subscription { "+field+" { number } }"))
			for s.schema.Active() == 0 {
				synctest.Wait()
			}
			c.drop(t)
			s.idle(t)
		})
	}
}

func TestSocketLivesByPings(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		<-time.After(100 * pingInterval)
		c.send(t, subscribe("1", "{ echo }"))
		c.want(t, next("1", `{"data":{"echo":null}}`), complete("1"))
		c.close(t)
	})
}

// silent is a client that reads and writes no more than it is told to, frame by frame.
type silent struct {
	net.Conn
	reader *bufio.Reader
}

// dialSilent opens a socket and has it acknowledged.
func (s *site) dialSilent(t *testing.T) silent {
	t.Helper()
	conn := s.connect(t)
	c := silent{conn, bufio.NewReader(conn)}
	write(t, conn, "GET /graphql HTTP/1.1\r\nHost: roster.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n")
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = c.reader.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	c.send(t, `{"type":"connection_init"}`)
	if _, err := io.ReadFull(c.reader, make([]byte, len("\x81\x18"+ack))); err != nil {
		t.Fatal(err)
	}
	return c
}

// send sends a text of less than 126 bytes, masked with zeros.
func (c silent) send(t *testing.T, text string) {
	t.Helper()
	write(t, c, string([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0})+text)
}

func TestSocketOfADeadClientEnds(t *testing.T) {
	t.Parallel()
	t.Run("that takes nothing", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, s *site) {
			began := time.Now()
			c := s.dialSilent(t)
			defer c.Close()
			s.left(t)
			if took, want := time.Since(began), pingInterval+5*time.Second; took != want { // which the library gives a ping to be sent
				t.Errorf("cut off after %s, want %s", took, want)
			}
		})
	})
	t.Run("that takes pings but answers none", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, s *site) {
			began := time.Now()
			c := s.dialSilent(t)
			defer c.Close()
			go func() { _, _ = io.Copy(io.Discard, c.reader) }()
			s.left(t)
			if took, want := time.Since(began), 2*pingInterval; took != want {
				t.Errorf("cut off after %s, want %s", took, want)
			}
		})
	})
	t.Run("that takes no messages", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, s *site) {
			began := time.Now()
			c := s.dialSilent(t)
			defer c.Close()
			c.send(t, subscribe("1", "subscription { endless { number } }"))
			s.left(t)
			if took := time.Since(began); took != messageTimeout {
				t.Errorf("cut off after %s, want %s", took, messageTimeout)
			}
			s.idle(t)
		})
	})
	t.Run("that does not close", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, s *site) {
			began := time.Now()
			c := s.dialSilent(t)
			defer c.Close()
			go func() { _, _ = io.Copy(io.Discard, c.reader) }()
			c.send(t, "?")
			s.left(t)
			if took, want := time.Since(began), 5*time.Second; took != want { // which the library gives a client to close
				t.Errorf("cut off after %s, want %s", took, want)
			}
		})
	})
}

func TestSocketsEndWithTheServer(t *testing.T) {
	t.Parallel()
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, s *site) {
			c := s.openSocket(t)
			s.stop()
			c.wantClose(t, websocket.StatusGoingAway, "The server is stopping")
		})
	})
	t.Run("busy", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, s *site) {
			c := s.openSocket(t)
			c.send(t, subscribe("1", "subscription { endless(pause: 1000) { number } }"), subscribe("2", "mutation { waits(milliseconds: 1500) }"))
			<-time.After(time.Second)
			c.want(t, next("1", `{"data":{"endless":{"number":1}}}`))
			s.stop()
			s.idle(t)
			c.send(t, subscribe("3", "{ echo }"), `{"type":"ping"}`)
			c.want(t, pong)
			<-time.After(time.Second)
			c.want(t, next("2", `{"data":{"waits":"waited"}}`), complete("2"))
			c.wantClose(t, websocket.StatusGoingAway, "The server is stopping")
		})
	})
	t.Run("too busy", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := startSite(t, newMemory(), nil)
			c := s.openSocket(t)
			c.send(t, subscribe("1", "mutation { waits(milliseconds: 3600000) }"))
			c.want(t)
			began := time.Now()
			s.stop()
			if err := <-s.stopped; err == nil || time.Since(began) != shutdownTimeout {
				t.Errorf("got the end of the server after %s with %v, want an error after %s", time.Since(began), err, shutdownTimeout)
			}
			for message := range c.messages {
				t.Errorf("got %s, want no message", message)
			}
		})
	})
}

// odd is an executor that shows the keys that it gets, and answers what cannot be encoded.
type odd struct {
	server.Executor
	keys chan string
}

func (o odd) Execute(_ context.Context, _ *documents.Operation, t documents.Terms) (*graphql.Response, documents.Receipt) {
	o.keys <- t.Key
	return &graphql.Response{Data: []byte("null"), Extensions: map[string]any{"x": make(chan int)}}, documents.Receipt{}
}

// A key of the handshake would be the key of every mutation on the socket.
func TestSocketOperationsHaveNoIdempotencyKey(t *testing.T) {
	t.Parallel()
	keys := make(chan string, 1)
	inBubble(t, func(o *server.Options, _ *server.StreamOptions) {
		o.Executor = odd{o.Executor, keys}
	}, func(t *testing.T, s *site) {
		c, err := s.handshake(t.Context(), http.Header{"Idempotency-Key": {"1"}}, "graphql-transport-ws")
		if err != nil {
			t.Fatal(err)
		}
		c.send(t, `{"type":"connection_init"}`, subscribe("1", "mutation { echo }"))
		if key := <-keys; key != "" {
			t.Errorf("got the key %q, want none", key)
		}
		c.want(t, ack)
		c.wantClose(t, websocket.StatusInternalError, "internal error")
	})
}

func TestSocketIsLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	inBubble(t, func(o *server.Options, _ *server.StreamOptions) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.Clock = time.Now
	}, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		<-time.After(time.Minute)
		c.close(t)
	})
	if !strings.Contains(log.String(), "method=GET path=/graphql status=101 bytes=0 duration=1m0s") {
		t.Errorf("got the log %s, want a line of the handshake", log.String())
	}
}

// FuzzSocketMessage sends anything as a message: the socket goes on, or is closed with a code and a
// reason of the protocol, and what it says is JSON.
func FuzzSocketMessage(f *testing.F) {
	f.Add(subscribe("1", "{ echo }"))
	f.Add(subscribe("2", "subscription { counter { number } }"))
	f.Add(subscribe("1", "subscription { endless(size: 100) { number text } }"))
	f.Add(`{"type":"subscribe","id":"\u00e4","payload":{"query":"query($t:String){echo(text:$t)}","variables":{"t":"\ud83d\ude00"}}}`)
	f.Add(`{"type":"ping","payload":{"a":[1,2.5e3,null,true]}}`)
	f.Add(complete("0"))
	f.Add(`{"type":"connection_init"}`)
	f.Add(`{"type":"next"}`)
	f.Add("\xff")
	s := startSite(f, newMemory(), many)
	known := map[websocket.StatusCode]bool{4400: true, 4409: true, 4429: true, websocket.StatusMessageTooBig: true}
	const last = `{"type":"pong","payload":{"last":1}}`
	f.Fuzz(func(t *testing.T, message string) {
		c := s.dial(t)
		defer close(c.dropped)
		defer func() { _ = c.conn.CloseNow() }()
		for _, m := range []string{`{"type":"connection_init"}`, subscribe("0", "subscription { silent { number } }"), message, `{"type":"ping","payload":{"last":1}}`} {
			if c.conn.Write(t.Context(), websocket.MessageText, []byte(m)) != nil {
				break // It has been closed.
			}
		}
		for m := range c.messages {
			if !json.Valid([]byte(m)) {
				t.Fatalf("got %q, want JSON", m)
			}
			if m == last {
				return
			}
		}
		got, ok := errors.AsType[websocket.CloseError](c.err)
		if !ok || !known[got.Code] || got.Reason == "" || !utf8.ValidString(got.Reason) {
			t.Fatalf("got %v, want a code of the protocol with a reason", c.err)
		}
	})
}
