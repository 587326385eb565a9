package feed

import (
	"context"
	"strings"
	"sync"
	"time"

	"roster/internal/database"
)

// channel is the channel on which servers signal to each other.
const channel = "roster_changes"

// The texts of signals. A server of the release before knows probes without a cursor, and looks for changes after any other
// text.
const (
	// probe starts the text from which a server learns whether signals arrive. The name of the server follows, then following
	// or resting. If the server has just looked for changes, the cursor of the end of the feed comes last.
	probe = "?"
	// numbered starts the text by which a transaction says that it has numbered changes. The name of the server follows, and
	// then the cursor of the new end.
	numbered = "="
	// following says that the server has subscribers, and resting that it has none.
	following, resting = "+", "-"
	// announced is the text of a program that has committed changes and numbers none. A server whose signals do not arrive
	// sends its name.
	announced = "announced"
)

// mostSpared is the number of Rests after which a server looks itself, whatever others say: anyone may send signals.
const mostSpared = 30

// The numbers of Rests for which a server remembers that others have subscribers, and after which it says again that it has
// some itself. One of them says it in each Rest.
const (
	followedFor = 4
	saidFor     = 2
)

// A signaler sends a text to all listeners on a channel: a *database.DB or a *database.Session.
type signaler interface {
	Signal(ctx context.Context, channel, text string) error
}

var _, _ signaler = (*database.DB)(nil), (*database.Session)(nil)

// Announce tells all servers that a program has committed changes, or has reset the feed. A server calls Wake instead.
// Servers that miss it find the changes when they look. The error is a Failure.
func Announce(ctx context.Context, s signaler) error { return s.Signal(ctx, channel, announced) }

// hear takes a signal.
func (f *Feed[N]) hear(text string) {
	if text == "" {
		f.probes.Store(lost)
		poke(f.unsure)
		poke(f.woken)
		return
	}
	f.probes.Store(0)
	words := strings.Fields(strings.TrimLeft(text, probe+numbered))
	if len(words) == 0 || words[0] == f.name {
		return
	}
	end, err := ParseCursor(words[len(words)-1])
	switch {
	case strings.HasPrefix(text, numbered) && err == nil:
		f.others.numbered(f.Clock(), end)
		poke(f.told)
	case strings.HasPrefix(text, probe):
		follows := len(words) == 1 || words[1] == following
		if len(words) == 1 { // a server of the release before says no more
			f.others.old(f.Clock())
		}
		if follows {
			f.others.followed(f.Clock())
			poke(f.wanted)
		}
		if len(words) == 2 && !follows { // it has just begun to hear
			f.others.forget()
			poke(f.asked)
		}
		if len(words) < 3 || err != nil {
			return
		}
		f.others.tell(end)
		poke(f.told)
		if follows || !f.followed() { // otherwise, this server must say that it has subscribers
			f.others.looked(end)
			poke(f.looked)
		}
	default:
		poke(f.foreign)
	}
}

// probe sends a probe. Signals can fail to arrive silently, as through pgbouncer. looked says that this server has just looked
// for changes: then the others need not.
func (f *Feed[N]) probe(ctx context.Context, looked bool) {
	f.probes.Add(1)
	words := []string{probe + f.name, resting}
	if f.followed() {
		f.others.said(f.Clock())
		if !f.powerless { // otherwise, others would leave the numbering to this server
			words[1] = following
		}
	}
	if looked && !f.powerless {
		words = append(words, f.last.String())
	}
	f.signal(ctx, strings.Join(words, " "))
}

// signal sends a signal. Other servers find the changes without it too.
func (f *Feed[N]) signal(ctx context.Context, text string) {
	if err := f.Database.Signal(ctx, channel, text); err != nil && ctx.Err() == nil {
		f.Logger.DebugContext(ctx, "other servers are not told of changes", "error", err)
	}
}

// others is what a Feed knows of other servers. Safe for concurrent use.
type others struct {
	mu         sync.Mutex
	end        Cursor    // the greatest end of the feed that they told since the last takeEnd
	newest     Cursor    // the greatest end of the feed that they told
	news       bool      // newest is of a numbering since the last takeEnd
	lookedFor  epoch     // the epoch of the feed for which one of them has just looked
	oldAt      time.Time // when a server of the release before last signalled: its numberings have no signal
	numberedAt time.Time // when one of them last numbered changes
	followedAt time.Time // when one of them last said that it has subscribers
	saidAt     time.Time // when they or this server last said it
}

// numbered notes that another server has numbered changes. An end that is not beyond all others is no news: old signals must not
// keep this server from numbering.
func (o *others) numbered(now time.Time, end Cursor) {
	o.tell(end)
	o.mu.Lock()
	defer o.mu.Unlock()
	if end.epoch == o.newest.epoch && end.number > o.newest.number {
		o.numberedAt, o.news = now, true
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

// look reports whether the last server that has looked did so for the feed of an epoch.
func (o *others) look(e epoch) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lookedFor == e
}

// old notes a server of the release before.
func (o *others) old(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.oldAt = now
}

// numberSilently reports whether there may be servers that number without a signal.
func (o *others) numberSilently(now time.Time, rest time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.oldAt.IsZero() && now.Sub(o.oldAt) < followedFor*rest
}

// number reports whether another server has just numbered changes.
func (o *others) number(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return now.Sub(o.numberedAt) < pace
}

// tell notes an end of the feed.
func (o *others) tell(end Cursor) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if end.epoch != o.end.epoch || end.number > o.end.number {
		o.end = end
	}
}

// takeEnd returns the greatest end of the feed, and forgets it. news says that another server has numbered changes up to there.
func (o *others) takeEnd() (end Cursor, news bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	end, news = o.end, o.news
	o.end, o.news = Cursor{}, false
	return end, news
}

// followed notes that another server has subscribers.
func (o *others) followed(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.followedAt, o.saidAt = now, now
}

// follow reports whether another server has subscribers.
func (o *others) follow(now time.Time, rest time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.followedAt.IsZero() && now.Sub(o.followedAt) < followedFor*rest
}

// said notes that this server has said that it has subscribers.
func (o *others) said(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.saidAt = now
}

// forget has this server say again that it has subscribers.
func (o *others) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.saidAt = time.Time{}
}

// unaware reports whether other servers may believe that none has subscribers.
func (o *others) unaware(now time.Time, rest time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.saidAt.IsZero() || now.Sub(o.saidAt) >= saidFor*rest
}
