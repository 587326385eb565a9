package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"roster/internal/dbtest/servers"
)

// TestRun holds the replica: it has what was written before, and nothing of what is written later.
func TestRun(t *testing.T) {
	t.Parallel()
	lines, stdin := io.Pipe()
	stdout, answers := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(t.Context(), lines, answers)
		answers.CloseWithError(err)
		ended <- err
	}()
	t.Cleanup(func() { // also after a failure: it ends the servers
		if err := errors.Join(stdin.Close(), stdout.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	from := bufio.NewScanner(stdout)
	line := func() string {
		if !from.Scan() {
			t.Fatalf("no more lines: %v", from.Err())
		}
		return from.Text()
	}
	say := func(text string) {
		if _, err := io.WriteString(stdin, text+"\n"); err != nil {
			t.Fatal(err)
		}
		if got := line(); got != "done" {
			t.Fatalf("%s: got %q, want done", text, got)
		}
	}
	primary, err := servers.Open(line())
	if err != nil {
		t.Fatal(err)
	}
	defer primary.Close()
	replica, err := servers.Open(line())
	if err != nil {
		t.Fatal(err)
	}
	defer replica.Close()
	for i, statement := range []string{"CREATE TABLE a (n int)", "INSERT INTO a VALUES (1)"} {
		if _, err := primary.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			say("hold")
		}
	}
	var rows int
	if err := replica.QueryRowContext(t.Context(), "SELECT count(*) FROM a").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("while the replica is held: got %d rows, %v, want 0", rows, err)
	}
	say("release")
	say("hold")
	if err := replica.QueryRowContext(t.Context(), "SELECT count(*) FROM a").Scan(&rows); err != nil || rows != 1 {
		t.Errorf("after the release: got %d rows, %v, want 1", rows, err)
	}
}

// TestWrongLine ends the program with an error that names the line.
func TestWrongLine(t *testing.T) {
	t.Parallel()
	if err := run(t.Context(), strings.NewReader("stop\n"), io.Discard); err == nil || !strings.Contains(err.Error(), `"stop"`) {
		t.Errorf("got %v, want an error about the line", err)
	}
}
