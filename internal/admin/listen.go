package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"roster/internal/server"
)

// socketPrefix begins the address of a Unix socket.
const socketPrefix = "unix:"

// dialTimeout is the maximum time to learn whether a server listens on a socket.
const dialTimeout = time.Second

// SocketPath returns the path of an address unix:PATH. ok is false for HOST:PORT.
func SocketPath(address string) (path string, ok bool) {
	return strings.CutPrefix(address, socketPrefix)
}

// Listen opens the admin listener on HOST:PORT or unix:PATH. Without public, it refuses an address that other machines can
// reach. Only the user of the process, and root, can use a Unix socket. Listen replaces the socket of a killed server. Close
// removes the socket. The error gives the reason in words for the operator.
func Listen(ctx context.Context, address string, public bool) (net.Listener, error) {
	path, socket := SocketPath(address)
	switch {
	case socket:
		return listenSocket(ctx, path)
	case public:
		return server.Listen(ctx, address)
	}
	return server.ListenLocal(ctx, address)
}

func listenSocket(ctx context.Context, path string) (net.Listener, error) {
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: private} // also between the next two lines
	listener, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, unusable(path, err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(unusable(path, err), listener.Close())
	}
	return listener, nil
}

// socketMode lets only the user of the process connect.
const socketMode = 0o600

// removeStale removes the socket of a server that is gone. A killed server leaves its socket. The error says that a server
// listens there, or that the file is no socket.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unusable(path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("cannot listen on %s: there is a file that is no socket", path)
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close() // nothing was sent
	}
	if !errors.Is(err, syscall.ECONNREFUSED) { // somebody listens, or it cannot be known
		return fmt.Errorf("cannot listen on %s: another program listens there", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unusable(path, err)
	}
	return nil
}

// unusable returns the error of a path that cannot be listened on.
func unusable(path string, err error) error {
	reason := "the path cannot be used"
	number, isSystem := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		reason = "another program listens there"
	case errors.Is(err, fs.ErrNotExist):
		reason = "its directory does not exist"
	case errors.Is(err, fs.ErrPermission):
		reason = "this user may not create it"
	case errors.Is(err, syscall.EINVAL):
		reason = "the path is too long for a socket: most systems take about 100 bytes"
	case isSystem:
		reason = number.Error()
	}
	return fmt.Errorf("cannot listen on %s: %s", path, reason)
}
