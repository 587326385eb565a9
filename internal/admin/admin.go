// Package admin is the admin listener: metrics, profiles of the running program and health checks, for operators alone. It has
// no authentication. So by default it listens only where other machines cannot reach it. The public listener has the health
// checks too, and nothing else of it.
package admin

import (
	"net/http"
	"net/http/pprof"
)

// Options are what the listener serves.
type Options struct {
	// Metrics serves /metrics, and Checks serves /healthz and /readyz.
	Metrics, Checks http.Handler
	// Guard is around everything. It refuses requests that must not be answered.
	Guard func(http.Handler) http.Handler
}

// New returns the handler of the admin listener.
func New(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", o.Metrics)
	mux.Handle("/healthz", o.Checks)
	mux.Handle("/readyz", o.Checks)
	mux.HandleFunc("/debug/pprof/", pprof.Index) // with the profiles below, but without cmdline: it can have a password
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return o.Guard(headers(mux))
}

// headers lets no page of a browser use the answers.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'") // the index of pprof has a style
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
