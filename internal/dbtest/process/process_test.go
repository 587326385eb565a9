package process_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"roster/internal/dbtest/process"
)

func TestProcess(t *testing.T) {
	t.Parallel()
	reader, writer := io.Pipe()
	defer writer.Close()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `trap "" TERM; cat; exit 3`)
	cmd.Stdin = reader
	p, err := process.Start(cmd, process.Options{Group: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(-p.ID(), 0); err != nil {
		t.Errorf("a signal to the group: got %v, want no error", err)
	}
	if err := writer.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Err(); err == nil || err.Error() != "exit status 3" {
		t.Errorf("got %v, want exit status 3", err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal after the end: got %v, want no error", err)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), filepath.Join(t.TempDir(), "nothing"))
	if _, err := process.Start(cmd, process.Options{}); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("got %v, want an error that names the program", err)
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file with a 'quote'")
	g, err := process.NewGuard(t.Context(), `echo "$1" >"$0"`, path, "done")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("before the release: got the output of the script, want none")
	}
	if err := g.Release(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "done\n" {
		t.Errorf("the script: got %q, %v, want done", got, err)
	}

	if g, err = process.NewGuard(t.Context(), "exit 4"); err != nil {
		t.Fatal(err)
	}
	if err := g.Release(); err == nil || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("a script that fails: got %v, want exit status 4", err)
	}
}
