package server_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"roster/internal/server"
)

func TestCORS(t *testing.T) {
	t.Parallel()
	const (
		app       = "https://app.test"
		elsewhere = "https://elsewhere.test"
		exposed   = "X-Request-Id, Idempotency-Replayed, Retry-After, WWW-Authenticate, Server-Timing, Roster-Consistency"
	)
	var (
		none = []string(nil)
		one  = []string{"https://other.test", app}
		all  = []string{server.AnyOrigin}
	)
	for name, test := range map[string]struct {
		origins []string
		origin  string
		request request
		allowed string // Access-Control-Allow-Origin
		vary    []string
	}{
		"off, from elsewhere": {none, elsewhere, request{body: `{"query":"{ echo }"}`, answer: `{"data":{"echo":null}}`}, "", []string{"Accept, Accept-Encoding, Authorization"}},
		"off, a preflight": {none, app, request{
			method: http.MethodOptions, headers: map[string]string{"Access-Control-Request-Method": "POST"},
			status: http.StatusMethodNotAllowed, code: "BAD_REQUEST",
		}, "", []string{"Accept, Accept-Encoding, Authorization"}},
		"from the app": {one, app, request{body: `{"query":"{ echo }"}`, answer: `{"data":{"echo":null}}`}, app, []string{"Origin", "Accept, Accept-Encoding, Authorization"}},
		"from elsewhere": {
			one, elsewhere,
			request{body: `{"query":"{ echo }"}`, answer: `{"data":{"echo":null}}`},
			"",
			[]string{"Origin", "Accept, Accept-Encoding, Authorization"},
		},
		"from nowhere":             {one, "", request{body: `{"query":"{ echo }"}`, answer: `{"data":{"echo":null}}`}, "", []string{"Origin", "Accept, Accept-Encoding, Authorization"}},
		"from anywhere":            {all, elsewhere, request{body: `{"query":"{ echo }"}`, answer: `{"data":{"echo":null}}`}, "*", []string{"Accept, Accept-Encoding, Authorization"}},
		"from a page without one":  {all, "null", request{body: `{"query":"{ echo }"}`, answer: `{"data":{"echo":null}}`}, "*", []string{"Accept, Accept-Encoding, Authorization"}},
		"a refusal from the app":   {one, app, request{body: `{`, status: http.StatusBadRequest, code: "BAD_REQUEST"}, app, []string{"Origin", "Accept, Accept-Encoding, Authorization"}},
		"a panic from the app":     {one, app, request{body: `{"query":"{ panics }"}`, status: http.StatusInternalServerError, code: "INTERNAL"}, app, []string{"Origin", "Accept, Accept-Encoding, Authorization"}},
		"a form from the app":      {one, app, request{headers: map[string]string{"Content-Type": "text/plain"}, body: `{"query":"{ echo }"}`, status: http.StatusUnsupportedMediaType, code: "BAD_REQUEST"}, app, []string{"Origin", "Accept, Accept-Encoding, Authorization"}},
		"OPTIONS without a reason": {one, app, request{method: http.MethodOptions, status: http.StatusMethodNotAllowed, code: "BAD_REQUEST"}, app, []string{"Origin", "Accept, Accept-Encoding, Authorization"}},
		"a preflight from the app": {one, app, request{
			method: http.MethodOptions, headers: map[string]string{"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,authorization"},
			status: http.StatusNoContent, answers: map[string]string{
				"Access-Control-Allow-Methods": "GET, HEAD, POST",
				"Access-Control-Allow-Headers": "Content-Type, Authorization, Idempotency-Key, X-Request-Id, Cache-Control, Last-Event-ID, " +
					"Apollo-Require-Preflight, GraphQL-Preflight, " +
					"X-Apollo-Operation-Name, Apollographql-Client-Name, Apollographql-Client-Version, Traceparent, Tracestate, Baggage, X-Roster-Profile, Roster-Consistency",
				"Access-Control-Max-Age": "7200",
			},
		}, app, []string{"Origin"}},
		"a preflight from anywhere": {all, elsewhere, request{
			method: http.MethodOptions, headers: map[string]string{"Access-Control-Request-Method": "POST"}, status: http.StatusNoContent,
		}, "*", nil},
		"a preflight from elsewhere": {one, elsewhere, request{
			method: http.MethodOptions, headers: map[string]string{"Access-Control-Request-Method": "POST"}, status: http.StatusForbidden, code: "FORBIDDEN",
			answers: map[string]string{"Access-Control-Allow-Methods": ""},
		}, "", []string{"Origin"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := testOptions()
			o.Origins = test.origins
			r := test.request
			headers := map[string]string{"Origin": test.origin}
			maps.Copy(headers, r.headers)
			if test.origin == "" {
				delete(headers, "Origin")
			}
			r.headers = headers
			w := r.send(t, server.New(o))
			r.check(t, w)
			got := w.Header()
			if got.Get("Access-Control-Allow-Origin") != test.allowed || (got.Get("Access-Control-Expose-Headers") == exposed) != (test.allowed != "") {
				t.Errorf("allowed %q, exposed %q, want %q", got.Get("Access-Control-Allow-Origin"), got.Get("Access-Control-Expose-Headers"), test.allowed)
			}
			if got.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("got credentials allowed, want them not allowed")
			}
			if !slices.Equal(got.Values("Vary"), test.vary) {
				t.Errorf("Vary: %q, want %q", got.Values("Vary"), test.vary)
			}
		})
	}
}

// TestCrossSiteReading has what browsers send without asking first.
func TestCrossSiteReading(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		allowed, origin, site string
		want                  bool
	}{
		{"", "", "", true}, // no browser
		{"", "", "same-origin", true},
		{"", "", "none", true}, // typed in by somebody
		{"", "", "cross-site", false},
		{"", "", "same-site", false},
		{"", "http://example.com", "", true}, // which httptest asks for
		{"", "https://app.test", "", false},
		{"", "https://app.test", "cross-site", false},
		{"", "https://app.test", "same-origin", true}, // through a proxy that changes the host
		{"", "null", "cross-site", false},
		{"https://app.test", "https://app.test", "cross-site", true},
		{"https://app.test", "https://app.test", "", true},
		{"https://app.test", "https://other.test", "cross-site", false},
		{"https://app.test", "", "cross-site", false},
		{"*", "https://other.test", "cross-site", true},
		{"*", "", "cross-site", true},
	} {
		o := testOptions()
		if test.allowed != "" {
			o.Origins = []string{test.allowed}
		}
		handler := server.New(o)
		headers := map[string]string{}
		if test.origin != "" {
			headers["Origin"] = test.origin
		}
		if test.site != "" {
			headers["Sec-Fetch-Site"] = test.site
		}
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for _, accept := range []string{typeJSON, typeEvents} {
				headers["Accept"] = accept
				w := request{method: method, target: get("query", "{echo}"), headers: headers}.send(t, handler)
				if got := w.Code == http.StatusOK; got != test.want || !got && (w.Code != http.StatusForbidden || onlyCode(w.Body.Bytes()) != "FORBIDDEN") {
					t.Errorf("%s for %s, %+v: got status %d, %s, want accepted: %t", method, accept, test, w.Code, w.Body, test.want)
				}
			}
		}
		if w := (request{method: http.MethodGet, target: "/healthz", headers: headers}).send(t, handler); w.Code != http.StatusOK {
			t.Errorf("health, %+v: got status %d, want 200", test, w.Code)
		}
	}
}
