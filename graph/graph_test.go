package graph_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roster/ent/rules"
	"roster/graph"
	"roster/internal/budget"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/limits"
	"roster/internal/logging"
	"roster/internal/server"
	"roster/internal/typeid"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write what the server answers into testdata")
	flag.Duration("contention", 0, "how long TestContention lets its clients work on each engine; 0: a bounded number of operations")
	flag.Bool("compiled", true, "answer queries by compiled reads, as a server does by default")
	os.Exit(m.Run())
}

// value is what a flag of TestMain is set to.
func value[T any](name string) T {
	return flag.Lookup(name).Value.(flag.Getter).Get().(T) //nolint:errcheck // as TestMain defines it
}

// tester is a server on a database of its own, over HTTP as clients see it, with fixed times and IDs.
type tester struct {
	*testing.T
	engine dbtest.Engine
	db     *database.DB
	url    string
	client *http.Client

	running    atomic.Int32 // requests that are being answered
	statements *recording   // the statements that the database gets
	failures   *recording   // the messages that the operator gets at level ERROR, with their attributes
	commits    atomic.Int64 // calls of Committed over a network
}

// settings is what a test changes of a server.
type settings struct {
	url      string // of the database; empty for one of its own
	database func(*database.Options)
	graph    func(*graph.Options)
	answers  *budget.Budget // nil is one as a server has it
	executor func(*graph.Executor)
	callers  server.Authenticator // nil: everyone, with the subject of the header Test-Caller
}

// serve starts a server for the length of the test. A test that expects an error in the log clears it.
func serve(t *testing.T, e dbtest.Engine, s settings) *tester {
	t.Helper()
	s2 := &tester{T: t, engine: e, statements: new(recording), failures: new(recording)}
	logger := slog.New(failures{logging.NewHandler(slog.NewTextHandler(s2.failures, &slog.HandlerOptions{Level: slog.LevelError}))})
	set := func(o *database.Options) {
		o.Observe = s2.statements.add
		o.Logger = logger
		if s.database != nil {
			s.database(o)
		}
	}
	if s.url != "" {
		s2.db = migrated.At(t, s.url, set)
	} else {
		s2.db = migrated.Open(t, e, set)
	}
	clock := tick(time.Date(2026, 1, 31, 9, 30, 0, 999, time.UTC), time.Millisecond+time.Microsecond+time.Nanosecond)
	o := graph.Options{
		Database:           s2.db,
		Clock:              clock,
		IDs:                typeid.NewSource(clock, rand.NewChaCha8([32]byte{})),
		Jitter:             rand.Float64,
		Logger:             logger,
		RequestTimeout:     time.Minute,
		Introspection:      true,
		Limits:             boundless(),
		DocumentCacheBytes: 1 << 20,
		CompiledReads:      value[bool]("compiled"),
	}
	if s.graph != nil {
		s.graph(&o)
	}
	executor, err := graph.NewExecutor(o)
	if err != nil {
		t.Fatal(err)
	}
	if s.executor != nil {
		s.executor(executor)
	}
	handler := server.New(server.Options{
		Executor:      executor,
		Authenticator: cmp.Or[server.Authenticator](s.callers, asGiven{}),
		Ready:         func(ctx context.Context, _ bool) error { return s2.db.Ping(ctx) },
		SDL:           graph.SDL(),
		Logger:        logger,
		Clock:         time.Now,
		NewRequestID:  func() string { return "request-1" },
		MaxBodyBytes:  8 << 20,
		Budget:        cmp.Or(s.answers, answersOf(16<<20)),
		Streams: server.NewStreams(server.StreamOptions{
			MaxStreams: 10_000, MaxOperations: 100, PingInterval: time.Minute, InitTimeout: time.Minute, WriteTimeout: time.Minute,
		}),
	})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s2.running.Add(1)
		defer s2.running.Add(-1)
		caller := rules.Everyone()
		caller.Subject = r.Header.Get("Test-Caller")
		handler.ServeHTTP(w, r.WithContext(rules.WithCaller(r.Context(), caller)))
	}))
	t.Cleanup(func() {
		web.Close()
		if text := s2.failures.take(); len(text) > 0 {
			t.Errorf("got errors in the log of the server, want none:\n%s", strings.Join(text, ""))
		}
	})
	s2.url, s2.client = web.URL+"/graphql", web.Client()
	return s2
}

// asGiven is an Authenticator that leaves the caller as it is.
type asGiven struct{}

func (asGiven) Authenticate(ctx context.Context, _ ...string) (context.Context, error) {
	return ctx, nil
}

// Known implements server.Authenticator.
func (asGiven) Known(...string) bool { return true }

// Watch implements server.Authenticator.
func (asGiven) Watch(context.Context, func(reason error)) (stop func()) { return func() {} }

// overNetwork runs f once for each engine that has a network before it, with a server and the proxy on its way to the
// database. The server has so many connections; 0 is the usual number.
func overNetwork(t *testing.T, connections int, f func(t *testing.T, s *tester, proxy *dbtest.Proxy)) {
	t.Helper()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			var proxy *dbtest.Proxy
			var s *tester
			s = serve(t, e, settings{
				database: func(o *database.Options) {
					o.URL, proxy = dbtest.ProxyURL(t, o.URL)
					o.MaxConnections = cmp.Or(connections, o.MaxConnections)
				},
				graph: func(g *graph.Options) { g.Committed = func() { s.commits.Add(1) } },
			})
			f(t, s, proxy)
		})
	}
}

// boundless is the usual limits without one for the cost: these tests are about what is right, however much it is.
func boundless() limits.Limits {
	l := limits.Default()
	l.MaxCost, l.MaxRepeats = 0, 0 // random documents repeat themselves
	return l
}

// tick returns a clock that goes on by a step at each reading.
func tick(start time.Time, step time.Duration) func() time.Time {
	var mu sync.Mutex
	now := start
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(step)
		return now
	}
}

// recording is a list of texts.
type recording struct {
	mu   sync.Mutex
	list []string
}

func (r *recording) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, text)
}

// Write makes a recording the end of a log, each line a text.
func (r *recording) Write(line []byte) (int, error) {
	r.add(string(line))
	return len(line), nil
}

// take returns the list and begins a new one.
func (r *recording) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

// failures is a handler that keeps to one level of a log.
type failures struct{ slog.Handler }

func (h failures) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

// head is what an HTTP response has beside its body.
type head struct {
	StatusCode int
	Header     http.Header
}

// send sends an HTTP request and returns what comes back. Headers are pairs of names and values.
func (s *tester) send(method, url string, body []byte, headers ...string) (head, []byte) {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	request.Header.Set("Accept", "application/graphql-response+json")
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.client.Do(request)
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.Fatal(err)
	}
	return head{response.StatusCode, response.Header}, text
}

// answer is a GraphQL response as tests look at it.
type answer struct {
	Data   json.RawMessage
	Errors []struct {
		Message    string
		Path       []any
		Extensions struct {
			Code      string
			Field     []any
			RequestID string
		}
	}
}

// codes is the codes of the errors, with a space between them.
func (a *answer) codes() string {
	codes := make([]string, len(a.Errors))
	for i, e := range a.Errors {
		codes[i] = e.Extensions.Code
	}
	return strings.Join(codes, " ")
}

// do sends an operation. Variables are pairs of names and values.
func (s *tester) do(document string, variables ...any) *answer {
	s.Helper()
	_, text := s.send(http.MethodPost, s.url, s.body(document, variables...))
	a := new(answer)
	if err := json.Unmarshal(text, a); err != nil {
		s.Fatalf("%v in %s", err, text)
	}
	return a
}

func (s *tester) body(document string, variables ...any) []byte {
	s.Helper()
	values := map[string]any{}
	for i := 0; i < len(variables); i += 2 {
		values[variables[i].(string)] = variables[i+1] //nolint:errcheck // so the tests are written
	}
	body, err := json.Marshal(map[string]any{"query": document, "variables": values})
	if err != nil {
		s.Fatal(err)
	}
	return body
}

// must sends an operation that succeeds, and decodes its data into the value to which into points.
func (s *tester) must(into any, document string, variables ...any) {
	s.Helper()
	a := s.do(document, variables...)
	if len(a.Errors) > 0 {
		s.Fatalf("%s\nfailed: %+v", document, a.Errors)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(a.Data, into); err != nil {
		s.Fatalf("%v in %s", err, a.Data)
	}
}

// fails sends an operation that fails with the codes.
func (s *tester) fails(codes, document string, variables ...any) *answer {
	s.Helper()
	a := s.do(document, variables...)
	if a.codes() != codes {
		s.Fatalf("%s\nanswered %s %+v, want the codes %s", document, a.Data, a.Errors, codes)
	}
	return a
}
