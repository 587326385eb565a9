package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limited is a server with a rate limit, behind a proxy.
type limited struct {
	*testing.T
	*process
}

// ask returns the status and the text of an answer, and its Retry-After. forwarded are lines of X-Forwarded-For.
func (l *limited) ask(credentials, query string, forwarded ...string) (status int, text string, retryAfter int) {
	l.Helper()
	body := strings.NewReader(fmt.Sprintf(`{"query":%q,"extensions":{"cost":true}}`, query))
	r, err := http.NewRequestWithContext(l.Context(), http.MethodPost, l.URL+"/graphql", body)
	if err != nil {
		l.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header["X-Forwarded-For"] = forwarded
	if credentials != "" {
		r.Header.Set("Authorization", "Bearer "+credentials)
	}
	response, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if err != nil {
		l.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		l.Fatal(err)
	}
	retryAfter, _ = strconv.Atoi(response.Header.Get("Retry-After"))
	return response.StatusCode, string(all), retryAfter
}

func (l *limited) want(name string, status int, says string) func(got int, text string, retryAfter int) {
	l.Helper()
	return func(got int, text string, retryAfter int) {
		l.Helper()
		if got != status || !strings.Contains(text, says) || (status == http.StatusTooManyRequests) != (retryAfter > 0) {
			l.Errorf("%s: got %d, %s, Retry-After %d, want %d and %s", name, got, text, retryAfter, status, says)
		}
	}
}

// TestRateLimit spends the budgets of a token, an API key and addresses, with the built program.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	binary, file := build(t), filepath.Join(t.TempDir(), "roster.db")
	variables := []string{
		"ROSTER_AUTH_HS256_SECRET=" + strings.Repeat("s", 32), "ROSTER_AUTH_ISSUER=https://idp.test/", "ROSTER_AUTH_AUDIENCE=roster",
		"ROSTER_AUTH_ANONYMOUS=read", "ROSTER_RATE_LIMIT=100", "ROSTER_TRUSTED_PROXIES=127.0.0.1,10.0.0.0/8", "ROSTER_LOG_LEVEL=debug",
	}
	p := startIn(t, variables, binary, "sqlite:"+file, "SQLite ("+file+")")
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Env = append(cmd.Environ(), append(variables, "DATABASE_URL=sqlite:"+file)...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: got %v, want no error", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	ada, key := run("token", "mint", "--subject=ada", "--roles=ADMIN"), run("keys", "create", "--name=Nightly", "--role=ADMIN")
	l := &limited{t, p}
	const query = `{ users(first: 80) { nodes { id } } }` // 1 + 80 + 80/10
	const cost, limitedCode, refusedCode = `"cost":{"cost":89,"limit":100}`, `"code":"RATE_LIMITED"`, `"code":"UNAUTHENTICATED"`
	for name, credentials := range map[string]string{"a token": ada, "an API key": key} {
		l.want(name, 200, cost)(l.ask(credentials, query, "192.0.2.9"))
		status, text, wait := l.ask(credentials, query, "192.0.2.8") // the address does not count
		l.want(name+", again", 429, limitedCode)(status, text, wait)
		if wait > 47 { // 78 points, of which 100 come in a minute
			t.Errorf("%s: got %d seconds, want at most 47", name, wait)
		}
	}
	l.want("an operation dearer than the budget", 200, `the operation costs 111; the limit is 100`)(
		l.ask(run("token", "mint", "--subject=bob", "--roles=ADMIN"), `{ users(first: 100) { nodes { id } } }`))

	l.want("an address", 200, cost)(l.ask("", query, "198.51.100.7, 192.0.2.1"))
	l.want("the address in another line", 429, limitedCode)(l.ask("", query, "192.0.2.1", "10.0.0.1"))
	l.want("the address with a port", 429, limitedCode)(l.ask("", query, "192.0.2.1:4711"))
	l.want("the next address", 200, cost)(l.ask("", query, "192.0.2.1, 192.0.2.2"))
	l.want("the proxy", 200, cost)(l.ask("", query))
	l.want("what is no address counts as the proxy", 429, limitedCode)(l.ask("", query, "192.0.2.3, unknown"))
	l.want("an IPv6 network", 200, cost)(l.ask("", query, "2001:db8::1"))
	l.want("another address of the IPv6 network", 429, limitedCode)(l.ask("", query, "2001:db8::ffff"))

	forged := ada[:len(ada)-6] + "forged"
	status, failures := http.StatusUnauthorized, 0
	var text string
	for ; status == http.StatusUnauthorized && failures < 100; failures++ {
		status, text, _ = l.ask(forged, query, "192.0.2.4")
	}
	if status != http.StatusTooManyRequests || failures < 5 || !strings.Contains(text, limitedCode) {
		t.Errorf("wrong tokens: got %d, %s after %d of them, want 429 after at least 5", status, text, failures)
	}
	l.ask("", strings.Repeat("x", 60<<10), "192.0.2.4") // a debt of a full budget, so that the next steps may take their time
	l.want("a new token of this address", 429, limitedCode)(l.ask(run("token", "mint", "--subject=eve", "--roles=ADMIN"), "{ __typename }", "192.0.2.4"))
	l.want("a new token of another address", 200, "Query")(l.ask(run("token", "mint", "--subject=eve", "--roles=ADMIN"), "{ __typename }", "192.0.2.5"))
	l.want("a known token", 200, "Query")(l.ask(ada, "{ __typename }", "192.0.2.4"))
	l.want("a known key", 200, "Query")(l.ask(key, "{ __typename }", "192.0.2.4"))
	l.want("a key that was never used", 200, "Query")(l.ask(run("keys", "create", "--name=New", "--role=ADMIN"), "{ __typename }", "192.0.2.4"))
	l.want("a wrong token of another address", 401, refusedCode)(l.ask(forged, query, "192.0.2.5"))
	if log := p.Log.String(); !strings.Contains(log, "msg=answered client=192.0.2.4 ") || strings.Contains(log, "level=WARN") {
		t.Errorf("got the log %s, want the addresses of clients and no warning", log)
	}
	p.stop(t, syscall.SIGTERM)
}
