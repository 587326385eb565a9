package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/tracing"
)

// lastTraces is the time that a stopping server takes to send its last traces.
const lastTraces = 2 * time.Second

// newTracer returns the tracer that the variables of OpenTelemetry ask for, or nil. This is the only place where a library reads
// the environment: the exporter finds the collector there, and the resource its attributes.
func newTracer(ctx context.Context, c config.Insight, e *environment, databaseURL string, logger *slog.Logger) (*tracing.Tracer, error) {
	settings, err := config.ReadOTel(e.getenv)
	if err != nil {
		return nil, misuse(err)
	}
	if !settings.Traces {
		return nil, nil
	}
	exporter, err := otlptracehttp.New(ctx) // it does not connect yet
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	described, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName("roster"), semconv.ServiceVersion(e.version)), resource.WithFromEnv())
	if err != nil {
		return nil, misuse(fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err))
	}
	return tracing.New(tracing.Options{
		Exporter:  exporter,
		Sampler:   samplerOf(settings),
		Resource:  described,
		System:    semconv.DBSystemNameKey.String(database.SystemName(databaseURL)),
		Continue:  settings.Continue,
		Trusted:   c.TrustTraceparent,
		Documents: c.TraceDocuments,
		Random:    rand.Reader,
		Clock:     time.Now,
		Logger:    logger,
	}), nil
}

func samplerOf(o config.OTel) sdktrace.Sampler {
	switch o.Sampler {
	case config.AlwaysOff:
		return sdktrace.NeverSample()
	case config.TraceIDRatio:
		return sdktrace.TraceIDRatioBased(o.Ratio)
	case config.ParentBasedAlwaysOn:
		return sdktrace.ParentBased(sdktrace.AlwaysSample())
	case config.ParentBasedAlwaysOff:
		return sdktrace.ParentBased(sdktrace.NeverSample())
	case config.ParentBasedTraceIDRatio:
		return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(o.Ratio))
	}
	return sdktrace.AlwaysSample()
}
