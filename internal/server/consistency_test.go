package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/codes"
	"roster/internal/consistency"
	"roster/internal/documents"
	"roster/internal/server"
)

const headerConsistency = "Roster-Consistency"

// at returns a position in the log of a database.
func at(database byte, number uint64) consistency.Position {
	return consistency.Position{Database: consistency.Database{database}, Log: consistency.WAL, Branch: 1, Number: number}
}

// positions is an executor whose mutations have positions, in order. It remembers the positions that operations read after.
type positions struct {
	server.Executor

	mu      sync.Mutex
	written []consistency.Position
	read    []consistency.Position
}

func (p *positions) Execute(ctx context.Context, o *documents.Operation, t documents.Terms) (*graphql.Response, documents.Receipt) {
	response, receipt := p.Executor.Execute(ctx, o, t)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read = append(p.read, t.After)
	if o.Definition.Operation == ast.Mutation {
		receipt.Position, p.written = p.written[0], p.written[1:]
	}
	return response, receipt
}

// last returns the position that the last operation read after.
func (p *positions) last(t *testing.T) consistency.Position {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.read) == 0 {
		t.Fatal("no operation was executed")
	}
	return p.read[len(p.read)-1]
}

// TestPositions sends tokens in the header of requests, and reads them from that of answers.
func TestPositions(t *testing.T) {
	t.Parallel()
	token, later := at(1, 7).String(), at(1, 8).String()
	for name, test := range map[string]struct {
		tokens []string
		want   consistency.Position
		reason string
	}{
		"none":               {},
		"one":                {tokens: []string{token}, want: at(1, 7)},
		"empty":              {tokens: []string{""}, reason: "is not a token"},
		"a part of one":      {tokens: []string{token[:15]}, reason: "is not a token"},
		"two headers":        {tokens: []string{token, later}, reason: "is doubled"},
		"the same twice":     {tokens: []string{token, token}, reason: "is doubled"},
		"a list":             {tokens: []string{token + ", " + later}, reason: "is not a token"},
		"a list of one":      {tokens: []string{token + ","}, reason: "is not a token"},
		"a list of the same": {tokens: []string{token + "," + token}, reason: "is not a token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := testOptions()
			executor := &positions{Executor: o.Executor, written: []consistency.Position{at(1, 9)}}
			o.Executor = executor
			handler := server.New(o)
			for _, query := range []string{"{ echo }", "mutation { echo }"} {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", strings.NewReader(body(query)))
				r.Header.Set("Content-Type", typeJSON)
				r.Header[headerConsistency] = test.tokens
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				if test.reason != "" {
					request{status: http.StatusBadRequest, code: "BAD_REQUEST", answers: map[string]string{headerConsistency: ""}}.check(t, w)
					if !strings.Contains(w.Body.String(), "the header "+headerConsistency+" "+test.reason) {
						t.Errorf("%s: got %s, want %q", query, w.Body, test.reason)
					}
					continue
				}
				want := ""
				if strings.HasPrefix(query, "mutation") {
					want = at(1, 9).String()
				}
				request{answer: `{"data":{"echo":null}}`, answers: map[string]string{headerConsistency: want, "Cache-Control": "no-store"}}.check(t, w)
				if got := executor.last(t); got != test.want {
					t.Errorf("%s: it reads after %v, want %v", query, got, test.want)
				}
			}
		})
	}
}

// TestEventStreamPositions wants the header on the event stream of a mutation.
func TestEventStreamPositions(t *testing.T) {
	t.Parallel()
	inBubble(t, func(o *server.Options, _ *server.StreamOptions) {
		o.Executor = &positions{Executor: o.Executor, written: []consistency.Position{at(1, 9)}}
	}, func(t *testing.T, s *site) {
		got := s.ask(t, http.MethodPost, "/graphql", body("mutation { echo }"), "Accept", typeEvents)
		if token := got.header.Get(headerConsistency); got.status != http.StatusOK || token != at(1, 9).String() {
			t.Errorf("got %d, %s and the token %q, want that of the mutation", got.status, got.text, token)
		}
	})
}

// TestSocketPositions follows the position of a socket: from its start, by the tokens of operations, and by its mutations.
func TestSocketPositions(t *testing.T) {
	t.Parallel()
	var executor *positions
	inBubble(t, func(o *server.Options, _ *server.StreamOptions) {
		// The last one is of another database: its token is smaller.
		executor = &positions{Executor: o.Executor, written: []consistency.Position{at(3, 5), at(3, 4), {}, at(2, 1)}}
		o.Executor = executor
	}, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		const query, mutation = "{ echo }", "mutation { echo }"
		with := func(query, extensions string) string {
			return `{"type":"subscribe","id":"1","payload":{"query":"` + query + `","extensions":` + extensions + `}}`
		}
		named := func(p consistency.Position) string { return `{"consistency":"` + p.String() + `"}` }
		for i, step := range []struct {
			message string
			reads   consistency.Position
			writes  consistency.Position
		}{
			{message: subscribe("1", query)},
			{message: with(query, named(at(3, 1))), reads: at(3, 1)},
			{message: with(query, `{"consistency":null}`), reads: at(3, 1)},
			{message: subscribe("1", query), reads: at(3, 1)},
			{message: subscribe("1", mutation), reads: at(3, 1), writes: at(3, 5)},
			{message: subscribe("1", mutation), reads: at(3, 5), writes: at(3, 4)},
			{message: subscribe("1", mutation), reads: at(3, 5)},
			{message: with(query, named(at(3, 2))), reads: at(3, 5)},
			{message: with(mutation, named(at(3, 6))), reads: at(3, 6), writes: at(2, 1)},
			{message: subscribe("1", query), reads: at(2, 1)},
		} {
			c.send(t, step.message)
			payload := `{"data":{"echo":null}}`
			if !step.writes.IsZero() {
				payload = `{"extensions":` + named(step.writes) + `,"data":{"echo":null}}`
			}
			c.want(t, next("1", payload), complete("1"))
			if got := executor.last(t); got != step.reads {
				t.Errorf("operation %d reads after %v, want %v", i, got, step.reads)
			}
		}
		for _, token := range []string{`""`, `"x"`, `1`, `["` + at(1, 1).String() + `"]`} {
			c.send(t, with(query, `{"consistency":`+token+`}`))
			const message = "the extension consistency is not a token of this server: send one as an answer had it, or leave it out"
			c.want(t, failed("1", `[{"message":"`+message+`","extensions":{"code":"BAD_REQUEST"}}]`))
		}
		c.close(t)
	})
}

// TestSocketPositionAtItsStart sends tokens in the handshake and in connection_init, as browsers can.
func TestSocketPositionAtItsStart(t *testing.T) {
	t.Parallel()
	token, other := at(1, 7).String(), at(2, 3).String()
	const malformed = "Roster-Consistency in connection_init is not a token of this server: send one as an answer had it, or leave it out"
	for name, test := range map[string]struct {
		handshake, payload string
		reads              consistency.Position
		reason             string
	}{
		"none":                  {payload: `{}`},
		"the handshake":         {handshake: token, payload: `{}`, reads: at(1, 7)},
		"the payload":           {payload: `{"Roster-Consistency":"` + token + `"}`, reads: at(1, 7)},
		"another case":          {payload: `{"roster-consistency":"` + token + `"}`, reads: at(1, 7)},
		"headers":               {payload: `{"headers":{"roster-consistency":"` + token + `"}}`, reads: at(1, 7)},
		"beside credentials":    {payload: `{"Authorization":"Bearer ada","headers":{"Roster-Consistency":"` + token + `"}}`, reads: at(1, 7)},
		"headers of no object":  {payload: `{"Authorization":"Bearer ada","headers":1}`},
		"the payload counts":    {handshake: other, payload: `{"Roster-Consistency":"` + token + `"}`, reads: at(1, 7)},
		"the payload's own one": {payload: `{"Roster-Consistency":"` + token + `","headers":{"Roster-Consistency":"` + other + `"}}`, reads: at(1, 7)},

		"empty":        {payload: `{"Roster-Consistency":""}`, reason: malformed},
		"malformed":    {payload: `{"Roster-Consistency":"` + token[1:] + `"}`, reason: malformed},
		"a list":       {payload: `{"Roster-Consistency":"` + token + `,` + token + `"}`, reason: malformed},
		"no string":    {payload: `{"Roster-Consistency":["` + token + `"]}`, reason: "Roster-Consistency in connection_init must be a string"},
		"null":         {payload: `{"headers":{"Roster-Consistency":null}}`, reason: "Roster-Consistency in connection_init must be a string"},
		"doubled":      {payload: `{"Roster-Consistency":"` + token + `","roster-consistency":"` + token + `"}`, reason: "Roster-Consistency in connection_init is doubled"},
		"null, header": {handshake: token, payload: `{"Roster-Consistency":null}`, reason: "Roster-Consistency in connection_init must be a string"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var executor *positions
			inBubble(t, func(o *server.Options, _ *server.StreamOptions) {
				executor = &positions{Executor: o.Executor}
				o.Executor = executor
			}, func(t *testing.T, s *site) {
				header := http.Header{}
				if test.handshake != "" {
					header.Set(headerConsistency, test.handshake)
				}
				c, err := s.handshake(t.Context(), header, "graphql-transport-ws")
				if err != nil {
					t.Fatal(err)
				}
				c.send(t, `{"type":"connection_init","payload":`+test.payload+`}`)
				if test.reason != "" {
					c.wantClose(t, 4400, test.reason)
					return
				}
				c.want(t, ack)
				c.send(t, subscribe("1", "{ echo }"))
				c.want(t, next("1", `{"data":{"echo":null}}`), complete("1"))
				if got := executor.last(t); got != test.reads {
					t.Errorf("an operation reads after %v, want %v", got, test.reads)
				}
				c.close(t)
			})
		})
	}
}

// away is an executor whose database is away.
type away struct{ server.Executor }

func (away) Subscribe(context.Context, *documents.Operation) (func() *graphql.Response, *graphql.Response) {
	return nil, &graphql.Response{Errors: gqlerror.List{{
		Message: "the database is away: try again", Extensions: map[string]any{"code": codes.Unavailable},
	}}}
}

// TestEventStreamSaysWhenToTryAgain wants Retry-After on the stream of a subscription that cannot start.
func TestEventStreamSaysWhenToTryAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, func(o *server.Options, _ *server.StreamOptions) { o.Executor = away{o.Executor} }, func(t *testing.T, s *site) {
		got := s.ask(t, http.MethodPost, "/graphql", body("subscription { silent { number } }"), "Accept", typeEvents)
		if got.status != http.StatusOK || got.header.Get("Retry-After") != "1" || !strings.Contains(got.text, `"code":"UNAVAILABLE"`) || !strings.HasSuffix(got.text, "event: complete\ndata:\n\n") {
			t.Errorf("got %d, %v, %s, want UNAVAILABLE with Retry-After, and the end", got.status, got.header, got.text)
		}
	})
}
