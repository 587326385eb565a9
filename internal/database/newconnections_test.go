package database_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"roster/internal/database"
)

// gate opens connections when somebody lets it. They do nothing.
type gate struct {
	asked atomic.Int64
	open  chan struct{}
}

// Connect implements driver.Connector.
func (g *gate) Connect(ctx context.Context) (driver.Conn, error) {
	g.asked.Add(1)
	select {
	case <-g.open:
		return idleConn{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Driver implements driver.Connector.
func (*gate) Driver() driver.Driver { return nil }

type idleConn struct{ driver.Conn }

// Close implements driver.Conn.
func (idleConn) Close() error { return nil }

// TestNewConnections wants that all who ask before a connection begins share it, and that who asks later gets the next one.
func TestNewConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		n := database.NewNewConnections(g)
		defer n.Close()
		var asking sync.WaitGroup
		ask := func() {
			if err := n.Ask(t.Context()); err != nil {
				t.Errorf("got %v, want an answer", err)
			}
		}
		asking.Go(ask)
		synctest.Wait() // the first connection has begun
		for range 20 {
			asking.Go(ask)
		}
		synctest.Wait()
		if got := g.asked.Load(); got != 1 {
			t.Errorf("got %d connections at the same time, want one", got)
		}
		g.open <- struct{}{}
		g.open <- struct{}{}
		asking.Wait()
		if got := g.asked.Load(); got != 2 {
			t.Errorf("got %d connections, want that of the first who asked, and one of the others", got)
		}
	})
}

// TestNewConnectionsEnd wants that neither a caller nor the end waits for a server that is silent.
func TestNewConnectionsEnd(t *testing.T) {
	t.Parallel()
	n := database.NewNewConnections(&gate{open: make(chan struct{})})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Ask(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that has gone: got %v, want its end", err)
	}
	n.Close()
	if err := n.Ask(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: got %v, want the end", err)
	}
}
