package database_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program builds Roster.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(public(t), "roster")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "roster").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	return path
}

// public is a temporary directory that every user can reach.
func public(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}
