package feed_test

import (
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"entgo.io/ent/dialect"

	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// The waits of a Feed in these tests. They end only when the test ends them.
const (
	poll = time.Minute
	rest = time.Hour
)

// waits are the waits that a Feed has begun.
type waits struct {
	mu    sync.Mutex
	begun map[time.Duration]int
	open  map[time.Duration][]chan time.Time
}

func newWaits() *waits {
	return &waits{begun: map[time.Duration]int{}, open: map[time.Duration][]chan time.Time{}}
}

func (w *waits) after(d time.Duration) <-chan time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan time.Time, 1)
	w.begun[d]++
	w.open[d] = append(w.open[d], c)
	return c
}

// end ends the waits of a duration.
func (w *waits) end(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open[d] {
		c <- time.Time{}
	}
	w.open[d] = nil
}

// count returns the number of waits of a duration that have begun.
func (w *waits) count(d time.Duration) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun[d]
}

// sent has the statements of a database.
type sent struct {
	mu         sync.Mutex
	statements []string
}

func (s *sent) add(query string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statements = append(s.statements, query)
}

// take returns the statements and forgets them.
func (s *sent) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.statements
	s.statements = nil
	return list
}

// idle is a Feed whose waits and statements the test knows.
type idle struct {
	*tester
	*feed.Feed[any]
	*waits
	sent *sent
}

// newIdle opens a database with a running Feed that has made its first look.
func newIdle(t *testing.T, e dbtest.Engine, settings ...func(*database.Options)) *idle {
	t.Helper()
	i := &idle{waits: newWaits(), sent: &sent{}}
	i.tester = &tester{t, migrated.Open(t, e, append(settings, func(o *database.Options) { o.Observe = i.sent.add })...)}
	i.Feed, _ = i.follower(feed.Options{Poll: poll, Rest: rest, After: i.after})
	i.until("the first wait", func() bool { return i.count(rest) == 1 })
	return i
}

// signals reports whether the engine has signals.
func (i *idle) signals() bool { return i.db.Dialect() == dialect.Postgres }

// ready waits until the Feed knows that signals arrive.
func (i *idle) ready() {
	i.Helper()
	if i.signals() {
		i.until("a signal", i.Hears)
	}
}

// look ends a wait, and returns the statements until the Feed waits again, except for signals.
func (i *idle) look(wait, next time.Duration) (statements []string) {
	i.Helper()
	i.sent.take()
	before := i.count(next)
	i.end(wait)
	i.until("the next wait", func() bool { return i.count(next) > before })
	for _, query := range i.sent.take() {
		if !strings.Contains(query, "pg_notify") {
			statements = append(statements, query)
		}
	}
	return statements
}

// TestIdle looks seldom without subscribers: once for each Rest, and once after commits. Such a look is one statement if
// nothing is new.
func TestIdle(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		i := newIdle(t, e)
		i.ready()
		i.end(poll) // of the look after the first signal
		for range 3 {
			before := i.count(rest)
			i.end(rest)
			i.until("the next wait", func() bool { return i.count(rest) > before })
		}
		asked := i.count(poll)
		i.until("a look", func() bool { i.end(rest); return len(i.sent.take()) > 0 })
		if got := i.count(poll); got != asked {
			t.Errorf("got %d short waits, want none", got-asked)
		}
		i.must(i.write(feed.Change{NodeID: thing(1), Kind: feed.Created, Version: 1, At: time.Unix(1, 0)}).Commit())
		i.Wake()
		i.until("the wait for more changes", func() bool { return i.count(poll) > asked })
		i.end(poll)
		i.until("the number", func() bool { return i.number(i.db.Session(database.Single), "SELECT last FROM feed") == 1 })
	})
}

// TestPolls polls for a subscriber while signals do not arrive, by one statement, and not while they arrive.
func TestPolls(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		i := newIdle(t, e)
		i.ready()
		s, err := i.Subscribe(t.Context(), feed.Request{}, false)
		i.must(err)
		defer s.Close()
		if i.signals() {
			asked := i.count(poll)
			for range 3 {
				i.look(rest, rest)
			}
			if got := i.count(poll); got != asked {
				t.Errorf("with signals: got %d polls, want none", got-asked)
			}
			return
		}
		i.until("a poll", func() bool { return i.count(poll) > 0 })
		i.look(poll, poll) // the first looks may be those of the subscription
		i.look(poll, poll)
		for range 3 {
			if got := i.look(poll, poll); len(got) != 1 {
				t.Errorf("got the statements %q, want one", got)
			}
		}
		i.must(i.write(feed.Change{NodeID: thing(1), Kind: feed.Created, Version: 1, At: time.Unix(1, 0)}).Commit()) // by another program
		i.end(poll)
		if c, err := s.Next(t.Context()); err != nil || c.NodeID != thing(1) {
			t.Errorf("got %v, %v, want the change", c, err)
		}
	})
}

// TestSignalsLost breaks the connection for signals: the Feed polls until they arrive again.
func TestSignalsLost(t *testing.T) {
	t.Parallel()
	var proxy *dbtest.Proxy
	i := newIdle(t, dbtest.PostgreSQL, func(o *database.Options) { o.URL, proxy = dbtest.ProxyURL(t, o.URL) })
	i.ready()
	s, err := i.Subscribe(t.Context(), feed.Request{}, false)
	i.must(err)
	defer s.Close()
	asked := i.count(poll)
	proxy.Cut()
	i.until("a poll", func() bool { return i.count(poll) > asked })
	proxy.Restore()
	i.until("a signal", func() bool { i.end(poll); i.end(rest); return i.Hears() })
	i.look(rest, rest)
	asked = i.count(poll)
	i.look(rest, rest)
	if got := i.count(poll); got != asked {
		t.Errorf("with signals again: got %d polls, want none", got-asked)
	}
}

// TestSilentSignals sends signals that never arrive, as through pgbouncer: the Feed polls.
func TestSilentSignals(t *testing.T) {
	t.Parallel()
	i := newIdle(t, dbtest.PostgreSQL, func(o *database.Options) {
		plain, err := database.Open(t.Context(), *o)
		if err != nil {
			t.Fatal(err)
		}
		silent := &tester{t, plain}
		silent.exec("CREATE SCHEMA silent")
		silent.exec("CREATE FUNCTION silent.pg_notify(text, text) RETURNS void LANGUAGE sql AS 'SELECT'")
		silent.must(plain.Close())
		o.URL += "&search_path=public,silent,pg_catalog"
	})
	i.until("the probe", func() bool { return strings.Contains(strings.Join(i.sent.take(), "\n"), "pg_notify") })
	s, err := i.Subscribe(t.Context(), feed.Request{}, false)
	i.must(err)
	defer s.Close()
	i.until("a poll", func() bool { return i.count(poll) > 0 })
	for range 3 {
		i.look(rest, rest)
		i.look(poll, poll)
	}
	if i.Hears() {
		t.Error("got signals, want none")
	}
}

// TestAnnounce delivers what programs commit that are not servers, and the end after a reset, without a poll on PostgreSQL.
func TestAnnounce(t *testing.T) {
	t.Parallel()
	i := newIdle(t, dbtest.PostgreSQL)
	i.ready()
	s, err := i.Subscribe(t.Context(), feed.Request{}, false)
	i.must(err)
	defer s.Close()
	other := &tester{t, i.db}
	other.must(other.transaction(mathrand.New(mathrand.NewPCG(1, 5)), typeid.NewSource(time.Now, rand.Reader), "ada", false))
	if c, err := s.Next(t.Context()); err != nil || c.Kind != feed.Created {
		t.Errorf("got %v, %v, want the new user", c, err)
	}
	i.must(feed.Reset(t.Context(), i.db))
	for err == nil {
		_, err = s.Next(t.Context())
	}
	if !errors.Is(err, feed.ErrExpired) {
		t.Errorf("after a reset: got %v, want ErrExpired", err)
	}
}

// TestAway has looks fail, because another program holds the lock of the feed's row: the Feed soon looks again, with
// subscribers and without, and though signals arrive.
func TestAway(t *testing.T) {
	t.Parallel()
	for name, followed := range map[string]bool{"followed": true, "alone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIdle(t, dbtest.PostgreSQL, func(o *database.Options) { o.StatementTimeout = time.Second })
			i.ready()
			s, err := i.Subscribe(t.Context(), feed.Request{}, false)
			i.must(err)
			if !followed {
				s.Close()
			}
			i.look(rest, rest)
			holder := i.db.Session(database.Write)
			defer holder.Rollback()
			i.number(holder, "SELECT last FROM feed WHERE id = 1 FOR UPDATE")
			i.must(i.write(feed.Change{NodeID: thing(1), Kind: feed.Created, Version: 1, At: time.Unix(1, 0)}).Commit())
			asked := i.count(poll)
			i.end(rest) // the look fails
			i.until("a wait for the next look", func() bool { return i.count(poll) > asked })
			asked = i.count(poll)
			i.end(poll) // this one too
			i.until("another wait", func() bool { return i.count(poll) > asked })
			holder.Rollback()
			i.end(poll)
			i.until("the number", func() bool { return i.number(i.db.Session(database.Single), "SELECT last FROM feed") == 1 })
			if !followed {
				return
			}
			if c, err := s.Next(t.Context()); err != nil || c.NodeID != thing(1) {
				t.Errorf("got %v, %v, want the change", c, err)
			}
		})
	}
}

// TestCountBeside follows the feed while nobody can count its changes, because another transaction writes.
func TestCountBeside(t *testing.T) {
	t.Parallel()
	i := newIdle(t, dbtest.SQLite, func(o *database.Options) { o.PoolWait = time.Minute })
	s, err := i.Subscribe(t.Context(), feed.Request{}, false)
	i.must(err)
	defer s.Close()
	i.until("a poll", func() bool { return i.count(poll) > 0 })
	i.look(poll, poll) // the first looks may be those of the subscription
	i.look(poll, poll)
	const n = 150
	changes := make([]feed.Change, n)
	for j := range changes {
		changes[j] = feed.Change{NodeID: thing(1), Kind: feed.Updated, Version: 1, At: time.Unix(1, 0)}
	}
	i.must(i.write(changes...).Commit())
	writer := i.db.Session(database.Write)
	defer writer.Rollback()
	i.number(writer, "SELECT last FROM feed")
	i.look(poll, poll) // it ends before the writer
	for range n {
		if _, err := s.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	writer.Rollback()
	i.until("the count", func() bool { return i.number(i.db.Session(database.Single), "SELECT counted FROM feed") == n })
}
