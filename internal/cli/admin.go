package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"roster/graph"
	"roster/internal/admin"
	"roster/internal/database"
	"roster/internal/documents"
	"roster/internal/handover"
	"roster/internal/metrics"
	"roster/internal/server"
)

// profileTimeout is the maximum time of an answer of the admin listener. A profile of the CPU may take a minute.
const profileTimeout = 2 * time.Minute

// observers are told of what a server does. Without the admin listener, there are none, and nothing is measured.
type observers struct {
	metrics *metrics.Metrics // nil without the admin listener
}

// observe returns the observers of a server. memory is the limit of Go's memory, in bytes.
func (c *serveCommand) observe(version string, trusted map[string]string, memory int64) observers {
	if c.AdminListen == "" {
		return observers{}
	}
	return observers{metrics.New(metrics.Options{
		Version: version, System: database.SystemName(c.DatabaseURL), Names: documents.Names(trusted), MemoryLimit: memory,
	})}
}

// database lets the observers see all statements.
func (o observers) database(to *database.Options) {
	if o.metrics != nil {
		to.Sent = o.metrics.Sent
	}
}

// graph returns the observer of operations, or nil.
func (o observers) graph() graph.Observer {
	var all graph.Observers
	if o.metrics != nil {
		all = append(all, o.metrics)
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// server returns the observer of requests and streams, or nil.
func (o observers) server() server.Observer {
	if o.metrics == nil {
		return nil
	}
	return o.metrics
}

// watch adds the figures that are read when somebody asks for them. ctx ends when the server stops.
func (o observers) watch(ctx context.Context, db *database.DB, changes *graph.Feed) {
	if o.metrics == nil {
		return
	}
	o.metrics.Watch(metrics.Sources{
		Pools:    db.Pools,
		Feed:     changes.Stats,
		Draining: func() bool { return ctx.Err() != nil },
		Ready:    db.Ready,
		Lag: func(ctx context.Context) (int, time.Duration, error) {
			return changes.Lag(ctx, time.Now())
		},
		Pending: db.Pending,
	})
}

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
// how the server stops. After a hand-over, it ends at once, and the successor has its socket. ready is as in server.Options. The error of stop says that the listener failed before.
func (c *serveCommand) startAdmin(
	ctx context.Context, process *handover.Process, o observers, ready func(ctx context.Context, reads bool) error,
	streams *server.Streams, logger *slog.Logger,
) (stop func() error, err error) {
	if c.AdminListen == "" {
		return func() error { return nil }, nil
	}
	_, socket := admin.SocketPath(c.AdminListen)
	handler := admin.New(admin.Options{
		Metrics: o.metrics.Handler(),
		Checks:  server.Checks(server.Options{Ready: ready, Streams: streams}),
		Guard: func(next http.Handler) http.Handler {
			if socket || c.AdminPublic { // browsers cannot use a socket
				return next
			}
			return server.GuardLocal(next, "the admin listener is for this machine alone", "allow others with ROSTER_ADMIN_PUBLIC=true")
		},
	})
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
