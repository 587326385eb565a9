package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// connector opens connections that keep their prepared statements. *sql.Stmt of database/sql cannot do that: it
// prepares on any connection, and inside a transaction it waits for a second one.
type connector struct {
	driver.Connector
	cache      int
	finalize   bool // close statements before their connection
	timeout    time.Duration
	observe    func(string)
	generation atomic.Int64
}

// dropIdle closes every connection that is open now before its next use. When one connection is broken, the older ones
// are probably broken too.
func (c *connector) dropIdle() { c.generation.Add(1) }

// connectError is the error of a connection that could not be opened, while its caller was waiting.
type connectError struct{ error }

func (e *connectError) Unwrap() error { return e.error }

// Connect opens a connection. The error is a connectError, or that of ctx.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	raw, err := c.connect(limited)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &connectError{err}
	}
	statements, _ := simplelru.NewLRU[string, driver.Stmt](max(c.cache, 1), nil) // the error is of a size below 1
	return &conn{Conn: raw, connector: c, generation: c.generation.Load(), statements: statements}, nil
}

// connect opens a connection of the driver. lib/pq panics when another program than a database answers with zeros.
func (c *connector) connect(ctx context.Context) (raw driver.Conn, err error) {
	defer func() {
		if recover() != nil {
			err = errOther
		}
	}()
	return c.Connector.Connect(ctx)
}

var errOther = errors.New("what answers there does not speak the database's protocol")

// conn is a connection with its most recently used prepared statements.
type conn struct {
	driver.Conn
	connector  *connector
	generation int64
	statements *simplelru.LRU[string, driver.Stmt] // by their texts
}

var (
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
)

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts) //nolint:errcheck // all drivers are; a new one would panic at once
}

// PrepareContext implements driver.ConnPrepareContext, for callers that manage their statements themselves.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if p, ok := c.Conn.(driver.ConnPrepareContext); ok {
		return p.PrepareContext(ctx, query)
	}
	return c.Prepare(query)
}

// QueryContext implements driver.QueryerContext. A statement without arguments is not prepared.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.observe(query)
	if len(args) == 0 || c.connector.cache == 0 {
		if q, ok := c.Conn.(driver.QueryerContext); ok {
			return q.QueryContext(ctx, query, args)
		}
		return nil, driver.ErrSkip
	}
	s, err := c.prepared(ctx, query)
	if err == nil {
		err = ctx.Err() // a cancellation that comes before its statement is lost on PostgreSQL
	}
	if err != nil {
		return nil, err
	}
	return s.(driver.StmtQueryContext).QueryContext(ctx, args) //nolint:errcheck // as above
}

// ExecContext implements driver.ExecerContext. A statement without arguments is not prepared.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.observe(query)
	if len(args) == 0 || c.connector.cache == 0 {
		if e, ok := c.Conn.(driver.ExecerContext); ok {
			return e.ExecContext(ctx, query, args)
		}
		return nil, driver.ErrSkip
	}
	s, err := c.prepared(ctx, query)
	if err == nil {
		err = ctx.Err() // a cancellation that comes before its statement is lost on PostgreSQL
	}
	if err != nil {
		return nil, err
	}
	return s.(driver.StmtExecContext).ExecContext(ctx, args) //nolint:errcheck // as above
}

func (c *conn) observe(query string) {
	if c.connector.observe != nil {
		c.connector.observe(query)
	}
}

// prepared returns the prepared statement. It closes the least recently used one when there are too many. A connection
// runs one statement at a time, so the closed one is not in use.
func (c *conn) prepared(ctx context.Context, query string) (driver.Stmt, error) {
	if s, ok := c.statements.Get(query); ok {
		return s, nil
	}
	s, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if c.statements.Len() >= c.connector.cache {
		_, oldest, _ := c.statements.RemoveOldest()
		if err := oldest.Close(); err != nil {
			_ = s.Close() // the reason is err
			return nil, err
		}
	}
	c.statements.Add(query, s)
	return s, nil
}

// Close implements driver.Conn. A server drops the statements of a connection that ends.
func (c *conn) Close() error {
	if c.connector.finalize {
		for _, s := range slices.Backward(c.statements.Values()) {
			_ = s.Close() // it ends anyway
		}
	}
	return c.Conn.Close()
}

// CheckNamedValue implements driver.NamedValueChecker.
func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if check, ok := c.Conn.(driver.NamedValueChecker); ok {
		return check.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// ResetSession implements driver.SessionResetter.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.generation != c.connector.generation.Load() {
		return driver.ErrBadConn
	}
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

// IsValid implements driver.Validator.
func (c *conn) IsValid() bool {
	if v, ok := c.Conn.(driver.Validator); ok && !v.IsValid() {
		return false
	}
	return c.generation == c.connector.generation.Load()
}
