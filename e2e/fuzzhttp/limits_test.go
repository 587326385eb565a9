package fuzzhttp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"roster/graph/graphtest"
	"roster/internal/auth/provider"
)

// rateLimit is the budget of each caller, in points a minute. The clients of a test would spend it in a moment.
const rateLimit = 1200

const issuer = "https://id.example.com/"

// callers are those of a server with a rate limit: a few with credentials, and many addresses behind a proxy.
type callers struct {
	key       *provider.Key
	wellMeant string // the token of the client that must always be answered
	tokens    []string
	paid      []atomic.Int64 // by each token, in points
	began     time.Time
}

func newCallers(t *testing.T) *callers {
	t.Helper()
	c := &callers{key: provider.NewKey(t, "HS256", ""), paid: make([]atomic.Int64, 3), began: time.Now()}
	c.wellMeant = c.token("well-meant")
	for i := range c.paid {
		c.tokens = append(c.tokens, c.token(fmt.Sprintf("caller %d", i)))
	}
	return c
}

func (c *callers) token(subject string) string {
	return c.key.Token(map[string]any{
		"iss": issuer, "aud": provider.Audience, "sub": subject, "roles": "ADMIN", "exp": c.began.Add(24 * time.Hour).Unix(),
	})
}

// serve runs "roster serve" with the rate limit until ctx ends.
func (c *callers) serve(ctx context.Context, url string, stdout, stderr io.Writer) error {
	getenv := func(name string) string {
		return map[string]string{"ROSTER_AUTH_HS256_SECRET": string(c.key.Secret())}[name]
	}
	return serveProgram(ctx, url, getenv, stdout, stderr,
		"--auth-issuer="+issuer, "--auth-audience="+provider.Audience, fmt.Sprintf("--rate-limit=%d", rateLimit), "--trusted-proxies=127.0.0.0/8")
}

// credentials returns headers that say who asks, and the number of the token, or -1.
func (c *callers) credentials(r *requester) (headers [][2]string, caller int) {
	address := graphtest.Pick(r.Random, "192.0.2.%d", "2001:db8:%x::1", "192.0.2.%d:80", "[::ffff:192.0.2.%d]", "unknown %d", "127.0.0.%d", "198.51.100.7, 192.0.2.%d")
	headers = [][2]string{{"X-Forwarded-For", fmt.Sprintf(address, r.Random.IntN(256))}}
	if r.Chance(10) {
		headers = append(headers, [2]string{"X-Forwarded-For", graphtest.Pick(r.Random, "", "127.0.0.1", ",", "192.0.2.7", "x")})
	}
	switch n := r.Random.IntN(10); {
	case n < 6:
		caller = r.Random.IntN(len(c.tokens))
		return append(headers, [2]string{"Authorization", "Bearer " + c.tokens[caller]}), caller
	case n < 8: // a new wrong token
		forged := c.tokens[0][:len(c.tokens[0])-10] + fmt.Sprintf("%010d", r.Random.IntN(1e9))
		return append(headers, [2]string{"Authorization", "Bearer " + forged}), -1
	}
	return headers, -1
}

// begin lets each caller send a request that must be answered. Most random requests are refused, and each takes a point. So a
// caller may have none left before its first random operation.
func (c *callers) begin(f *fuzz) {
	f.Helper()
	for i, token := range c.tokens {
		if f.answers(token) {
			c.paid[i].Add(1)
		}
	}
}

// pays notes the response of an operation or an event that was executed. Most responses say what it costs, and each costs at
// least a point.
func (c *callers) pays(caller int, response []byte) {
	if c == nil || caller < 0 {
		return
	}
	var r struct {
		Extensions struct{ Cost struct{ Cost int64 } }
	}
	_ = json.Unmarshal(response, &r) // verify reports an error
	c.paid[caller].Add(max(r.Extensions.Cost.Cost, 1))
}

// check fails if a caller got more than its budget.
func (c *callers) check(t *testing.T, refused int) {
	t.Helper()
	most := rateLimit + int64(time.Since(c.began).Minutes()*rateLimit) + 1
	for i := range c.paid {
		got := c.paid[i].Load()
		t.Logf("caller %d: %d points", i, got)
		if got == 0 || got > most {
			t.Errorf("caller %d: got %d points, want 1 to %d", i, got, most)
		}
	}
	if refused == 0 {
		t.Error("got no refusal because of the rate, want some")
	}
}
