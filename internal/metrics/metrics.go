// Package metrics counts and measures what a server does, for Prometheus. It implements the observers of package graph and
// package server. It reads other figures when it is asked: those of connections, of the change feed and of the database.
//
// Names, labels and buckets of what is not special to Roster are those of the OpenTelemetry semantic conventions, as Prometheus
// writes them: https://opentelemetry.io/docs/specs/semconv/. All others begin with roster_. Histograms are classic and native.
// docs/operations.md has a table of all metrics.
//
// The number of series is bounded, whatever clients send. Values for the labels come from the schema and the code, but for the
// names of operations: see maxNames.
package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options describe a server.
type Options struct {
	// Version is the version of the program.
	Version string
	// System is the database's name of the OpenTelemetry conventions, such as postgresql.
	System string
	// Names are the names of the operations in trusted documents. Each has series of its own.
	Names []string
	// MemoryLimit is the limit of Go's memory, in bytes.
	MemoryLimit int64
}

// Metrics are the metrics of a server. All methods may be called concurrently.
type Metrics struct {
	registry   *prometheus.Registry
	operations operations
	statements statements
	requests   requests
}

// New returns the metrics of a server that has done nothing.
func New(o Options) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "roster_build_info", Help: "The program and its database. The value is 1.",
	}, []string{"version", "goversion", "engine"})
	build.WithLabelValues(o.Version, runtime.Version(), o.System).Set(1)
	limit := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "roster_memory_limit_bytes", Help: "The limit of Go's memory.",
	})
	limit.Set(float64(o.MemoryLimit))
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build, limit)
	m.operations = newOperations(m.registry, o.Names)
	m.statements = newStatements(m.registry, o.System)
	m.requests = newRequests(m.registry)
	return m
}

// The bounds of a scrape: the number of those at the same time, and the time of one.
const (
	maxScrapes    = 4
	scrapeTimeout = 10 * time.Second
)

// Handler returns the handler of /metrics. It answers in the text format of Prometheus, in OpenMetrics, which has exemplars, or
// in the format of native histograms: what the request accepts.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: maxScrapes, Timeout: scrapeTimeout, ErrorHandling: promhttp.ContinueOnError,
	})
}

// Gatherer gives the figures themselves.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// The settings of native histograms: each bucket is 10 % wider than the one before, and a histogram has at most 160.
const (
	nativeFactor  = 1.1
	nativeBuckets = 160
	nativeReset   = time.Hour
)

// durations are the buckets of the OpenTelemetry conventions for HTTP, in seconds.
func durations() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
}

// newHistogram registers a classic and native histogram.
func newHistogram(r prometheus.Registerer, name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeBuckets, NativeHistogramMinResetDuration: nativeReset,
	}, labels)
	r.MustRegister(h)
	return h
}

func newCounter(r prometheus.Registerer, name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	r.MustRegister(c)
	return c
}
