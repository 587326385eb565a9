package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const typeEvents = "text/event-stream"

func TestEventStreams(t *testing.T) {
	t.Parallel()
	const (
		first = ":\n\n"
		end   = "event: complete\ndata:\n\n"
	)
	next := func(data string) string { return "event: next\ndata: " + data + "\n\n" }
	for query, want := range map[string]string{
		`{ echo(text: "hi") }`:         next(`{"data":{"echo":"hi"}}`) + end,
		`mutation { echo(text: "m") }`: next(`{"data":{"echo":"m"}}`) + end,
		`{ fails }`:                    next(`{"errors":[{"message":"there is nothing","path":["fails"],"extensions":{"code":"NOT_FOUND"}}],"data":{"fails":null}}`) + end,
		`{ nothing }`:                  next(`{"errors":[{"message":"Cannot query field \"nothing\" on type \"Query\".","locations":[{"line":1,"column":3}],"extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}`) + end,
		`{`:                            next(`{"errors":[{"message":"Expected Name, found \u003cEOF\u003e","locations":[{"line":1,"column":2}],"extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}`) + end,
		`subscription { a: counter { n: number __typename } }`: first +
			next(`{"data":{"a":{"n":1,"__typename":"Tick"}}}`) + next(`{"data":{"a":{"n":2,"__typename":"Tick"}}}`) + next(`{"data":{"a":{"n":3,"__typename":"Tick"}}}`) + end,
		`subscription { counter(to: 0) { number } }`: first + end,
		`subscription { counter(to: 2, pause: 40000) { number } }`: first + // with heartbeats between
			first + first + next(`{"data":{"counter":{"number":1}}}`) +
			first + first + first + next(`{"data":{"counter":{"number":2}}}`) + end,
		`subscription { refused { number } }`: first +
			next(`{"errors":[{"message":"nobody may listen","extensions":{"code":"FORBIDDEN"}}]}`) + end,
		`subscription { stumbles { number } }`: first + next(`{"data":{"stumbles":{"number":1}}}`) +
			next(`{"errors":[{"message":"the second is missing","path":["stumbles"],"extensions":{"code":"NOT_FOUND"}}],"data":{"stumbles":null}}`) +
			next(`{"data":{"stumbles":{"number":3}}}`) + end,
		`subscription { breaks { number } }`: first + next(`{"data":{"breaks":{"number":1}}}`) +
			next(`{"errors":[{"message":"begin anew","extensions":{"code":"CURSOR_EXPIRED"}}]}`) + end,
		`subscription { panics { number } }`: first + next(`{"data":{"panics":{"number":1}}}`) +
			next(`{"errors":[{"message":"internal error","extensions":{"code":"INTERNAL","requestId":"made-here"}}]}`) + end,
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, s *site) {
				check := func(way string, got answer) {
					t.Helper()
					if got.status != http.StatusOK || got.text != want {
						t.Errorf("%s: status %d and\n%s\nwant\n%s", way, got.status, got.text, want)
					}
					if lasts := strings.HasPrefix(query, "subscription"); got.closes != lasts {
						t.Errorf("%s: the connection is of no further use: %v, want %v", way, got.closes, lasts)
					}
					for name, value := range map[string]string{
						"Content-Type":      "text/event-stream; charset=utf-8",
						"Cache-Control":     "no-store, no-cache, no-transform",
						"X-Accel-Buffering": "no",
						"Content-Encoding":  "",
					} {
						if got := got.header.Get(name); got != value {
							t.Errorf("%s: %s: %q, want %q", way, name, got, value)
						}
					}
				}
				check("POST", s.ask(t, http.MethodPost, "/graphql", body(query), "Accept", typeEvents, "Accept-Encoding", "gzip"))
				if strings.HasPrefix(query, "mutation") {
					return
				}
				check("GET", s.ask(t, http.MethodGet, get("query", query), "", "Accept", typeEvents, "Last-Event-ID", "7"))
			})
		})
	}
}

func TestAcceptDecidesAboutStreams(t *testing.T) {
	t.Parallel()
	const (
		query        = `{ echo(text: "hi") }`
		mutation     = `mutation { echo }`
		subscription = `subscription { counter(to: 0) { number } }`
		urql         = "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
		contentType  = "text/event-stream; charset=utf-8"
	)
	for _, test := range []struct {
		name, method, query, accept string

		status      int
		contentType string
		allow       string
	}{
		{"a query of urql", http.MethodPost, query, urql, http.StatusOK, typeResponse + "; charset=utf-8", ""},
		{"a subscription of urql", http.MethodPost, subscription, "text/event-stream, multipart/mixed", http.StatusOK, contentType, ""},
		{"a subscription that would rather have JSON", http.MethodPost, subscription, urql, http.StatusOK, contentType, ""},
		{"a query that would rather have JSON", http.MethodGet, query, "text/event-stream;q=0.9, application/json", http.StatusOK, typeJSON + "; charset=utf-8", ""},
		{"a query that would rather have a stream", http.MethodGet, query, "text/event-stream, application/json;q=0.9", http.StatusOK, contentType, ""},
		{"a query by HEAD", http.MethodHead, query, typeEvents, http.StatusOK, contentType, ""},
		{"a subscription by POST for JSON", http.MethodPost, subscription, typeJSON, http.StatusNotAcceptable, typeJSON + "; charset=utf-8", ""},
		{"a subscription by GET for JSON", http.MethodGet, subscription, typeResponse, http.StatusNotAcceptable, typeResponse + "; charset=utf-8", ""},
		{"a subscription for anything", http.MethodPost, subscription, "*/*", http.StatusNotAcceptable, typeJSON + "; charset=utf-8", ""},
		{"a subscription for multipart", http.MethodPost, subscription, `multipart/mixed;boundary="graphql";subscriptionSpec=1.0,application/json`, http.StatusNotAcceptable, typeJSON + "; charset=utf-8", ""},
		{"a subscription by HEAD", http.MethodHead, subscription, typeEvents, http.StatusMethodNotAllowed, typeJSON + "; charset=utf-8", "GET, POST"},
		{"a mutation by GET", http.MethodGet, mutation, typeEvents, http.StatusMethodNotAllowed, typeJSON + "; charset=utf-8", "POST"},
		{"another method", http.MethodDelete, query, typeEvents, http.StatusMethodNotAllowed, typeJSON + "; charset=utf-8", "GET, HEAD, POST"},
		{"no document", http.MethodPost, "", typeEvents, http.StatusBadRequest, typeJSON + "; charset=utf-8", ""},
		{"no document by GET", http.MethodGet, "", typeEvents, http.StatusBadRequest, typeJSON + "; charset=utf-8", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, s *site) {
				target, content := "/graphql", body(test.query)
				if test.method != http.MethodPost {
					target, content = get("query", test.query), ""
				}
				got := s.ask(t, test.method, target, content, "Accept", test.accept)
				if got.status != test.status || got.header.Get("Content-Type") != test.contentType || got.header.Get("Allow") != test.allow {
					t.Errorf("got status %d, headers %v, want %d, Content-Type %q, Allow %q", got.status, got.header, test.status, test.contentType, test.allow)
				}
				if test.status >= http.StatusBadRequest && test.method != http.MethodHead && onlyCode([]byte(got.text)) != "BAD_REQUEST" {
					t.Errorf("got %s, want BAD_REQUEST", got.text)
				}
			})
		})
	}
}

func TestEventStreamEndsWithItsClient(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"silent", "endless(pause: 1000)", "endless(size: 100000)"} {
		inBubble(t, nil, func(t *testing.T, s *site) {
			response := s.open(t, http.MethodPost, "/graphql", body("subscription { "+field+" { number } }"), "Accept", typeEvents)
			synctest.Wait()
			if active := s.schema.Active(); active != 1 {
				t.Fatalf("%s: got %d subscriptions, want 1", field, active)
			}
			if err := response.Body.Close(); err != nil {
				t.Fatal(err)
			}
			s.idle(t)
		})
	}
}

func TestEventStreamEndsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]time.Duration{
		"silent":                messageTimeout, // for the comment at the start
		"endless(size: 100000)": messageTimeout,
	} {
		inBubble(t, nil, func(t *testing.T, s *site) {
			conn := s.connect(t)
			defer conn.Close()
			began := time.Now()
			write(t, conn, "GET "+get("query", "subscription { "+field+" { text } }")+" HTTP/1.1\r\nHost: roster.test\r\nAccept: text/event-stream\r\n\r\n")
			s.left(t)
			if took := time.Since(began); took != want {
				t.Errorf("%s: cut off after %s, want %s", field, took, want)
			}
		})
	}
}

func TestEventStreamOfASilentDeathEnds(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		conn := s.connect(t)
		defer conn.Close()
		began := time.Now()
		write(t, conn, "GET "+get("query", "subscription { silent { text } }")+" HTTP/1.1\r\nHost: roster.test\r\nAccept: text/event-stream\r\n\r\n")
		reader := bufio.NewReader(conn)
		for line := ""; line != ":\n"; {
			var err error
			if line, err = reader.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		s.left(t)
		if took, want := time.Since(began), pingInterval+messageTimeout; took != want {
			t.Errorf("cut off after %s, want %s", took, want)
		}
	})
}

func TestEventStreamsEndWithTheServer(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		response := s.open(t, http.MethodPost, "/graphql", body("subscription { silent { number } }"), "Accept", typeEvents)
		defer response.Body.Close()
		waiting := make(chan string)
		go func() {
			waiting <- s.ask(t, http.MethodPost, "/graphql", body("{ waits(milliseconds: 3000) }"), "Accept", typeEvents).text
		}()
		synctest.Wait()
		s.stop()
		if got := read(t, response); got.text != ":\n\n" {
			t.Errorf("%q: want an end without complete", got.text)
		}
		if got := <-waiting; !strings.Contains(got, `"waited"`) {
			t.Errorf("a running query: got %q, want its answer", got)
		}
	})
}

func TestNoStreamBeginsWhenTheServerStops(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		conn := s.connect(t)
		defer conn.Close()
		content := body("subscription { silent { number } }")
		write(t, conn, fmt.Sprintf("POST /graphql HTTP/1.1\r\nHost: roster.test\r\nAccept: text/event-stream\r\n"+
			"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(content), content[:10]))
		synctest.Wait()
		s.stop()
		synctest.Wait()
		write(t, conn, content[10:])
		answer, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 503 ") {
			t.Errorf("got %q, %v, want 503", answer, err)
		}
	})
}

func TestEventStreamsAreBounded(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		var open []*http.Response
		for range maxStreams {
			open = append(open, s.open(t, http.MethodPost, "/graphql", body("subscription { silent { number } }"), "Accept", typeEvents)) //nolint:bodyclose // It is closed below.
		}
		const one = "subscription { counter(to: 0) { number } }"
		got := s.ask(t, http.MethodPost, "/graphql", body(one), "Accept", typeEvents)
		if got.status != http.StatusServiceUnavailable || onlyCode([]byte(got.text)) != "UNAVAILABLE" || got.header.Get("Retry-After") == "" {
			t.Errorf("one stream more: got status %d, %v, %s, want 503 and UNAVAILABLE with Retry-After", got.status, got.header, got.text)
		}
		if got := s.ask(t, http.MethodPost, "/graphql", body("{ echo }"), "Accept", typeEvents); got.status != http.StatusOK {
			t.Errorf("a query: got status %d, want 200", got.status)
		}
		for _, response := range open {
			response.Body.Close()
		}
		synctest.Wait()
		if got := s.ask(t, http.MethodPost, "/graphql", body(one), "Accept", typeEvents); got.status != http.StatusOK {
			t.Errorf("after the end of a stream: got status %d, want 200", got.status)
		}
	})
}

// body is the body of a request for a query without variables.
func body(query string) string {
	text, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		panic(err)
	}
	return string(text)
}
