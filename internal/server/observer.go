package server

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"roster/internal/codes"
)

// An Observer is told of answers and streams. Its methods may be called concurrently, and must be fast.
type Observer interface {
	// Answered is called for each answer, in the context of its request. For a WebSocket or an event stream, it is called when
	// the stream opens.
	Answered(ctx context.Context, a Answer)
	// Refused is called for each request that is not executed, and for each event of a subscription that its caller has no points
	// for. status is that of the answer, also for an operation on a WebSocket, which has none. The code may be empty.
	Refused(status int, code codes.Code)
	// Opened is called when a stream opens, and Ended when it ends.
	Opened(kind StreamKind)
	Ended(kind StreamKind, code string)
}

// An Answer is an answer to a request. All texts are from small sets, whatever clients send.
type Answer struct {
	Method string // of the request; methodOther if HTTP does not know it
	Scheme string // http or https
	Route  string // the path of the handler; empty if nothing is there, or if the request was refused before
	Status int
	Took   time.Duration
}

// methodOther is the name of all methods that HTTP does not know, by the OpenTelemetry conventions.
const methodOther = "_OTHER"

// A StreamKind is a kind of streams.
type StreamKind string

// The kinds of streams.
const (
	WebSocket   StreamKind = "websocket"
	EventStream StreamKind = "event_stream"
)

// Codes of the end of an event stream, besides those of errors. A WebSocket has the codes that close it, or OtherCode.
const (
	streamComplete     = "complete"
	streamDisconnected = "disconnected"
	streamStopping     = "stopping"
	// OtherCode stands for all codes that clients invent.
	OtherCode = "other"
)

// noObserver is nobody.
type noObserver struct{}

var _ Observer = noObserver{}

func (noObserver) Answered(context.Context, Answer) {}
func (noObserver) Refused(int, codes.Code)          {}
func (noObserver) Opened(StreamKind)                {}
func (noObserver) Ended(StreamKind, string)         {}

// reportOnce tells the observer of the answer, unless it was told.
func (r *recorder) reportOnce() {
	if report := r.report; report != nil {
		r.report = nil
		report()
	}
}

// tell tells an observer of the answer to a request.
func (r *recorder) tell(to Observer, request *http.Request, took time.Duration) {
	a := Answer{Method: request.Method, Scheme: "http", Status: cmp.Or(r.status, http.StatusOK), Took: took}
	if request.TLS != nil {
		a.Scheme = "https"
	}
	if !slices.Contains([]string{
		http.MethodGet, http.MethodPost, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodTrace,
	}, a.Method) {
		a.Method = methodOther
	}
	if request.Pattern != "/" { // the handler of all other paths
		a.Route = strings.TrimSuffix(request.Pattern, "{$}")
	}
	to.Answered(request.Context(), a)
	if r.refused != nil {
		to.Refused(r.refused.status, r.refused.code())
	}
}
