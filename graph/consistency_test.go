package graph_test

import (
	"net/http"
	"strings"
	"testing"

	"roster/internal/consistency"
	"roster/internal/dbtest"
)

// TestWithoutReplicas wants that a server without replicas sends no token, and reads after any token. A malformed one is an
// error also there, and so is a list of tokens.
func TestWithoutReplicas(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		const name = "Roster-Consistency"
		mutation := s.body(`mutation { createUser(input: { username: "ada", email: "ada@example.com" }) { user { username } } }`)
		for range 2 { // the second answer is that of the first request
			if response, text := s.send(http.MethodPost, s.url, mutation, "Idempotency-Key", "k"); response.StatusCode != http.StatusOK || response.Header.Get(name) != "" {
				s.Errorf("a mutation: got %d, %s and the token %q, want data and no token", response.StatusCode, text, response.Header.Get(name))
			}
		}
		for query, code := range map[string]string{
			`{ changesCursor users { totalCount } }`: "",
			`{ changes { caughtUp } }`:               "",
			`mutation { createUser(input: { username: "ada", email: "other@example.com" }) { user { id } } }`: "TAKEN",
		} {
			response, text := s.send(http.MethodPost, s.url, s.body(query))
			if response.Header.Get(name) != "" || !strings.Contains(string(text), code) || code == "" && strings.Contains(string(text), "errors") {
				s.Errorf("%s: got %s and the token %q, want no token and %q", query, text, response.Header.Get(name), code)
			}
		}
		token := consistency.Position{Log: consistency.WAL, Branch: 1, Number: 1}.String()
		query := s.body(`{ user(by: { username: "ada" }) { username } }`)
		if response, text := s.send(http.MethodPost, s.url, query, name, token); response.StatusCode != http.StatusOK || !strings.Contains(string(text), `"ada"`) {
			s.Errorf("a query with a token: got %d and %s, want data", response.StatusCode, text)
		}
		if response, text := s.send(http.MethodPost, s.url, query, name, token+", "+token); response.StatusCode != http.StatusBadRequest {
			s.Errorf("a list of tokens: got %d and %s, want 400", response.StatusCode, text)
		}
		for _, body := range [][]byte{query, mutation, s.body(`{ nothing }`), s.body(`subscription { changes { kind } }`)} {
			response, text := s.send(http.MethodPost, s.url, body, name, token[1:])
			if response.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), `"code":"BAD_REQUEST"`) {
				s.Errorf("%s with a malformed token: got %d and %s, want 400 and BAD_REQUEST", body, response.StatusCode, text)
			}
		}
	})
}
