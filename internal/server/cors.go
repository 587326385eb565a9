package server

import (
	"net/http"
	"net/url"
	"strings"

	"roster/internal/codes"
)

// AnyOrigin in Options.Origins allows all origins.
const AnyOrigin = "*"

// The methods and headers that pages of other origins may send, the headers that they may read, and the seconds that a
// browser may cache this.
const (
	corsMethods = "GET, HEAD, POST"
	corsHeaders = "Content-Type, Authorization, Idempotency-Key, X-Request-Id, Cache-Control, Last-Event-ID, " +
		"Apollo-Require-Preflight, GraphQL-Preflight, X-Apollo-Operation-Name, " +
		"Apollographql-Client-Name, Apollographql-Client-Version, " +
		"Traceparent, Tracestate, Baggage, X-Roster-Profile, Roster-Consistency"
	corsExposed = "X-Request-Id, Idempotency-Replayed, Retry-After, WWW-Authenticate, Server-Timing, Roster-Consistency"
	corsMaxAge  = "7200" // the maximum of Chromium
)

// origins are the origins whose pages may use the endpoint, besides the origin of the server. Cookies are never allowed
// across origins: a page sends its token in a header.
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

// describe sets the headers that every answer has.
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

// preflight answers the question of a browser what it may send.
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

// crossOrigin reports whether a browser sends the request for a page of another origin. If the header Origin names the
// requested host, the origin is the same. Otherwise a proxy may have changed the host, so Sec-Fetch-Site decides. A
// request without both headers does not come from a modern browser.
func crossOrigin(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	if origin := r.Header.Get("Origin"); origin != "" {
		from, err := url.Parse(origin)
		named := err == nil && from.Host != "" && strings.EqualFold(from.Host, r.Host)
		return !named && site != "same-origin"
	}
	return site != "" && site != "same-origin" && site != "none"
}
