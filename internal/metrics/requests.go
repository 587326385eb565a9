package metrics

import (
	"context"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"roster/internal/codes"
	"roster/internal/server"
)

// requests are the metrics of HTTP requests, by the OpenTelemetry conventions, and of streams.
type requests struct {
	durations *series[answer, prometheus.Observer]
	refused   *prometheus.CounterVec
	open      *prometheus.GaugeVec
	ended     *prometheus.CounterVec
}

type answer struct {
	method, scheme, route string
	status                int
}

func newRequests(r prometheus.Registerer) requests {
	durations := newHistogram(r, "http_server_request_duration_seconds",
		"Time of a request, until its answer is written, or until its WebSocket or event stream opens.", durations(),
		"http_request_method", "url_scheme", "http_route", "http_response_status_code", "error_type")
	m := requests{
		durations: newSeries(func(a answer) prometheus.Observer {
			status, failure := strconv.Itoa(a.status), ""
			if a.status >= 500 {
				failure = status
			}
			return durations.WithLabelValues(a.method, a.scheme, a.route, status, failure)
		}),
		refused: newCounter(r, "roster_requests_refused_total",
			"Requests and operations that were not executed, and events that were not paid for, by status and code.", "status", "code"),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "roster_streams", Help: "Open WebSockets, and event streams of subscriptions.",
		}, []string{"kind"}),
		ended: newCounter(r, "roster_streams_ended_total", "Streams that have ended, by the code of their end.", "kind", "code"),
	}
	r.MustRegister(m.open)
	for _, kind := range []server.StreamKind{server.WebSocket, server.EventStream} {
		m.open.WithLabelValues(string(kind))
	}
	return m
}

var _ server.Observer = (*Metrics)(nil)

// Answered implements server.Observer.
func (m *Metrics) Answered(ctx context.Context, a server.Answer) {
	observe(m.requests.durations.get(answer{a.Method, a.Scheme, a.Route, a.Status}), a.Took.Seconds(), exemplarOf(ctx))
}

// Refused implements server.Observer.
func (m *Metrics) Refused(status int, code codes.Code) {
	m.requests.refused.WithLabelValues(strconv.Itoa(status), string(code)).Inc()
}

// Opened implements server.Observer.
func (m *Metrics) Opened(kind server.StreamKind) { m.requests.open.WithLabelValues(string(kind)).Inc() }

// Ended implements server.Observer.
func (m *Metrics) Ended(kind server.StreamKind, code string) {
	m.requests.open.WithLabelValues(string(kind)).Dec()
	m.requests.ended.WithLabelValues(string(kind), code).Inc()
}
