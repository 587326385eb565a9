package metrics

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// series keeps the series of a metric by their labels. To find one takes no lock, and less time than the library needs.
type series[K comparable, V any] struct {
	create func(K) V
	found  atomic.Pointer[map[K]V]
	mu     sync.Mutex
}

func newSeries[K comparable, V any](create func(K) V) *series[K, V] {
	s := &series[K, V]{create: create}
	s.found.Store(&map[K]V{})
	return s
}

// get returns the series with labels. It creates it if there is none.
func (s *series[K, V]) get(labels K) V {
	if v, ok := (*s.found.Load())[labels]; ok {
		return v
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := *s.found.Load()
	if v, ok := before[labels]; ok {
		return v
	}
	v := s.create(labels)
	after := maps.Clone(before)
	after[labels] = v
	s.found.Store(&after)
	return v
}

// exemplarOf returns the labels of an exemplar: the trace that runs in ctx, if this server sends it. Otherwise it returns nil: a
// client that claims to be sampled must not name traces that do not exist.
func exemplarOf(ctx context.Context) prometheus.Labels {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsSampled() || !span.HasTraceID() || span.IsRemote() {
		return nil
	}
	return prometheus.Labels{"trace_id": span.TraceID().String()}
}

// observe adds a value, with an exemplar if there is one.
func observe(o prometheus.Observer, value float64, exemplar prometheus.Labels) {
	if with, ok := o.(prometheus.ExemplarObserver); ok && exemplar != nil {
		with.ObserveWithExemplar(value, exemplar)
		return
	}
	o.Observe(value)
}
