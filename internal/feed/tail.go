package feed

import (
	"context"
	"errors"
	"slices"

	"roster/internal/budget"
	"roster/internal/database"
	"roster/internal/typeid"
)

const (
	// segmentSize is the greatest number of changes in a segment.
	segmentSize = 100
	// segmentBytes is the greatest size of the texts of a segment's nodes, in bytes. A segment with larger nodes has
	// fewer changes. If a single node exceeds the limit, its segment has no nodes: each event that needs it loads it.
	segmentBytes = 256 << 10
	// segmentsWithNodes is the number of newest segments that keep their nodes. Nodes may be large.
	segmentsWithNodes = 4
)

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

// followed reports whether subscribers follow the end of the feed.
func (f *Feed[N]) followed() bool { return f.followers() != nil }

// followers returns the end of the feed that subscribers follow, or nil.
func (f *Feed[N]) followers() *tail[N] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tail
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
