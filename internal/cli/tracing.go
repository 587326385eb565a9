package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/slowlog"
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
		System:    systemOf(databaseURL),
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

// systemOf returns the name of an engine in OpenTelemetry, by the scheme of its URL.
func systemOf(databaseURL string) attribute.KeyValue {
	switch scheme, _, _ := strings.Cut(databaseURL, ":"); scheme {
	case "sqlite":
		return semconv.DBSystemNameSQLite
	case "mysql":
		return semconv.DBSystemNameMySQL
	case "mariadb":
		return semconv.DBSystemNameMariaDB
	}
	return semconv.DBSystemNamePostgreSQL
}

// insight is what watches the operations and the statements of a server.
type insight struct {
	tracer *tracing.Tracer // nil: there are no traces
	slow   *slowlog.Log    // nil: nothing is slow
	close  func()
}

// newInsight starts what the settings ask for.
func newInsight(ctx context.Context, c config.Insight, e *environment, databaseURL string, logger *slog.Logger) (*insight, error) {
	i := &insight{close: func() {}}
	if c.SlowOperation == 0 && c.SlowTraces != "" {
		return nil, misuse(errors.New("--slow-traces has no effect with --slow-operation=0s: leave one of them out"))
	}
	tracer, err := newTracer(ctx, c, e, databaseURL, logger)
	if err != nil {
		return nil, err
	}
	i.tracer = tracer
	var snapshots *slowlog.Snapshots
	if c.SlowTraces != "" {
		if snapshots, err = slowlog.NewSnapshots(c.SlowTraces, time.Now); err != nil {
			return nil, fmt.Errorf("--slow-traces: no file can be written into %s: %w", c.SlowTraces, reason(err))
		}
	}
	if c.SlowOperation > 0 || c.SlowStatement > 0 {
		i.slow = slowlog.New(slowlog.Options{Operation: c.SlowOperation, Statement: c.SlowStatement, Snapshots: snapshots, Logger: logger})
	}
	i.close = func() {
		if snapshots != nil {
			snapshots.Close()
		}
		if tracer != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTraces)
			defer cancel()
			tracer.Close(ctx)
		}
	}
	return i, nil
}

// observers returns what is told of operations.
func (i *insight) observers(c config.Insight) (list observers) {
	if i.tracer != nil {
		list = append(list, i.tracer)
	}
	if i.slow != nil && c.SlowOperation > 0 {
		list = append(list, i.slow)
	}
	return list
}

// watch sets what is told of statements.
func (i *insight) watch(c config.Insight, o *database.Options) {
	if i.slow != nil && c.SlowStatement > 0 {
		o.Sent = i.slow.Sent
	}
	if i.tracer != nil && c.TraceSQLComments {
		o.Comment = i.tracer.Comment
	}
}
