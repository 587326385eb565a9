package tracing

import (
	"log/slog"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// NewExporter returns the exporter that logs the errors of another one.
func NewExporter(to sdktrace.SpanExporter, clock func() time.Time, logger *slog.Logger) sdktrace.SpanExporter {
	return &exporter{SpanExporter: to, clock: clock, logger: logger}
}

// SummaryOf returns the summary of a statement.
func SummaryOf(text string) string { return summaryOf(text) }
