//go:build unix

package cli

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPipesAreLeft opens a pipe to read and another one to write, whose other sides nobody opens: an interrupted command does
// not wait for ever.
func TestPipesAreLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := errors.Join(syscall.Mkfifo(in, 0o600), syscall.Mkfifo(out, 0o600)); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("interrupted")
	ctx, interrupt := context.WithCancelCause(t.Context())
	interrupt(cause)
	if _, _, err := (&importCommand{File: in}).open(ctx, nil); !errors.Is(err, cause) {
		t.Errorf("reading: got %v, want %v", err, cause)
	}
	to, err := newOutput(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.open(ctx); !errors.Is(err, cause) {
		t.Errorf("writing: got %v, want %v", err, cause)
	}
}
