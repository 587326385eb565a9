package tracing_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"roster/graph"
	"roster/internal/codes"
	"roster/internal/documents"
	"roster/internal/record"
	"roster/internal/tracing"
)

// traced is a Tracer whose spans the test gets.
type traced struct {
	*tracing.Tracer

	exporter *kept
}

// kept keeps its spans after the shutdown.
type kept struct{ spans tracetest.SpanStubs }

func (k *kept) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	k.spans = append(k.spans, tracetest.SpanStubsFromReadOnlySpans(spans)...)
	return nil
}

func (*kept) Shutdown(context.Context) error { return nil }

func newTraced(change func(*tracing.Options)) *traced {
	k := new(kept)
	o := tracing.Options{
		Exporter: k, Sampler: sdktrace.ParentBased(sdktrace.AlwaysSample()), Resource: resource.Empty(), System: semconv.DBSystemNameSQLite,
		Continue: true, Random: rand.NewChaCha8([32]byte{}), Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	change(&o)
	return &traced{tracing.New(o), k}
}

// request returns the context of a request with headers.
func (t *traced) request(ctx context.Context, headers ...string) (out context.Context) {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/graphql", http.NoBody)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	t.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { out = r.Context() })).ServeHTTP(httptest.NewRecorder(), r)
	return out
}

// run runs an operation in ctx, and returns its context.
func (t *traced) run(ctx context.Context, kind ast.Operation, e graph.Ended) context.Context {
	o := &documents.Operation{
		Document:   &documents.Document{Text: `query Q { user(by: {username: "secret"}) { id } }`},
		Definition: &ast.OperationDefinition{Operation: kind, Name: "Q"},
		Cost:       7,
	}
	ctx = t.Begin(ctx, o)
	t.End(ctx, o, e)
	return ctx
}

// end closes the tracer and returns all spans by their names.
func (t *traced) end(ctx context.Context) map[string]tracetest.SpanStub {
	t.Close(ctx)
	spans := map[string]tracetest.SpanStub{}
	for _, s := range t.exporter.spans {
		spans[s.Name] = s
	}
	return spans
}

func plain() graph.Ended {
	return graph.Ended{Response: &graphql.Response{}, Record: record.New(), Way: graph.ByPlan}
}

func TestSpans(t *testing.T) {
	t.Parallel()
	tr := newTraced(func(o *tracing.Options) { o.Documents = true })
	began := time.Unix(1_000, 0)
	r := record.New()
	r.Sent(record.Statement{Text: "SELECT a FROM users WHERE a = ?", Arguments: []any{"secret"}, Began: began, Took: time.Second, Rows: 3})
	r.Sent(record.Statement{Text: "INSERT INTO \"posts\" (a) VALUES ($1)", Began: began, Took: time.Minute, Rows: 1, Failed: true})
	r.Loaded(record.Batch{Name: "User.posts", Size: 5, Began: began, Took: 2 * time.Second})
	r.Retried()
	tr.run(tr.request(t.Context()), ast.Mutation, graph.Ended{
		Response: &graphql.Response{Errors: gqlerror.List{{Message: "secret", Extensions: map[string]any{"code": codes.Timeout}}}},
		Record:   r, Way: graph.ByResolvers, Replayed: true,
	})
	spans := tr.end(t.Context())
	operation := spans["mutation"]
	for name, want := range map[string]struct {
		kind       trace.SpanKind
		status     otelcodes.Code
		took       time.Duration
		attributes []attribute.KeyValue
	}{
		"mutation": {trace.SpanKindServer, otelcodes.Error, 0, []attribute.KeyValue{
			attribute.String("graphql.operation.type", "mutation"), attribute.String("graphql.operation.name", "Q"), attribute.Int("roster.cost", 7),
			attribute.String("roster.way", "resolvers"), attribute.Int("roster.statements", 2), attribute.Int("roster.retries", 1),
			attribute.Bool("roster.replayed", true), attribute.String("graphql.document", `query Q { user(by: {username: ?}) { id } }`),
			attribute.String("error.type", "TIMEOUT"),
		}},
		"SELECT users": {trace.SpanKindClient, otelcodes.Unset, time.Second, []attribute.KeyValue{
			attribute.String("db.system.name", "sqlite"), attribute.String("db.query.summary", "SELECT users"),
			attribute.String("db.query.text", "SELECT a FROM users WHERE a = ?"), attribute.Int("db.response.returned_rows", 3),
		}},
		"INSERT posts": {trace.SpanKindClient, otelcodes.Error, time.Minute, []attribute.KeyValue{
			attribute.String("db.system.name", "sqlite"), attribute.String("db.query.summary", "INSERT posts"),
			attribute.String("db.query.text", "INSERT INTO \"posts\" (a) VALUES ($1)"), attribute.Int("db.response.returned_rows", 1),
		}},
		"dataloader User.posts": {trace.SpanKindInternal, otelcodes.Unset, 2 * time.Second, []attribute.KeyValue{
			attribute.String("graphql.dataloader.name", "User.posts"), attribute.Int("graphql.dataloader.batch.size", 5),
		}},
	} {
		s := spans[name]
		got, wanted := attribute.NewSet(s.Attributes...), attribute.NewSet(want.attributes...)
		if !got.Equals(&wanted) || s.SpanKind != want.kind || s.Status.Code != want.status {
			t.Errorf("%s: got %v, %v, %v, want %+v", name, s.Attributes, s.SpanKind, s.Status, want)
		}
		if name == "mutation" {
			continue
		}
		if s.Parent.SpanID() != operation.SpanContext.SpanID() || !s.StartTime.Equal(began) || s.EndTime.Sub(s.StartTime) != want.took {
			t.Errorf("%s: got %+v, want a child of the operation that took %s", name, s, want.took)
		}
	}
	if len(spans) != 4 || operation.Parent.SpanID().IsValid() {
		t.Errorf("got %d spans, the first one below %v, want 4 without a parent", len(spans), operation.Parent)
	}
}

// TestSampling has clients that want their traces sampled, or not.
func TestSampling(t *testing.T) {
	t.Parallel()
	const low = "00-00000000000000010000000000000001-00000000000000aa-" // each ratio but 0 samples this trace
	for name, test := range map[string]struct {
		sampler     sdktrace.Sampler
		trusted     bool
		header      string
		sampled     bool
		upgrade     string
		notContinue bool
	}{
		"the default":                     {sampler: sdktrace.ParentBased(sdktrace.AlwaysSample()), sampled: true},
		"a client that wants it":          {sampler: sdktrace.ParentBased(sdktrace.NeverSample()), header: low + "01"},
		"a trusted one":                   {sampler: sdktrace.ParentBased(sdktrace.NeverSample()), header: low + "01", trusted: true, sampled: true},
		"a client that does not want it":  {sampler: sdktrace.ParentBased(sdktrace.AlwaysSample()), header: low + "00", sampled: true},
		"a trusted one without":           {sampler: sdktrace.ParentBased(sdktrace.AlwaysSample()), header: low + "00", trusted: true},
		"a client that chooses the ID":    {sampler: sdktrace.TraceIDRatioBased(1e-9), header: low + "01"},
		"a trusted one that chooses":      {sampler: sdktrace.TraceIDRatioBased(1e-9), header: low + "01", trusted: true, sampled: true},
		"a malformed header":              {sampler: sdktrace.AlwaysSample(), header: "00-0-0-0", sampled: true},
		"a WebSocket":                     {sampler: sdktrace.AlwaysSample(), upgrade: "websocket", sampled: true},
		"a WebSocket with a trace":        {sampler: sdktrace.AlwaysSample(), upgrade: "websocket", header: low + "00", sampled: true},
		"a header that does not continue": {sampler: sdktrace.AlwaysSample(), header: low + "01", sampled: true, notContinue: true},
	} {
		tr := newTraced(func(o *tracing.Options) {
			o.Sampler, o.Trusted, o.Continue = test.sampler, test.trusted, !test.notContinue
		})
		request := tr.request(t.Context(), "traceparent", test.header, "tracestate", "vendor=1", "Upgrade", test.upgrade)
		if got := tr.Comment(request); got != "" {
			t.Errorf("%s: got the comment %s before the operation, want none", name, got)
		}
		e := plain()
		e.Record.Sent(record.Statement{Text: "SELECT 1"})
		ctx := tr.run(request, ast.Query, e)
		span := trace.SpanContextFromContext(ctx)
		if got := trace.SpanContextFromContext(request).TraceID(); got != span.TraceID() && test.upgrade == "" {
			t.Errorf("%s: got the trace %s, then %s", name, got, span.TraceID())
		}
		want := ""
		if test.sampled {
			want = "/*traceparent='00-" + span.TraceID().String() + "-" + span.SpanID().String() + "-" + span.TraceFlags().String() + "'*/"
		}
		if got := tr.Comment(ctx); got != want {
			t.Errorf("%s: got the comment %s, want %s", name, got, want)
		}
		spans := tr.end(t.Context())
		if _, ok := spans["query"]; ok != test.sampled || len(spans) != 0 && len(spans) != 2 {
			t.Errorf("%s: got %v, want sampled: %t", name, spans, test.sampled)
		}
		continued := strings.HasPrefix(test.header, low) && !test.notContinue
		if operation := spans["query"]; test.sampled && (operation.Parent.IsValid() != continued || continued && operation.SpanContext.TraceState().String() != "vendor=1") {
			t.Errorf("%s: got the parent %+v of %+v, want continued: %t", name, operation.Parent, operation.SpanContext, continued)
		}
	}
}

// TestManyStatements has more statements than get spans.
func TestManyStatements(t *testing.T) {
	t.Parallel()
	tr := newTraced(func(*tracing.Options) {})
	e := plain()
	for range 500 {
		e.Record.Sent(record.Statement{Text: "SELECT 1"})
		e.Record.Loaded(record.Batch{Name: "User.posts"})
	}
	tr.run(t.Context(), ast.Subscription, e)
	if tr.end(t.Context()); len(tr.exporter.spans) != 201 {
		t.Errorf("got %d spans, want 201", len(tr.exporter.spans))
	}
}

// broken is a collector that takes nothing.
type broken struct{ *kept }

func (broken) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	return errors.New("connection refused")
}

// TestBrokenCollector logs one line in a minute.
func TestBrokenCollector(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	now := time.Unix(1_000, 0)
	exporter := tracing.NewExporter(broken{}, func() time.Time { return now }, slog.New(slog.NewTextHandler(&log, nil)))
	spans := tracetest.SpanStubs{{Name: "a"}, {Name: "b"}}.Snapshots()
	for range 3 {
		for range 4 {
			if err := exporter.ExportSpans(t.Context(), spans); err != nil {
				t.Errorf("got %v, want no error", err)
			}
			now = now.Add(time.Second)
		}
		now = now.Add(time.Minute)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "traces are lost") || !strings.Contains(lines[0], "connection refused") ||
		!strings.Contains(lines[0], "spans=2 ") || !strings.Contains(lines[1], "spans=8 ") {
		t.Errorf("got\n%s\nwant 3 lines, with 2 and then 8 spans", &log)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"SELECT 1": "SELECT",
		"SELECT `t`.`id` FROM `users` AS `t` WHERE x":                                                    "SELECT users",
		`SELECT "t"."id" FROM unnest($1) AS p CROSS JOIN LATERAL (SELECT * FROM "posts" AS "t" LIMIT 3)`: "SELECT posts",
		"UPDATE feed SET counted = ?":                                                                    "UPDATE feed",
		"WITH first AS (INSERT INTO users (id) SELECT 1) INSERT INTO changes":                            "INSERT users",
		"DELETE FROM \"posts\"":                                                                          "DELETE posts",
		"COPY users (id) FROM STDIN":                                                                     "COPY users",
		"SAVEPOINT attempt":                                                                              "SAVEPOINT",
		"PRAGMA x":                                                                                       "statement",
	} {
		if got := tracing.SummaryOf(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
