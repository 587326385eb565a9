// Package server is the HTTP server. It reads requests, passes them to an executor and writes the answers. It
// implements GraphQL over HTTP (https://graphql.github.io/graphql-over-http/draft/), GraphQL over WebSocket, and
// GraphQL over Server-Sent Events. It also serves the playground, the schema and two health checks. It does not depend
// on users, posts or databases.
package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"roster/internal/budget"
	"roster/internal/ratelimit"
)

// readyTimeout is the maximum time of Options.Ready. Orchestrators ask every few seconds.
const readyTimeout = 2 * time.Second

// ErrReadOnly says that the server can answer queries now, but no mutations.
var ErrReadOnly = errors.New("read only")

// Options are the dependencies and bounds of the server. A field is required unless its comment says what its zero
// value means.
type Options struct {
	Executor Executor
	// Authenticator finds the callers of requests to /graphql.
	Authenticator Authenticator
	// Ready returns nil if the server can answer requests, or with reads, if it can answer queries. An error that wraps
	// ErrReadOnly says that it can answer queries only. Clients do not see errors. Ready logs them.
	Ready func(ctx context.Context, reads bool) error
	// Playground serves the page at / and its files below /playground/. nil: there is no page.
	Playground http.Handler
	// SDL is the text of /schema.graphql. "": the address does not exist.
	SDL    string
	Logger *slog.Logger
	// Clock returns the time. The access log contains durations, and the caller of a slow request is found again.
	Clock func() time.Time
	// NewRequestID returns an ID for a request without a valid X-Request-Id.
	NewRequestID func() string
	// MaxBodyBytes is the maximum size of a body, in bytes. A larger body is answered with 413. It is also the maximum
	// size of a message on a WebSocket. A larger message closes the socket with 1009.
	MaxBodyBytes int64
	// MaxValues is the maximum number of JSON values in a body or a message. Nested values count too. 0: no limit.
	MaxValues int
	// MaxRequests is the maximum number of queries and mutations that are executed at the same time. A further one is
	// answered with 503 at once, or with an error on a WebSocket. StreamOptions bound subscriptions. 0: no limit.
	MaxRequests int
	// Origins are the origins of other sites whose pages may use the endpoint, in the form that browsers send, such as
	// https://app.example.com, or AnyOrigin. It may be empty.
	Origins []string
	// LocalOnly refuses requests that name another host than this machine, and requests from proxies. A server without
	// authentication sets it. Hosts must be empty then.
	LocalOnly bool
	// Hosts are the hosts that requests may name, in lower case and without a port. Empty: all.
	Hosts []string
	// Proxies are the networks of the proxies whose X-Forwarded-For counts. Empty: a client is the peer of its connection.
	Proxies []netip.Prefix
	// Limiter bounds the points that each caller, and each address of anonymous callers, may ask for. nil: no limit.
	Limiter *ratelimit.Limiter
	// Budget bounds the memory of all answers. nil: no limit.
	Budget *budget.Budget
	// WriteTimeout is the maximum time that a client may take to accept an answer that is not a stream. 0: no limit.
	WriteTimeout time.Duration
	// Streams are the open WebSockets and event streams. Serve gets them too. It ends them, and tells by them that the server
	// is stopping.
	Streams *Streams
	// Observer is told of answers and streams. nil: nobody is.
	Observer Observer
}

// New returns the handler of the whole server.
func New(o Options) http.Handler {
	clients := newClients(o.Proxies, nil)
	if o.Limiter != nil {
		clients.logger = o.Logger
	}
	mux := http.NewServeMux()
	mux.Handle("/graphql", newOrigins(o.Origins).guard(endpoint{
		clients: clients, limiter: o.Limiter, observer: cmp.Or[Observer](o.Observer, noObserver{}),
		executor: o.Executor, authenticator: o.Authenticator, clock: o.Clock, logger: o.Logger,
		maxBodyBytes: o.MaxBodyBytes, maxValues: o.MaxValues, requests: newGate(o.MaxRequests), streams: o.Streams, budget: o.Budget,
		compressors: newCompressors(), writeTimeout: o.WriteTimeout,
	}))
	if o.SDL != "" {
		mux.Handle("/schema.graphql", reading(func(w http.ResponseWriter, _ *http.Request) {
			writePlain(w, http.StatusOK, "text/plain; charset=utf-8", o.SDL)
		}))
	}
	checks := Checks(o)
	mux.Handle(pathHealth, checks)
	mux.Handle(pathReady, checks)
	if o.Playground != nil {
		mux.Handle("/{$}", reading(o.Playground.ServeHTTP))
		mux.Handle("/playground/", reading(o.Playground.ServeHTTP))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(http.StatusNotFound, "nothing is at this address: the endpoint is /graphql").write(w, typeJSON)
	})
	return observed(guarded(newHosts(o.LocalOnly, o.Hosts).guard(mux)), clients, o)
}

// The paths of the health checks.
const (
	pathHealth = "/healthz"
	pathReady  = "/readyz"
)

// Checks returns the handler of the health checks alone: /healthz and /readyz. It needs only Options.Ready.
func Checks(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(pathHealth, reading(func(w http.ResponseWriter, _ *http.Request) {
		writePlain(w, http.StatusOK, typeJSON, `{"status":"ok"}`)
	}))
	mux.Handle(pathReady, reading(o.readiness))
	return mux
}

// readiness answers whether the server is ready for requests. With ?for=reads: for queries.
func (o Options) readiness(w http.ResponseWriter, r *http.Request) {
	purpose := r.URL.Query()
	reads := purpose.Get("for") == "reads"
	if purpose.Has("for") && !reads {
		refuse(http.StatusBadRequest, "for takes reads, or is left out").write(w, typeJSON)
		return
	}
	if o.Streams.is(stopping) {
		writePlain(w, http.StatusServiceUnavailable, typeJSON, `{"status":"stopping"}`)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	switch err := o.Ready(ctx, reads); {
	case err == nil:
		writePlain(w, http.StatusOK, typeJSON, `{"status":"ready"}`)
	case errors.Is(err, ErrReadOnly):
		writePlain(w, http.StatusServiceUnavailable, typeJSON, `{"status":"read only"}`)
	default:
		writePlain(w, http.StatusServiceUnavailable, typeJSON, `{"status":"unavailable"}`)
	}
}

// reading refuses all methods except GET and HEAD.
func reading(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			refuseMethod("GET, HEAD").write(w, typeJSON)
			return
		}
		handler(w, r)
	})
}
