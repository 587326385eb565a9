package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"roster/internal/statement"
)

// connector opens connections that keep their prepared statements. *sql.Stmt of database/sql cannot do that: it
// prepares on any connection, and inside a transaction it waits for a second one.
type connector struct {
	driver.Connector
	cache      int
	finalize   bool // close statements before their connection
	reads      bool // prepare SELECTs without arguments too
	timeout    time.Duration
	lifetime   time.Duration // of the oldest connection; 0 is no limit
	observe    func(string)
	comment    func(context.Context) string
	logger     *slog.Logger
	generation atomic.Int64
	full       sync.Once // the log says that the server keeps no more statements
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
	generation := c.generation.Load() // first: if dropIdle is called meanwhile, the connection is an older one
	raw, err := c.connect(limited)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &connectError{err}
	}
	statements, _ := simplelru.NewLRU[string, driverStmt](max(c.cache, 1), nil) // the error is of a size below 1
	return &conn{
		driverConn: raw.(driverConn), //nolint:errcheck // all drivers' are; another one would panic at once
		connector:  c, generation: generation, statements: statements, end: endOf(c.lifetime),
	}, nil
}

// endOf returns the end of a connection that begins now: after 75 to 100 % of the lifetime, so that connections that began
// together do not end together. It is zero without a lifetime.
func endOf(lifetime time.Duration) time.Time {
	if lifetime == 0 {
		return time.Time{}
	}
	return time.Now().Add(lifetime - rand.N(lifetime/4+1)) //nolint:gosec // G404: no secret
}

// connect opens a connection of the driver. lib/pq panics when another program than a database answers with zeros.
func (c *connector) connect(ctx context.Context) (raw driver.Conn, err error) {
	defer func() {
		if recover() != nil {
			err = errOther
		}
	}()
	return c.Connector.Connect(withConnecting(ctx))
}

var errOther = errors.New("what answers there does not speak the database's protocol")

// driverConn is a connection of a driver.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.QueryerContext
	driver.ExecerContext
	driver.SessionResetter
	driver.Validator
}

// driverStmt is a prepared statement of a driver.
type driverStmt interface {
	driver.Stmt
	driver.StmtQueryContext
	driver.StmtExecContext
}

// conn is a connection with its most recently used prepared statements.
type conn struct {
	driverConn
	connector  *connector
	generation int64
	end        time.Time                          // of its lifetime; zero is never
	open       driver.Tx                          // the transaction
	uncertain  bool                               // a transaction may still be open after its end
	statements *simplelru.LRU[string, driverStmt] // by their texts
}

var (
	_ driverConn               = (*conn)(nil)
	_ driver.NamedValueChecker = (*conn)(nil)
)

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.driverConn.BeginTx(ctx, o)
	c.open = tx
	return transaction{c}, err
}

// transaction is the transaction of a connection. When the server refuses to end it, it stays open, and the next one on this
// connection would commit it on MySQL and MariaDB. Then nobody may use the connection again.
type transaction struct{ *conn }

// Commit implements driver.Tx.
func (t transaction) Commit() error { return t.ended(t.open.Commit()) }

// Rollback implements driver.Tx.
func (t transaction) Rollback() error { return t.ended(t.open.Rollback()) }

func (t transaction) ended(err error) error {
	t.uncertain = t.uncertain || staysOpen(err)
	t.open = nil // SQLite's has the context of its operation
	return err
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.prepared(ctx, query, args)
	switch {
	case errors.Is(err, driver.ErrSkip):
		return c.driverConn.QueryContext(ctx, query+c.connector.commentOf(ctx), args)
	case err != nil:
		return nil, err
	}
	return s.QueryContext(ctx, args)
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.prepared(ctx, query, args)
	switch {
	case errors.Is(err, driver.ErrSkip):
		return c.driverConn.ExecContext(ctx, query+c.connector.commentOf(ctx), args)
	case err != nil:
		return nil, err
	}
	return s.ExecContext(ctx, args)
}

// prepared returns the prepared statement. The error is driver.ErrSkip for a statement that must run without: it has no
// arguments and reads nothing, its plan depends on its values, a comment makes its text unique, it explains another one, or
// the connection or the server keeps no statement for it. A connection runs one statement at a time, so the statement that
// prepared closes is not in use.
func (c *conn) prepared(ctx context.Context, query string, args []driver.NamedValue) (driverStmt, error) {
	if c.connector.observe != nil {
		c.connector.observe(query)
	}
	reads := c.connector.reads && strings.HasPrefix(query, "SELECT ")
	if len(args) == 0 && !reads || c.connector.cache == 0 || strings.HasSuffix(query, statement.PlanAnew) ||
		strings.HasPrefix(query, explaining) || c.connector.commentOf(ctx) != "" {
		return nil, driver.ErrSkip
	}
	s, ok := c.statements.Get(query)
	if !ok {
		if c.statements.Len() >= c.connector.cache {
			if err := c.closeOldest(); err != nil {
				return nil, err
			}
		}
		prepared, err := c.PrepareContext(ctx, query)
		switch {
		case noMoreStatements(err):
			return nil, driver.ErrSkip
		case err != nil:
			return nil, err
		}
		s = prepared.(driverStmt) //nolint:errcheck // all drivers' are
		c.statements.Add(query, s)
	}
	return s, ctx.Err() // a cancellation that comes before its statement is lost on PostgreSQL
}

// commentOf returns a space and the comment for the statements of ctx, or "".
func (c *connector) commentOf(ctx context.Context) string {
	if c.comment == nil {
		return ""
	}
	if comment := c.comment(ctx); comment != "" {
		return " " + comment
	}
	return ""
}

// PrepareContext implements driver.ConnPrepareContext. database/sql calls it for a statement with arguments that the driver
// does not run unprepared, and closes the statement after its use. If the server keeps no more statements, the connection
// closes its least recently used one and tries again.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	query += c.connector.commentOf(ctx)
	s, err := c.driverConn.PrepareContext(ctx, query)
	if in, ok := s.(copyIn); ok && err == nil {
		return copyStmt{in}, nil
	}
	if !noMoreStatements(err) {
		return s, err
	}
	c.connector.full.Do(func() {
		c.connector.logger.WarnContext(ctx, "statements take longer, because the server prepares no more of them", "error", err, "advice", myStatements)
	})
	if c.statements.Len() == 0 {
		return nil, err
	}
	if err := c.closeOldest(); err != nil {
		return nil, err
	}
	return c.driverConn.PrepareContext(ctx, query)
}

// closeOldest closes the least recently used statement.
func (c *conn) closeOldest() error {
	_, s, _ := c.statements.RemoveOldest()
	return s.Close()
}

// Close implements driver.Conn. A server drops the statements of a connection that ends.
func (c *conn) Close() error {
	if c.connector.finalize {
		for _, s := range slices.Backward(c.statements.Values()) {
			_ = s.Close() // it ends anyway
		}
	}
	return c.driverConn.Close()
}

// CheckNamedValue implements driver.NamedValueChecker. SQLite's driver does not.
func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if check, ok := c.driverConn.(driver.NamedValueChecker); ok {
		return check.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// ResetSession implements driver.SessionResetter.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.old() {
		return driver.ErrBadConn
	}
	return c.driverConn.ResetSession(ctx)
}

// IsValid implements driver.Validator.
func (c *conn) IsValid() bool {
	return !c.uncertain && c.driverConn.IsValid() && !c.old()
}

// old reports whether the connection must not be used again: its lifetime has ended, or dropIdle was called.
func (c *conn) old() bool {
	return c.generation != c.connector.generation.Load() || !c.end.IsZero() && time.Now().After(c.end)
}
