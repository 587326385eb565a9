package feed

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// pace is the least time between two looks. Changes that are committed meanwhile are numbered and read together.
const pace = 10 * time.Millisecond

// mostSkipped is the number of Rests after which a server looks itself, whatever others say: anyone may send signals.
const mostSkipped = 30

// news is a set of things that a Feed has heard of.
type news uint32

const (
	committed news = 1 << iota // this server has committed changes
	arrived                    // the first subscriber has come, or a look has left changes
	foreign                    // a program that does not number has committed changes
	told                       // another server has told the end of the feed
	wanted                     // another server has subscribers
	asked                      // another server asks whether this one has subscribers
	spared                     // another server has looked for this one
	unsure                     // the connection for signals is new, or it broke
)

// of returns the part of the news that is in a set.
func (n news) of(set news) news { return n & set }

// has reports whether the news has a thing.
func (n news) has(thing news) bool { return n.of(thing) != 0 }

// inbox holds news until the Feed takes it. Safe for concurrent use.
type inbox struct {
	news atomic.Uint32
	full chan struct{} // has an element after an add
}

func newInbox() inbox { return inbox{full: make(chan struct{}, 1)} }

func (i *inbox) add(n news) {
	i.news.Or(uint32(n))
	poke(i.full)
}

// take empties the inbox.
func (i *inbox) take() news { return news(i.news.Swap(0)) }

// drop removes news that needs no more work.
func (i *inbox) drop(n news) { i.news.And(^uint32(n)) }

// poke leaves a signal in a channel of size 1, unless it has one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// urgency says how soon a Feed looks for changes.
type urgency int

const (
	never urgency = iota // not because of this news
	later                // within a Poll: many changes get their numbers together
	soon                 // within a moment, in which another server may number the same changes
	now
)

// situation is what a Feed knows of its server and of others.
type situation struct {
	followed  bool // this server has subscribers
	hears     bool // signals arrive
	elsewhere bool // another server has subscribers
	raced     bool // another server has just numbered changes
	behind    bool // the last look has left changes
	waiting   bool // changes may wait for a look
}

// urgency returns the greatest urgency of the news.
func (s situation) urgency(n news) urgency {
	u := never
	for thing := committed; thing <= unsure; thing <<= 1 {
		if n.has(thing) {
			u = max(u, s.urgencyOf(thing))
		}
	}
	return u
}

func (s situation) urgencyOf(thing news) urgency {
	switch thing {
	case committed:
		switch {
		case s.hears && s.raced && (s.followed || s.elsewhere):
			return soon
		case s.followed, s.hears && s.elsewhere:
			return now
		}
		return later
	case foreign:
		switch {
		case s.followed:
			return soon
		case s.elsewhere: // that server numbers them
			return never
		}
		return later
	case arrived, unsure:
		if s.followed || s.behind {
			return now
		}
		return later
	case wanted:
		if s.waiting {
			return now
		}
	case told, asked, spared: // heed does what they need
	}
	return never
}

// schedule has the times of the next looks.
type schedule struct {
	rest    <-chan time.Time // of the look that needs no news
	skipped int              // Rests since the last look of this server, for which others have looked
	next    <-chan time.Time // of the look that news needs, or nil
	reason  urgency          // of next
}

// plan plans a look, unless one is planned that is as urgent.
func (s *schedule) plan(u urgency, wait time.Duration, after func(time.Duration) <-chan time.Time) {
	if u > s.reason {
		s.reason, s.next = u, after(wait)
	}
}

// done notes that the planned look happens now.
func (s *schedule) done() { s.reason, s.next = never, nil }

// Run does the Feed's work until ctx ends. Subscribers wait while Run does not run.
func (f *Feed[N]) Run(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { f.Database.Listen(ctx, channel, f.hear) })
	beside.Go(func() { f.recount(ctx) })
	beside.Go(func() { f.count(ctx) })
	f.round(ctx)
	s := &schedule{rest: f.After(f.Rest)}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for ctx.Err() == nil {
		if f.away || f.followed() && (!f.hears() || f.others.numberSilently()) {
			s.plan(later, f.Poll, f.After)
		}
		select {
		case <-f.inbox.full:
			f.heed(ctx, s, f.inbox.take())
		case <-s.next:
			s.done()
			f.round(ctx)
		case <-s.rest:
			*s = schedule{rest: f.After(f.Rest)}
			f.round(ctx)
			f.probe(ctx, !f.away)
		case <-ctx.Done():
		}
		if f.followed() && f.hears() && f.others.unaware() {
			f.probe(ctx, false)
		}
		pause.Reset(pace)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

// heed does what news needs at once, and plans the rest.
func (f *Feed[N]) heed(ctx context.Context, s *schedule, n news) {
	if n.has(unsure) {
		f.probe(ctx, false)
	}
	if n.has(committed) && !f.hears() {
		f.signal(ctx, f.name) // other servers may have subscribers
	}
	if n.has(told) && f.catchUp(ctx) && s.reason == soon { // that server has probably numbered these changes too
		s.next = time.After(pace + jitter(pace))
	}
	if n.has(spared) && f.others.lookedAt(f.last.epoch) && s.skipped < mostSkipped {
		s.skipped++
		s.rest = f.After(f.Rest + jitter(f.Rest/4)) // so that one server looks before the others
	}
	switch (situation{
		followed: f.followed(), hears: f.hears(), behind: f.behind, waiting: s.next != nil,
		elsewhere: f.others.subscribed(), raced: f.others.justNumbered(),
	}).urgency(n) {
	case now:
		s.done()
		if n.has(committed) {
			f.numberNow(ctx)
		} else {
			f.round(ctx)
		}
	case soon:
		s.plan(soon, jitter(pace), time.After)
	case later:
		wait := f.Poll
		if n.has(foreign) { // all servers have heard of it
			wait += jitter(f.Poll)
		}
		s.plan(later, wait, f.After)
	case never:
	}
}

// jitter returns a random part of a duration.
func jitter(d time.Duration) time.Duration { return rand.N(d + 1) } //nolint:gosec // it only keeps servers apart
