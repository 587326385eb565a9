package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"roster/internal/server"
)

// TestIdempotencyKey sends keys that a mutation may not have, and some that it may; a query's are ignored.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	handler := server.New(testOptions())
	const (
		mutation = `{"query":"mutation { echo(text: \"m\") }"}`
		query    = `{"query":"{ echo(text: \"q\") }"}`
	)
	for name, test := range map[string]struct {
		keys    []string
		refused bool
	}{
		"none":                  {nil, false},
		"one character":         {[]string{"x"}, false},
		"255 characters":        {[]string{strings.Repeat("x", 255)}, false},
		"255 longer characters": {[]string{strings.Repeat("é", 255)}, false},
		"a structured field":    {[]string{`"8e03978e-40d5-43dd-bc93-6894a57f9324"`}, false},
		"empty":                 {[]string{""}, true},
		"256 characters":        {[]string{strings.Repeat("x", 256)}, true},
		"two":                   {[]string{"x", "y"}, true},
		"the same twice":        {[]string{"x", "x"}, true},
	} {
		for body, answer := range map[string]string{mutation: `{"data":{"echo":"m"}}`, query: `{"data":{"echo":"q"}}`} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", strings.NewReader(body))
			r.Header.Set("Content-Type", typeJSON)
			r.Header["Idempotency-Key"] = test.keys
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			want := request{answer: answer, answers: map[string]string{"Idempotency-Replayed": ""}}
			if test.refused && body == mutation {
				want = request{status: http.StatusBadRequest, code: "BAD_REQUEST"}
			}
			t.Log(name)
			want.check(t, w)
		}
	}
}
