package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/99designs/gqlgen/graphql"

	"roster/internal/documents"
	"roster/internal/server"
)

// held lets a test hold what is executed.
type held struct {
	server.Executor
	entered chan struct{} // gets a value for each operation
	leave   chan struct{} // holds each operation until it has a value
}

func (h held) Execute(ctx context.Context, o *documents.Operation, t documents.Terms) (*graphql.Response, documents.Receipt) {
	h.entered <- struct{}{}
	<-h.leave
	return h.Executor.Execute(ctx, o, t)
}

func TestMostRequestsAtATime(t *testing.T) {
	t.Parallel()
	h := held{Executor: newTestExecutor(), entered: make(chan struct{}, 10), leave: make(chan struct{}, 10)}
	o := testOptions()
	o.Executor, o.MaxRequests = h, 2
	handler := server.New(o)
	answered := request{body: `{"query":"{ echo }"}`, answer: `{"data":{"echo":null}}`}
	refused := request{
		body: `{"query":"{ echo }"}`, status: http.StatusServiceUnavailable, code: "UNAVAILABLE",
		answers: map[string]string{"Retry-After": "1"},
	}
	var requests sync.WaitGroup
	for _, r := range []request{answered, {body: `{"query":"{ panics }"}`, status: http.StatusInternalServerError, code: "INTERNAL"}} {
		requests.Go(func() { r.check(t, r.send(t, handler)) })
		<-h.entered
	}
	for range 3 {
		refused.check(t, refused.send(t, handler))
	}
	alive := request{method: http.MethodGet, target: "/healthz", answer: `{"status":"ok"}`}
	alive.check(t, alive.send(t, handler))
	h.leave <- struct{}{}
	h.leave <- struct{}{}
	requests.Wait()
	for range 3 { // whether they were answered or panicked, they left
		h.leave <- struct{}{}
		answered.check(t, answered.send(t, handler))
	}
}

func TestRefusedDocumentsLeave(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.MaxRequests = 1
	handler := server.New(o)
	for _, r := range []request{
		{body: `{"query":"{"}`, code: "GRAPHQL_PARSE_FAILED"},
		{body: `{"query":"subscription { echo }"}`, status: http.StatusNotAcceptable, code: "BAD_REQUEST"},
		{method: http.MethodGet, target: get("query", "mutation{echo}"), status: http.StatusMethodNotAllowed, code: "BAD_REQUEST"},
		{body: `{"query":"{ echo }"}`, answer: `{"data":{"echo":null}}`},
	} {
		r.check(t, r.send(t, handler))
	}
}

func TestNoSchema(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.SDL = ""
	r := request{method: http.MethodGet, target: "/schema.graphql", status: http.StatusNotFound, code: "BAD_REQUEST"}
	r.check(t, r.send(t, server.New(o)))
}

// TestTooLargeBodyCanReadTheAnswer sends bodies without end, as clients do that read the answer when they have sent all:
// the answer is there for them.
func TestTooLargeBodyCanReadTheAnswer(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(server.New(testOptions()))
	defer site.Close()
	for _, headers := range []string{
		"Content-Length: 100000000\r\n",
		"Content-Length: 100000000\r\nConnection: close\r\n",
		"Content-Length: 100000000\r\nExpect: 100-continue\r\n",
		"Transfer-Encoding: chunked\r\n",
		"Transfer-Encoding: chunked\r\nConnection: close\r\n",
	} {
		var dialer net.Dialer
		conn, err := dialer.DialContext(t.Context(), "tcp", site.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s\r\n", headers); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(headers, "Expect") {
			chunk := "1000\r\n" + strings.Repeat(" ", 0x1000) + "\r\n"
			for range 8 { // until the server has certainly seen too much
				if _, err := io.WriteString(conn, chunk); err != nil {
					t.Fatal(err)
				}
			}
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%q: %v", headers, err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusRequestEntityTooLarge || onlyCode(body) != "BAD_REQUEST" {
			t.Errorf("%q: got %d %s, %v, want 413 and BAD_REQUEST", headers, response.StatusCode, body, err)
		}
	}
}

func TestTooManyValues(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.MaxValues = 6
	handler := server.New(o)
	for _, r := range []request{
		{body: `{"query":"{ echo }","variables":{"a":[1,{"b":2}]}}`, answer: `{"data":{"echo":null}}`},
		{body: `{"query":"{ echo }","variables":{"a":[1,{"b":[]}],"c":3}}`, status: http.StatusRequestEntityTooLarge, code: "COST_LIMIT"},
	} {
		r.check(t, r.send(t, handler))
	}
}
