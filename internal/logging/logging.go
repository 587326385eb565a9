// Package logging adds to each line of the log the IDs of the request and the trace that it is about. It does not depend on
// HTTP or GraphQL.
package logging

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"

	"roster/internal/requestid"
)

// NewHandler returns a handler that passes lines to next. A line with the context of a request gets its requestId. It gets a
// traceId too if there are traces, and the spanId of the operation that was running.
func NewHandler(next slog.Handler) slog.Handler { return handler{next} }

type handler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if id := requestid.FromContext(ctx); id != "" {
		r.AddAttrs(slog.String("requestId", id))
	}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		r.AddAttrs(slog.String("traceId", span.TraceID().String()))
		if span.HasSpanID() && !span.IsRemote() {
			r.AddAttrs(slog.String("spanId", span.SpanID().String()))
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(list []slog.Attr) slog.Handler { return handler{h.Handler.WithAttrs(list)} }

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }
