package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"roster/internal/dbtest"
)

// step is one request of the README's walk and the answer beside it.
type step struct{ key, body, answer string }

// walk reads the steps from the README: each curl command, followed by its answer.
func walk(t *testing.T) []step {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## A walk\n")
	section, _, _ = strings.Cut(section, "\n## ")
	const curl = "```sh\ncurl -s http://127.0.0.1:8080/graphql -H 'Content-Type: application/json' "
	var steps []step
	for _, part := range strings.Split(section, curl)[1:] {
		header, rest, ok := strings.Cut(part, "-d '")
		body, rest, alsoOK := strings.Cut(rest, "'\n```\n\n```json\n")
		if !ok || !alsoOK {
			t.Fatalf("a curl command: got no answer, want one: %.200s", part)
		}
		answer, _, _ := strings.Cut(rest, "```")
		key, _ := strings.CutPrefix(header, "-H 'Idempotency-Key: ")
		steps = append(steps, step{key: strings.TrimSuffix(key, "' "), body: body, answer: answer})
	}
	if all := strings.Count(section, "curl -s http://127.0.0.1"); len(steps) == 0 || len(steps) != all {
		t.Fatalf("got %d steps, want %d: one for each curl command", len(steps), all)
	}
	return steps
}

// TestReadmeWalk runs the README's walk on every engine, as a new user would.
func TestReadmeWalk(t *testing.T) {
	t.Parallel()
	steps := walk(t)
	binary := build(t)
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		database := dbtest.Empty(t, e)
		server := start(t, binary, database, displayName(t, e, database))
		own := map[string]string{} // the README's IDs and cursors to this server's
		for i, s := range steps {
			body := s.body
			for theirs, ours := range own {
				body = strings.ReplaceAll(body, theirs, ours)
			}
			_, got := server.post(t, body, s.key)
			if s.key != "" {
				header, again := server.post(t, body, s.key)
				if again != got || header.Get("Idempotency-Replayed") != "true" {
					t.Errorf("step %d, sent again: got %s with %v, want %s with Idempotency-Replayed", i+1, again, header, got)
				}
			}
			if err := matches(decode(t, s.answer), decode(t, got), own); err != nil {
				t.Fatalf("step %d, %s\ngot %s\nwant what the README says: %v", i+1, body, got, err)
			}
		}
		server.stop(t, syscall.SIGTERM)
	})
}

// displayName is how the server names a database: without user and password.
func displayName(t *testing.T, e dbtest.Engine, database string) string {
	t.Helper()
	if e == dbtest.SQLite {
		return "SQLite (" + strings.TrimPrefix(database, "sqlite:") + ")"
	}
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	name := map[dbtest.Engine]string{dbtest.PostgreSQL: "PostgreSQL", dbtest.MySQL: "MySQL"}[e]
	return fmt.Sprintf("%s (%s%s)", name, u.Host, u.Path)
}

func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("got %v, %s, want JSON", err, text)
	}
	return v
}

// What differs from one run to the next.
const (
	anID   = `^(user|post)_[0-9a-z]{26}$`
	aTime  = `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`
	cursor = `^A[0-9A-Za-z_-]{10,}$`
)

// matches compares an answer with the README's: an ID or a cursor stands for the same one throughout, and any time for
// any other.
func matches(want, got any, own map[string]string) error {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok || len(object) != len(want) {
			return fmt.Errorf("got %v, want %v", got, want)
		}
		for key, value := range want {
			if err := matches(value, object[key], own); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		return nil
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Errorf("got %v, want %v", got, want)
		}
		for i, value := range want {
			if err := matches(value, list[i], own); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
		return nil
	case string:
		text, _ := got.(string)
		if both(aTime, want, text) {
			return nil
		}
		if both(anID, want, text) || both(cursor, want, text) {
			if own[want] == "" {
				own[want] = text
			}
			want = own[want]
		}
		if text != want {
			return fmt.Errorf("got %q, want %q", got, want)
		}
		return nil
	}
	if want != got {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

func both(pattern, a, b string) bool {
	p := regexp.MustCompile(pattern)
	return p.MatchString(a) && p.MatchString(b)
}
