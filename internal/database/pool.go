package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"time"
)

// pool is database/sql's pool with a bounded wait. Its idle connections stay open: opening one costs more than any
// statement of Roster.
type pool struct {
	db    *sql.DB
	conns *connector
	free  chan struct{}
	wait  time.Duration

	// Of the operations that found no free connection. Others cost nothing to count.
	waiting, waits, timeouts atomic.Int64
	waited                   atomic.Int64 // in nanoseconds
}

func newPool(c driver.Connector, o Options, size int) *pool {
	conns := &connector{Connector: c, cache: o.StatementCache, timeout: o.ConnectTimeout, observe: o.Observe, comment: o.Comment, logger: o.Logger}
	_, conns.finalize = c.(*file) // SQLite keeps the file open as long as it has a statement
	if !conns.finalize {          // a file does not move
		conns.lifetime = o.ConnectionLifetime
	}
	db := sql.OpenDB(conns)
	db.SetMaxIdleConns(size)
	// Two more than operations use: readiness and migrations do not queue behind them.
	db.SetMaxOpenConns(size + 2)
	p := &pool{db: db, conns: conns, free: make(chan struct{}, size), wait: o.PoolWait}
	for range size {
		p.free <- struct{}{}
	}
	return p
}

var errBusy = errors.New("no connection became free in time: the database is slow, or max-connections too small")

// acquire waits for the right to use one connection. The error is a Failure of kind Busy or Timeout.
func (p *pool) acquire(ctx context.Context) error {
	select {
	case <-p.free:
		return nil
	default:
	}
	began := time.Now()
	p.waiting.Add(1)
	defer func() {
		p.waiting.Add(-1)
		p.waits.Add(1)
		p.waited.Add(int64(time.Since(began)))
	}()
	timer := time.NewTimer(p.wait)
	defer timer.Stop()
	select {
	case <-p.free:
		return nil
	case <-timer.C:
		p.timeouts.Add(1)
		return &Failure{Kind: Busy, err: errBusy}
	case <-ctx.Done():
		return &Failure{Kind: Timeout, err: ctx.Err()}
	}
}

func (p *pool) release() { p.free <- struct{}{} }

// concludes drops idle connections after a failure. If an open connection broke, the others are probably broken too. If
// a server has become a standby, they lead to the standby, and a new connection finds the primary. If a connection
// could not be opened, the others stay open: the server may have reached its limit of connections.
func (p *pool) concludes(f *Failure) {
	if _, connecting := errors.AsType[*connectError](f); f.role || f.Kind == Lost && !connecting {
		p.conns.dropIdle()
	}
}

// PoolStats are the figures of a pool of connections since the start.
type PoolStats struct {
	// Name is write, read, or the name of a replica. A server's only pool is write. SQLite also has a pool for reads.
	Name string
	// Max is the maximum number of connections that operations use at the same time. Used is the number that they use now, and
	// Idle the number of open connections that nobody uses.
	Max, Used, Idle int
	// Waiting is the number of operations that wait for a connection now. Waits is the number of those that have waited, for
	// the time Waited in all. Timeouts is the number of those that have got none in time.
	Waiting, Waits, Timeouts int64
	Waited                   time.Duration
}

// Pools returns the figures of all pools. It sends nothing to the database.
func (db *DB) Pools() []PoolStats {
	names := []string{"write", "read"}
	var all []PoolStats
	for i, p := range db.pools() {
		all = append(all, p.stats(names[i]))
	}
	if db.replicas != nil {
		for _, r := range db.replicas.all {
			all = append(all, r.pool.stats(r.name))
		}
	}
	return all
}

func (p *pool) stats(name string) PoolStats {
	return PoolStats{
		Name: name, Max: cap(p.free), Used: cap(p.free) - len(p.free), Idle: p.db.Stats().Idle,
		Waiting: p.waiting.Load(), Waits: p.waits.Load(), Timeouts: p.timeouts.Load(), Waited: time.Duration(p.waited.Load()),
	}
}
