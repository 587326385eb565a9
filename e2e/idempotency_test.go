package e2e

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestSentAgainFromAnotherOrigin does what a browser does for a page of another origin that sends a mutation with a key
// twice: it asks what it may send, and lets the page read which headers it may. In between, the server starts anew.
func TestSentAgainFromAnotherOrigin(t *testing.T) {
	t.Parallel()
	binary := build(t)
	const origin = "https://app.example.com"
	file := filepath.Join(t.TempDir(), "roster.db")
	var first string
	for _, replayed := range []string{"", "true"} {
		server := start(t, binary, "sqlite:"+file, "SQLite ("+file+")", "--cors-origins="+origin)
		send := func(method, body string, header http.Header) (http.Header, string) {
			request, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/graphql", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header = header
			request.Header.Set("Origin", origin)
			return exchange(t, request)
		}
		allowed, _ := send(http.MethodOptions, "", http.Header{
			"Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"content-type,idempotency-key"},
		})
		if !lists(allowed, "Access-Control-Allow-Headers", "idempotency-key") {
			t.Errorf("got %v, want idempotency-key among the allowed headers", allowed)
		}
		header, body := send(http.MethodPost, `{"query": "mutation { createUser(input: {username: \"ada\", email: \"ada@example.com\"}) { user { id } } }"}`,
			http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {"once"}})
		if first == "" {
			first = body
		}
		if body != first || strings.Contains(body, "errors") || header.Get("Idempotency-Replayed") != replayed {
			t.Errorf("got %s with %v, want %s with Idempotency-Replayed: %q", body, header, first, replayed)
		}
		if !lists(header, "Access-Control-Expose-Headers", "idempotency-replayed") {
			t.Errorf("got %v, want idempotency-replayed among the exposed headers", header)
		}
		server.stop(t, syscall.SIGTERM)
	}
}

// lists reports whether a header lists the name of another.
func lists(header http.Header, name, other string) bool {
	return slices.Contains(strings.Split(strings.ReplaceAll(strings.ToLower(header.Get(name)), " ", ""), ","), other)
}
