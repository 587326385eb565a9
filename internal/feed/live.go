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

// Options are what a Feed stands on.
type Options struct {
	Database *database.DB
	// Budget is the memory for what is kept for single subscribers; nil is no bound.
	Budget *budget.Budget
	// Keep is how many of the newest changes are kept for subscribers. One that is further behind reads what it has missed
	// from the database when it had everything a moment ago, as before an import, and is ended when it did not. 0 is 10,000.
	Keep int
	// Slack is how long that moment is: 0 is 10 seconds.
	Slack time.Duration
	// Clock tells it; nil is the system's.
	Clock func() time.Time
	// Poll is how often to look for what nobody has told of, such as what other servers have committed: 0 is twice a
	// second.
	Poll   time.Duration
	Logger *slog.Logger
}

const (
	defaultKeep  = 10_000
	defaultSlack = 10 * time.Second
	defaultPoll  = 500 * time.Millisecond
	// pace is the least time between two looks: what is committed meanwhile is numbered and read together.
	pace = 10 * time.Millisecond
	// segmentSize is how many changes are handed out, and their nodes loaded, together.
	segmentSize = 100
	// segmentBytes is how many bytes of text the nodes of a segment have. Of larger ones a segment has fewer, and one that
	// is larger by itself is loaded by each event that wants it.
	segmentBytes = 256 << 10
	// segmentsWithNodes is how many segments keep their nodes, which may be large.
	segmentsWithNodes = 4
	// channel is where servers tell each other that they have committed.
	channel = "roster_changes"
)

// ErrSlow is the error of a subscriber that has fallen behind what is kept for all.
var ErrSlow = errors.New("feed: the subscriber is too slow")

// A Loader reads the nodes that there are of the IDs. It counts them on the account of the context; the error is a
// *budget.TooLargeError when that is too much.
type Loader[N any] func(ctx context.Context, ids []typeid.ID) (map[typeid.ID]N, error)

// A Feed follows the end of the change feed for all subscribers of a server. It gives committed changes their numbers,
// reads each once and keeps the newest: a subscriber that waits costs no statement, and one that is slow no memory. N is
// the type of the nodes that the changes are about.
type Feed[N any] struct {
	Options
	load      Loader[N]     // reads the nodes that all subscribers share
	name      string        // of this Feed, among those that signal each other
	committed chan struct{} // something was committed here
	woken     chan struct{} // there may be something new
	away      bool          // the database was, when it was last looked at

	mu   sync.Mutex
	tail *tail[N] // nil while nobody follows
}

// tail is the end of the feed as subscribers follow it, in one life of the database. Feed.mu guards it.
type tail[N any] struct {
	epoch       epoch
	start, end  int64         // the segments have the changes after the one and up to the other
	segments    []*segment[N] // in their order
	more        chan struct{} // closed when there is another segment, or err
	err         error         // after which nothing comes
	subscribers int
	nodes       int // subscribers that want nodes
}

// segment is changes that follow one another. Nothing of it changes any more.
type segment[N any] struct {
	changes []Change
	to      int64           // the number up to which it tells of all that its readers want
	nodes   map[typeid.ID]N // nil when they are not loaded
}

// New returns a Feed that nobody follows, and that reads nodes with load.
func New[N any](o Options, load Loader[N]) *Feed[N] {
	o.Keep = cmp.Or(o.Keep, defaultKeep)
	o.Slack = cmp.Or(o.Slack, defaultSlack)
	o.Poll = cmp.Or(o.Poll, defaultPoll)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Feed[N]{Options: o, load: load, name: rand.Text(), committed: make(chan struct{}, 1), woken: make(chan struct{}, 1)}
}

// Wake says that something was committed that has changes. It returns at once.
func (f *Feed[N]) Wake() { poke(f.committed) }

// Subscribers is how many follow the end of the feed now; those that catch up with it are not among them.
func (f *Feed[N]) Subscribers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tail == nil {
		return 0
	}
	return f.tail.subscribers
}

// poke leaves a word for who is busy, unless there is one already.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run does the Feed's work until ctx ends. While it does not run, subscribers wait.
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
			f.tell(ctx)
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

// tell wakes the other servers. They look by themselves too, so that it does not matter when it fails.
func (f *Feed[N]) tell(ctx context.Context) {
	if err := f.Database.Signal(ctx, channel, f.name); err != nil && ctx.Err() == nil {
		f.Logger.DebugContext(ctx, "other servers are not told of changes", "error", err)
	}
}

// round looks for what is new, and reports when it cannot: once until it can again. When nobody follows, it is enough to
// do so now and then, so that what is committed gets its number.
func (f *Feed[N]) round(ctx context.Context, always bool) {
	t := f.followed()
	if t == nil && !always {
		return
	}
	err := f.look(ctx, t)
	if err != nil && ctx.Err() == nil && !f.away {
		f.Logger.WarnContext(ctx, "the change feed cannot be read", "error", err)
	}
	f.away = err != nil
}

func (f *Feed[N]) followed() *tail[N] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tail
}

// look gives committed changes their numbers, and adds what is new to the tail, if there is one.
func (f *Feed[N]) look(ctx context.Context, t *tail[N]) error {
	more, err := NumberSome(ctx, f.Database)
	if err != nil {
		return err
	}
	if more {
		poke(f.woken) // who follows gets these before the next ones are numbered
	}
	if t == nil {
		return nil
	}
	d := f.Database.Session(database.Single)
	state, err := ReadState(ctx, d)
	if err != nil {
		return err
	}
	if epochOf(state.epoch) != t.epoch || state.last < t.end { // another life, or the past of this one
		f.finish(t, ErrExpired)
		return nil
	}
	for t.end < state.last {
		page, err := state.read(ctx, d, Request{After: &Cursor{t.epoch, t.end}, First: segmentSize})
		switch {
		case errors.Is(err, ErrExpired), err == nil && int64(len(page.Changes)) != page.End.number-t.end: // pruned already
			f.finish(t, ErrExpired)
			return nil
		case err != nil:
			return err
		}
		f.add(t, f.segment(ctx, page, f.wantsNodes(t)))
	}
	return nil
}

// wantsNodes reports whether a subscriber wants nodes.
func (f *Feed[N]) wantsNodes(t *tail[N]) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return t.nodes > 0
}

// segment makes the first changes of a page a segment: all of them, or as many as have nodes that fit when nodes are
// wanted. When nodes cannot be loaded, who wants one does it.
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

// add adds a segment, and forgets the oldest.
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

// finish ends all subscriptions that follow.
func (f *Feed[N]) finish(t *tail[N], err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t.err = err
	close(t.more)
	if f.tail == t {
		f.tail = nil
	}
}
