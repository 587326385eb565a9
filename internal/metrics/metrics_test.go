package metrics_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/vektah/gqlparser/v2/ast"
	"go.opentelemetry.io/otel/trace"

	"roster/graph"
	"roster/internal/database"
	"roster/internal/documents"
	"roster/internal/feed"
	"roster/internal/metrics"
	"roster/internal/record"
	"roster/internal/server"
)

// gather returns the metrics of a name.
func gather(t *testing.T, from prometheus.Gatherer, name string) []*dto.Metric {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()
		}
	}
	return nil
}

// TestStatements measures statements. Their names are those of the conventions.
func TestStatements(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"SELECT 1":                     "SELECT",
		"INSERT INTO a (b) VALUES (1)": "INSERT",
		"UPDATE a SET b = 1":           "UPDATE",
		"DELETE FROM a":                "DELETE",
		"COPY a (b) FROM STDIN":        "COPY",
		"WITH first AS (INSERT INTO a (b) VALUES (1) RETURNING 1) INSERT INTO c (d) VALUES (1)": "INSERT",
		"WITH a AS (SELECT 1) SELECT 2": "SELECT",
		"VACUUM":                        "_OTHER",
	} {
		m := metrics.New(metrics.Options{System: "sqlite"})
		m.Sent(t.Context(), record.Statement{Text: text, Took: 2 * time.Millisecond, Failed: want == "COPY"})
		got := gather(t, m.Gatherer(), "db_client_operation_duration_seconds")
		labels := map[string]string{}
		for _, l := range got[0].GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		failure := map[bool]string{true: "_OTHER"}[want == "COPY"]
		if len(got) != 1 || labels["db_operation_name"] != want || labels["db_system_name"] != "sqlite" || labels["error_type"] != failure {
			t.Errorf("%s: got %v, want %s", text, labels, want)
		}
		if h := got[0].GetHistogram(); h.GetSampleCount() != 1 || len(h.GetBucket()) == 0 || len(h.GetPositiveSpan()) == 0 {
			t.Errorf("%s: got %v, want a classic and native histogram with one value", text, h)
		}
	}
}

// TestExemplars measures requests of a trace that is not sampled, of one that a client calls sampled, and of a sampled one.
func TestExemplars(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{})
	ids := trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}
	for _, test := range []struct {
		flags        trace.TraceFlags
		remote, want bool
	}{{0, false, false}, {trace.FlagsSampled, true, false}, {trace.FlagsSampled, false, true}} {
		ids.TraceFlags, ids.Remote = test.flags, test.remote
		ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(ids))
		m.Answered(ctx, server.Answer{Method: http.MethodPost, Route: "/graphql", Status: http.StatusOK, Took: time.Millisecond})
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
		r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
		m.Handler().ServeHTTP(w, r)
		const exemplar = `# {trace_id="01000000000000000000000000000000"} 0.001`
		if got := strings.Contains(w.Body.String(), exemplar); got != test.want {
			t.Errorf("%+v: got an exemplar %t", test, got)
		}
	}
}

// sources are those of a server whose database says something when it is told to.
func sources(ready func(context.Context) error) metrics.Sources {
	return metrics.Sources{
		Pools:    func() []database.PoolStats { return []database.PoolStats{{Name: "write", Max: 3, Used: 1, Idle: 2}} },
		Feed:     func() feed.Stats { return feed.Stats{Subscribers: 4, Slow: 5, Listening: true} },
		Draining: func() bool { return false },
		Ready:    ready,
		Lag:      func(context.Context) (int, time.Duration, error) { return 6, 7 * time.Second, nil },
		Pending:  func(context.Context) (int, error) { return 8, nil },
		LastBackup: func(context.Context) (time.Time, error) {
			return time.UnixMilli(9_500), nil
		},
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{MemoryLimit: 10})
	m.Watch(sources(func(context.Context) error { return nil }))
	for name, want := range map[string]float64{
		"roster_memory_limit_bytes": 10, "roster_ready": 1, "roster_draining": 0, "roster_feed_subscribers": 4, "roster_feed_listening": 1,
		"roster_feed_lag_changes": 6, "roster_feed_lag_seconds": 7, "roster_migrations_pending": 8, "roster_last_backup_timestamp_seconds": 9.5,
		"db_client_connection_max": 3,
	} {
		got := gather(t, m.Gatherer(), name)
		if len(got) != 1 || got[0].GetGauge().GetValue() != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if got := gather(t, m.Gatherer(), "roster_feed_slow_subscribers_total"); got[0].GetCounter().GetValue() != 5 {
		t.Errorf("got %v slow subscribers, want 5", got)
	}
}

// TestStuckDatabase scrapes while a driver does not return, although its time is up. The scrape has everything else.
func TestStuckDatabase(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{})
	stuck := make(chan struct{})
	defer close(stuck)
	m.Watch(sources(func(context.Context) error { <-stuck; return nil }))
	for range 2 {
		families, err := m.Gatherer().Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
		}
		if ready, known := got["roster_ready"]; !known || ready != 0 || got["roster_feed_subscribers"] != 4 {
			t.Errorf("got %v, want the subscribers, and a server that is not ready", got)
		}
		if pending, known := got["roster_migrations_pending"]; known {
			t.Errorf("got %v pending migrations, want nothing that the database did not say", pending)
		}
	}
}

// BenchmarkRequest measures what the metrics of a query with one statement cost.
func BenchmarkRequest(b *testing.B) {
	m := metrics.New(metrics.Options{System: "sqlite"})
	ctx := b.Context()
	o := &documents.Operation{Definition: &ast.OperationDefinition{Operation: ast.Query, Name: "W1"}, Cost: 1}
	response := &graphql.Response{}
	b.ReportAllocs()
	for b.Loop() {
		r := record.New()
		s := record.Statement{Text: "SELECT 1", Took: time.Millisecond}
		r.Sent(s)
		m.Sent(ctx, s)
		m.End(m.Begin(ctx, o), o, graph.Ended{Response: response, Record: r, Way: graph.ByPlan, Took: time.Millisecond})
		m.Answered(ctx, server.Answer{Method: http.MethodPost, Scheme: "http", Route: "/graphql", Status: http.StatusOK, Took: time.Millisecond})
	}
}
