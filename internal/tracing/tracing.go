// Package tracing sends traces of operations to a collector, by OpenTelemetry: a span for each operation, and below it one for
// each batch of a loader and each statement. There are none for fields. The names follow the semantic conventions
// (https://opentelemetry.io/docs/specs/semconv/graphql/graphql-spans/, …/database/database-spans/). Spans never have values.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/vektah/gqlparser/v2/ast"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"roster/graph"
	errorcodes "roster/internal/codes"
	"roster/internal/documents"
	"roster/internal/record"
)

// Options are the dependencies and settings of a Tracer. All are required, unless the comment says otherwise.
type Options struct {
	Exporter sdktrace.SpanExporter
	// Sampler decides which traces are sent.
	Sampler sdktrace.Sampler
	// Resource describes this server.
	Resource *resource.Resource
	// System is the database, such as semconv.DBSystemNamePostgreSQL.
	System attribute.KeyValue
	// Continue continues the trace of the header traceparent. Otherwise each request begins one.
	Continue bool
	// Trusted lets the sampler see whether the client samples the trace. Otherwise no client decides what is sent.
	Trusted bool
	// Documents adds the documents, without values.
	Documents bool
	// Random is the source of the IDs of traces.
	Random io.Reader
	Clock  func() time.Time
	Logger *slog.Logger
}

// A Tracer makes the spans of operations.
type Tracer struct {
	options  Options
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

var _ graph.Observer = (*Tracer)(nil)

// maxName is the maximum size of the name of an operation, and maxText that of a document or a statement, in bytes.
const (
	maxName = 256
	maxText = 4 << 10
)

// maxStatements is the greatest number of spans of statements, and of batches, of one operation. The attribute
// roster.statements has the number of all statements.
const maxStatements = 100

// New returns a Tracer. A collector that does not answer costs operations nothing: spans wait in a bounded queue, and those
// that do not fit are lost.
func New(o Options) *Tracer {
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&exporter{SpanExporter: o.Exporter, clock: o.Clock, logger: o.Logger}),
		sdktrace.WithSampler(sampler{o.Sampler, o.Trusted, o.Random}),
		sdktrace.WithResource(o.Resource),
	)
	return &Tracer{options: o, provider: provider, tracer: provider.Tracer("roster", trace.WithSchemaURL(semconv.SchemaURL))}
}

// Close sends the spans that wait, until ctx ends.
func (t *Tracer) Close(ctx context.Context) {
	if err := t.provider.Shutdown(ctx); err != nil {
		t.options.Logger.WarnContext(ctx, "the last traces are not sent", "error", err)
	}
}

// Handler gives each request the ID of its trace, from its header traceparent or a new one. The operations of a WebSocket have
// nothing else in common, so each gets a trace of its own unless the header has one.
func (t *Tracer) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if t.options.Continue {
			ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
		}
		if !trace.SpanContextFromContext(ctx).IsValid() && r.Header.Get("Upgrade") == "" {
			ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: newTraceID(t.options.Random)}))
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// newTraceID returns a random ID, or the zero ID, for which OpenTelemetry takes one itself.
func newTraceID(random io.Reader) (id trace.TraceID) {
	_, _ = io.ReadFull(random, id[:])
	return id
}

// Comment returns the comment of a statement that belongs to a trace which is sent, or "". Its form is that of sqlcommenter.
func (t *Tracer) Comment(ctx context.Context) string {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() || !span.IsSampled() || span.IsRemote() {
		return ""
	}
	return fmt.Sprintf("/*traceparent='00-%s-%s-%s'*/", span.TraceID(), span.SpanID(), span.TraceFlags())
}

// Begin implements graph.Observer.
func (t *Tracer) Begin(ctx context.Context, o *documents.Operation) context.Context {
	attributes := []attribute.KeyValue{typeOf(o.Definition.Operation)}
	if o.Definition.Name != "" {
		attributes = append(attributes, semconv.GraphQLOperationName(record.Short(o.Definition.Name, maxName)))
	}
	ctx, _ = t.tracer.Start(ctx, string(o.Definition.Operation), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...))
	return ctx
}

func typeOf(kind ast.Operation) attribute.KeyValue {
	switch kind {
	case ast.Mutation:
		return semconv.GraphQLOperationTypeMutation
	case ast.Subscription:
		return semconv.GraphQLOperationTypeSubscription
	case ast.Query:
	}
	return semconv.GraphQLOperationTypeQuery
}

// End implements graph.Observer.
func (t *Tracer) End(ctx context.Context, o *documents.Operation, e graph.Ended) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	statements, sent := e.Record.Statements()
	span.SetAttributes(
		attribute.Int64("roster.cost", o.Cost), attribute.String("roster.way", string(e.Way)), attribute.Int("roster.statements", sent),
		attribute.Int("roster.retries", e.Record.Retries()),
	)
	if e.Replayed {
		span.SetAttributes(attribute.Bool("roster.replayed", true))
	}
	if t.options.Documents {
		span.SetAttributes(semconv.GraphQLDocument(record.Short(o.Redacted(), maxText)))
	}
	if len(e.Response.Errors) > 0 {
		setError(span, e.Response.Errors[0].Extensions["code"])
	}
	for _, b := range e.Record.Batches()[:min(len(e.Record.Batches()), maxStatements)] {
		_, batch := t.tracer.Start(ctx, "dataloader "+b.Name, trace.WithTimestamp(b.Began), trace.WithAttributes(
			attribute.String("graphql.dataloader.name", b.Name), attribute.Int("graphql.dataloader.batch.size", b.Size),
		))
		batch.End(trace.WithTimestamp(b.Began.Add(b.Took)))
	}
	for i := range statements[:min(len(statements), maxStatements)] {
		t.statement(ctx, &statements[i])
	}
	span.End()
}

// setError sets the code of an error. Only a fault of the server makes a span fail.
func setError(span trace.Span, code any) {
	span.SetAttributes(semconv.ErrorTypeKey.String(fmt.Sprint(code)))
	switch code {
	case errorcodes.Internal, errorcodes.Unavailable, errorcodes.Timeout, errorcodes.OutcomeUnknown:
		span.SetStatus(codes.Error, fmt.Sprint(code))
	}
}

// statement makes the span of a statement.
func (t *Tracer) statement(ctx context.Context, s *record.Statement) {
	summary := summaryOf(s.Text)
	_, span := t.tracer.Start(ctx, summary, trace.WithTimestamp(s.Began), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		t.options.System, semconv.DBQuerySummary(summary), semconv.DBQueryText(record.Short(s.Text, maxText)),
		semconv.DBResponseReturnedRows(int(s.Rows)),
	))
	if s.Failed {
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(s.Began.Add(s.Took)))
}

// sampler decides for the operation. What is below it follows.
type sampler struct {
	sdktrace.Sampler

	trusted bool
	random  io.Reader
}

// ShouldSample implements sdktrace.Sampler. A client that is not trusted decides neither by the flag of its traceparent nor by
// the ID of the trace, from which a ratio is computed.
func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	switch {
	case !parent.IsValid():
	case !parent.IsRemote():
		if parent.IsSampled() {
			return sdktrace.AlwaysSample().ShouldSample(p)
		}
		return sdktrace.NeverSample().ShouldSample(p)
	case !s.trusted:
		p.ParentContext = trace.ContextWithSpanContext(p.ParentContext, trace.SpanContext{})
		p.TraceID = newTraceID(s.random)
	}
	result := s.Sampler.ShouldSample(p)
	result.Tracestate = parent.TraceState()
	return result
}

// exporter logs the errors of an exporter, at most one in a minute.
type exporter struct {
	sdktrace.SpanExporter

	clock  func() time.Time
	logger *slog.Logger

	mu    sync.Mutex
	until time.Time // before this, no line is logged
	lost  int       // spans since the last line
}

// quiet is the time between two lines about a collector that does not take traces.
const quiet = time.Minute

// ExportSpans implements sdktrace.SpanExporter. It returns no error, because OpenTelemetry would log each one.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lost += len(spans)
	now := e.clock()
	if now.Before(e.until) {
		return nil
	}
	e.until = now.Add(quiet)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("the collector does not answer")
	}
	e.logger.WarnContext(ctx, "traces are lost: the collector does not take them", "error", record.Short(err.Error(), maxName), "spans", e.lost,
		"advice", "check OTEL_EXPORTER_OTLP_ENDPOINT, and that the collector runs")
	e.lost = 0
	return nil
}
