package e2e

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"roster/internal/auth/provider"
	"roster/internal/dbtest"
)

// TestProvider starts the program with the settings of tokens, and asks it with tokens that differ in one claim: each setting
// has an effect.
func TestProvider(t *testing.T) {
	t.Parallel()
	signer := provider.NewKey(t, "ES256", "first")
	idp := provider.New(t, signer)
	database := dbtest.Empty(t, dbtest.SQLite)
	p := start(t, build(t), database, displayName(t, dbtest.SQLite, database), "--auth-jwks-url="+idp.KeysURL, "--auth-issuer="+idp.Issuer,
		"--auth-audience=roster", "--auth-subject-claim=/oid", "--auth-roles-claim=/groups", "--auth-role-map=admins=ADMIN",
		"--auth-default-role=MEMBER", "--auth-require-at-jwt", "--auth-link-by-email", "--auth-anonymous=read")
	ask := func(token, query string) string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/graphql", strings.NewReader(`{"query": "`+query+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	claims := func(subject string, groups ...string) map[string]any {
		c := idp.Claims("sub of " + subject)
		c["oid"], c["groups"], c["email"], c["email_verified"] = subject, groups, subject+"@example.com", true
		return c
	}
	const viewer = "{ viewer { subject roles user { username } } }"
	admin := signer.Token(claims("root", "admins"))
	for _, test := range []struct{ what, token, query, want string }{
		{"an anonymous caller, who may read", "", "{ users { totalCount } }", `{"data":{"users":{"totalCount":0}}}`},
		{"the claims and the map", admin, viewer, `{"data":{"viewer":{"subject":"root","roles":["ADMIN"],"user":null}}}`},
		{"a user to link", admin, `mutation { createUser(input: {username: \"ada\", email: \"ada@example.com\"}) { user { username } } }`, `{"data":{"createUser":{"user":{"username":"ada"}}}}`},
		{"the default role, and the link", signer.Token(claims("ada", "ADMIN")), viewer, `{"data":{"viewer":{"subject":"ada","roles":["MEMBER"],"user":{"username":"ada"}}}}`},
	} {
		if got := ask(test.token, test.query); got != test.want {
			t.Errorf("%s: got %s, want %s", test.what, got, test.want)
		}
	}
	parts := strings.Split(admin, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(signer.Sign(`{"alg":"ES256","kid":"first","typ":"JWT"}`, string(payload)), viewer); !strings.Contains(got, "must be at+jwt") {
		t.Errorf("a token of the type JWT: got %s, want a refusal", got)
	}
	p.stop(t, syscall.SIGTERM)
}
