package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"roster/internal/admin"
	"roster/internal/handover"
	"roster/internal/server"
)

// profileTimeout is the maximum time of an answer of the admin listener. A profile of the CPU may take a minute.
const profileTimeout = 2 * time.Minute

// checkAdmin refuses an admin listener that other machines can reach, unless a setting allows it.
func (c *serveCommand) checkAdmin(ctx context.Context) error {
	if _, socket := admin.SocketPath(c.AdminListen); socket || c.AdminListen == "" || c.AdminPublic {
		return nil
	}
	switch loopback, err := server.IsLoopback(ctx, c.AdminListen); {
	case err != nil:
		return fmt.Errorf("%w: choose another address with --admin-listen", err)
	case !loopback:
		return misuse(fmt.Errorf("--admin-listen=%s can be reached from other machines, and everyone may read metrics and profiles there: "+
			"listen on 127.0.0.1 or on a Unix socket, such as unix:/run/roster/admin.sock. ROSTER_ADMIN_PUBLIC=true allows it", c.AdminListen))
	}
	return nil
}

// startAdmin starts the admin listener, if there is one. It serves until stop is called: longer than ctx, so that operators see
// how the server stops. After a hand-over, it ends at once, and the successor has its socket. ready is as in server.Options. The
// error of stop says that the listener failed before.
func (c *serveCommand) startAdmin(
	ctx context.Context, process *handover.Process, i *insight, ready func(ctx context.Context, reads bool) error,
	streams *server.Streams, logger *slog.Logger,
) (stop func() error, err error) {
	if c.AdminListen == "" {
		return func() error { return nil }, nil
	}
	listener, err := process.Listen(handover.Admin, func() (net.Listener, error) {
		listener, err := admin.Listen(ctx, c.AdminListen, c.AdminPublic)
		if err != nil {
			return nil, fmt.Errorf("%w: choose another address with --admin-listen", err)
		}
		return listener, nil
	})
	if err != nil {
		return nil, err
	}
	if address, ok := listener.Addr().(*net.TCPAddr); ok && !address.IP.IsLoopback() && !c.AdminPublic {
		err := fmt.Errorf("the service manager passes the socket %s for the admin listener, which can be reached from other machines, and everyone "+
			"may read metrics and profiles there: pass one on 127.0.0.1, or a Unix socket. ROSTER_ADMIN_PUBLIC=true allows it", address)
		return nil, errors.Join(err, listener.Close())
	}
	_, socket := listener.(*net.UnixListener)
	handler := admin.New(admin.Options{
		Metrics: i.metrics.Handler(),
		Checks:  server.Checks(server.Options{Ready: ready, Streams: streams}),
		Guard: func(next http.Handler) http.Handler {
			if socket || c.AdminPublic { // browsers cannot use a socket
				return next
			}
			return server.GuardLocal(next, "the admin listener is for this machine alone", "allow others with ROSTER_ADMIN_PUBLIC=true")
		},
	})
	logger.InfoContext(ctx, "the admin listener is open", "address", listener.Addr().String())
	serving, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unwatch := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); errors.Is(cause, server.ErrHandedOver) { // the successor answers operators from now on
			cancel(cause)
		}
	})
	ended := make(chan error, 1)
	go func() {
		err := server.Serve(serving, listener, nil, handler, server.NewStreams(server.StreamOptions{}), server.Timeouts{
			ReadHeader: readHeaderTimeout, Read: readTimeout, Write: profileTimeout, Idle: idleTimeout, WriteByte: messageTimeout,
			Shutdown: time.Nanosecond, // a profile may still run, and need not end
		}, logger)
		if serving.Err() == nil {
			logger.ErrorContext(ctx, "the admin listener has failed: restart the server", "error", err)
		} else {
			err = nil // a profile or a scrape was cut off
		}
		ended <- err
	}()
	return func() error {
		unwatch()
		cancel(nil)
		return <-ended
	}, nil
}
