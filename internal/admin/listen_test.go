//go:build unix

package admin_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roster/internal/admin"
)

// socketIn returns the path of a socket in a new directory.
func socketIn(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "roster") //nolint:usetesting // the path of t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "admin.sock")
}

func TestSocket(t *testing.T) {
	t.Parallel()
	path := socketIn(t)
	listener, err := admin.Listen(t.Context(), "unix:"+path, false)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("got the mode %v, %v, want a socket with 0600", info.Mode(), err)
	}
	if _, err := admin.Listen(t.Context(), "unix:"+path, false); err == nil || !strings.Contains(err.Error(), "another program listens there") {
		t.Errorf("a socket in use: got %v, want that another program listens there", err)
	}
	if conn, err := new(net.Dialer).DialContext(t.Context(), "unix", path); err != nil {
		t.Errorf("after the second server was refused: got %v, want a connection", err)
	} else {
		_ = conn.Close()
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: got %v, want no file", err)
	}
}

// TestStaleSocket leaves a socket as a killed server does.
func TestStaleSocket(t *testing.T) {
	t.Parallel()
	path := socketIn(t)
	killed, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	socket, ok := killed.(*net.UnixListener)
	if !ok {
		t.Fatalf("got a %T, want a socket", killed)
	}
	socket.SetUnlinkOnClose(false)
	if err := killed.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the stale socket: %v", err)
	}
	listener, err := admin.Listen(t.Context(), "unix:"+path, false)
	if err != nil {
		t.Fatalf("got %v, want a new socket", err)
	}
	defer listener.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

// TestNoSocket keeps a file that is no socket.
func TestNoSocket(t *testing.T) {
	t.Parallel()
	path := socketIn(t)
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Listen(t.Context(), "unix:"+path, false); err == nil || !strings.Contains(err.Error(), "a file that is no socket") {
		t.Errorf("got %v, want an error", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "text" {
		t.Errorf("the file: got %q, %v, want it as before", text, err)
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	if _, err := admin.Listen(t.Context(), "0.0.0.0:0", false); err == nil || !strings.Contains(err.Error(), "can be reached from other machines") {
		t.Errorf("got %v, want that other machines can reach it", err)
	}
	listener, err := admin.Listen(t.Context(), "0.0.0.0:0", true)
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
}
