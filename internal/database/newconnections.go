package database

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

// newConnections asks the server at the end of a new connection for its standing. That server is the primary, because the URL names
// it now. All who ask before a connection begins share its answer. One connection is open at a time, and the next one begins after
// newConnectionPause: a connection costs a server more than a statement, and MariaDB counts it as a login.
type newConnections struct {
	pool    *sql.DB // keeps no connection
	look    func(ctx context.Context, q querier) (standing, error)
	ctx     context.Context // of all answers: an answer is for all who ask, so it does not end with one of them
	cancel  context.CancelFunc
	running sync.WaitGroup
	turn    chan struct{} // has room for the one who opens a connection, and guards last
	last    time.Time     // when the last connection began

	mu   sync.Mutex
	next *standingAnswer // of the connection that has not begun; nil: nobody waits for one
}

// newConnectionPause is the least time between the beginnings of two new connections.
const newConnectionPause = 50 * time.Millisecond

// standingAnswer is what a server says of itself. It is known when done is closed.
type standingAnswer struct {
	done     chan struct{}
	standing standing
	err      error
}

func newConnectionsOf(pool *sql.DB, look func(ctx context.Context, q querier) (standing, error)) *newConnections {
	pool.SetMaxIdleConns(-1)
	n := &newConnections{pool: pool, look: look, turn: make(chan struct{}, 1)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// close ends all questions.
func (n *newConnections) close() {
	n.cancel()
	n.running.Wait()
	_ = n.pool.Close() // it has no connections
}

// primary returns the standing of the server at the end of a connection that begins after the call. It waits no longer than ctx.
func (n *newConnections) primary(ctx context.Context) (standing, error) {
	n.mu.Lock()
	a := n.next
	if a == nil {
		a = &standingAnswer{done: make(chan struct{})}
		n.next = a
		n.running.Go(func() { n.answer(a) }) //nolint:contextcheck // the answer is for others too
	}
	n.mu.Unlock()
	select {
	case <-a.done:
		return a.standing, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// answer answers all who wait for the next connection.
func (n *newConnections) answer(a *standingAnswer) {
	defer close(a.done)
	if a.err = n.wait(); a.err == nil {
		defer func() { <-n.turn }()
		n.last = time.Now()
	}
	n.mu.Lock()
	n.next = nil // who asks from now on waits for a later connection
	n.mu.Unlock()
	if a.err == nil {
		a.standing, a.err = n.open()
	}
}

// wait waits for the turn and for the pause after the connection before. Without an error, the caller has the turn.
func (n *newConnections) wait() error {
	select {
	case n.turn <- struct{}{}:
	case <-n.ctx.Done():
		return n.ctx.Err()
	}
	timer := time.NewTimer(time.Until(n.last.Add(newConnectionPause)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-n.ctx.Done():
		<-n.turn
		return n.ctx.Err()
	}
}

// open opens a connection and asks its server. The connection has a maximum time of its own.
func (n *newConnections) open() (standing, error) {
	c, err := n.pool.Conn(n.ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(n.ctx, measureLimit)
	defer cancel()
	return n.look(ctx, c)
}
