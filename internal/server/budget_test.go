package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/coder/websocket"

	"roster/internal/budget"
	"roster/internal/documents"
	"roster/internal/server"
)

const mebibyte = 1 << 20

// holding is an executor whose operations take so much memory while they are executed.
type holding struct {
	server.Executor
	bytes int64
}

func (h holding) Execute(ctx context.Context, o *documents.Operation, t documents.Terms) (*graphql.Response, documents.Receipt) {
	account := budget.FromContext(ctx)
	if errors.Is(account.Hold(h.bytes), budget.ErrBusy) && account.Wait(ctx) == nil {
		_ = account.Hold(h.bytes) // the server looks at the account
	}
	return h.Executor.Execute(ctx, o, t)
}

// withMemory gives a server a budget, of which each operation takes the whole second pool while it is executed. Its
// answers fall into the first one.
func withMemory(o *server.Options, s *server.StreamOptions) {
	o.Executor = holding{o.Executor, 10 * mebibyte}
	o.Budget = budget.New(budget.Options{MaxAnswer: mebibyte, Memory: 64 * mebibyte, Wait: time.Second})
	o.WriteTimeout = 20 * time.Second
	o.MaxBodyBytes = 2 * mebibyte
	s.ReadTimeout = readTimeout
}

// An answer counts as long as its client has not read it, and the client is given up after a time.
func TestDeafClient(t *testing.T) {
	t.Parallel()
	inBubble(t, withMemory, func(t *testing.T, s *site) {
		const size = 15 * mebibyte // with the executor's, all that there is
		deaf := s.connect(t)
		defer deaf.Close()
		query := body(fmt.Sprintf(`{ long(size: %d) }`, size))
		if _, err := fmt.Fprintf(deaf, "POST /graphql HTTP/1.1\r\nHost: roster.test\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(query), query); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ask := func() answer { return s.ask(t, http.MethodPost, "/graphql", body(`{ echo(text: "hi") }`)) }
		began := time.Now()
		got := ask()
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || onlyCode([]byte(got.text)) != "UNAVAILABLE" ||
			time.Since(began) != time.Second {
			t.Errorf("beside a client that reads nothing: got %d, %v, %s after %s, want 503 with Retry-After after 1s", got.status, got.header, got.text, time.Since(began))
		}
		s.left(t)
		s.left(t) // the deaf client was given up
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("the deaf client was given up after %s, want 20s", took)
		}
		if got := ask(); got.status != http.StatusOK || got.text != `{"data":{"echo":"hi"}}` {
			t.Errorf("after that client: got %d, %s, want 200 and the answer", got.status, got.text)
		}
	})
}

// What a WebSocket brings counts too: a message for which there is no memory closes the socket, and one that does not end
// is given up.
func TestMemoryOfSockets(t *testing.T) {
	t.Parallel()
	var answers *budget.Budget
	configure := func(o *server.Options, s *server.StreamOptions) {
		withMemory(o, s)
		answers = o.Budget
	}
	inBubble(t, configure, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		other := answers.Open()
		if err := other.Request(t.Context(), 16*mebibyte); err != nil {
			t.Fatal(err)
		}
		long := subscribe("1", `{ echo(text: "`+strings.Repeat("x", mebibyte)+`") }`)
		c.send(t, long)
		c.wantClose(t, websocket.StatusTryAgainLater, "The server has no memory for the message now")
		other.Close()

		c = s.openSocket(t)
		w, err := c.conn.Writer(t.Context(), websocket.MessageText)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := io.WriteString(w, strings.Repeat(" ", 8<<10)); err != nil {
			t.Fatal(err)
		}
		for message := range c.messages {
			t.Errorf("got %s, want no message", message)
		}
		if took := time.Since(began); took != readTimeout {
			t.Errorf("the socket was closed after %s, want %s", took, readTimeout)
		}
	})
}

// Operations on a socket for which there is no memory are not executed.
func TestNoMemoryOnASocket(t *testing.T) {
	t.Parallel()
	var answers *budget.Budget
	configure := func(o *server.Options, s *server.StreamOptions) {
		withMemory(o, s)
		answers = o.Budget
	}
	inBubble(t, configure, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		defer c.drop(t)
		other := answers.Open()
		if err := other.Hold(10 * mebibyte); err != nil {
			t.Fatal(err)
		}
		c.send(t, subscribe("1", `{ echo }`))
		<-time.After(2 * time.Second) // it waits
		c.want(t, failed("1", `[{"message":"the server has no memory for this answer now: try again","extensions":{"code":"UNAVAILABLE"}}]`))
		other.Close()
		c.send(t, subscribe("1", `{ echo }`))
		c.want(t, next("1", `{"data":{"echo":null}}`), complete("1"))
	})
}
