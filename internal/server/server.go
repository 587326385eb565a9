// Package server is the HTTP side of Roster: it reads GraphQL requests by the GraphQL over HTTP
// specification (https://graphql.github.io/graphql-over-http/draft/) and by the protocols GraphQL
// over WebSocket and GraphQL over Server-Sent Events, hands them to an executor and writes its
// answers. Beside the endpoint it serves the playground, the schema and the two health
// checks. It knows nothing of users, posts and databases.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"roster/internal/budget"
)

// readyTimeout bounds what Options.Ready may take: an orchestrator asks every few seconds.
const readyTimeout = 2 * time.Second

// ErrReadOnly says that requests which change something cannot be answered now, and others can.
var ErrReadOnly = errors.New("read only")

// Options are the dependencies and bounds of the server. A field is required unless its comment gives its
// meaning when it is empty.
type Options struct {
	Executor Executor
	// Ready returns nil when requests can be answered, or with reads, when those can that change nothing. An error that
	// wraps ErrReadOnly says that those can. Errors are not shown; Ready has logged them.
	Ready func(ctx context.Context, reads bool) error
	// Playground is the page at / and what belongs to it below /playground/; without one, nothing is there.
	Playground http.Handler
	// SDL is the text of /schema.graphql; without one, nothing is there.
	SDL    string
	Logger *slog.Logger
	// Clock gives the time for the durations in the access log.
	Clock func() time.Time
	// NewRequestID makes the ID of a request that comes without a usable one.
	NewRequestID func() string
	// MaxBodyBytes bounds the body of a request; a larger one is answered with 413. It bounds the
	// messages on a WebSocket, too; a larger one closes the socket with 1009.
	MaxBodyBytes int64
	// MaxValues bounds the values in the JSON of a request, and in a message on a WebSocket, those
	// inside others included. 0 is no bound but that of the bytes.
	MaxValues int
	// MaxRequests bounds the requests that are executed at a time, those on WebSockets included and
	// subscriptions excepted, which have bounds of their own; a further one is answered with 503, or
	// on a WebSocket with an error, at once. 0 is no bound.
	MaxRequests int
	// Origins are the origins of other sites whose pages may use the endpoint, each in the form that
	// browsers send, such as https://app.example.com, or AnyOrigin. It may be empty.
	Origins []string
	// Budget is the memory of all answers; nil is no bound.
	Budget *budget.Budget
	// WriteTimeout is how long a client may take to accept an answer that is not a stream. 0 is no bound.
	WriteTimeout time.Duration
	// Streams are the WebSockets and event streams that are open, for Serve to end.
	Streams *Streams
}

// New returns the handler of the whole server.
func New(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/graphql", newOrigins(o.Origins).guard(endpoint{
		executor: o.Executor, logger: o.Logger, maxBodyBytes: o.MaxBodyBytes, maxValues: o.MaxValues,
		requests: newGate(o.MaxRequests), streams: o.Streams, budget: o.Budget,
		compressors: newCompressors(), writeTimeout: o.WriteTimeout,
	}))
	if o.SDL != "" {
		mux.Handle("/schema.graphql", reading(func(w http.ResponseWriter, _ *http.Request) {
			writePlain(w, http.StatusOK, "text/plain; charset=utf-8", o.SDL)
		}))
	}
	mux.Handle("/healthz", reading(func(w http.ResponseWriter, _ *http.Request) {
		writePlain(w, http.StatusOK, typeJSON, `{"status":"ok"}`)
	}))
	mux.Handle("/readyz", reading(o.readiness))
	if o.Playground != nil {
		mux.Handle("/{$}", reading(o.Playground.ServeHTTP))
		mux.Handle("/playground/", reading(o.Playground.ServeHTTP))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(http.StatusNotFound, "nothing is at this address: the endpoint is /graphql").write(w, typeJSON)
	})
	return observed(guarded(mux), o)
}

// readiness answers whether the server can be sent requests; with ?for=reads, those that change nothing.
func (o Options) readiness(w http.ResponseWriter, r *http.Request) {
	purpose := r.URL.Query()
	reads := purpose.Get("for") == "reads"
	if purpose.Has("for") && !reads {
		refuse(http.StatusBadRequest, "for takes reads, or is left out").write(w, typeJSON)
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

// reading lets only GET and HEAD requests through.
func reading(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			refuseMethod("GET, HEAD").write(w, typeJSON)
			return
		}
		handler(w, r)
	})
}
