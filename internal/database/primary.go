package database

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"roster/internal/consistency"
)

// primary is what this program knows of the primary of its replicas.
//
// A pooled connection can lead to a former primary, because connections can outlive a failover. A new connection leads to the
// primary: to the server that the URL names now. So a server that lacks a position which another one may have is compared with that
// at the end of a new connection.
type primary struct {
	db          *DB
	replication replication
	logger      *slog.Logger
	running     sync.WaitGroup // questions whose askers may be gone

	anew   *sql.DB       // opens a connection for each statement
	asking chan struct{} // has room for the one who uses anew, and guards answer
	answer struct {
		asked    time.Time
		standing standing
		err      error
	}

	mu       sync.Mutex
	checked  bool                 // its settings are right
	database consistency.Database // when it was last measured
	standing standing             // with the greatest end that the primary is known to have; nil: unknown
	end      consistency.Position // of standing; zero: unknown
	endAt    time.Time            // when the server last told an end
	failing  bool                 // the last measurement failed
	samples  []sample             // the oldest first
}

// sample says that everything that was committed before a time is at or before a position.
type sample struct {
	at  time.Time
	end consistency.Position
}

// maxSamples bounds the remembered positions of the primary: about half an hour of a busy one.
const maxSamples = 3600

func newPrimary(db *DB) *primary {
	anew := sql.OpenDB(db.write.conns)
	anew.SetMaxIdleConns(-1)
	return &primary{
		db: db, replication: db.engine.replication(), logger: db.options.Logger, anew: anew, asking: make(chan struct{}, 1),
	}
}

func (p *primary) close() {
	p.running.Wait()
	_ = p.anew.Close() // it has no connections
}

// measure remembers the position of the primary. Without an answer, nothing new is known, and replicas become stale.
func (p *primary) measure(ctx context.Context) error {
	err := p.sample(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.mu.Lock()
	changed := p.failing != (err != nil)
	p.failing = err != nil
	p.mu.Unlock()
	switch {
	case !changed:
	case err == nil:
		p.logger.InfoContext(ctx, "the position of the primary is known again", "database", p.db.String())
	default:
		p.logger.WarnContext(ctx, "the position of the primary is unknown: clients read from the primary what they write now", "database", p.db.String(), "error", err)
	}
	return err
}

// sample takes a sample. If a connection leads to a server that is not the primary now, or broke, it tries a new one.
func (p *primary) sample(ctx context.Context) error {
	for again := false; ; again = true {
		c, err := p.open(ctx, p.db.write.db)
		if err != nil {
			return err
		}
		at := time.Now()
		s, end, err := p.sampleOn(ctx, c)
		switch {
		case err != nil && (!p.dropsIdle(ctx, err) || again || time.Since(at) > measureLimit):
			return err
		case err != nil:
		case !again && p.isEarlier(end):
			p.db.write.conns.dropIdle()
		default:
			p.remember(at, s, end)
			return nil
		}
	}
}

// sampleOn looks at the server of a connection within measureLimit, and closes the connection.
func (p *primary) sampleOn(ctx context.Context, c *sql.Conn) (standing, consistency.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	defer func() { _ = c.Close() }() // it goes back to its pool, or is broken
	if err := p.check(ctx, c); err != nil {
		return nil, consistency.Position{}, err
	}
	has, err := contentsOf(ctx, c)
	if err != nil {
		return nil, consistency.Position{}, err
	}
	return p.look(ctx, c, has.database)
}

// open takes a connection of a pool. A new one may take the time that all have: if one of several hosts is silent, its share of
// this time is longer than measureLimit.
func (p *primary) open(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.db.options.ConnectTimeout)
	defer cancel()
	return db.Conn(ctx)
}

// check checks the settings of the primary, once.
func (p *primary) check(ctx context.Context, q querier) error {
	p.mu.Lock()
	checked := p.checked
	p.mu.Unlock()
	if checked {
		return nil
	}
	if err := p.replication.check(ctx, q); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checked = true
	return nil
}

// look returns the standing and the end of a server that takes changes.
func (p *primary) look(ctx context.Context, q querier, d consistency.Database) (standing, consistency.Position, error) {
	s, err := p.replication.look(ctx, q)
	if err != nil {
		return nil, consistency.Position{}, err
	}
	if !s.takesChanges() {
		return nil, consistency.Position{}, errStandby
	}
	end, err := s.end(d)
	return s, end, err
}

// dropsIdle drops idle connections if an error says that they may not lead to the primary, and reports whether it did. The error is that
// of a caller with ctx.
func (p *primary) dropsIdle(ctx context.Context, err error) bool {
	_, connecting := errors.AsType[*connectError](err)
	f := p.db.fail(err)
	if ctx.Err() != nil || connecting || !errors.Is(err, errStandby) && !f.role && f.Kind != Lost && f.Kind != Timeout {
		return false
	}
	p.db.write.conns.dropIdle()
	return true
}

// isEarlier reports whether a server was at an end already when the last sample was taken.
func (p *primary) isEarlier(end consistency.Position) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.samples) == 0 {
		return false
	}
	last := p.samples[len(p.samples)-1].end
	return end.Database == last.Database && end.Server == last.Server && end.Compare(last) < 0
}

// remember remembers a sample.
func (p *primary) remember(at time.Time, s standing, end consistency.Position) {
	earlier := p.isEarlier(end)
	p.mu.Lock()
	defer p.mu.Unlock()
	if earlier || p.database != end.Database { // it was reset or restored
		p.samples = nil
		p.database, p.standing, p.end = end.Database, nil, consistency.Position{}
	}
	p.note(s, end)
	if n := len(p.samples); n > 0 && p.samples[n-1].end == end {
		if at.After(p.samples[n-1].at) {
			p.samples[n-1].at = at // whoever has the position lacks nothing older than this time
		}
		return
	}
	if len(p.samples) == maxSamples {
		p.samples = slices.Delete(p.samples, 0, maxSamples/10)
	}
	p.samples = append(p.samples, sample{at, end})
}

// note remembers the greatest end that the primary is known to have. If it is that of another server than before, the open connections
// to the former one end. The caller holds mu.
func (p *primary) note(s standing, end consistency.Position) {
	if end.Database != p.database {
		return
	}
	if p.standing != nil && p.standing.server() != s.server() {
		p.db.write.conns.dropIdle()
		if end.Branch < p.end.Branch { // the connection is older
			return
		}
		p.standing = nil
	}
	p.endAt = time.Now()
	if p.standing == nil || end.Compare(p.end) > 0 {
		p.standing, p.end = s, end
	}
}

// lastSample returns the time of the last sample.
func (p *primary) lastSample() (at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.samples); n > 0 {
		at = p.samples[n-1].at
	}
	return at
}

// isForeign reports whether a position is of another database than the primary.
func (p *primary) isForeign(at consistency.Position) bool {
	kind, _ := p.replication.kind()
	p.mu.Lock()
	defer p.mu.Unlock()
	return at.Database != p.database || at.Log != kind
}

// covers reports whether the primary is known to have a position. Then all pooled connections lead to a server that has it: when
// the server was first seen, the older connections ended.
func (p *primary) covers(at consistency.Position) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.standing != nil && p.standing.reached(at)
}

// contents returns the database that the primary has, or zero.
func (p *primary) contents() consistency.Database {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.database
}

// doubt compares the primary with another server of the same database. If that server has what the primary lacks and another one may
// have written, the pooled connections may lead to a former primary.
func (p *primary) doubt(ctx context.Context, s standing) {
	p.mu.Lock()
	end, err := s.end(p.database)
	sure := err != nil || p.standing == nil || p.standing.reached(end) || p.standing.decides(end)
	p.mu.Unlock()
	if !sure {
		_, _, _ = p.has(ctx, p.db.write.db, end) // it drops the connections, if new ones lead to another server
	}
}

// mustProve reports whether a connection must show that it leads to the primary, or to a server with the position of a client. If the
// primary is known to have the position, it need not: that costs no round trip.
func (p *primary) mustProve(at consistency.Position) bool {
	return !at.IsZero() && !p.isForeign(at) && !p.covers(at)
}

// has reports whether the primary has a position. If it is not known to, has asks the server of a connection. If that server may be a
// former primary, has asks that of a new connection. moved says that it is another one, and that the pool has dropped its idle
// connections. The error is a Failure: it is not known which server is the primary.
func (p *primary) has(ctx context.Context, q querier, at consistency.Position) (has, moved bool, err error) {
	if p.covers(at) {
		return true, false, nil
	}
	limited, cancel := context.WithTimeout(ctx, cancelLimit)
	defer cancel()
	s, err := p.replication.look(limited, q)
	if err != nil {
		p.dropsIdle(ctx, err)
		return false, false, p.noAnswer(ctx, err)
	}
	if s.reached(at) {
		p.tell(s)
		return true, false, nil
	}
	if s.takesChanges() && s.decides(at) {
		return false, false, nil
	}
	now, err := p.lookAnew(limited)
	if err != nil {
		return false, false, p.noAnswer(ctx, err)
	}
	if now.server() != s.server() {
		moved = true
		p.db.write.conns.dropIdle()
		p.tell(now)
	}
	switch {
	case now.reached(at):
		return true, moved, nil
	case !now.takesChanges():
		return false, moved, &Failure{Kind: Lost, err: &connectError{errStandby}}
	}
	return false, moved, nil
}

// noAnswer returns the failure of a question of a caller with ctx. A server that does not answer in time counts as lost.
func (p *primary) noAnswer(ctx context.Context, err error) *Failure {
	f := p.db.fail(err)
	if f.Kind == Timeout && ctx.Err() == nil {
		return &Failure{Kind: Lost, err: errSilent}
	}
	return f
}

// tell notes the standing of a server that takes changes.
func (p *primary) tell(s standing) {
	if !s.takesChanges() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if end, err := s.end(p.database); err == nil {
		p.note(s, end)
	}
}

// lookAnew asks the server at the end of a new connection. One connection is opened at a time, and all who asked before share its
// answer.
func (p *primary) lookAnew(ctx context.Context) (standing, error) {
	came := time.Now()
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if a := p.answer; a.asked.After(came) {
		return a.standing, a.err
	}
	ctx = context.WithoutCancel(ctx) // others wait for it too
	p.answer.asked = time.Now()
	p.answer.standing, p.answer.err = nil, nil
	c, err := p.open(ctx, p.anew)
	if err != nil {
		p.answer.err = err
		return nil, err
	}
	defer func() { _ = c.Close() }()
	limited, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	p.answer.standing, p.answer.err = p.replication.look(limited, c)
	return p.answer.standing, p.answer.err
}

// errManyPrimaries is the error of a URL whose connections lead to several servers.
var errManyPrimaries = errors.New("new connections lead to different servers")

// lead returns a seat like the given one, whose connection leads to a server with a position or, if the primary does not have it, to
// the primary. The error is a Failure, after which the seat is left.
func (p *primary) lead(ctx context.Context, s seat, at consistency.Position) (seat, error) {
	for range 2 {
		_, moved, err := p.has(ctx, s.conn, at)
		if err == nil && !moved {
			return s, nil
		}
		if err == nil {
			_ = s.conn.Close() // it leads to a former primary
			s.conn, err = s.pool.db.Conn(context.WithoutCancel(ctx))
		}
		if err != nil {
			s.leave()
			return seat{}, err
		}
	}
	s.leave()
	return seat{}, &Failure{Kind: Lost, err: errManyPrimaries}
}

// within calls f with the connection of a seat, and leaves the seat after it. It waits no longer than ctx. The driver may wait
// longer: lib/pq waits until the server has cancelled the statement.
func within[T any](ctx context.Context, running *sync.WaitGroup, s seat, f func(context.Context, querier) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	running.Go(func() {
		var q querier = s.pool.db
		if s.conn != nil {
			q = s.conn
		}
		value, err := f(ctx, q)
		s.leave()
		answers <- answer{value, err}
	})
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}

// isBeyond reports whether the primary is known to lack a position. If it has been silent, or has no free connection, it is not asked.
func (p *primary) isBeyond(ctx context.Context, at consistency.Position) bool {
	if p.covers(at) || time.Since(p.lastSample()) > 3*measureMost {
		return false
	}
	select {
	case <-p.db.write.free:
	default:
		return false
	}
	has, err := within(ctx, &p.running, seat{pool: p.db.write}, func(ctx context.Context, q querier) (bool, error) {
		has, _, err := p.has(context.WithoutCancel(ctx), q, at) // a cancellation costs the connection
		return has, err
	})
	return err == nil && !has
}

// now returns a position that has everything that is committed now, and leaves the seat. If the primary does not tell it in time,
// the position is one that no server has reached: reads after it go to the primary, until the log has passed it.
func (p *primary) now(ctx context.Context, s seat) consistency.Position {
	ctx, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	p.mu.Lock()
	d := p.database
	p.mu.Unlock()
	pinned := s.conn != nil
	end, err := within(ctx, &p.running, s, func(ctx context.Context, q querier) (consistency.Position, error) {
		s, end, err := p.look(ctx, q, d)
		if err != nil && p.dropsIdle(ctx, err) && !pinned { // it takes another connection
			s, end, err = p.look(ctx, q, d)
		}
		if err == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.note(s, end)
		}
		return end, err
	})
	if err != nil {
		p.logger.DebugContext(ctx, "the position of a commit is unknown, so the client reads from the primary", "error", err)
		return p.ahead()
	}
	return end
}

// ahead returns a position that no server has reached yet.
func (p *primary) ahead() consistency.Position {
	kind, growth := p.replication.kind()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end.IsZero() {
		return consistency.Last(p.database, kind)
	}
	return ahead(p.end, growth, time.Since(p.endAt))
}

// ahead returns a position that a log cannot have reached that was at an end some time ago.
func ahead(end consistency.Position, growth uint64, ago time.Duration) consistency.Position {
	end.Number += growth * (1 + uint64(ago/(10*time.Second))) //nolint:gosec // G115: never negative
	return end
}
