package feed

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"roster/internal/budget"
	"roster/internal/database"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// Options configure a Feed.
type Options struct {
	Database *database.DB
	// Budget bounds the memory for segments of single subscribers; nil is no bound.
	Budget *budget.Budget
	// Keep is the number of newest changes in memory for subscribers. A subscriber may fall further behind. If it was
	// level within Slack, as before an import, it reads the missing changes from the database. Otherwise it ends with
	// ErrSlow. 0 is 10,000.
	Keep int
	// Slack is how long ago a subscriber may have been level. 0 is 10 seconds.
	Slack time.Duration
	// Clock measures Slack; nil is the system's clock.
	Clock func() time.Time
	// Tables are those of the entities. Run counts their rows if the database does not know the counts.
	Tables []*statement.Table
	// Poll is the interval of looks for changes while there are subscribers, but signals do not arrive, and after a look
	// that fails. If no server has subscribers, it is the wait before changes are numbered. 0 is half a second.
	Poll time.Duration
	// Rest is the interval of looks at all other times. They find the changes of a program that ended between its commit
	// and its signal. One server looks for all servers whose signals arrive. 0 is 10 seconds.
	Rest time.Duration
	// After waits for Poll and Rest; nil is time.After.
	After  func(time.Duration) <-chan time.Time
	Logger *slog.Logger
}

// ErrSlow is the error of a subscriber that has fallen behind the changes in memory for too long.
var ErrSlow = errors.New("feed: the subscriber is too slow")

// A Loader reads the nodes with the IDs that exist. It charges them to the budget in ctx. The error is a
// *budget.TooLargeError when they exceed the budget.
type Loader[N any] func(ctx context.Context, ids []typeid.ID) (map[typeid.ID]N, error)

// A Feed follows the end of the change feed for all subscribers of a server. It numbers committed changes, reads each
// change once, and keeps the newest. So a waiting subscriber costs no statements, and a slow subscriber costs no
// memory. N is the type of nodes.
type Feed[N any] struct {
	Options
	load      Loader[N] // reads the nodes that all subscribers share
	name      string    // identifies this Feed in signals between servers
	inbox     inbox
	uncounted chan struct{} // the rows must be counted
	due       chan struct{} // changes must be counted
	probes    atomic.Int64  // sent since the last one that arrived
	slow      atomic.Int64  // subscribers that ended with ErrSlow
	away      bool          // the last look failed
	behind    bool          // the last look has left changes without a number, or has not counted all that it numbered
	powerless bool          // the last numbering found a database that is read only for this server
	last      Cursor        // the end of the feed at the last look that did not fail
	others    *others

	mu   sync.Mutex
	tail *tail[N] // nil without followers
}

// New returns a Feed without subscribers. load reads the nodes that all subscribers share.
func New[N any](o Options, load Loader[N]) *Feed[N] {
	o.Keep = cmp.Or(o.Keep, 10_000)
	o.Slack = cmp.Or(o.Slack, 10*time.Second)
	o.Poll = cmp.Or(o.Poll, time.Second/2)
	o.Rest = cmp.Or(o.Rest, 10*time.Second)
	if o.After == nil {
		o.After = time.After
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Feed[N]{
		Options: o, load: load, name: rand.Text(), inbox: newInbox(), others: newOthers(o.Clock, o.Rest),
		uncounted: make(chan struct{}, 1), due: make(chan struct{}, 1),
	}
	f.probes.Store(lost)
	return f
}

// Wake tells the Feed that this server has committed changes. It returns at once.
func (f *Feed[N]) Wake() { f.inbox.add(committed) }

// Subscribers returns the number of subscribers that follow the end of the feed. It excludes those that are catching
// up.
func (f *Feed[N]) Subscribers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tail == nil {
		return 0
	}
	return f.tail.subscribers
}

// hears reports whether signals arrive.
func (f *Feed[N]) hears() bool { return f.probes.Load() < lost }

// round looks for new changes.
func (f *Feed[N]) round(ctx context.Context) { f.update(ctx, f.look) }

// numberNow numbers changes that this server has just committed. It is a round without the look, where each transaction
// does not number its own.
func (f *Feed[N]) numberNow(ctx context.Context) {
	if numberingOf(f.Database.Dialect()) == nil {
		f.round(ctx)
		return
	}
	f.update(ctx, f.number)
	if f.away { // others may be able to
		f.signal(ctx, f.name)
	}
}

// catchUp reads the changes that another server has numbered, and reports whether there are any. If it cannot read them, it looks
// for changes.
func (f *Feed[N]) catchUp(ctx context.Context) (fresh bool) {
	end, fresh := f.others.takeEnd()
	t := f.followers()
	if t == nil || end.epoch == t.epoch && end.number <= t.end {
		return fresh
	}
	if end.epoch == t.epoch {
		if complete, err := f.read(ctx, t, end.number); err == nil && complete {
			return fresh
		}
	}
	f.round(ctx)
	return fresh
}

// update gets the feed's row and adds new changes to the tail. It logs a failure once, until it succeeds again.
func (f *Feed[N]) update(ctx context.Context, row func(ctx context.Context) (*State, error)) {
	f.inbox.drop(arrived | foreign | wanted) // this round is for them too
	t := f.followers()
	f.behind = false
	state, err := row(ctx)
	if err == nil && t != nil {
		err = f.follow(ctx, t, state)
	}
	if err == nil {
		f.last = state.End()
		if state.due() {
			poke(f.due)
		}
	}
	if err != nil && ctx.Err() == nil && !f.away {
		f.Logger.WarnContext(ctx, "the change feed cannot be read", "error", err)
	}
	f.away = err != nil
	if f.behind {
		f.inbox.add(arrived) // followers get these changes before the next ones are numbered
	}
}

// look numbers committed changes and returns the feed's row. If nothing is new, it costs one statement.
func (f *Feed[N]) look(ctx context.Context) (*State, error) {
	state, pending, err := glance(ctx, f.Database)
	if err != nil {
		return nil, err
	}
	if !state.known() && len(f.Tables) > 0 {
		poke(f.uncounted)
	}
	if !pending {
		return state, nil
	}
	return f.number(ctx)
}

// number numbers committed changes and returns the feed's row.
func (f *Feed[N]) number(ctx context.Context) (*State, error) {
	state, more, err := batch(ctx, f.Database, f.name)
	failure := database.AsFailure(err)
	f.powerless = failure != nil && failure.Kind == database.ReadOnly
	if f.powerless {
		return ReadState(ctx, f.Database.Session(database.Single)) // changes with numbers can still be read
	}
	f.behind = more
	return state, err
}
