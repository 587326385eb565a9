package database

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"entgo.io/ent/dialect"

	"roster/internal/consistency"
)

// ReplicaOptions say which replicas answer reads, and when.
type ReplicaOptions struct {
	// URLs are those of the replicas, with the form of Options.URL. Without one, there are no replicas.
	URLs []string
	// MaxStaleness bounds what a replica may lack: everything that was committed longer ago is there, or nothing is read from
	// it. Replicas are measured ten times in MaxStaleness, and at least twice a second.
	MaxStaleness time.Duration
	// Wait is the maximum time that a read waits until a replica has reached the position that it needs. Then it goes to the
	// primary. 0 waits for nothing.
	Wait time.Duration
}

// The longest time between two measurements of a server, and the maximum time of one. A replica that does not answer within this
// time loses its connections.
const (
	measureMost  = 500 * time.Millisecond
	measureLimit = time.Second
)

// maxSamples bounds the remembered positions of the primary: about half an hour of a busy one.
const maxSamples = 3600

// A ReplicaError says why the URL of a replica cannot be right.
type ReplicaError struct{ text string }

func (e *ReplicaError) Error() string { return e.text }

// CheckReplicaURLs checks the URLs of replicas against that of their primary, without a connection. The error is a ReplicaError. It
// contains no password.
func CheckReplicaURLs(primary string, urls []string) error {
	e, err := parse(primary)
	if err != nil || len(urls) == 0 {
		return nil //nolint:nilerr // Open reports it
	}
	if e.replication() == nil {
		return &ReplicaError{fmt.Sprintf("%v has no replicas: only PostgreSQL and MariaDB have", e)}
	}
	names := map[string]bool{}
	for i, url := range urls {
		r, err := parse(url)
		switch {
		case err != nil && SystemName(url) == "" && !strings.Contains(url, "://"): // a part of a URL, whose rest may be in the error
			return &ReplicaError{fmt.Sprintf("replica %d is no URL: write postgres://… or mysql://…, separate URLs by commas, and write a comma within one as %%2C", i+1)}
		case err != nil:
			return &ReplicaError{fmt.Sprintf("replica %d: %v", i+1, err)}
		case r.dialect() != e.dialect():
			return &ReplicaError{fmt.Sprintf("replica %d is %v, and the database is %v: a replica has the same engine", i+1, r, e)}
		case names[r.String()]:
			return &ReplicaError{fmt.Sprintf("replica %d, %v, is named twice: leave one out", i+1, r)}
		}
		names[r.String()] = true
	}
	return nil
}

// UseReplicas makes ReadSession read from replicas, and WriteSession tell positions. Call it once, before the first of them. It
// measures the replicas once before it returns. A replica that cannot be used is left out, and logged, until it can. The error says
// why the primary cannot have replicas; it is a ReplicaError if no other setting of the server helps.
func (db *DB) UseReplicas(ctx context.Context, o ReplicaOptions) error {
	if len(o.URLs) == 0 {
		return nil
	}
	if err := CheckReplicaURLs(db.options.URL, o.URLs); err != nil {
		return err
	}
	if db.InCluster() {
		return &ReplicaError{fmt.Sprintf("%v is a node of a Galera cluster: Roster does not read from its replicas", db)}
	}
	log := db.engine.replication()
	if err := log.check(ctx, db.write.db); err != nil {
		return fmt.Errorf("%v: %w", db, err)
	}
	has, err := contentsOf(ctx, db.write.db)
	if err != nil {
		return fmt.Errorf("%v: %w", db, err)
	}
	known, err := db.knownMigrations()
	if err != nil {
		return err
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	rs := &replicas{
		options: o, primary: db, log: log, newest: known[len(known)-1].version, cancel: cancel, database: has.database,
		interval: min(o.MaxStaleness/10, measureMost), logger: db.options.Logger,
	}
	for _, url := range o.URLs {
		r, err := newReplica(db.options, url, o)
		if err != nil {
			rs.close()
			return err
		}
		rs.all = append(rs.all, r)
	}
	rs.measurePrimary(ctx)
	var first sync.WaitGroup
	for _, r := range rs.all {
		first.Go(func() { rs.measure(ctx, r) })
	}
	first.Wait()
	rs.running.Go(func() { rs.repeat(background, nil, rs.measurePrimary) })
	for _, r := range rs.all {
		rs.running.Go(func() { rs.repeat(background, r.suspect, func(ctx context.Context) { rs.measure(ctx, r) }) })
	}
	db.replicas = rs
	return nil
}

// replicas are the replicas of a primary. One goroutine measures each server.
type replicas struct {
	options  ReplicaOptions
	primary  *DB
	log      replication
	newest   int64 // the version of the migration that a replica needs
	interval time.Duration
	all      []*replica
	logger   *slog.Logger
	cancel   context.CancelFunc
	running  sync.WaitGroup

	turn      atomic.Uint64 // of replicas that are equally busy
	onPrimary atomic.Int64  // reads
	fallen    [fallbacks]atomic.Int64
	mu        sync.Mutex
	database  consistency.Database // of the primary, when it was last measured
	end       consistency.Position // the greatest position that the primary is known to have; zero: unknown
	seen      time.Time            // when a server last told an end
	lost      bool                 // the last measurement of the primary failed
	samples   []sample             // the oldest first
}

// sample says that everything that was committed before a time is at or before a position.
type sample struct {
	at  time.Time
	end consistency.Position
}

// replica is a server that reads go to.
type replica struct {
	name    string
	engine  engine
	pool    *pool
	lines   *lines
	suspect chan struct{} // asks for a measurement
	waiting chan struct{} // has a token for each session that waits for a position. They use at most half of the connections.
	reads   atomic.Int64

	mu       sync.Mutex
	progress progress  // nil: unknown
	fresh    time.Time // everything that was committed before is there
	why      string    // why it is left out. "": it is used
	judged   bool      // why has been set
}

func newReplica(o Options, url string, settings ReplicaOptions) (*replica, error) {
	e, err := parse(url)
	if err != nil {
		return nil, err
	}
	r := &replica{name: e.String(), engine: e, lines: new(lines), suspect: make(chan struct{}, 1)}
	o.URL, o.lines = url, r.lines
	o.PoolWait, o.ConnectTimeout = min(o.PoolWait, settings.Wait), min(o.ConnectTimeout, measureLimit)
	r.waiting = make(chan struct{}, max(1, o.MaxConnections/2))
	_, read, err := e.connectors(o)
	if err != nil {
		return nil, &ReplicaError{fmt.Sprintf("%v: %v", e, err)}
	}
	r.pool = newPool(read, o, o.MaxConnections)
	r.pool.conns.reads = e.dialect() == dialect.Postgres
	return r, nil
}

// ReplicaStats are the figures of a replica.
type ReplicaStats struct {
	// Name names the replica for people, without a password.
	Name string
	// Out says why no queries go to the replica. "": they do.
	Out string
	// Staleness bounds what the replica lacks: everything that was committed longer ago is there. Known is false if nothing is known.
	Staleness time.Duration
	Known     bool
	// Reads is the number of sessions that it has answered.
	Reads int64
}

// ReplicationStats are the figures of all replicas since the start.
type ReplicationStats struct {
	Replicas []ReplicaStats
	// Primary is the number of sessions of clients' queries that the primary has answered, and Fallbacks counts them by the reason.
	Primary   int64
	Fallbacks map[string]int64
}

// Replication returns the figures of the replicas. Without replicas, they are empty. It sends nothing to a database.
func (db *DB) Replication() (s ReplicationStats) {
	rs := db.replicas
	if rs == nil {
		return s
	}
	s.Primary, s.Fallbacks = rs.onPrimary.Load(), make(map[string]int64, fallbacks)
	for f := range fallbacks {
		s.Fallbacks[f.String()] = rs.fallen[f].Load()
	}
	for _, r := range rs.all {
		r.mu.Lock()
		one := ReplicaStats{Name: r.name, Out: r.why, Reads: r.reads.Load(), Known: !r.fresh.IsZero()}
		if one.Known {
			one.Staleness = time.Since(r.fresh)
		}
		r.mu.Unlock()
		s.Replicas = append(s.Replicas, one)
	}
	return s
}

// close ends the measurements and closes all connections. rs may be nil.
func (rs *replicas) close() {
	if rs == nil {
		return
	}
	rs.cancel()
	rs.running.Wait()
	for _, r := range rs.all {
		_ = r.pool.db.Close() // a replica that is away is no error
		r.lines.cut()
	}
}

// repeat calls measure from time to time, and when it is asked to, until ctx ends.
func (rs *replicas) repeat(ctx context.Context, asked <-chan struct{}, measure func(context.Context)) {
	ticker := time.NewTicker(rs.interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-asked:
		}
		measure(ctx)
	}
}

// measurePrimary remembers the position of the primary. Without an answer, nothing new is known, and replicas become stale.
func (rs *replicas) measurePrimary(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	before := time.Now()
	c, err := contentsOf(limited, rs.primary.write.db)
	var end consistency.Position
	if err == nil {
		end, err = rs.log.end(limited, rs.primary.write.db, c.database)
	}
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		rs.remember(before, end)
	}
	rs.mu.Lock()
	changed := rs.lost != (err != nil)
	rs.lost = err != nil
	rs.mu.Unlock()
	switch {
	case !changed:
	case err == nil:
		rs.logger.InfoContext(ctx, "the position of the primary is known again", "database", rs.primary.String())
	default:
		rs.logger.WarnContext(ctx, "the position of the primary is unknown: clients read from the primary what they write now", "database", rs.primary.String(), "error", err)
	}
}

func (rs *replicas) remember(at time.Time, end consistency.Position) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.database != end.Database { // it was reset or restored
		rs.samples = nil
		rs.database, rs.end = end.Database, consistency.Position{}
	}
	rs.saw(end)
	if n := len(rs.samples); n > 0 && rs.samples[n-1].end == end {
		if at.After(rs.samples[n-1].at) {
			rs.samples[n-1].at = at // whoever has the position lacks nothing older than this time
		}
		return
	}
	if len(rs.samples) == maxSamples {
		rs.samples = slices.Delete(rs.samples, 0, maxSamples/10)
	}
	rs.samples = append(rs.samples, sample{at, end})
}

// saw remembers the greatest position that the primary is known to have. The caller holds mu.
func (rs *replicas) saw(end consistency.Position) {
	if end.Database != rs.database {
		return
	}
	if end.Compare(rs.end) > 0 {
		rs.end = end
	}
	rs.seen = time.Now()
}

// measured returns the time of the last sample.
func (rs *replicas) measured() (at time.Time) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if n := len(rs.samples); n > 0 {
		at = rs.samples[n-1].at
	}
	return at
}

// measure finds out how far a replica is, and whether it can be used.
func (rs *replicas) measure(ctx context.Context, r *replica) {
	p, fresh, err := rs.look(ctx, r)
	if ctx.Err() != nil {
		return
	}
	why := ""
	switch {
	case err != nil:
		why = rs.reason(r, err)
	case time.Since(rs.measured()) > rs.options.MaxStaleness:
		why = "the primary does not answer, so it is not known what the replica lacks"
	case time.Since(fresh) > rs.options.MaxStaleness:
		why = fmt.Sprintf("it lacks changes that are older than %v: see whether it replicates, and how far behind it is", rs.options.MaxStaleness)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.progress, r.fresh = p, fresh
	}
	changed := !r.judged || (why == "") != (r.why == "")
	r.why, r.judged = why, true
	switch {
	case !changed:
	case why == "":
		rs.logger.InfoContext(ctx, "a replica answers queries", "replica", r.name)
	default:
		rs.logger.WarnContext(ctx, "a replica is left out: other servers answer queries", "replica", r.name, "because", why)
	}
}

// look asks a replica how far it is. Everything that was committed before fresh is there.
func (rs *replicas) look(ctx context.Context, r *replica) (p progress, fresh time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	cut := time.AfterFunc(measureLimit, r.lines.cut)
	p, err = rs.log.progress(ctx, r.pool.db)
	var has contents
	if err == nil {
		has, err = contentsOf(ctx, r.pool.db)
	}
	if !cut.Stop() {
		err = context.DeadlineExceeded
	}
	if err != nil {
		if !errors.Is(err, errNoReplica) {
			r.pool.conns.dropIdle()
		}
		return nil, fresh, err
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	switch {
	case len(rs.samples) == 0:
		return nil, fresh, errors.New("the position of the primary is not known yet")
	case has.database != rs.database:
		return nil, fresh, errors.New("it has the data of another database: name a replica of the primary")
	case has.version < rs.newest:
		return nil, fresh, fmt.Errorf("it does not have the newest migration: it is at version %d, and this program needs %d", has.version, rs.newest)
	}
	if err := p.suits(rs.samples[len(rs.samples)-1].end); err != nil {
		return nil, fresh, err
	}
	for _, s := range slices.Backward(rs.samples) {
		if p.reached(s.end) {
			return p, s.at, nil
		}
	}
	return p, fresh, nil
}

// reason says why a replica cannot be measured, for people.
func (rs *replicas) reason(r *replica, err error) string {
	m, _ := r.engine.classify(err)
	switch {
	case errors.Is(err, errNoReplica):
		return err.Error()
	case m.kind == Unusable:
		return "it lacks tables: it does not have the newest migration, or is no replica of the primary"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("it does not answer within %v", measureLimit)
	}
	return cmp.Or(r.engine.explain(err), err.Error())
}

// failed handles a failure of an operation on the replica. If a connection broke, the replica is measured before it is used again.
func (r *replica) failed(f *Failure) {
	r.pool.concludes(f)
	if f.Kind != Lost && f.Kind != Unusable {
		return
	}
	r.mu.Lock()
	r.progress = nil
	r.mu.Unlock()
	select {
	case r.suspect <- struct{}{}:
	default: // somebody has asked
	}
}

// A fallback is the reason why the primary answers a read.
type fallback int

const (
	toFresh  fallback = iota // no replica is fresh enough
	toOther                  // the position is of another database
	toBeyond                 // the primary does not know the position
	toBehind                 // no replica reached the position in time
	toBusy                   // the replica had no free connection
	toBroken                 // the replica failed
	fallbacks
)

// String returns the reason for metrics.
func (f fallback) String() string {
	return [...]string{"stale", "other_database", "beyond_primary", "behind", "busy", "failed"}[f]
}

func (rs *replicas) fallBack(to fallback) { rs.fallen[to].Add(1) }

// seat is the right to use one connection of a pool and, if pinned, the connection.
type seat struct {
	pool    *pool
	conn    *sql.Conn
	replica *replica
}

// sit returns a seat on a replica that has everything up to a position and is fresh. Without one, ok is false: the primary answers.
func (rs *replicas) sit(ctx context.Context, after consistency.Position) (s seat, ok bool) {
	r, to := rs.choose(after)
	if r == nil {
		rs.fallBack(to)
		return seat{}, false
	}
	if r.pool.acquire(ctx) != nil {
		rs.fallBack(toBusy)
		return seat{}, false
	}
	conn, err := r.pool.db.Conn(context.WithoutCancel(ctx))
	if err != nil {
		r.pool.release()
		r.failed(rs.primary.fail(err))
		rs.fallBack(toBroken)
		return seat{}, false
	}
	s = seat{r.pool, conn, r}
	if !after.IsZero() {
		if to, ok := rs.await(ctx, s, after); !ok {
			s.leave()
			rs.fallBack(to)
			return seat{}, false
		}
	}
	r.reads.Add(1)
	return s, true
}

// choose returns the least busy of the replicas that may answer. If it is nil, the second result says why.
func (rs *replicas) choose(after consistency.Position) (*replica, fallback) {
	if !after.IsZero() && rs.isForeign(after) {
		return nil, toOther
	}
	now := time.Now()
	// With an equal load, they take turns. The next two are of the best replica so far.
	var best *replica
	var load int
	why, start := toFresh, int(rs.turn.Add(1)%uint64(len(rs.all))) //nolint:gosec // G115: less than the number of replicas
	for i := range rs.all {
		r := rs.all[(start+i)%len(rs.all)]
		ready, reached := r.state(now.Add(-rs.options.MaxStaleness), after)
		if !ready {
			continue
		}
		// A replica that is further behind than the wait will not be there in time.
		if !after.IsZero() && !reached {
			if ready, _ := r.state(now.Add(-rs.options.Wait-3*rs.interval), after); !ready {
				why = toBehind
				continue
			}
		}
		used := cap(r.pool.free) - len(r.pool.free)
		if !after.IsZero() && !reached {
			used += cap(r.pool.free) // better one that need not be waited for
		}
		if best == nil || used < load {
			best, load = r, used
		}
	}
	return best, why
}

// state reports whether the replica has everything that was committed before a time, and whether it was at a position when it was
// last measured.
func (r *replica) state(before time.Time, after consistency.Position) (ready, reached bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.why != "" || r.progress == nil || r.fresh.Before(before) {
		return false, false
	}
	return true, r.progress.reached(after)
}

// isForeign reports whether a position is of another database than the primary.
func (rs *replicas) isForeign(p consistency.Position) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	kind, _ := rs.log.log()
	return p.Database != rs.database || p.Log != kind
}

// await waits until the server of a seat has reached a position. The statements that follow on its connection read at least what
// the server had then. A statement that read the position itself could return one that its snapshot does not have.
func (rs *replicas) await(ctx context.Context, s seat, after consistency.Position) (fallback, bool) {
	ctx, cancel := context.WithTimeout(ctx, rs.options.Wait+measureLimit)
	defer cancel()
	until := time.Now().Add(rs.options.Wait)
	for pause := time.Millisecond; ; pause = min(2*pause, 16*time.Millisecond) {
		p, err := rs.log.progress(ctx, s.conn)
		switch {
		case errors.Is(err, errNoReplica):
			s.replica.failed(&Failure{Kind: Lost, err: err})
			return toBroken, false
		case err != nil:
			s.replica.failed(rs.primary.fail(err))
			return toBroken, false
		case p.reached(after):
			return 0, true
		case time.Until(until) < pause:
			return toBehind, false
		case pause > time.Millisecond: // it waits
		case rs.isBeyond(ctx, after):
			return toBeyond, false
		default:
			select {
			case s.replica.waiting <- struct{}{}:
				defer func() { <-s.replica.waiting }()
			default: // queries that need not wait find a connection
				return toBehind, false
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return toBehind, false
		}
	}
}

// isBeyond reports whether the primary does not have a position. It asks the primary if it is not known to have it. If the primary
// has been silent, or has no free connection, it is not asked: its answer, or its error, is then that of the query.
func (rs *replicas) isBeyond(ctx context.Context, p consistency.Position) bool {
	rs.mu.Lock()
	end := rs.end
	rs.mu.Unlock()
	if p.Compare(end) <= 0 {
		return false
	}
	if time.Since(rs.measured()) > 3*measureMost {
		return true
	}
	select {
	case <-rs.primary.write.free:
	default:
		return true
	}
	end, err := rs.ask(ctx, seat{pool: rs.primary.write})
	return err != nil || p.Compare(end) > 0
}

// ask asks the primary for its end, and leaves the seat. It waits at most measureLimit. The driver may wait longer: lib/pq waits
// until the server has cancelled the statement.
func (rs *replicas) ask(ctx context.Context, s seat) (consistency.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	rs.mu.Lock()
	database := rs.database
	rs.mu.Unlock()
	type answer struct {
		end consistency.Position
		err error
	}
	answers := make(chan answer, 1)
	rs.running.Go(func() {
		var q querier = s.pool.db
		if s.conn != nil {
			q = s.conn
		}
		end, err := rs.log.end(ctx, q, database)
		if err != nil {
			s.pool.concludes(rs.primary.fail(err))
		}
		s.leave()
		answers <- answer{end, err}
	})
	select {
	case a := <-answers:
		if a.err == nil {
			rs.mu.Lock()
			rs.saw(a.end)
			rs.mu.Unlock()
		}
		return a.end, a.err
	case <-ctx.Done():
		return consistency.Position{}, ctx.Err()
	}
}

// now returns a position that has everything that is committed now, and leaves the seat. If the primary does not tell it in time,
// the position is one that no server has reached: reads after it go to the primary, until the log has passed it.
func (rs *replicas) now(ctx context.Context, s seat) consistency.Position {
	end, err := rs.ask(ctx, s)
	if err != nil {
		rs.logger.DebugContext(ctx, "the position of a commit is unknown, so the client reads from the primary", "error", err)
		return rs.unreached()
	}
	return end
}

// unreached returns a position that no server has reached yet.
func (rs *replicas) unreached() consistency.Position {
	kind, growth := rs.log.log()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.end.IsZero() {
		return consistency.Last(rs.database, kind)
	}
	return ahead(rs.end, growth, time.Since(rs.seen))
}

// ahead returns a position that a log cannot have reached that was at an end some time ago.
func ahead(end consistency.Position, growth uint64, ago time.Duration) consistency.Position {
	end.Number += growth * (1 + uint64(ago/(10*time.Second))) //nolint:gosec // G115: never negative
	return end
}

// leave gives the seat back. Its statements have ended.
func (s seat) leave() {
	if s.conn != nil {
		_ = s.conn.Close() // it goes back to its pool, or is broken
	}
	if s.pool != nil {
		s.pool.release()
	}
}
