package feed

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sort"
	"time"

	"roster/internal/database"
)

// A Subscription is the place of one subscriber in the feed. It takes new changes only in Next: between two calls,
// nothing runs. Only one goroutine at a time may use it, except for Close.
type Subscription[N any] struct {
	feed    *Feed[N]
	request Request
	nodes   bool
	at      Cursor      // the place of the last change
	segment *segment[N] // the current segment, or nil
	next    int         // the index of the next change in segment

	// Feed.mu guards these.
	tail    *tail[N]  // nil while the subscriber catches up
	level   time.Time // when the subscriber last had all changes
	release func()    // releases the memory for the subscriber's own segment, or nil
	closed  bool
}

// An Event is a change for a subscriber.
type Event[N any] struct {
	Change
	// Node is the node of the change, as it was when the feed read the change, or later. It is zero if the node was
	// deleted by then, or if Loaded is false.
	Node N
	// Loaded says that the feed has loaded the node.
	Loaded bool
}

// Subscribe begins a subscription to all changes after the cursor of the request or, without a cursor, to all changes
// that are committed from now on. If nodes is set, the events have their nodes. Close ends the subscription. The error
// is a Failure of the database.
func (f *Feed[N]) Subscribe(ctx context.Context, r Request, nodes bool) (*Subscription[N], error) {
	s := &Subscription[N]{feed: f, request: r, nodes: nodes}
	if r.After != nil {
		s.at = *r.After
		return s, nil
	}
	if err := Number(ctx, f.Database); err != nil { // changes committed before now precede the subscription
		return nil, err
	}
	state, err := ReadState(ctx, f.Database.Session(database.Single))
	if err != nil {
		return nil, err
	}
	s.at = state.End()
	s.join(s.at)
	return s, nil
}

// Next waits for the next change and returns it. The error is ErrExpired when the database lacks the changes after the
// last one, ErrSlow when the subscriber has fallen too far behind, a Failure of the database, or the cause of the end
// of ctx.
func (s *Subscription[N]) Next(ctx context.Context) (*Event[N], error) {
	for {
		for s.segment != nil && s.next < len(s.segment.changes) {
			c := &s.segment.changes[s.next]
			s.next++
			if c.Cursor.number > s.at.number && s.request.passes(c) {
				s.at = c.Cursor
				return &Event[N]{Change: *c, Node: s.segment.nodes[c.NodeID], Loaded: s.segment.nodes != nil}, nil
			}
		}
		if s.segment != nil {
			s.at.number = max(s.at.number, s.segment.to)
			s.segment = nil
		}
		if err := s.advance(ctx); err != nil {
			return nil, err
		}
	}
}

// passes reports whether a change passes the filter of the request.
func (r *Request) passes(c *Change) bool {
	return (r.Types == nil || slices.Contains(r.Types, c.NodeID.Type())) &&
		(r.NodeIDs == nil || slices.Contains(r.NodeIDs, c.NodeID)) && (r.Actor == nil || *r.Actor == c.Actor && c.Actor != "")
}

// advance takes the next segment of the tail, or waits for one. Until the subscriber has caught up with the tail,
// advance reads its own segments from the database.
func (s *Subscription[N]) advance(ctx context.Context) error {
	following, segment, more, err := s.follow()
	if err != nil {
		return err
	}
	if following && segment == nil {
		return wait(ctx, more)
	}
	if !following {
		r := s.request
		r.After, r.First = &s.at, segmentSize
		page, err := s.read(ctx, r)
		if err != nil {
			return err
		}
		segment = s.feed.segment(ctx, page, s.nodes && s.reserve())
		if page.CaughtUp && segment.to == page.End.number {
			if more := s.join(page.End); more != nil && len(page.Changes) == 0 {
				return wait(ctx, more)
			}
		}
	}
	s.segment, s.next = segment, 0
	return nil
}

// read reads a page in a snapshot: otherwise, changes that are pruned between the two statements would be missing. The node of a
// cluster may not have applied yet what another node has told the subscriber.
func (s *Subscription[N]) read(ctx context.Context, r Request) (page *Page, err error) {
	for caughtUp := false; ; {
		snapshot := s.feed.Database.Session(database.Snapshot)
		page, err = Read(ctx, snapshot, r)
		snapshot.Rollback()
		if caughtUp || !errors.Is(err, ErrExpired) {
			return page, err
		}
		var waitErr error
		if caughtUp, waitErr = s.feed.Database.CatchUp(ctx); waitErr != nil || !caughtUp {
			return nil, cmp.Or(waitErr, err)
		}
	}
}

// reserve reserves memory for the nodes of the subscriber's own segment, and reports whether it succeeded.
func (s *Subscription[N]) reserve() bool {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if s.release == nil && !s.closed {
		s.release, _ = s.feed.Budget.Reserve(segmentBytes)
	}
	return s.release != nil
}

// free releases the memory from reserve. The caller must hold Feed.mu.
func (s *Subscription[N]) free() {
	if s.release != nil {
		s.release()
		s.release = nil
	}
}

func wait(ctx context.Context, more <-chan struct{}) error {
	select {
	case <-more:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// join lets the subscriber follow the tail. The subscriber has all changes up to at. If the tail no longer has the next
// changes, the subscriber must read them from the database. If the tail is of another epoch, either the Feed or the
// subscriber does not know the new epoch yet: then join returns a channel, and the subscriber reads on when it closes,
// after the next look of the Feed.
func (s *Subscription[N]) join(at Cursor) (later <-chan struct{}) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.closed {
		return nil
	}
	if f.tail == nil {
		f.tail = &tail[N]{epoch: at.epoch, start: at.number, end: at.number, more: make(chan struct{})}
		f.inbox.add(arrived)
	}
	t := f.tail
	switch {
	case t.epoch != at.epoch:
		f.inbox.add(arrived)
		return t.more
	case t.start <= at.number:
		s.tail, s.level = t, f.Clock()
		t.subscribers++
		if s.nodes {
			t.nodes++
		}
	}
	return nil
}

// follow returns the next segment of the tail, or the channel that closes when one may exist. following is false while
// the subscriber must read from the database.
func (s *Subscription[N]) follow() (following bool, next *segment[N], more <-chan struct{}, err error) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	t := s.tail
	if t != nil {
		s.free() // the segments of the tail are shared
	}
	switch {
	case t == nil:
		return false, nil, nil, nil
	case t.err != nil:
		return true, nil, nil, t.err
	case s.at.number < t.start && f.Clock().Sub(s.level) > f.Slack:
		f.slow.Add(1)
		return true, nil, nil, ErrSlow
	case s.at.number < t.start: // more than Keep changes came at once
		s.leave()
		return false, nil, nil, nil
	case s.at.number >= t.end:
		s.level = f.Clock()
		return true, nil, t.more, nil
	}
	i := sort.Search(len(t.segments), func(i int) bool { return t.segments[i].to > s.at.number })
	return true, t.segments[i], nil, nil
}

// Close ends the subscription. It is safe to call at any time, and more than once.
func (s *Subscription[N]) Close() {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.free()
	s.leave()
}

// leave takes the subscriber off the tail. The caller must hold Feed.mu.
func (s *Subscription[N]) leave() {
	f, t := s.feed, s.tail
	if t == nil {
		return
	}
	s.tail = nil
	t.subscribers--
	if s.nodes {
		t.nodes--
	}
	if t.subscribers == 0 && f.tail == t {
		f.tail = nil
	}
}
