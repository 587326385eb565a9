package database

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"entgo.io/ent/dialect"

	"roster/internal/consistency"
)

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
	standing standing  // nil: unknown
	fresh    time.Time // everything that was committed before is there
	out      outError  // why it is left out. The zero value: it is used
	known    bool      // out has been set
	good     int       // measurements in a row, while it is left out, that are no reason to leave it out
}

// steady is the number of good measurements in a row after which a replica that was left out is used again. So a replica whose
// age is near the limit does not come and go with each measurement.
const steady = 5

// An OutReason is the kind of the reason why no queries go to a replica.
type OutReason int

// The reasons.
const (
	// InUse is none: queries go to it.
	InUse OutReason = iota
	// Unreachable is a replica that does not answer, or that fails.
	Unreachable
	// Refused is a replica that refuses the user, the password or the database.
	Refused
	// TakesChanges is the primary, or a replica that was promoted.
	TakesChanges
	// NoMigration is a replica without the newest migration.
	NoMigration
	// OtherDatabase is a server with the data of another database.
	OtherDatabase
	// Incompatible is a replica whose settings differ from those of the primary.
	Incompatible
	// Stale is a replica that lacks older changes than it may.
	Stale
	// PrimaryUnknown is a replica that cannot be compared with the primary.
	PrimaryUnknown
	outReasons
)

// String returns the reason for metrics. InUse is "".
func (r OutReason) String() string {
	return [...]string{"", "unreachable", "refused", "takes_changes", "no_migration", "other_database", "incompatible", "stale", "primary_unknown"}[r]
}

// OutReasons returns all reasons.
func OutReasons() []OutReason {
	all := make([]OutReason, 0, outReasons-1)
	for r := InUse + 1; r < outReasons; r++ {
		all = append(all, r)
	}
	return all
}

// outError says why a replica is left out.
type outError struct {
	reason OutReason
	text   string
}

func (e outError) Error() string { return e.text }

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

// measure finds out how far a replica is, and whether it can be used.
func (rs *replicas) measure(ctx context.Context, r *replica) {
	s, fresh, err := rs.lookAt(ctx, r)
	if ctx.Err() != nil {
		return
	}
	var out outError
	switch most := rs.options.MaxStaleness; {
	case err != nil:
		out = rs.explain(r, err)
	case time.Since(rs.primary.lastSample()) > most:
		out = outError{PrimaryUnknown, "the primary does not answer, so it is not known what the replica lacks"}
	case time.Since(fresh) > most:
		out = outError{Stale, fmt.Sprintf("it lacks changes that are older than %v: see whether it replicates, and how far behind it is", most)}
	}
	r.mu.Lock()
	if err == nil {
		r.standing, r.fresh = s, fresh
	}
	before, changed := r.decide(out)
	r.mu.Unlock()
	switch {
	case !changed:
	case out.reason == InUse:
		rs.logger.InfoContext(ctx, "a replica answers queries", "replica", r.name)
	case before != InUse:
		rs.logger.WarnContext(ctx, "a replica is still left out, for another reason", "replica", r.name, "because", out.text)
	default:
		rs.logger.WarnContext(ctx, "a replica is left out: other servers answer queries", "replica", r.name, "because", out.text)
	}
	if s != nil {
		rs.primary.doubt(ctx, s)
	}
}

// decide decides after a measurement whether the replica is left out. It returns the reason before, and whether the reason is another
// one now. The caller holds mu.
func (r *replica) decide(out outError) (before OutReason, changed bool) {
	before = r.out.reason
	if out.reason != InUse {
		r.good = 0
	} else if r.good++; before != InUse && r.good < steady {
		return before, false
	}
	changed = !r.known || out.reason != before
	r.out, r.known = out, true
	return before, changed
}

// lookAt asks a replica how far it is. Everything that was committed before fresh is there. After an error, the standing is that of a server
// with the same database, or nil.
func (rs *replicas) lookAt(ctx context.Context, r *replica) (s standing, fresh time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	cut := time.AfterFunc(measureLimit, r.lines.cut)
	s, data, err := r.ask(ctx, rs.primary.replication)
	if err != nil && rs.primary.db.fail(err).Kind == Lost { // an old connection broke, or a new one says more
		r.pool.conns.dropIdle()
		s, data, err = r.ask(ctx, rs.primary.replication)
	}
	if !cut.Stop() {
		err = context.DeadlineExceeded
	}
	switch {
	case s != nil && !s.replays():
		err = outError{TakesChanges, errNoReplica.Error()}
	case err != nil:
		r.pool.conns.dropIdle()
	default:
		fresh, err = rs.primary.compare(s, data, rs.newest)
	}
	if data.database != rs.primary.contents() {
		s = nil
	}
	return s, fresh, err
}

// ask asks a replica for its standing and its contents. After an error, the standing may be known. The error is the driver's.
func (r *replica) ask(ctx context.Context, by replication) (s standing, data contents, err error) {
	if s, err = by.look(ctx, r.pool.db); err == nil {
		data, err = contentsOf(ctx, r.pool.db)
	}
	return s, data, err
}

// compare compares a replica with the primary. Everything that was committed before fresh is there. The error is an outError.
func (p *primary) compare(s standing, data contents, newest int64) (fresh time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(p.samples) == 0:
		return fresh, outError{PrimaryUnknown, "the position of the primary is not known yet"}
	case data.database != p.database:
		return fresh, outError{OtherDatabase, "it has the data of another database: name a replica of the primary"}
	case data.version < newest:
		return fresh, outError{NoMigration, fmt.Sprintf("it does not have the newest migration: it is at version %d, and this program needs %d", data.version, newest)}
	}
	if err := s.compatible(p.samples[len(p.samples)-1].end); err != nil {
		return fresh, outError{Incompatible, err.Error()}
	}
	for _, one := range slices.Backward(p.samples) {
		if s.reached(one.end) {
			return one.at, nil
		}
	}
	return fresh, nil
}

// explain says why a replica cannot be measured, for people.
func (rs *replicas) explain(r *replica, err error) outError {
	if out, ok := errors.AsType[outError](err); ok {
		return out
	}
	m, _ := r.engine.classify(err)
	why := cmp.Or(r.engine.explain(err), err.Error())
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return outError{Unreachable, fmt.Sprintf("it does not answer within %v", measureLimit)}
	case rs.primary.replication.refuses(err):
		return outError{Refused, why}
	case m.kind == Unusable:
		return outError{NoMigration, "it lacks tables: it does not have the newest migration, or is no replica of the primary"}
	}
	return outError{Unreachable, why}
}

// failed handles a failure of an operation on the replica. If a connection broke, the replica is measured before it is used again.
func (r *replica) failed(f *Failure) {
	r.pool.concludes(f)
	if f.Kind != Lost && f.Kind != Unusable {
		return
	}
	r.mu.Lock()
	r.standing = nil
	r.mu.Unlock()
	select {
	case r.suspect <- struct{}{}:
	default: // somebody has asked
	}
}

// state reports whether the replica has everything that was committed before a time, and whether it was at a position when it was
// last measured.
func (r *replica) state(before time.Time, after consistency.Position) (ready, reached bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.out.reason != InUse || r.standing == nil || r.fresh.Before(before) {
		return false, false
	}
	return true, r.standing.reached(after)
}
