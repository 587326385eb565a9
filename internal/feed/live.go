package feed

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"roster/internal/budget"
	"roster/internal/database"
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
	// Poll is the interval of looks for changes without a signal, such as those of other servers. 0 is half a second.
	Poll   time.Duration
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
	// channel is the channel on which servers signal commits to each other.
	channel = "roster_changes"
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
	away      bool          // the last look failed

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
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Feed[N]{Options: o, load: load, name: rand.Text(), committed: make(chan struct{}, 1), woken: make(chan struct{}, 1)}
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

// Run does the Feed's work until ctx ends. Subscribers wait while Run does not run.
func (f *Feed[N]) Run(ctx context.Context) {
	var listening sync.WaitGroup
	defer listening.Wait()
	listening.Go(func() {
		f.Database.Listen(ctx, channel, func(name string) {
			if name != f.name {
				poke(f.woken)
			}
		})
	})
	poll := time.NewTicker(f.Poll)
	defer poll.Stop()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-f.committed:
			if err := f.Database.Signal(ctx, channel, f.name); err != nil && ctx.Err() == nil { // the others poll too
				f.Logger.DebugContext(ctx, "other servers are not told of changes", "error", err)
			}
			f.round(ctx, false)
		case <-f.woken:
			f.round(ctx, false)
		case <-poll.C:
			f.round(ctx, true)
		}
		rest.Reset(pace)
		select {
		case <-rest.C:
		case <-ctx.Done():
		}
	}
}

// round looks for new changes. It logs a failure once, until a look succeeds again. Without followers, it looks only if
// always is set: then a look only numbers changes, and polling is often enough.
func (f *Feed[N]) round(ctx context.Context, always bool) {
	f.mu.Lock()
	t := f.tail
	f.mu.Unlock()
	if t == nil && !always {
		return
	}
	err := f.look(ctx, t)
	if err != nil && ctx.Err() == nil && !f.away {
		f.Logger.WarnContext(ctx, "the change feed cannot be read", "error", err)
	}
	f.away = err != nil
}

// look numbers committed changes, and adds new changes to the tail, if it exists.
func (f *Feed[N]) look(ctx context.Context, t *tail[N]) error {
	more, err := NumberSome(ctx, f.Database)
	if err != nil {
		return err
	}
	if more {
		poke(f.woken) // followers get these changes before the next ones are numbered
	}
	if t == nil {
		return nil
	}
	d := f.Database.Session(database.Single)
	state, err := ReadState(ctx, d)
	if err != nil {
		return err
	}
	if epochOf(state.epoch) != t.epoch || state.last < t.end { // the database was reset or restored
		f.finish(t, ErrExpired)
		return nil
	}
	for t.end < state.last {
		page, err := state.read(ctx, d, Request{After: &Cursor{t.epoch, t.end}, First: segmentSize})
		switch {
		case errors.Is(err, ErrExpired), err == nil && int64(len(page.Changes)) != page.End.number-t.end: // already pruned
			f.finish(t, ErrExpired)
			return nil
		case err != nil:
			return err
		}
		f.mu.Lock()
		withNodes := t.nodes > 0
		f.mu.Unlock()
		f.add(t, f.segment(ctx, page, withNodes))
	}
	return nil
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
