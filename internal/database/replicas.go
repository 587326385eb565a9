package database

import (
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
	addresses := map[string]bool{}
	for i, url := range urls {
		r, err := parse(url)
		switch {
		case err != nil && SystemName(url) == "" && !strings.Contains(url, "://"): // a part of a URL, whose rest may be in the error
			return &ReplicaError{fmt.Sprintf("replica %d is no URL: write postgres://… or mysql://…, separate URLs by commas, and write a comma within one as %%2C", i+1)}
		case err != nil:
			return &ReplicaError{fmt.Sprintf("replica %d: %v", i+1, err)}
		case r.dialect() != e.dialect():
			return &ReplicaError{fmt.Sprintf("replica %d is %v, and the database is %v: a replica has the same engine", i+1, r, e)}
		case addresses[r.address()]:
			return &ReplicaError{fmt.Sprintf("replica %d, %v, is named twice: leave one out", i+1, r)}
		}
		addresses[r.address()] = true
	}
	return nil
}

// UseReplicas makes ReadSession read from replicas, and WriteSession tell positions. Call it once, before the first of them. It
// measures the replicas once before it returns. A replica that cannot be used is left out, and logged, until it can; so are all
// replicas while the primary does not answer. The error says why the primary cannot have replicas; it is a ReplicaError if no other
// setting of the server helps.
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
	known, err := db.knownMigrations()
	if err != nil {
		return err
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	rs := &replicas{
		options: o, primary: newPrimary(db), newest: known[len(known)-1].version, cancel: cancel,
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
	if err := rs.primary.measure(ctx); err != nil && !db.isTransient(err) {
		rs.close()
		return fmt.Errorf("%v: %w", db, err)
	}
	var first sync.WaitGroup
	for _, r := range rs.all {
		first.Go(func() { rs.measure(ctx, r) })
	}
	first.Wait()
	rs.running.Go(func() {
		rs.repeat(background, nil, func(ctx context.Context) { _ = rs.primary.measure(ctx) }) // it logs the error
	})
	for _, r := range rs.all {
		rs.running.Go(func() { rs.repeat(background, r.suspect, func(ctx context.Context) { rs.measure(ctx, r) }) })
	}
	db.replicas = rs
	return nil
}

// isTransient reports whether an error may be gone without a change of settings.
func (db *DB) isTransient(err error) bool {
	return errors.Is(err, errStandby) || slices.Contains([]Kind{Lost, Busy, Timeout, Retry}, db.fail(err).Kind)
}

// replicas are the replicas of a primary. One goroutine measures each server.
type replicas struct {
	options  ReplicaOptions
	primary  *primary
	newest   int64 // the version of the migration that a replica needs
	interval time.Duration
	all      []*replica
	logger   *slog.Logger
	cancel   context.CancelFunc
	running  sync.WaitGroup

	turn      atomic.Uint64 // of replicas that are equally busy
	onPrimary atomic.Int64  // reads
	fallbacks [fallbackReasons]atomic.Int64
}

// ReplicaStats are the figures of a replica.
type ReplicaStats struct {
	// Name names the replica for people, without a password.
	Name string
	// Out says why no queries go to the replica, for people. "": they do. Reason is its kind.
	Out    string
	Reason OutReason
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
	s.Primary, s.Fallbacks = rs.onPrimary.Load(), make(map[string]int64, fallbackReasons)
	for f := range fallbackReasons {
		s.Fallbacks[f.String()] = rs.fallbacks[f].Load()
	}
	for _, r := range rs.all {
		r.mu.Lock()
		one := ReplicaStats{Name: r.name, Out: r.out.text, Reason: r.out.reason, Reads: r.reads.Load(), Known: !r.fresh.IsZero()}
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
	rs.primary.close()
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

// A fallback is the reason why the primary answers a read.
type fallback int

const (
	toStale  fallback = iota // no replica is fresh enough
	toOther                  // the position is of another database
	toBeyond                 // the primary does not have the position
	toBehind                 // no replica reached the position in time
	toBusy                   // the replica had no free connection
	toBroken                 // the replica failed
	fallbackReasons
)

// String returns the reason for metrics.
func (f fallback) String() string {
	return [...]string{"stale", "other_database", "beyond_primary", "behind", "busy", "failed"}[f]
}

func (rs *replicas) fallBack(to fallback) { rs.fallbacks[to].Add(1) }

// seat is the right to use one connection of a pool and, if pinned, the connection.
type seat struct {
	pool    *pool
	conn    *sql.Conn
	replica *replica
}

// sit returns a seat on a replica that has everything up to a position and is fresh. Without one, ok is false, and the primary
// answers: with all that the position asks for, if it has the position need.
func (rs *replicas) sit(ctx context.Context, after consistency.Position) (s seat, need consistency.Position, ok bool) {
	r, to := rs.choose(after)
	if r == nil {
		rs.fallBack(to)
		return seat{}, after, false
	}
	if r.pool.acquire(ctx) != nil {
		rs.fallBack(toBusy)
		return seat{}, after, false
	}
	conn, err := r.pool.db.Conn(context.WithoutCancel(ctx))
	if err != nil {
		r.pool.release()
		r.failed(rs.primary.db.fail(err))
		rs.fallBack(toBroken)
		return seat{}, after, false
	}
	s = seat{r.pool, conn, r}
	if !after.IsZero() {
		if need, to, ok := rs.await(ctx, s, after); !ok {
			s.leave()
			rs.fallBack(to)
			return seat{}, need, false
		}
	}
	r.reads.Add(1)
	return s, after, true
}

// choose returns the least busy of the replicas that may answer. If it is nil, the second result says why.
func (rs *replicas) choose(after consistency.Position) (*replica, fallback) {
	if !after.IsZero() && rs.primary.isForeign(after) {
		return nil, toOther
	}
	now := time.Now()
	// With an equal load, they take turns. The next two are of the best replica so far.
	var best *replica
	var load int
	why, start := toStale, int(rs.turn.Add(1)%uint64(len(rs.all))) //nolint:gosec // G115: less than the number of replicas
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

// await waits until the server of a seat has reached a position. The statements that follow on its connection read at least what
// the server had then. A statement that read the position itself could return one that its snapshot does not have. If it is not
// reached, await returns the position that the primary needs, and why.
func (rs *replicas) await(ctx context.Context, s seat, after consistency.Position) (need consistency.Position, to fallback, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, rs.options.Wait+measureLimit)
	defer cancel()
	until := time.Now().Add(rs.options.Wait)
	for pause := time.Millisecond; ; pause = min(2*pause, 16*time.Millisecond) {
		at, err := rs.primary.replication.look(ctx, s.conn)
		switch {
		case err != nil:
			s.replica.failed(rs.primary.db.fail(err))
			return after, toBroken, false
		case !at.replays():
			s.replica.failed(&Failure{Kind: Lost, err: errNoReplica})
			return after, toBroken, false
		case at.reached(after):
			return after, 0, true
		case time.Until(until) < pause:
			return after, toBehind, false
		case pause == time.Millisecond: // the first time
			select {
			case s.replica.waiting <- struct{}{}:
				defer func() { <-s.replica.waiting }()
			default: // queries that need not wait find a connection
				return after, toBehind, false
			}
			if need, lacks := rs.lacks(ctx, until, after); lacks {
				return need, toBeyond, false
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return after, toBehind, false
		}
	}
}

// lacks reports whether the primary is known before a time to lack a position. If it is not, the replica may still reach it.
func (rs *replicas) lacks(ctx context.Context, until time.Time, after consistency.Position) (need consistency.Position, lacks bool) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	return rs.primary.lacks(ctx, after)
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
