package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"roster/internal/dbtest"
)

// TestProfileAccess asks for profiles: in development every caller gets them, in production an ADMIN.
func TestProfileAccess(t *testing.T) {
	t.Parallel()
	a := newAccessible(t, dbtest.SQLite, build(t))
	development := a.servers[0]
	production := start(t, a.binary, a.url, displayName(t, dbtest.SQLite, a.url), append(a.flags, "--mode=production")...)
	a.ask(0, a.admin, `mutation { createUser(input: {username: "ada", email: "ada@example.com", identity: {issuer: "https://id.example.com/", subject: "ada"}}) { user { id } } }`)
	member := a.roster("token", "mint", "--subject=ada", "--roles=MEMBER")
	const query, rename = `{ viewer { user { id } } }`, `mutation { createUser(input: {username: "eva", email: "eva@example.com"}) { user { id } } }`
	for name, test := range map[string]struct {
		server             *process
		credentials, query string
		header             string
		status             int
		code               string
	}{
		"a MEMBER in development":      {development, member, query, "1", 200, ""},
		"a MEMBER in production":       {production, member, query, "1", 403, "FORBIDDEN"},
		"a MEMBER who asks for plans":  {production, member, query, "explain", 403, "FORBIDDEN"},
		"a MEMBER who writes":          {production, member, rename, "1", 403, "FORBIDDEN"},
		"a MEMBER with a wrong header": {production, member, query, "2", 400, "BAD_REQUEST"},
		"an ADMIN in production":       {production, a.admin, query, "explain", 200, ""},
		"nobody in production":         {production, "", query, "1", 401, "UNAUTHENTICATED"},
		"an ADMIN who subscribes":      {production, a.admin, "subscription { changes { kind } }", "1", 400, "BAD_REQUEST"},
		"a MEMBER without the header":  {production, member, query, "", 200, ""},
	} {
		body, err := json.Marshal(map[string]string{"query": test.query})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, test.server.URL+"/graphql", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/graphql-response+json, text/event-stream")
		if test.credentials != "" {
			r.Header.Set("Authorization", "Bearer "+test.credentials)
		}
		if test.header != "" {
			r.Header.Set("X-Roster-Profile", test.header)
		}
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Data       json.RawMessage
			Errors     []struct{ Extensions struct{ Code string } }
			Extensions map[string]json.RawMessage
		}
		err = json.NewDecoder(response.Body).Decode(&answer)
		response.Body.Close()
		profiled := test.header != "" && test.status == http.StatusOK
		if err != nil || response.StatusCode != test.status || (answer.Extensions["profile"] != nil) != profiled || (response.Header.Get("Server-Timing") != "") != profiled ||
			(test.code != "") != (len(answer.Errors) > 0 && answer.Errors[0].Extensions.Code == test.code) || test.code != "" && answer.Data != nil {
			t.Errorf("%s: got %d, %+v, %v, %v, want %d %s", name, response.StatusCode, answer, response.Header, err, test.status, test.code)
		}
	}
	if got := a.ask(0, a.admin, `{ user(by: {username: "eva"}) { id } }`); got != `{"data":{"user":null}}` {
		t.Errorf("got %s, want no user of the refused mutation", got)
	}
	_, response, err := websocket.Dial(t.Context(), production.URL+"/graphql", &websocket.DialOptions{ //nolint:bodyclose // the library does
		Subprotocols: []string{"graphql-transport-ws"}, HTTPHeader: http.Header{"X-Roster-Profile": {"1"}},
	})
	if err == nil || response == nil || response.StatusCode != http.StatusBadRequest {
		t.Errorf("a WebSocket: got %v, %v, want 400", response, err)
	}
	production.stop(t, syscall.SIGTERM)
}
