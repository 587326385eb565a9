package server

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"strings"

	"roster/internal/requestid"
)

// observed sets the ID of each request in its context and in the answer. It logs each answer, tells the observer of it, and
// answers a panic.
func observed(next http.Handler, clients clients, o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := o.Clock()
		id := r.Header.Get("X-Request-Id")
		if !requestid.Valid(id) {
			id = o.NewRequestID()
		}
		w.Header().Set("X-Request-Id", id)
		ctx := requestid.WithContext(r.Context(), id)
		recorder := &recorder{ResponseWriter: w, streams: o.Streams}
		r = r.WithContext(ctx) // the mux writes the pattern into it
		if o.Observer != nil {
			recorder.report = func() { recorder.tell(o.Observer, r, o.Clock().Sub(start)) }
			defer recorder.reportOnce()
		}
		defer func() {
			if !o.Logger.Enabled(ctx, slog.LevelDebug) {
				return
			}
			o.Logger.DebugContext(ctx, "answered", "client", clients.address(ctx, r),
				"method", r.Method, "path", r.URL.Path, "status", recorder.status, "bytes", recorder.bytes,
				"duration", o.Clock().Sub(start), "requestId", id)
		}()
		defer answerPanic(ctx, recorder, o.Logger)
		next.ServeHTTP(recorder, r)
	})
}

// answerPanic is deferred. It logs a panic once and answers with INTERNAL. If the answer has started, it breaks the
// connection, since there is no other way to tell the client.
func answerPanic(ctx context.Context, w *recorder, logger *slog.Logger) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler { //nolint:errorlint // The value itself is the signal, as in net/http.
		panic(cause)
	}
	logPanic(ctx, logger, cause)
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	r := &refusal{status: http.StatusInternalServerError, message: messageInternal, extensions: internal(ctx)}
	r.write(w, typeJSON)
}

// logPanic logs a panic. It is called while the stack still shows the place of the panic.
func logPanic(ctx context.Context, logger *slog.Logger, cause any) {
	logger.ErrorContext(ctx, "a handler panicked",
		"panic", fmt.Sprint(cause), "stack", string(debug.Stack()), "requestId", requestid.FromContext(ctx))
}

// recorder records the status and the size of an answer.
type recorder struct {
	http.ResponseWriter
	streams *Streams
	status  int // 0 until the answer starts
	bytes   int64
	refused *refusal // the answer, if the server refused the request
	report  func()   // tells an observer of the answer. nil: there is none, or it was told
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		r.start(status)
	}
	r.ResponseWriter.WriteHeader(status)
}

// start records the status. If the server is about to stop, the next request of the client needs another connection.
// HTTP/2 has no such header; there, net/http tells the client in its own way.
func (r *recorder) start(status int) {
	r.status = status
	if status != http.StatusSwitchingProtocols && !r.streams.is(serving) {
		r.Header().Set("Connection", "close")
	}
	if r.report != nil && (status == http.StatusSwitchingProtocols || strings.HasPrefix(r.Header().Get("Content-Type"), typeEvents)) {
		r.reportOnce() // a stream can last for days
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.start(http.StatusOK)
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap gives http.ResponseController the wrapped writer.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// guarded sets headers that allow pages nothing except this server. The playground sets its own policy.
func guarded(next http.Handler) http.Handler {
	headers := http.Header{
		"Content-Security-Policy": {"default-src 'none'; script-src 'self'; style-src 'self'; " +
			"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
		"X-Frame-Options":              {"DENY"}, // for browsers without frame-ancestors
		"X-Content-Type-Options":       {"nosniff"},
		"Referrer-Policy":              {"no-referrer"},
		"Permissions-Policy":           {"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"},
		"Cross-Origin-Opener-Policy":   {"same-origin"},
		"Cross-Origin-Resource-Policy": {"same-origin"}, // CORS allows more, to the origins that may use the endpoint
		"Cache-Control":                {"no-store"},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		maps.Copy(h, headers)                         // the answers share the values: nothing appends to them
		if r.TLS != nil && hostOf(r) != "localhost" { // other programs of a developer use localhost without TLS
			h.Set("Strict-Transport-Security", "max-age=31536000") // a year
		}
		next.ServeHTTP(w, r)
	})
}
