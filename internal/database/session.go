package database

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/consistency"
	"roster/internal/record"
)

// A Mode is the kind of a session's transaction.
type Mode int

const (
	// Single is for one statement: it reads alone, without a transaction.
	Single Mode = iota
	// Snapshot is for several statements that read the same moment.
	Snapshot
	// Write is for a transaction that changes something, under READ COMMITTED.
	Write
)

// A Session runs the statements of one attempt at one operation, and is ent's driver for it. Its transaction begins
// with the first statement. A connection has one open result. So a statement of a transaction waits until the rows of
// the one before are closed; resolvers do not wait for each other. Use a session once, and end it by Commit or
// Rollback.
type Session struct {
	db   *DB
	mode Mode
	pool *pool

	turn chan struct{} // holds a token while no statement of the transaction runs; nil for Single
	tx   *sql.Tx       // used only by the statement that has the turn
	// leave leaves the seat of the transaction, which has ended. It can read the position there first.
	leave  func(withPosition bool)
	broken bool // the transaction could not be rolled back

	replicas   *replicas               // may answer the session; nil: the primary does
	after      consistency.Position    // that a replica must have reached
	replica    atomic.Pointer[replica] // answers the session
	receipt    bool                    // it reads its position before it leaves its seat
	position   greatest                // of its commit, or of what it has read on the primary
	statements atomic.Int64            // that it has sent

	attempts int // the savepoints so far

	ended   atomic.Bool
	failure atomic.Pointer[Failure] // the first one
}

var _ dialect.Driver = (*Session)(nil)

// Session returns a session. It uses no connection until its first statement.
func (db *DB) Session(mode Mode) *Session {
	s := &Session{db: db, mode: mode, pool: db.read}
	if mode == Write {
		s.pool = db.write
	}
	if mode != Single {
		s.turn = make(chan struct{}, 1)
		s.turn <- struct{}{}
	}
	return s
}

// ReadSession returns a session for a query of a client. With replicas, the first statement chooses the server: a replica that has
// everything up to the position, and everything that was committed before MaxStaleness, or else the primary. If a replica fails
// then, the query may be repeated in a Session. The zero position is none.
func (db *DB) ReadSession(mode Mode, after consistency.Position) *Session {
	s := db.Session(mode)
	s.replicas, s.after = db.replicas, after
	return s
}

// PrimarySession returns a session for a query of a client that no replica may answer. On a node of a cluster, it waits for the
// position. With replicas, its connection leads to a server with the position or, if the primary does not have it, to the primary.
func (db *DB) PrimarySession(mode Mode, after consistency.Position) *Session {
	s := db.Session(mode)
	s.after = after
	return s
}

// FeedSession returns a PrimarySession for a query of the change feed. Its answer has a Position.
func (db *DB) FeedSession(mode Mode, after consistency.Position) *Session {
	s := db.PrimarySession(mode, after)
	s.receipt = db.replicas != nil
	return s
}

// WriteSession returns a session for a mutation of a client. Its answer has a Position. It treats the position after like a
// PrimarySession.
func (db *DB) WriteSession(after consistency.Position) *Session {
	s := db.PrimarySession(Write, after)
	s.receipt = db.replicas != nil
	return s
}

// Position returns a position that has everything that the session has committed, or has read on the primary. Call it after
// Commit or Rollback. It is zero without replicas, and if the session has sent no statement. A WriteSession and a FeedSession have
// read it on their own connection. If that broke, the primary is asked on another one, for at most a second.
func (s *Session) Position(ctx context.Context) consistency.Position {
	if p := s.position.get(); !p.IsZero() || s.statements.Load() == 0 {
		return p
	}
	switch {
	case s.db.replicas != nil:
		return s.db.end(context.WithoutCancel(ctx)) // the answer does not end with the time of the operation
	case s.db.InCluster():
		return endOfCluster()
	}
	return consistency.Position{}
}

// end returns a position that has everything that is committed now on a primary with replicas.
func (db *DB) end(ctx context.Context) consistency.Position {
	limited, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	if db.write.acquire(limited) != nil {
		return db.replicas.primary.ahead()
	}
	return db.replicas.primary.positionOn(limited, seat{pool: db.write})
}

// FailedOnReplica reports whether a replica answered the session and failed. The primary may succeed. It does not say so for a
// statement that took too long, since it would take as long again.
func (s *Session) FailedOnReplica() bool {
	f := s.Failure()
	return s.replica.Load() != nil && f != nil && f.Kind != Timeout
}

// Failure returns the first failure of the session, or nil.
func (s *Session) Failure() *Failure { return s.failure.Load() }

// fail records the first failure.
func (s *Session) fail(err error) error {
	f := s.db.fail(err)
	if f.Kind == ReadOnly && s.mode != Write {
		f.reading()
	}
	f = s.failed(f)
	s.failure.CompareAndSwap(nil, f)
	return f
}

// failStatement is fail for a statement of a caller with ctx. If the driver gave the statement up after its time, the
// primary may be slow, or it may be away. A replica that is away has lost its lines before.
func (s *Session) failStatement(ctx context.Context, err error) error {
	if s.replica.Load() == nil && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && !s.db.acceptsConnection(ctx, s.pool) {
		err = errSilent
	}
	return s.fail(err)
}

// readsPosition reports whether the session reads its position, after an error of its end or none: its answer has one, and the
// connection may be whole. A failure that says only to try again tells of no rows.
func (s *Session) readsPosition(err error) bool {
	for _, f := range []*Failure{s.Failure(), AsFailure(err)} {
		if f != nil && slices.Contains([]Kind{Lost, Busy, Timeout, Retry, Unknown, ReadOnly, Unusable}, f.Kind) {
			return false
		}
	}
	return s.receipt
}

// leaveWithPosition reads the position of the session on its seat, and leaves the seat. Another seat may not be free when there is
// much to do. Like a commit, it does not end with ctx.
func (s *Session) leaveWithPosition(ctx context.Context, on seat) {
	s.position.raise(s.db.replicas.primary.positionOn(context.WithoutCancel(ctx), on))
}

// greatest holds the greatest position of a session. Statements without a transaction may end at the same time.
type greatest struct {
	mu sync.Mutex
	at consistency.Position
}

func (g *greatest) get() consistency.Position {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.at
}

func (g *greatest) raise(to consistency.Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if to.Compare(g.at) > 0 {
		g.at = to
	}
}

// failed tells those who watch the server of the session of a failure.
func (s *Session) failed(f *Failure) *Failure {
	if r := s.replica.Load(); r != nil {
		r.failed(f)
		return f
	}
	return s.db.failed(s.pool, f)
}

// Dialect implements dialect.Driver.
func (s *Session) Dialect() string { return s.db.Dialect() }

// Tx implements dialect.Driver. A session is one transaction already.
func (s *Session) Tx(context.Context) (dialect.Tx, error) { return dialect.NopTx(s), nil }

// Close implements dialect.Driver. A session does not own the database.
func (s *Session) Close() error { return nil }

// Query implements dialect.Driver. The error is a Failure.
func (s *Session) Query(ctx context.Context, query string, args, v any) error {
	open := new(sessionRows)
	limited, err := open.start(ctx, s, query, args)
	if err != nil {
		return s.fail(err)
	}
	if err := open.conn().Query(limited, query, args, v); err != nil {
		open.failed.Store(true)
		err := s.failStatement(ctx, err) // before another operation gets the connection: it may have to be dropped
		open.end()
		return err
	}
	rows := v.(*entsql.Rows) //nolint:errcheck // ent's Query has checked it
	open.ColumnScanner = rows.ColumnScanner
	// Rows that nobody closes end with their timeout. The next statement and the end of the session wait no longer.
	open.stop = context.AfterFunc(limited, func() {
		cut := s.failStatement(ctx, limited.Err())
		open.cut.Store(&cut)
		open.failed.Store(true)
		_ = open.ColumnScanner.Close() // nobody reads the remaining rows
		open.end()
	})
	rows.ColumnScanner = open
	return nil
}

// Exec implements dialect.Driver. The error is a Failure.
func (s *Session) Exec(ctx context.Context, query string, args, v any) error {
	r := new(running)
	limited, err := r.start(ctx, s, query, args)
	if err != nil {
		return s.fail(err)
	}
	defer r.end()
	if err := r.conn().Exec(limited, query, args, v); err != nil {
		r.failed.Store(true)
		return s.failStatement(ctx, err)
	}
	if result, ok := v.(*entsql.Result); ok && r.watched() {
		n, _ := (*result).RowsAffected() // no driver of Roster fails here
		r.rows.Store(n)
	}
	return nil
}

var errEnded = errors.New("database: the session has ended")

// running is the turn of a statement: of its transaction or, without one, of the pool.
type running struct {
	of     *Session
	seat   seat // without a transaction
	cancel context.CancelFunc
	ended  atomic.Bool

	ctx    context.Context   // of the caller
	record *record.Operation // of the operation, or nil
	text   string
	args   []any     // if the record asks for them
	began  time.Time // zero if nobody watches the statement
	rows   atomic.Int64
	failed atomic.Bool
}

// start checks the arguments of a statement, and waits for its turn. Before the first statement, it begins the
// transaction. It returns the context of the statement.
func (r *running) start(ctx context.Context, s *Session, query string, args any) (context.Context, error) {
	if err := s.allFit(args); err != nil {
		return nil, err
	}
	r.of = s
	r.ctx, r.record, r.text = ctx, record.FromContext(ctx), query
	if r.record != nil && r.record.Arguments {
		r.args, _ = args.([]any)
	}
	if s.mode == Single {
		if s.ended.Load() {
			return nil, errEnded
		}
		var err error
		if r.seat, err = s.sit(ctx); err != nil {
			return nil, err
		}
	} else {
		select {
		case <-s.turn:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if err := s.begin(ctx); err != nil {
			s.turn <- struct{}{}
			return nil, err
		}
	}
	s.statements.Add(1)
	if r.watched() {
		r.began = time.Now()
	}
	ctx, r.cancel = context.WithTimeout(ctx, s.db.options.StatementTimeout)
	return ctx, nil
}

// conn returns the connection of the statement.
func (r *running) conn() entsql.Conn {
	switch {
	case r.of.tx != nil:
		return entsql.Conn{ExecQuerier: r.of.tx}
	case r.seat.conn != nil:
		return entsql.Conn{ExecQuerier: r.seat.conn}
	}
	return entsql.Conn{ExecQuerier: r.seat.pool.db}
}

// watched reports whether somebody wants to know about the statement.
func (r *running) watched() bool { return r.record != nil || r.of.db.options.Sent != nil }

// report tells those who watch the statement that it has ended.
func (r *running) report() {
	if r.began.IsZero() {
		return
	}
	s := record.Statement{
		Text: r.text, Arguments: r.args, Began: r.began, Took: time.Since(r.began), Rows: r.rows.Load(), Failed: r.failed.Load(),
	}
	if r.record != nil && r.record.Fields {
		s.Fields = record.FieldsFrom(r.ctx)
	}
	r.record.Sent(s)
	if sent := r.of.db.options.Sent; sent != nil {
		sent(r.ctx, s)
	}
}

// end ends the turn. It may be called again.
func (r *running) end() {
	if r.ended.Swap(true) {
		return
	}
	r.cancel()
	r.report()
	switch {
	case r.of.mode != Single:
		r.of.turn <- struct{}{}
	case !r.failed.Load() && r.of.readsPosition(nil):
		r.of.leaveWithPosition(r.ctx, r.seat)
	default:
		r.seat.leave()
	}
}

// begin begins the transaction, once. Only the statements are bound to ctx, not the transaction: a client that
// disconnects does not cancel a commit.
func (s *Session) begin(ctx context.Context) error {
	if s.ended.Load() {
		return errEnded
	}
	if s.tx != nil {
		return nil
	}
	on, err := s.sit(ctx)
	if err != nil {
		return err
	}
	begin := on.pool.db.BeginTx
	if on.conn != nil {
		begin = on.conn.BeginTx
	}
	tx, err := begin(context.WithoutCancel(ctx), s.db.engine.txOptions(s.mode == Write))
	if err != nil {
		on.leave()
		return err
	}
	s.tx = tx
	s.leave = func(withPosition bool) {
		if withPosition {
			s.leaveWithPosition(ctx, on)
		} else {
			on.leave()
		}
	}
	return nil
}

// sit returns a seat on a replica, or else on the primary. It pins the connection if a position is read on it.
func (s *Session) sit(ctx context.Context) (_ seat, err error) {
	after, until := s.after, time.Now().Add(s.db.options.sitLimit())
	if s.db.replicas != nil {
		if after, err = s.db.replicas.primary.settle(ctx, until, after); err != nil {
			return seat{}, err
		}
	}
	if s.replicas != nil {
		on, need, ok := s.replicas.sit(ctx, after)
		if ok {
			s.replica.Store(on.replica)
			return on, nil
		}
		after = need
		s.replicas.onPrimary.Add(1)
	}
	if err := s.pool.acquire(ctx); err != nil {
		return seat{}, err
	}
	on := seat{pool: s.pool}
	waits := !after.IsZero() && s.db.engine.cluster() != nil
	proves := s.db.replicas != nil && s.db.replicas.primary.mustProve(after)
	if s.receipt || waits || proves {
		if on.conn, err = s.pool.db.Conn(context.WithoutCancel(ctx)); err != nil {
			s.pool.release()
			return seat{}, err
		}
	}
	if waits {
		if err := s.db.await(ctx, on.conn); err != nil {
			on.leave()
			return seat{}, err
		}
	}
	if proves {
		return s.db.replicas.primary.lead(ctx, until, on, after)
	}
	return on, nil
}

// Commit commits the session, once. Without a statement, it does nothing. The error is a Failure: of kind Unknown when
// the connection broke before the answer, of kind Unusable when SQLite's file was deleted or replaced. After a failed
// statement, Commit rolls back, because engines differ in what the transaction still contains. Then the error is that
// of the statement.
func (s *Session) Commit() error {
	if s.ended.Load() {
		return s.db.fail(errEnded)
	}
	return s.end(func(tx *sql.Tx) error {
		if f := s.Failure(); f != nil {
			s.rollback(tx)
			return f
		}
		if tx == nil {
			return nil
		}
		if err := s.attached(); err != nil {
			s.rollback(tx)
			return s.failed(s.db.fail(err))
		}
		err := tx.Commit()
		if err == nil {
			if err := s.attached(); err != nil { // the file was replaced just before or after the commit
				return &Failure{Kind: Unknown, err: s.failed(s.db.fail(err))}
			}
			return nil
		}
		f := s.failed(s.db.fail(err))
		if f.Kind == Lost || f.Kind == Timeout {
			f = &Failure{Kind: Unknown, err: err}
			if s.mode != Write {
				f.Kind = Lost
			}
		}
		return f
	})
}

// attached returns an error when a commit would go to a file that is no longer the database.
func (s *Session) attached() error {
	if s.mode != Write {
		return nil
	}
	return s.db.engine.attached()
}

// Rollback rolls the session back. After Commit or another Rollback, it does nothing.
func (s *Session) Rollback() {
	_ = s.end(func(tx *sql.Tx) error { s.rollback(tx); return nil }) // rollback returns no error
}

func (s *Session) rollback(tx *sql.Tx) {
	if tx == nil {
		return
	}
	if err := tx.Rollback(); err != nil {
		// This error closes the connection, and so ends the transaction.
		s.db.options.Logger.Debug("rollback", "error", err)
		s.broken = true
	}
}

// end ends the session after its last statement. tx is nil without a statement, and after another end.
func (s *Session) end(how func(tx *sql.Tx) error) (err error) {
	if s.mode == Single {
		s.ended.Store(true)
		return how(nil)
	}
	<-s.turn
	defer func() { s.turn <- struct{}{} }()
	s.ended.Store(true)
	tx := s.tx
	s.tx = nil
	if tx != nil {
		defer func() { s.leave(!s.broken && s.readsPosition(err)) }()
	}
	return how(tx)
}

// sessionRows ends the turn of its statement when the rows are closed or read to the end.
type sessionRows struct {
	entsql.ColumnScanner
	running

	stop func() bool           // ends the watch of the timeout
	cut  atomic.Pointer[error] // the Failure that closed the rows before their reader was done
}

// failure turns an error of the rows into a Failure. For rows that a Failure cut off, it returns that: database/sql only
// says that the rows are closed, or returns no error, as at their end.
func (r *sessionRows) failure(err error) error {
	if cut := r.cut.Load(); cut != nil {
		return *cut
	}
	if err == nil {
		return nil
	}
	r.failed.Store(true)
	return r.of.fail(err)
}

// Columns returns the names of the columns.
func (r *sessionRows) Columns() ([]string, error) {
	names, err := r.ColumnScanner.Columns()
	return names, r.failure(err)
}

func (r *sessionRows) Next() bool {
	if r.ColumnScanner.Next() {
		r.rows.Add(1)
		return true
	}
	_ = r.failure(r.ColumnScanner.Err()) // Err returns it
	r.done()
	return false
}

func (r *sessionRows) Scan(into ...any) error { return r.failure(r.ColumnScanner.Scan(into...)) }

func (r *sessionRows) Err() error { return r.failure(r.ColumnScanner.Err()) }

// done ends the turn of the statement.
func (r *sessionRows) done() {
	r.stop()
	r.end()
}

func (r *sessionRows) Close() error {
	err := r.ColumnScanner.Close()
	r.done()
	return err
}
