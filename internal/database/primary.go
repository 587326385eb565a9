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
	new         *newConnections
	asking      chan struct{} // has a token for each read that asks the primary whether it is worth waiting for a replica

	mu       sync.Mutex
	checked  bool                 // its settings are right
	database consistency.Database // when it was last measured
	standing standing             // with the greatest end that the primary is known to have; nil: unknown
	end      consistency.Position // of standing; zero: unknown
	endAt    time.Time            // when the server last told an end
	state    primaryState
	samples  []sample               // the oldest first
	doubting bool                   // doubt looks for a successor
	doubts   map[doubtful]time.Time // when none was there
}

// sample says that everything that was committed before a time is at or before a position.
type sample struct {
	at  time.Time
	end consistency.Position
}

// maxSamples bounds the remembered positions of the primary: about half an hour of a busy one.
const maxSamples = 3600

// maxAsking bounds the reads that ask the primary whether it is worth waiting for a replica. The others wait.
const maxAsking = 2

func newPrimary(db *DB) *primary {
	p := &primary{
		db: db, replication: db.engine.replication(), logger: db.options.Logger,
		asking: make(chan struct{}, maxAsking), doubts: map[doubtful]time.Time{},
	}
	p.new = newConnectionsOf(sql.OpenDB(db.write.conns), p.replication.look)
	return p
}

func (p *primary) close() {
	p.new.close()
	p.running.Wait()
}

// measure remembers the position of the primary. Without an answer, nothing new is known, and replicas become stale.
func (p *primary) measure(ctx context.Context) error {
	err := p.sample(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	wrong := err != nil && !p.db.isTransient(err)
	p.mu.Lock()
	before := p.state
	p.state.add(err != nil, wrong)
	now := p.state
	p.mu.Unlock()
	switch {
	case now.wrong && !before.wrong:
		p.logger.ErrorContext(ctx, "the position of the primary is unknown, and a setting must change: clients read from the primary what they write now", "database", p.db.String(), "error", err)
	case now.unknown && !before.unknown:
		p.logger.WarnContext(ctx, "the position of the primary is unknown: clients read from the primary what they write now", "database", p.db.String(), "error", err)
	case before.unknown && !now.unknown:
		p.logger.InfoContext(ctx, "the position of the primary is known again", "database", p.db.String())
	}
	return err
}

// primaryState is what the log has said of the measurements.
type primaryState struct {
	unknown bool // a measurement has failed, and not enough have succeeded since
	wrong   bool // a setting must change
	good    int  // measurements in a row without an error, while it is unknown
}

// add adds a measurement.
func (s *primaryState) add(failed, wrong bool) {
	switch {
	case failed:
		s.unknown, s.good, s.wrong = true, 0, s.wrong || wrong
	case s.unknown:
		if s.good++; s.good >= steady {
			*s = primaryState{}
		}
	}
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
		case errors.Is(err, errStandby):
			// As long as new connections lead to it too, the others stay open: a primary may take no changes for hours.
			if again || !p.hasSuccessor(ctx) {
				return err
			}
			p.db.write.conns.dropIdle()
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

// hasSuccessor reports whether new connections lead to a server that takes changes.
func (p *primary) hasSuccessor(ctx context.Context) bool {
	_, err := p.current(ctx)
	return err == nil
}

// sampleOn looks at the server of a connection within measureLimit, and closes the connection.
func (p *primary) sampleOn(ctx context.Context, c *sql.Conn) (standing, consistency.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	defer func() { _ = c.Close() }() // it goes back to its pool, or is broken
	if err := p.check(ctx, c); err != nil {
		return nil, consistency.Position{}, err
	}
	data, err := contentsOf(ctx, c)
	if err != nil {
		return nil, consistency.Position{}, err
	}
	return p.lookOn(ctx, c, data.database)
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

// lookOn returns the standing and the end of a server that takes changes.
func (p *primary) lookOn(ctx context.Context, q querier, d consistency.Database) (standing, consistency.Position, error) {
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
	if ctx.Err() != nil || connecting || !f.role && f.Kind != Lost && f.Kind != Timeout {
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
	if end.Database != p.database || p.database == (consistency.Database{}) {
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
	if at.IsAhead() && at.Database == (consistency.Database{}) { // of a server that did not know its database
		return at.Log != kind
	}
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

// doubtful is a server that has changes of a server which the primary lacks.
type doubtful struct {
	server         serverID
	branch, number uint32 // of the changes
}

// doubtPause is the least time between two doubts about the primary because of the same server: one that was promoted by mistake has
// what the primary lacks for a long time.
const doubtPause = 2 * time.Second

// doubt compares the primary with another server of the same database. If that server has what the primary lacks and another one may
// have written, the pooled connections may lead to a former primary. doubt finds out beside its caller.
func (p *primary) doubt(ctx context.Context, s standing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	end, err := s.end(p.database)
	if err != nil || p.standing == nil || p.standing.reached(end) || p.standing.decides(end) {
		return
	}
	who := doubtful{s.server(), end.Branch, end.Server}
	if p.doubting || time.Since(p.doubts[who]) < doubtPause {
		return
	}
	p.doubting = true
	p.running.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, p.db.options.sitLimit())
		defer cancel()
		f, err := p.find(ctx, p.db.write.db, end) // it drops the connections, if new ones lead to another server
		p.mu.Lock()
		defer p.mu.Unlock()
		p.doubting = false
		if err != nil || f.beyond {
			p.doubts[who] = time.Now()
		}
	})
}

// mustProve reports whether a connection must show that it leads to the primary, or to a server with the position of a client. If the
// primary is known to have the position, it need not: that costs no round trip.
func (p *primary) mustProve(at consistency.Position) bool {
	return !at.IsZero() && !p.isForeign(at) && !p.covers(at)
}

// finding is what is known of a position after its search on the primary.
type finding struct {
	need   consistency.Position // that a read after the position needs: the position, or the end of a primary that lacks it
	beyond bool                 // the primary lacks the position
	other  bool                 // the connection leads to another server than the primary, and the pool has dropped its idle ones
}

// find looks for a position on the server of a connection. If that lacks the position, and may be a former primary, find looks on the
// primary: at the end of a new connection. The error is a Failure: it is not known which server is the primary.
func (p *primary) find(ctx context.Context, q querier, at consistency.Position) (finding, error) {
	if p.covers(at) {
		return finding{need: at}, nil
	}
	limited, cancel := context.WithTimeout(ctx, cancelLimit)
	defer cancel()
	s, err := p.replication.look(limited, q)
	if err != nil {
		p.dropsIdle(ctx, err)
		return finding{}, p.noAnswer(ctx, err)
	}
	switch {
	case s.reached(at):
		p.tell(s)
		return finding{need: at}, nil
	case s.takesChanges() && s.decides(at):
		return finding{need: p.endOf(s, at), beyond: true}, nil
	}
	current, err := p.new.primary(ctx)
	if err != nil {
		return finding{}, p.noAnswer(ctx, err)
	}
	p.tell(current)
	f := finding{need: at, other: current.server() != s.server()}
	if f.other {
		p.db.write.conns.dropIdle()
	}
	switch f.beyond = !current.reached(at); {
	case f.beyond && !current.takesChanges(): // another server may be about to
		return f, &Failure{Kind: Lost, err: &connectError{errStandby}}
	case f.beyond:
		f.need = p.endOf(current, at)
	}
	return f, nil
}

// current returns the standing of the primary, which takes changes, at the end of a new connection. The error is a Failure.
func (p *primary) current(ctx context.Context) (standing, error) {
	s, err := p.new.primary(ctx)
	switch {
	case err != nil:
		return nil, p.noAnswer(ctx, err)
	case !s.takesChanges():
		return nil, &Failure{Kind: Lost, err: &connectError{errStandby}}
	}
	p.tell(s)
	return s, nil
}

// endOf notes the end of a primary that lacks a position, and returns it. If the server does not tell it, the position stays.
func (p *primary) endOf(s standing, at consistency.Position) consistency.Position {
	p.tell(s)
	end, err := s.end(at.Database)
	if err != nil {
		return at
	}
	return end
}

// settle returns the position that a read needs which begins now: for a position that is ahead, all that the primary has. The error
// is a Failure.
func (p *primary) settle(ctx context.Context, until time.Time, at consistency.Position) (consistency.Position, error) {
	if !at.IsAhead() || p.isForeign(at) {
		return at, nil
	}
	limited, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	s, err := p.current(limited)
	if err != nil {
		return at, p.noAnswer(ctx, err)
	}
	at.Database = p.contents()
	return p.endOf(s, at), nil
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

// errManyPrimaries is the error of a URL whose connections lead to several servers.
var errManyPrimaries = errors.New("new connections lead to different servers")

// lead returns a seat like the given one, whose connection leads to a server with a position or, if the primary does not have it, to
// the primary. It ends at a time. The error is a Failure, after which the seat is left.
func (p *primary) lead(ctx context.Context, until time.Time, s seat, at consistency.Position) (seat, error) {
	limited, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for range 2 {
		f, err := p.find(limited, s.conn, at)
		if err == nil && !f.other {
			return s, nil
		}
		if err == nil {
			_ = s.conn.Close() // it leads to a former primary
			s.conn, err = s.pool.db.Conn(limited)
		}
		if err != nil {
			s.leave()
			return seat{}, p.noAnswer(ctx, err)
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

// lacks reports whether the primary is known before ctx ends to lack a position, and returns the position that a read after it needs
// then. If the primary has been silent, has no free connection, or is being asked by others, it is not asked.
func (p *primary) lacks(ctx context.Context, at consistency.Position) (need consistency.Position, lacks bool) {
	if p.covers(at) || time.Since(p.lastSample()) > 3*measureMost {
		return at, false
	}
	select {
	case p.asking <- struct{}{}:
	default:
		return at, false
	}
	select {
	case <-p.db.write.free:
	default:
		<-p.asking
		return at, false
	}
	f, err := within(ctx, &p.running, seat{pool: p.db.write}, func(ctx context.Context, q querier) (finding, error) {
		defer func() { <-p.asking }()
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelLimit) // a cancellation costs the connection
		defer cancel()
		return p.find(limited, q, at)
	})
	if err != nil {
		return at, false
	}
	return f.need, f.beyond
}

// positionOn returns a position that has everything that is committed now, and leaves the seat. If the primary does not tell it in time,
// the position is ahead.
func (p *primary) positionOn(ctx context.Context, s seat) consistency.Position {
	ctx, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	p.mu.Lock()
	d := p.database
	p.mu.Unlock()
	pinned := s.conn != nil
	end, err := within(ctx, &p.running, s, func(ctx context.Context, q querier) (consistency.Position, error) {
		if d == (consistency.Database{}) { // it has not been measured yet
			data, err := contentsOf(ctx, q)
			if err != nil {
				return consistency.Position{}, err
			}
			d = data.database
		}
		s, end, err := p.lookOn(ctx, q, d)
		if err != nil && p.dropsIdle(ctx, err) && !pinned { // it takes another connection
			s, end, err = p.lookOn(ctx, q, d)
		}
		if err == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.note(s, end)
		}
		return end, err
	})
	if err != nil {
		p.logger.DebugContext(ctx, "the position of a commit is unknown, so its token is ahead", "error", err)
		return p.ahead()
	}
	return end
}

// ahead returns a position for a commit whose place is not known.
func (p *primary) ahead() consistency.Position {
	kind, growth := p.replication.kind()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end.IsZero() {
		return consistency.Ahead(consistency.Position{Database: p.database, Log: kind})
	}
	// A client keeps the greatest position that it gets. So this one must not be before the commit: each greater one has the commit too.
	latest := p.end
	latest.Number += growth * (1 + uint64(time.Since(p.endAt)/time.Second)) //nolint:gosec // G115: never negative
	return consistency.Ahead(latest)
}
