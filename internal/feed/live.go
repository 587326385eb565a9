package feed

import (
	"cmp"
	"context"
	cryptorand "crypto/rand"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
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

const (
	// pace is the least time between two looks. Changes that are committed meanwhile are numbered and read together.
	pace = 10 * time.Millisecond
	// segmentSize is the greatest number of changes in a segment.
	segmentSize = 100
	// segmentBytes is the greatest size of the texts of a segment's nodes, in bytes. A segment with larger nodes has
	// fewer changes. If a single node exceeds the limit, its segment has no nodes: each event that needs it loads it.
	segmentBytes = 256 << 10
	// segmentsWithNodes is the number of newest segments that keep their nodes. Nodes may be large.
	segmentsWithNodes = 4
	// recountWait is the wait before rows are counted again after an error.
	recountWait = time.Minute
	// lost is the number of unanswered probes from which signals do not arrive. One may be on its way.
	lost = 2
)

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
	load      Loader[N]     // reads the nodes that all subscribers share
	name      string        // identifies this Feed in signals between servers
	committed chan struct{} // this server has committed changes
	woken     chan struct{} // new changes may exist
	foreign   chan struct{} // another program has committed changes, and does not number them
	told      chan struct{} // another server tells the end of the feed
	wanted    chan struct{} // another server has subscribers
	asked     chan struct{} // another server asks whether this one has subscribers
	looked    chan struct{} // another server has looked for this one
	unsure    chan struct{} // the connection for signals is new, or it broke
	uncounted chan struct{} // the rows must be counted
	due       chan struct{} // changes must be counted
	probes    atomic.Int64  // sent since the last one that arrived
	slow      atomic.Int64  // subscribers that ended with ErrSlow
	away      bool          // the last look failed
	behind    bool          // the last look has left changes without a number, or has not counted all that it numbered
	powerless bool          // the last numbering found a database that is read only for this server
	last      Cursor        // the end of the feed at the last look that did not fail
	others    others

	mu   sync.Mutex
	tail *tail[N] // nil without followers
}

// tail is the end of the feed of one epoch, which subscribers follow. Feed.mu guards it.
type tail[N any] struct {
	epoch       epoch
	start, end  int64         // the segments have the changes after start, up to end
	segments    []*segment[N] // in the order of the feed
	more        chan struct{} // closed when another segment or err is set
	err         error         // ends the tail
	subscribers int
	nodes       int // subscribers that need nodes
}

// segment is a run of consecutive changes. It is immutable.
type segment[N any] struct {
	changes []Change
	to      int64           // the segment has all changes for its readers up to this number
	nodes   map[typeid.ID]N // nil if they are not loaded
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
	f := &Feed[N]{Options: o, load: load, name: cryptorand.Text()}
	for _, c := range []*chan struct{}{&f.committed, &f.woken, &f.foreign, &f.told, &f.wanted, &f.asked, &f.looked, &f.unsure, &f.uncounted, &f.due} {
		*c = make(chan struct{}, 1)
	}
	f.probes.Store(lost)
	return f
}

// Wake tells the Feed that this server has committed changes. It returns at once.
func (f *Feed[N]) Wake() { poke(f.committed) }

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

// poke leaves a signal in a channel of size 1, unless it has one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take takes a signal, if there is one.
func take(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}

// Run does the Feed's work until ctx ends. Subscribers wait while Run does not run.
func (f *Feed[N]) Run(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { f.Database.Listen(ctx, channel, f.hear) })
	beside.Go(func() { f.recount(ctx) })
	beside.Go(func() { f.count(ctx) })
	f.round(ctx)
	rest := f.After(f.Rest)
	pause := time.NewTimer(0)
	defer pause.Stop()
	var later <-chan time.Time // no server has subscribers: changes may need numbers. Or the last look failed
	var soon <-chan time.Time  // another server may number these changes first
	spared := 0                // Rests that others have spared this server since it last looked
	for ctx.Err() == nil {
		followed := f.followed()
		var poll <-chan time.Time
		switch {
		case followed && (f.away || !f.hears() || f.others.numberSilently(f.Clock(), f.Rest)):
			poll = f.After(f.Poll)
		case f.away && !followed && later == nil:
			later = f.After(f.Poll)
		}
		look, wait := f.round, time.Duration(0)
		select {
		case <-ctx.Done():
			return
		case <-f.committed:
			switch {
			case !f.hears():
				f.signal(ctx, f.name) // other servers may have subscribers
				if look = f.numberNow; !followed {
					wait = f.Poll
				}
			case !followed && !f.others.follow(f.Clock(), f.Rest):
				wait = f.Poll
			case f.others.number(f.Clock()):
				look, soon = nil, time.After(jitter(pace))
			default:
				look = f.numberNow
			}
		case <-f.foreign:
			switch {
			case followed:
				look, soon = nil, time.After(jitter(pace))
			case f.others.follow(f.Clock(), f.Rest): // they number
				look = nil
			default:
				wait = f.Poll + jitter(f.Poll)
			}
		case <-f.told:
			look = nil
			if news := f.catchUp(ctx); news && soon != nil { // that server has probably numbered these changes too
				soon = time.After(pace + jitter(pace))
			}
		case <-f.woken:
			if !f.behind && !f.followed() { // the first subscriber wakes the Feed too
				wait = f.Poll
			}
		case <-f.wanted:
			if later == nil {
				look = nil
			}
		case <-f.asked:
			look = nil
		case <-f.looked:
			look = nil
			if f.others.look(f.last.epoch) && spared < mostSpared {
				spared++
				rest = f.After(f.Rest + jitter(f.Rest/4))
			}
		case <-f.unsure:
			f.probe(ctx, false)
			if !followed {
				wait = f.Poll
			}
		case <-rest:
			rest, spared = f.After(f.Rest), 0
			f.round(ctx)
			f.probe(ctx, !f.away)
			look, later = nil, nil
		case <-poll:
		case <-later:
		case <-soon:
		}
		switch {
		case wait > 0 && later == nil:
			later = f.After(wait)
		case wait == 0 && look != nil:
			later, soon = nil, nil
			look(ctx)
		}
		if f.followed() && f.hears() && f.others.unaware(f.Clock(), f.Rest) {
			f.probe(ctx, false)
		}
		pause.Reset(pace)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

// followed reports whether subscribers follow the end of the feed.
func (f *Feed[N]) followed() bool { return f.followers() != nil }

// followers returns the end of the feed that subscribers follow, or nil.
func (f *Feed[N]) followers() *tail[N] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tail
}

// hears reports whether signals arrive.
func (f *Feed[N]) hears() bool { return f.probes.Load() < lost }

// jitter returns a random part of a duration.
func jitter(d time.Duration) time.Duration { return rand.N(d + 1) } //nolint:gosec // it only keeps servers apart

// recount counts the rows when a look finds that the database does not know the counts. Subscribers do not wait for it. It
// logs a failure once, until it succeeds.
func (f *Feed[N]) recount(ctx context.Context) {
	for failed := false; ; {
		select {
		case <-f.uncounted:
		case <-ctx.Done():
			return
		}
		err := f.countRows(ctx)
		if err == nil {
			failed = false
			continue
		}
		if failure := database.AsFailure(err); ctx.Err() == nil && !failed && (failure == nil || failure.Kind != database.ReadOnly) {
			f.Logger.WarnContext(ctx, "the rows cannot be counted: totalCount reads all rows", "error", err)
		}
		failed = true
		select {
		case <-f.After(recountWait):
		case <-ctx.Done():
			return
		}
	}
}

// countRows counts the rows if the database still does not know the counts.
func (f *Feed[N]) countRows(ctx context.Context) error {
	state, err := ReadState(ctx, f.Database.Session(database.Single))
	if err != nil || state.known() {
		return err
	}
	r, err := Count(ctx, f.Database, f.Tables)
	if err == nil {
		_, err = r.Store(ctx, f.Database, false)
	}
	return err
}

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
func (f *Feed[N]) catchUp(ctx context.Context) (news bool) {
	end, news := f.others.takeEnd()
	t := f.followers()
	if t == nil || end.epoch == t.epoch && end.number <= t.end {
		return news
	}
	if end.epoch == t.epoch {
		if complete, err := f.read(ctx, t, end.number); err == nil && complete {
			return news
		}
	}
	f.round(ctx)
	return news
}

// update gets the feed's row and adds new changes to the tail. It logs a failure once, until it succeeds again.
func (f *Feed[N]) update(ctx context.Context, row func(ctx context.Context) (*State, error)) {
	for _, c := range []chan struct{}{f.woken, f.foreign, f.wanted} { // this round is for them too
		take(c)
	}
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
		poke(f.woken) // followers get these changes before the next ones are numbered
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

// count counts changes that have numbers, when a look finds enough of them: those of SQLite, and of a server of the release
// before. Subscribers do not wait for it: on SQLite, another program may write for a long time. After a failure, the next
// look asks again.
func (f *Feed[N]) count(ctx context.Context) {
	for {
		select {
		case <-f.due:
		case <-ctx.Done():
			return
		}
		for more := true; more; {
			var err error
			if _, more, err = batch(ctx, f.Database, nobody); err != nil { // this server hears of what it numbers
				if ctx.Err() == nil {
					f.Logger.DebugContext(ctx, "the changes are not counted", "error", err)
				}
				break
			}
		}
	}
}

// follow adds new changes to the tail.
func (f *Feed[N]) follow(ctx context.Context, t *tail[N], state *State) error {
	if state.last < t.end { // another node of a cluster may answer now, which is not as far
		var err error
		if state, err = state.caughtUp(ctx, f.Database); err != nil {
			return err
		}
	}
	if epochOf(state.epoch) != t.epoch || state.last < t.end { // the database was reset or restored
		f.finish(t, ErrExpired)
		return nil
	}
	complete, err := f.read(ctx, t, state.last)
	if err == nil && !complete { // already pruned
		f.finish(t, ErrExpired)
	}
	return err
}

// read adds the changes up to a number to the tail. It reports whether the database has all of them.
func (f *Feed[N]) read(ctx context.Context, t *tail[N], last int64) (complete bool, err error) {
	for t.end < last {
		page, err := readPage(ctx, f.Database.Session(database.Single), Request{First: segmentSize}, t.epoch, t.end, last)
		if err != nil {
			return false, err
		}
		if int64(len(page.Changes)) != page.End.number-t.end {
			return false, nil
		}
		f.mu.Lock()
		withNodes := t.nodes > 0
		f.mu.Unlock()
		f.add(t, f.segment(ctx, page, withNodes))
	}
	return true, nil
}

// segment makes a segment of the first changes of a page. With nodes, it takes only as many changes as have nodes of at
// most segmentBytes. If the nodes cannot be loaded, the segment has none, and each event loads its own.
func (f *Feed[N]) segment(ctx context.Context, page *Page, withNodes bool) *segment[N] {
	s := &segment[N]{changes: page.Changes, to: page.End.number}
	for withNodes && len(s.changes) > 0 {
		ids := make([]typeid.ID, len(s.changes))
		for i := range s.changes {
			ids[i] = s.changes[i].NodeID
		}
		account := budget.Limited(segmentBytes)
		nodes, err := f.load(budget.WithAnswer(ctx, account), ids)
		if err == nil {
			s.nodes = nodes
			return s
		}
		_, large := errors.AsType[*budget.TooLargeError](err)
		fit := min(len(s.changes)/2, int(account.Rows())-1)
		if large && len(s.changes) > 1 {
			s.changes = s.changes[:max(fit, 1)]
			s.to = s.changes[len(s.changes)-1].Cursor.number
		}
		if !large || fit < 1 {
			f.Logger.DebugContext(ctx, "the nodes of changes are not loaded", "error", err)
			return s
		}
	}
	return s
}

// add adds a segment. It drops the nodes of older segments, and segments beyond Keep.
func (f *Feed[N]) add(t *tail[N], s *segment[N]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t.segments = append(t.segments, s)
	t.end = s.to
	if i := len(t.segments) - 1 - segmentsWithNodes; i >= 0 {
		t.segments[i] = &segment[N]{changes: t.segments[i].changes, to: t.segments[i].to}
	}
	for t.end-t.segments[0].to >= int64(f.Keep) {
		t.start = t.segments[0].to
		t.segments = slices.Delete(t.segments, 0, 1)
	}
	close(t.more)
	t.more = make(chan struct{})
}

// finish ends all subscriptions that follow the tail.
func (f *Feed[N]) finish(t *tail[N], err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t.err = err
	close(t.more)
	if f.tail == t {
		f.tail = nil
	}
}
