package feed

import (
	"sync"
	"time"
)

// The numbers of Rests for which a server remembers that others have subscribers, and after which it says again that it has
// some itself. One of them says it in each Rest.
const (
	followedFor = 4
	saidFor     = 2
)

// others is what a Feed knows of other servers. Safe for concurrent use.
type others struct {
	clock func() time.Time
	rest  time.Duration // of all servers

	mu         sync.Mutex
	end        Cursor    // the greatest end of the feed that they told since the last takeEnd
	newest     Cursor    // the greatest end of the feed that they told
	fresh      bool      // newest is of a numbering since the last takeEnd
	lookedFor  epoch     // the epoch of the feed for which one of them has just looked
	oldAt      time.Time // when a server of the release before last signalled: its numberings have no signal
	numberedAt time.Time // when one of them last numbered changes
	followedAt time.Time // when one of them last said that it has subscribers
	saidAt     time.Time // when they or this server last said it
}

func newOthers(clock func() time.Time, rest time.Duration) *others {
	return &others{clock: clock, rest: rest}
}

// numbered notes that another server has numbered changes. An end that is not beyond all others is no news: old signals must not
// keep this server from numbering.
func (o *others) numbered(end Cursor) {
	o.tell(end)
	o.mu.Lock()
	defer o.mu.Unlock()
	if end.epoch == o.newest.epoch && end.number > o.newest.number {
		o.numberedAt, o.fresh = o.clock(), true
	}
	if end.epoch != o.newest.epoch || end.number > o.newest.number {
		o.newest = end
	}
}

// looked notes that another server has looked for changes of a feed.
func (o *others) looked(end Cursor) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lookedFor = end.epoch
}

// lookedAt reports whether the last server that has looked did so for the feed of an epoch.
func (o *others) lookedAt(e epoch) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lookedFor == e
}

// old notes a server of the release before.
func (o *others) old() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.oldAt = o.clock()
}

// numberSilently reports whether there may be servers that number without a signal.
func (o *others) numberSilently() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.oldAt.IsZero() && o.clock().Sub(o.oldAt) < followedFor*o.rest
}

// justNumbered reports whether another server has just numbered changes.
func (o *others) justNumbered() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.clock().Sub(o.numberedAt) < pace
}

// tell notes an end of the feed.
func (o *others) tell(end Cursor) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if end.epoch != o.end.epoch || end.number > o.end.number {
		o.end = end
	}
}

// takeEnd returns the greatest end of the feed, and forgets it. fresh says that another server has numbered changes up to there.
func (o *others) takeEnd() (end Cursor, fresh bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	end, fresh = o.end, o.fresh
	o.end, o.fresh = Cursor{}, false
	return end, fresh
}

// followed notes that another server has subscribers.
func (o *others) followed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.followedAt = o.clock()
	o.saidAt = o.followedAt
}

// subscribed reports whether another server has subscribers.
func (o *others) subscribed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.followedAt.IsZero() && o.clock().Sub(o.followedAt) < followedFor*o.rest
}

// said notes that this server has said that it has subscribers.
func (o *others) said() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.saidAt = o.clock()
}

// forget has this server say again that it has subscribers.
func (o *others) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.saidAt = time.Time{}
}

// unaware reports whether other servers may believe that none has subscribers.
func (o *others) unaware() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.saidAt.IsZero() || o.clock().Sub(o.saidAt) >= saidFor*o.rest
}
