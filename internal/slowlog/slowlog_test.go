package slowlog_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/graph"
	"roster/internal/documents"
	"roster/internal/record"
	"roster/internal/slowlog"
)

// operation returns an operation with a secret in its document.
func operation(name string) *documents.Operation {
	return &documents.Operation{
		Document:   &documents.Document{Text: `query ` + name + ` { user(by: {username: "secret"}) { id } }`},
		Definition: &ast.OperationDefinition{Operation: ast.Query, Name: name},
		Variables:  map[string]any{"v": "secret"},
		Cost:       7,
	}
}

// ended returns the end of an operation that took a time.
func ended(took time.Duration) graph.Ended {
	r := record.New()
	r.Sent(record.Statement{Text: "SELECT 1", Took: time.Second, Rows: 2, Arguments: []any{"secret"}})
	r.Sent(record.Statement{Text: "SELECT 2", Took: time.Second, Rows: 3})
	r.Retried()
	return graph.Ended{
		Response: &graphql.Response{Errors: gqlerror.List{{Message: "secret", Extensions: map[string]any{"code": "TIMEOUT"}}}},
		Record:   r, Way: graph.ByPlan, Took: took,
	}
}

// transcript is a log that can be read while it is written.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *transcript) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *transcript) lines() int { return strings.Count(l.String(), "\n") }

func logger(log *transcript) *slog.Logger {
	return slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "hash" && len(a.Value.String()) == 64 {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestOperation(t *testing.T) {
	t.Parallel()
	var log transcript
	l := slowlog.New(slowlog.Options{Operation: time.Second, Logger: logger(&log)})
	l.End(l.Begin(t.Context(), operation("Fast")), operation("Fast"), ended(time.Second-1))
	l.End(t.Context(), operation("Slow"), ended(time.Second))
	l.Sent(t.Context(), record.Statement{Took: time.Hour})
	const want = `level=WARN msg="slow operation" type=query name=Slow duration=1s cost=7 way=plan statements=2 databaseTime=2s rows=5 retries=1 ` +
		`code=TIMEOUT document="query Slow { user(by: {username: ?}) { id } }"` + "\n"
	if log.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &log, want)
	}
}

func TestStatement(t *testing.T) {
	t.Parallel()
	var log transcript
	l := slowlog.New(slowlog.Options{Statement: time.Second, Logger: logger(&log)})
	l.Sent(t.Context(), record.Statement{Text: "SELECT 1", Took: time.Second - 1})
	l.Sent(t.Context(), record.Statement{Text: "SELECT 2 WHERE a = ?" + strings.Repeat(" ", 5_000), Took: time.Second, Rows: 9, Arguments: []any{"secret"}})
	l.End(t.Context(), operation("Slow"), ended(time.Hour))
	const want = `level=WARN msg="slow statement" duration=1s rows=9 failed=false statement="SELECT 2 WHERE a = ? `
	if !strings.HasPrefix(log.String(), want) || strings.Count(log.String(), "\n") != 1 || len(log.String()) > 2_300 || strings.Contains(log.String(), "secret") {
		t.Errorf("got\n%s\nwant one line that begins with\n%s", &log, want)
	}
}

// TestMany has more slow statements than are logged. The next line counts those that were left out.
func TestMany(t *testing.T) {
	t.Parallel()
	var log transcript
	l := slowlog.New(slowlog.Options{Statement: time.Second, Logger: logger(&log)})
	const many = 1_000
	for range many {
		l.Sent(t.Context(), record.Statement{Text: "SELECT 1", Took: time.Second})
	}
	before := strings.Count(log.String(), "\n")
	if before == 0 || before > many/2 {
		t.Errorf("got %d lines, want some of %d", before, many)
	}
	deadline := time.Now().Add(time.Minute)
	for !strings.Contains(log.String(), "leftOut=") && time.Now().Before(deadline) {
		l.Sent(t.Context(), record.Statement{Text: "SELECT 1", Took: time.Second})
	}
	if !strings.Contains(log.String(), "leftOut=") {
		t.Errorf("got\n%s\nwant the number of lines that were left out", &log)
	}
}

// TestSnapshots takes a snapshot each minute, and keeps the last ones.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "new")
	now := time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC)
	snapshots, err := slowlog.NewSnapshots(folder, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slowlog.NewSnapshots(folder, time.Now); err == nil {
		t.Error("got a second flight recorder, want an error")
	}
	var log transcript
	l := slowlog.New(slowlog.Options{Operation: time.Second, Snapshots: snapshots, Logger: logger(&log)})
	l.End(t.Context(), operation("First"), ended(time.Second))
	l.End(t.Context(), operation("Second"), ended(time.Hour)) // within the same minute
	first := filepath.Join(folder, "roster-slow-20260131T093000.000000000Z.trace")
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && log.lines() < 2; { // until it is written
		<-time.After(time.Millisecond)
	}
	now = now.Add(time.Minute)
	l.End(t.Context(), operation("Third"), ended(time.Second))
	snapshots.Close()
	l.End(t.Context(), operation("Closed"), ended(time.Second))
	third := filepath.Join(folder, "roster-slow-20260131T093100.000000000Z.trace")
	for line := range strings.SplitSeq(strings.TrimSpace(log.String()), "\n") {
		for name, file := range map[string]string{"First": first, "Second": "", "Third": third, "Closed": ""} {
			if strings.Contains(line, "name="+name) && (strings.HasSuffix(line, " snapshot="+file) != (file != "") || strings.Contains(line, "napshot") != (file != "")) {
				t.Errorf("got %s, want the file %q", line, file)
			}
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 4 {
		t.Errorf("got %d lines, want 4:\n%s", n, &log)
	}
	for _, file := range []string{first, third} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(content), "go 1.") || info.Mode().Perm() != 0o600 {
			t.Errorf("got %.10q, %v, %v, want a trace that only its owner reads", content, info.Mode(), err)
		}
	}
}
