package server

import (
	"net/http"
	"net/url"
	"strings"

	"roster/internal/codes"
)

// AnyOrigin among Options.Origins stands for all of them.
const AnyOrigin = "*"

// What pages of other origins may use and see, and for how many seconds a browser may remember it.
const (
	corsMethods = "GET, HEAD, POST"
	corsHeaders = "Content-Type, Authorization, Idempotency-Key, X-Request-Id, Cache-Control, Last-Event-ID, " +
		"Apollo-Require-Preflight, GraphQL-Preflight, X-Apollo-Operation-Name, " +
		"Apollographql-Client-Name, Apollographql-Client-Version, " +
		"Traceparent, Tracestate, Baggage"
	corsExposed = "X-Request-Id, Idempotency-Replayed, Retry-After, WWW-Authenticate"
	corsMaxAge  = "7200" // more than that, Chromium does not remember
)

// origins are the origins whose pages may use the endpoint, beside the server's own. Credentials are
// never allowed across origins: a page sends its token in a header, and knows it.
type origins struct {
	any    bool
	listed map[string]bool
}

func newOrigins(list []string) origins {
	o := origins{listed: make(map[string]bool, len(list))}
	for _, origin := range list {
		o.any = o.any || origin == AnyOrigin
		o.listed[origin] = true
	}
	return o
}

// guard implements the CORS protocol of the Fetch standard for next. Browsers send a GET and a WebSocket across origins
// without a preflight; guard refuses both from an origin that is not allowed. A POST across origins has a preflight,
// because it must be application/json.
func (o origins) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		allowed := o.any || o.listed[origin]
		o.describe(w.Header(), origin)
		switch {
		case len(o.listed) > 0 && r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "":
			o.preflight(w, allowed)
		case (r.Method == http.MethodGet || r.Method == http.MethodHead) && !allowed && crossOrigin(r):
			refuseOrigin(w)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// describe sets what every answer says about the origins.
func (o origins) describe(h http.Header, origin string) {
	switch {
	case len(o.listed) == 0:
		return
	case o.any:
		h.Set("Access-Control-Allow-Origin", AnyOrigin)
	default:
		h.Add("Vary", "Origin")
		if !o.listed[origin] {
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
	}
	h.Set("Access-Control-Expose-Headers", corsExposed)
}

// preflight answers a browser that asks what it may send.
func (o origins) preflight(w http.ResponseWriter, allowed bool) {
	if !allowed {
		refuseOrigin(w)
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
}

func refuseOrigin(w http.ResponseWriter) {
	refuseFor(http.StatusForbidden, codes.Forbidden, "pages of this origin may not use this server: see --cors-origins").write(w, typeJSON)
}

// crossOrigin reports whether a browser sends the request for a page of another origin than the
// server's. The Origin header decides where it names the host that was asked; where it does not, a
// proxy may have changed the host, which Sec-Fetch-Site tells. A request with neither header comes
// from no browser of these days.
func crossOrigin(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	if origin := r.Header.Get("Origin"); origin != "" {
		from, err := url.Parse(origin)
		named := err == nil && from.Host != "" && strings.EqualFold(from.Host, r.Host)
		return !named && site != "same-origin"
	}
	return site != "" && site != "same-origin" && site != "none"
}
