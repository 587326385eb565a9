package database_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// TestOpenNowhereToWrite opens a file where not even root can create one.
func TestOpenNowhereToWrite(t *testing.T) {
	t.Parallel()
	refused(t, options("sqlite:/proc/roster.db"), "/proc/roster.db", "cannot be written", "permissions")
}

// TestOpenNotWritable starts a server without permissions: as another user if this one is root.
func TestOpenNotWritable(t *testing.T) {
	t.Parallel()
	program := copied(t)
	for name, c := range map[string]struct {
		directory, file os.FileMode // no file when 0
		fails           bool
	}{
		"all":                          {0o777, 0o666, false},
		"file not writable":            {0o777, 0o444, true},
		"directory not writable":       {0o555, 0o666, true},
		"nothing writable":             {0o555, 0o444, true},
		"directory not writable, anew": {0o555, 0, true},
		"nothing readable":             {0o555, 0o200, true},
		"directory not accessible":     {0o600, 0o666, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(public(t), "roster.db")
			if c.file != 0 {
				migrated(t, path)
				if err := os.Chmod(path, c.file); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(filepath.Dir(path), c.directory); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
					t.Error(err)
				}
			})
			cmd := process(t, program, "sqlite:"+path)
			cmd.Dir = filepath.Dir(program)
			dbtest.Unprivileged(cmd)
			output, err := cmd.CombinedOutput()
			if !c.fails {
				if err != nil {
					t.Errorf("got %v, want no error: %s", err, output)
				}
				return
			}
			line := string(output)
			if code, ok := errors.AsType[*exec.ExitError](err); !ok || code.ExitCode() != 1 || strings.Count(line, "\n") != 1 ||
				!strings.Contains(line, path) || !strings.Contains(line, "the file cannot be written: check the permissions") {
				t.Errorf("got %v, want code 1 and one line about permissions: %s", err, line)
			}
		})
	}
}

// migrated creates a database at path, with no other files beside it.
func migrated(t *testing.T, path string) {
	t.Helper()
	t.Run("migrate", func(t *testing.T) {
		if _, err := open(t, options("sqlite:"+path)).MigrateUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if err := os.Remove(path + "-migrate"); err != nil {
		t.Fatal(err)
	}
}

// copied returns the path of a copy of this program that every user can run.
func copied(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(self(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(public(t), processName)
	// A process that is started meanwhile would hold the file open, and it could not be run.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// public returns a temporary directory that every user can reach.
func public(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestCloseLetsGo looks for files that are still open after their connections or their database were closed.
func TestCloseLetsGo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "roster.db")
	o := options("sqlite:" + path)
	db, err := database.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []database.Mode{database.Single, database.Snapshot, database.Write} {
		for range 4 {
			s := db.Session(mode)
			if n, err := number(t.Context(), s, "SELECT ?", 1); n != 1 || err != nil {
				t.Errorf("got %d, %v, want 1", n, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			_, err := number(ctx, s, slow(dbtest.SQLite), 600) // after which the connection is closed
			wantKind(t, err, database.Timeout)
			cancel()
			s.Rollback()
		}
	}
	if n := opened(t, path); n > o.MaxConnections+1 {
		t.Errorf("got %d open files, want at most %d, one for each connection", n, o.MaxConnections+1)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if n := opened(t, path); n > 0 {
		t.Errorf("after Close: got %d open files, want 0", n)
	}
}

// opened counts how often this process has a file open.
func opened(t *testing.T, path string) (n int) {
	t.Helper()
	descriptors, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range descriptors {
		if target, err := os.Readlink(d); err == nil && target == path { // others come and go
			n++
		}
	}
	return n
}
