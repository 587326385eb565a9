package database_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// memoryName is the name under which this program runs with little memory.
const memoryName = "without-memory"

// withoutMemory makes values that are too large for the memory, and prints the kinds of the failures.
func withoutMemory(url string, stdout, stderr io.Writer) (code int) {
	ctx := context.Background()
	db, err := database.Open(ctx, options(url))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if err := limitMemory(); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	for _, statement := range []string{"SELECT length(randomblob(500000000))", "SELECT length(hex(zeroblob(400000000)))"} {
		s := db.Session(database.Write)
		_, err := number(ctx, s, statement)
		s.Rollback()
		if f := database.AsFailure(err); f != nil {
			fmt.Fprintln(stdout, f.Kind == database.Busy, f.Advice, f)
		}
	}
	return 0
}

// limitMemory lets this process use 256 MiB more than now.
func limitMemory() error {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var pages [6]uint64 // the last is of data
	if _, err := fmt.Sscan(string(statm), &pages[0], &pages[1], &pages[2], &pages[3], &pages[4], &pages[5]); err != nil {
		return err
	}
	limit := pages[5]*uint64(os.Getpagesize()) + 256<<20
	return syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: limit, Max: limit})
}

// TestWithoutMemory lets SQLite run out of memory.
func TestWithoutMemory(t *testing.T) {
	t.Parallel()
	// Another program than this one, for the race detector takes more memory than the limit.
	program := filepath.Join(t.TempDir(), "database.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	cmd := exec.CommandContext(t.Context(), program, dbtest.Empty(t, dbtest.SQLite))
	cmd.Args[0] = memoryName
	output, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(output), "true out of memory: give the server more") != 2 || strings.Count(string(output), "\n") != 2 {
		t.Errorf("got %v, want two lines with the advice: %s", err, output)
	}
}
