package feed

import (
	"context"
	"strings"

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

// lost is the number of unanswered probes from which signals do not arrive. One may be on its way.
const lost = 2

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
		f.inbox.add(unsure)
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
		f.others.numbered(end)
		f.inbox.add(told)
	case strings.HasPrefix(text, probe):
		follows := len(words) == 1 || words[1] == following
		if len(words) == 1 { // a server of the release before says no more
			f.others.old()
		}
		if follows {
			f.others.followed()
			f.inbox.add(wanted)
		}
		if len(words) == 2 && !follows { // it has just begun to hear
			f.others.forget()
			f.inbox.add(asked)
		}
		if len(words) < 3 || err != nil {
			return
		}
		f.others.tell(end)
		f.inbox.add(told)
		if follows || !f.followed() { // otherwise, this server must say that it has subscribers
			f.others.looked(end)
			f.inbox.add(spared)
		}
	default:
		f.inbox.add(foreign)
	}
}

// probe sends a probe. Signals can fail to arrive silently, as through pgbouncer. looked says that this server has just looked
// for changes: then the others need not.
func (f *Feed[N]) probe(ctx context.Context, looked bool) {
	f.probes.Add(1)
	words := []string{probe + f.name, resting}
	if f.followed() {
		f.others.said()
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
