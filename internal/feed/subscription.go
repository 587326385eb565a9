package feed

import (
	"context"
	"slices"
	"sort"
	"time"

	"roster/internal/database"
)

// A Subscription is the place of one subscriber in the feed. It takes what is new when it is asked: between two calls
// nothing of it runs. One goroutine uses it at a time, but for Close.
type Subscription[N any] struct {
	feed    *Feed[N]
	request Request
	nodes   bool
	at      Cursor      // what comes next is after it
	segment *segment[N] // that is being handed out; nil for none
	next    int         // in the segment

	// Feed.mu guards these.
	tail    *tail[N]  // nil while the subscriber catches up with it
	level   time.Time // when it had everything that there was
	release func()    // gives back the memory for a segment of its own; nil without one
	closed  bool
}

// An Event is a change as a subscriber gets it.
type Event[N any] struct {
	Change
	// Node is the node of the change, as it was when the feed came to the change, or later. It is zero when the node was
	// gone by then, or when Loaded is false.
	Node N
	// Loaded says that the feed has looked for the node.
	Loaded bool
}

// Subscribe begins a subscription: to all changes after the cursor of the request, and without one to all that are
// committed from now on. nodes says that its events are to have their nodes. Close ends it. The error is a Failure of the
// database.
func (f *Feed[N]) Subscribe(ctx context.Context, r Request, nodes bool) (*Subscription[N], error) {
	s := &Subscription[N]{feed: f, request: r, nodes: nodes}
	if r.After != nil {
		s.at = *r.After
		return s, nil
	}
	if _, err := Number(ctx, f.Database); err != nil { // what is committed already comes before
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

// Next waits for the next change and returns it. The error is ErrExpired when what comes after the last one cannot be
// told, ErrSlow when the subscriber has fallen too far behind, a Failure of the database, or what ended ctx.
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

// passes is the filter of a request.
func (r *Request) passes(c *Change) bool {
	return (r.Types == nil || slices.Contains(r.Types, c.NodeID.Type())) &&
		(r.NodeIDs == nil || slices.Contains(r.NodeIDs, c.NodeID))
}

// advance goes on to another segment, or waits: until it has caught up with the tail, what it reads from the database is
// a segment of its own.
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
		snapshot := s.feed.Database.Session(database.Snapshot) // or what is pruned between the two statements would be missing
		page, err := Read(ctx, snapshot, r)
		snapshot.Rollback()
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

// reserve reserves memory for the nodes of a segment that only this subscriber has, and reports whether there is some.
func (s *Subscription[N]) reserve() bool {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if s.release == nil && !s.closed {
		s.release, _ = s.feed.Budget.Reserve(segmentBytes)
	}
	return s.release != nil
}

// free gives back what reserve has reserved. The caller holds Feed.mu.
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

// join lets the subscriber follow the tail after a place up to which it has got everything. When the tail has forgotten
// what comes next, the subscriber has to read on. When the tail is of another life of the database, the Feed or the
// subscriber has yet to find out, and the subscriber reads on when the Feed has looked.
func (s *Subscription[N]) join(at Cursor) (later <-chan struct{}) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.closed {
		return nil
	}
	if f.tail == nil {
		f.tail = &tail[N]{epoch: at.epoch, start: at.number, end: at.number, more: make(chan struct{})}
		poke(f.woken)
	}
	t := f.tail
	switch {
	case t.epoch != at.epoch:
		poke(f.woken)
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

// follow returns the next segment of the tail, or what closes when there may be one.
func (s *Subscription[N]) follow() (following bool, next *segment[N], more <-chan struct{}, err error) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	t := s.tail
	if t != nil {
		s.free() // its segments are everybody's
	}
	switch {
	case t == nil:
		return false, nil, nil, nil
	case t.err != nil:
		return true, nil, nil, t.err
	case s.at.number < t.start && f.Clock().Sub(s.level) > f.Slack:
		return true, nil, nil, ErrSlow
	case s.at.number < t.start: // more came at once than is kept
		s.leave()
		return false, nil, nil, nil
	case s.at.number >= t.end:
		s.level = f.Clock()
		return true, nil, t.more, nil
	}
	i := sort.Search(len(t.segments), func(i int) bool { return t.segments[i].to > s.at.number })
	return true, t.segments[i], nil, nil
}

// Close ends the subscription. It may be called at any time, and more than once.
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

// leave ends that the subscriber follows the tail, under Feed.mu.
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
