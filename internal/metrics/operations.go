package metrics

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/graph"
	"roster/internal/documents"
)

// noError is the code of an operation without errors.
const noError = "OK"

// operations are the metrics of queries, mutations and events of subscriptions.
type operations struct {
	names    *names
	byType   map[ast.Operation]*ofType
	byName   *series[typeName, *ofName]
	ways     *series[graph.Way, prometheus.Counter]
	loaders  *series[string, prometheus.Observer]
	replayed prometheus.Counter
}

// ofType are the metrics of the operations of one type.
type ofType struct {
	cost, statements prometheus.Observer
	retries          prometheus.Counter
}

type typeName struct{ kind, name string }

// ofName are the metrics of the operations of one type and name.
type ofName struct {
	duration prometheus.Observer
	ok       prometheus.Counter
	failed   *series[string, prometheus.Counter] // by the code
}

func newOperations(r prometheus.Registerer, trusted []string) operations {
	count := newCounter(r, "roster_operations_total",
		"Operations that were executed, by their type, name, and the code of their first error, or OK.", "type", "name", "code")
	duration := newHistogram(r, "roster_operation_duration_seconds", "Time of an operation, with its transaction.", durations(), "type", "name")
	cost := newHistogram(r, "roster_operation_cost_points", "Cost of an operation.", prometheus.ExponentialBuckets(1, 10, 8), "type")
	sent := newHistogram(r, "roster_operation_statements", "Statements of an operation, with those of its retries.",
		[]float64{0, 1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100}, "type")
	retries := newCounter(r, "roster_operation_retries_total", "Attempts at operations after the first one.", "type")
	ways := newCounter(r, "roster_queries_total",
		"Queries without an idempotency key, by the way of their answer: plan is a compiled read.", "way")
	loaders := newHistogram(r, "roster_loader_batch_size", "Entities for which an edge was loaded at once.",
		[]float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000}, "loader")
	replayed := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "roster_idempotent_replays_total", Help: "Answers to mutations that are those of an earlier request with the same idempotency key.",
	})
	r.MustRegister(replayed)
	o := operations{
		names: newNames(trusted), byType: map[ast.Operation]*ofType{}, replayed: replayed,
		byName: newSeries(func(of typeName) *ofName {
			return &ofName{
				duration: duration.WithLabelValues(of.kind, of.name),
				ok:       count.WithLabelValues(of.kind, of.name, noError),
				failed: newSeries(func(code string) prometheus.Counter {
					return count.WithLabelValues(of.kind, of.name, code)
				}),
			}
		}),
		ways:    newSeries(func(way graph.Way) prometheus.Counter { return ways.WithLabelValues(string(way)) }),
		loaders: newSeries(func(loader string) prometheus.Observer { return loaders.WithLabelValues(loader) }),
	}
	for _, kind := range []ast.Operation{ast.Query, ast.Mutation, ast.Subscription} {
		label := string(kind)
		o.byType[kind] = &ofType{cost.WithLabelValues(label), sent.WithLabelValues(label), retries.WithLabelValues(label)}
	}
	for _, way := range []graph.Way{graph.ByPlan, graph.ByResolvers, graph.ByBoth} {
		o.ways.get(way)
	}
	return o
}

var _ graph.Observer = (*Metrics)(nil)

// Begin implements graph.Observer.
func (*Metrics) Begin(ctx context.Context, _ *documents.Operation) context.Context { return ctx }

// End implements graph.Observer.
func (m *Metrics) End(ctx context.Context, o *documents.Operation, e graph.Ended) {
	exemplar := exemplarOf(ctx)
	kind := o.Definition.Operation
	named := m.operations.byName.get(typeName{string(kind), m.operations.names.label(o.Definition.Name)})
	observe(named.duration, e.Took.Seconds(), exemplar)
	if len(e.Response.Errors) == 0 {
		named.ok.Inc()
	} else {
		named.failed.get(fmt.Sprint(e.Response.Errors[0].Extensions["code"])).Inc()
	}
	typed := m.operations.byType[kind]
	observe(typed.cost, float64(o.Cost), exemplar)
	observe(typed.statements, float64(e.Record.Totals().Statements), exemplar)
	if retries := e.Record.Retries(); retries > 0 {
		typed.retries.Add(float64(retries))
	}
	for _, b := range e.Record.Batches() {
		observe(m.operations.loaders.get(b.Name), float64(b.Size), exemplar)
	}
	if e.Replayed {
		m.operations.replayed.Inc()
	}
	if kind == ast.Query && e.Way != "" {
		m.operations.ways.get(e.Way).Inc()
	}
}
