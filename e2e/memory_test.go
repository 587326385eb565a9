package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"roster/internal/dbtest"
)

// The server of TestMemory may have so many kibibytes of data (RLIMIT_DATA), and so many clients ask it at once.
const (
	memoryKibibytes = 512 << 10
	memoryClients   = 100
	// memoryServed is how many small requests are answered meanwhile, at least.
	memoryServed = 5
)

// TestMemory asks a server with little memory for the most that its limits allow: alone, and many at once, of which some
// read slowly and some not at all. The server lives, says what is too much, and answers others meanwhile.
//
// It is not parallel: the other tests of the package would wait for their answers until they give up.
func TestMemory(t *testing.T) {
	binary := build(t)
	for _, e := range dbtest.Engines() { // one after the other: each is work enough
		t.Run(string(e), func(t *testing.T) { survives(t, binary, e) })
	}
}

func survives(t *testing.T, binary string, e dbtest.Engine) {
	t.Helper()
	database := dbtest.Empty(t, e)
	fillMemory(t, binary, database)
	s := start(t, limitMemory(t, binary), database, displayName(t, e, database))
	asks := hungry(t, s)
	for _, ask := range asks {
		if got := codeOf(t, s, ask.body); got != ask.code {
			t.Errorf("%s: got the code %q, want %q", ask.name, got, ask.code)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's errors: %.4000s", s.Log)
		}
	})
	crowd(t, s, "reading all", func(ctx context.Context, i int) error { return readAll(ctx, s, asks[i%len(asks)].body) })
	crowd(t, s, "reading slowly", func(ctx context.Context, i int) error { return readSlowly(ctx, s, asks[i%len(asks)].body) })
	crowd(t, s, "following the changes", func(ctx context.Context, _ int) error { return follow(ctx, s) })
	deaf(t, s, asks)
	s.stop(t, syscall.SIGTERM)
}

// limitMemory returns a program that is the binary with little memory.
func limitMemory(t *testing.T, binary string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "roster")
	text := fmt.Sprintf("#!/bin/sh\nulimit -d %d\nexec %s \"$@\"\n", memoryKibibytes, binary)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return script
}

// fillMemory imports large posts of one user, posts of another whose JSON is six times as long, and many small ones.
func fillMemory(t *testing.T, binary, database string) {
	t.Helper()
	var rows strings.Builder
	write := func(username string, posts int, body string) {
		list := make([]map[string]string, posts)
		for i := range list {
			list[i] = map[string]string{"title": fmt.Sprint("Post ", i), "body": body}
		}
		line, err := json.Marshal(map[string]any{"username": username, "email": username + "@example.com", "posts": list})
		if err != nil {
			t.Fatal(err)
		}
		rows.Write(append(line, '\n'))
	}
	for i := range 100 {
		write(fmt.Sprintf("small%02d", i), 100, "small")
	}
	for i := range 10 {
		write(fmt.Sprintf("escaped%d", i), 1, strings.Repeat("\x01", 1<<19))
	}
	for i := range 100 {
		write(fmt.Sprintf("large%02d", i), 1, strings.Repeat("x", 1_000_000))
	}
	cmd := exec.CommandContext(t.Context(), binary, "import", "-")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+database)
	cmd.Stdin = strings.NewReader(rows.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("import: %v\n%s", err, out)
	}
}

// hungryAsk is a request for much, and the code of its only error.
type hungryAsk struct{ name, body, code string }

// hungry returns the requests for the most that the limits allow.
func hungry(t *testing.T, s *process) []hungryAsk {
	t.Helper()
	const large = `orderBy: [{field: CREATED_AT, direction: DESC}]`
	many := func(n int, f func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(f(i) + " ")
		}
		return b.String()
	}
	var one struct {
		Data struct {
			Posts struct{ Nodes []struct{ ID string } }
		}
	}
	if err := json.Unmarshal([]byte(s.ask(t, `{ posts(first: 1, `+large+`) { nodes { id } } }`)), &one); err != nil {
		t.Fatal(err)
	}
	id := one.Data.Posts.Nodes[0].ID
	ids := strings.TrimSuffix(strings.Repeat(`"`+id+`",`, 100), ",")
	var asks []hungryAsk
	for _, ask := range []struct{ name, document, code string }{
		{"pages of large posts", "{" + many(10, func(i int) string { return fmt.Sprintf(`a%d: posts(first: 100, %s) { nodes { body } }`, i, large) }) + "}", "COST_LIMIT"},
		{"one page that fits", `{ posts(first: 15, ` + large + `) { nodes { body } } }`, ""},
		{"one row under many names", "{ posts(first: 1, " + large + ") { nodes {" + many(200, func(i int) string { return fmt.Sprintf("a%d: body", i) }) + "} } }", "COST_LIMIT"},
		{"one row of many parents", `{ posts(first: 1, ` + large + `) { nodes { author { posts(first: 1) { nodes { author { posts(first: 1) { nodes {` +
			many(20, func(i int) string { return fmt.Sprintf("a%d: author { posts { nodes { body } } }", i) }) + `} } } } } } } } }`, "COST_LIMIT"},
		{"one row that is asked for often", `{ nodes(ids: [` + ids + `]) { ... on Post { body } } }`, "COST_LIMIT"},
		{"long names", "{ users(first: 100) { nodes { posts(first: 35) { nodes {" +
			many(250, func(i int) string { return fmt.Sprintf("%s%03d: __typename", strings.Repeat("a", 900), i) }) + "} } } } }", "COST_LIMIT"},
		{"many small values", "{ users(first: 100) { nodes { posts(first: 100) { nodes {" +
			many(70, func(i int) string { return fmt.Sprintf("a%d: version", i) }) + "} } } } }", ""},
		{"many type names", "{ users(first: 100) { nodes { posts(first: 60) { nodes {" +
			many(250, func(i int) string { return fmt.Sprintf("a%d: __typename", i) }) + "} } } } }", "COST_LIMIT"},
		{"texts that are longer as JSON", `{ posts(first: 10, where: {authorId: {in: [` + authors(t, s, "escaped") + `]}}) { nodes { body } } }`, "COST_LIMIT"},
		{"a page of changes", `{ changes(first: 1000) { caughtUp changes { node { ... on Post { body } } } } }`, ""},
	} {
		body, err := json.Marshal(map[string]string{"query": ask.document})
		if err != nil {
			t.Fatal(err)
		}
		asks = append(asks, hungryAsk{ask.name, string(body), ask.code})
	}
	return asks
}

// authors returns the IDs of the users whose names begin so, as a list.
func authors(t *testing.T, s *process, prefix string) string {
	t.Helper()
	var found struct {
		Data struct {
			Users struct{ Nodes []struct{ ID string } }
		}
	}
	if err := json.Unmarshal([]byte(s.ask(t, `{ users(first: 100, where: {username: {startsWith: "`+prefix+`"}}) { nodes { id } } }`)), &found); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, u := range found.Data.Users.Nodes {
		ids = append(ids, `"`+u.ID+`"`)
	}
	return strings.Join(ids, ",")
}

// codeOf returns the code of the only error of an answer; empty without one.
func codeOf(t *testing.T, s *process, body string) string {
	t.Helper()
	code, _ := codeAndBody(t, s, body)
	return code
}

func codeAndBody(t *testing.T, s *process, body string) (code, got string) {
	t.Helper()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request(t.Context(), s, body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Errors []struct{ Extensions struct{ Code string } }
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("got %v, %.200s, want JSON", err, text)
	}
	switch len(answer.Errors) {
	case 0:
		return "", string(text)
	case 1:
		return answer.Errors[0].Extensions.Code, string(text)
	}
	return fmt.Sprint(answer.Errors), string(text)
}

func request(ctx context.Context, s *process, body string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/graphql", strings.NewReader(body))
	if err != nil {
		panic(err) // the URL is the server's own
	}
	r.Header.Set("Content-Type", "application/json")
	return r
}

// crowd lets many clients do something at once, and asks a small question meanwhile.
func crowd(t *testing.T, s *process, name string, do func(ctx context.Context, i int) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var clients sync.WaitGroup
	for i := range memoryClients {
		clients.Go(func() {
			if err := do(ctx, i); err != nil {
				t.Errorf("%s: got %v, want no error", name, err)
			}
		})
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	for served := 0; ; {
		if serves, ok := smallAnswer(t, s, name); !ok {
			return
		} else if serves {
			served++
		}
		select {
		case <-done:
			t.Logf("%s: others were answered %d times", name, served)
			if served < memoryServed {
				t.Errorf("%s: got %d answers of others, want at least %d", name, served, memoryServed)
			}
			return
		default:
		}
	}
}

// smallAnswer asks a small question, and reports whether it was answered; ok is false when the answer is wrong.
func smallAnswer(t *testing.T, s *process, name string) (answered, ok bool) {
	t.Helper()
	code, got := codeAndBody(t, s, `{"query": "{ users(first: 1) { nodes { username } } }"}`)
	answered = got == `{"data":{"users":{"nodes":[{"username":"small00"}]}}}`
	if !answered && code != "UNAVAILABLE" { // which says that all connections to the database are in use
		t.Errorf("%s: another client: got %s, want the small answer", name, got)
		return false, false
	}
	return answered, true
}

// deaf sends requests and reads nothing of the answers, while others are answered.
func deaf(t *testing.T, s *process, asks []hungryAsk) {
	t.Helper()
	for i := range memoryClients {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil { //nolint:errcheck // it is TCP
			t.Fatal(err)
		}
		if err := request(t.Context(), s, asks[i%len(asks)].body).Write(c); err != nil {
			t.Fatal(err)
		}
	}
	for served := 0; served < memoryServed; {
		answered, ok := smallAnswer(t, s, "reading nothing")
		if !ok {
			return
		}
		if answered {
			served++
		}
	}
}

// follow subscribes to the changes from the first one on, with large nodes, and reads some of them.
func follow(ctx context.Context, s *process) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r := request(ctx, s, `{"query": "{ changes(first: 1) { endCursor } }"}`)
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	var first struct {
		Data struct{ Changes struct{ EndCursor string } }
	}
	err = errors.Join(json.NewDecoder(response.Body).Decode(&first), response.Body.Close())
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{
		"query":     `subscription ($after: String) { changes(after: $after, types: [POST]) { node { ... on Post { body } } } }`,
		"variables": map[string]string{"after": first.Data.Changes.EndCursor},
	})
	if err != nil {
		return err
	}
	r = request(ctx, s, string(body))
	r.Header.Set("Accept", "text/event-stream")
	if response, err = client.Do(r); err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(io.LimitReader(response.Body, 3<<20))
	if end := read[max(0, len(read)-1000):]; len(read) < 3<<20 && !bytes.Contains(end, []byte("UNAVAILABLE")) {
		return fmt.Errorf("the subscription ended with %s, %w", end, err)
	}
	return nil // the client would go on after the last change
}

func readAll(ctx context.Context, s *process, body string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request(ctx, s, body))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	if response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") == "" {
		return fmt.Errorf("%s without Retry-After", response.Status)
	}
	return err
}

// readSlowly reads the beginning of an answer byte by byte, and the rest when some others have done so.
func readSlowly(ctx context.Context, s *process, body string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request(ctx, s, body))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	for range 20 {
		if _, err := io.CopyN(io.Discard, response.Body, 1<<10); err != nil {
			return nil // it was short
		}
		s2, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/healthz", http.NoBody)
		if err != nil {
			return err
		}
		r, err := client.Do(s2)
		if err != nil {
			return err
		}
		_ = r.Body.Close()
	}
	_, _ = io.Copy(io.Discard, response.Body) // it may have been too slow
	return nil
}
