package feed_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/feed"
)

// servers is the number of servers on one database in these tests.
const servers = 10

// glance is the start of the statement by which a server looks for changes.
const glance = "SELECT epoch, last, pruned, counted, "

// fleet is several Feeds on one database, whose waits and statements the test knows.
type fleet struct {
	*tester

	feeds []*feed.Feed[any]
	waits []*waits
	stops []func()
	sent  *sent
}

// newFleet starts servers. If the engine has signals, all of them hear each other.
func newFleet(t *testing.T, e dbtest.Engine) *fleet {
	t.Helper()
	f := &fleet{sent: &sent{}}
	f.tester = &tester{t, migrated.Open(t, e, func(o *database.Options) { o.Observe = f.sent.add })}
	for range servers {
		f.start()
	}
	return f
}

// start starts another server, and waits until it hears, if the engine has signals.
func (f *fleet) start() {
	f.Helper()
	w := newWaits()
	one, stop := f.follower(feed.Options{Poll: poll, Rest: rest, After: w.after})
	f.feeds, f.waits, f.stops = append(f.feeds, one), append(f.waits, w), append(f.stops, stop)
	f.until("the first look", func() bool { return w.resting() > 0 })
	if e := dbtest.Engine(f.db.Dialect()); e == dbtest.PostgreSQL {
		f.until("signals", one.Hears)
		f.until("the wait after the first signal", func() bool { return w.count(poll) > 0 })
	}
}

// resting returns the number of waits for a Rest that have begun. Servers for which others look wait a little longer.
func (w *waits) resting() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for d, count := range w.begun {
		if d >= rest {
			n += count
		}
	}
	return n
}

// endRests ends all waits for a Rest.
func (w *waits) endRests() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for d, open := range w.open {
		if d < rest {
			continue
		}
		for _, c := range open {
			c <- time.Time{}
		}
		delete(w.open, d)
	}
}

// subscribe subscribes on a server.
func (f *fleet) subscribe(server int, after *feed.Cursor) *feed.Subscription[any] {
	f.Helper()
	s, err := f.feeds[server].Subscribe(f.Context(), feed.Request{After: after}, false)
	f.must(err)
	f.Cleanup(s.Close)
	return s
}

// commit commits a change on a server.
func (f *fleet) commit(server, version int) {
	f.Helper()
	f.must(f.write(feed.Change{NodeID: thing(byte(server + 1)), Kind: feed.Updated, Version: version, At: time.Unix(1, 0)}).Commit())
	f.feeds[server].Wake()
}

// TestServers has a subscriber on each of several servers while all of them commit: each gets everything once, in one order.
func TestServers(t *testing.T) {
	t.Parallel()
	const transactions = 20
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		f := &fleet{tester: &tester{t, migrated.Open(t, e)}}
		o := feed.Options{Rest: time.Hour}
		if e == dbtest.PostgreSQL {
			o.Poll = time.Hour
		}
		for range servers {
			one, _ := f.follower(o)
			f.feeds = append(f.feeds, one)
			if e == dbtest.PostgreSQL {
				f.until("signals", one.Hears)
			}
		}
		start := f.lastCursor()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var got [servers][]string
		var running sync.WaitGroup
		for i := range servers {
			s := f.subscribe(i, &start)
			running.Go(func() {
				for range servers * transactions {
					c, err := s.Next(ctx)
					if err != nil {
						t.Errorf("server %d: got %v after %d changes, want %d", i, err, len(got[i]), servers*transactions)
						return
					}
					got[i] = append(got[i], fmt.Sprint(c.Cursor, " ", c.NodeID.UUID()[15], "v", c.Version))
				}
			})
			running.Go(func() {
				for version := range transactions {
					tx := f.db.Session(database.Write)
					err := feed.Write(ctx, tx, []feed.Change{{NodeID: thing(byte(i)), Kind: feed.Updated, Version: version, At: time.Unix(1, 0)}})
					if err == nil {
						err = tx.Commit()
					}
					tx.Rollback()
					if err != nil {
						t.Error(err)
						return
					}
					f.feeds[i].Wake()
				}
			})
		}
		running.Wait()
		want := f.read(&start, 500)
		if len(want) != servers*transactions {
			t.Fatalf("got %d changes in the database, want %d", len(want), servers*transactions)
		}
		for i := range got {
			if !slices.EqualFunc(got[i], want, func(g string, c feed.Change) bool {
				return g == fmt.Sprint(c.Cursor, " ", c.NodeID.UUID()[15], "v", c.Version)
			}) {
				t.Errorf("server %d: got %q, want the order of the database", i, got[i])
			}
		}
	})
}

// lastCursor returns the end of the feed.
func (s *tester) lastCursor() feed.Cursor {
	s.Helper()
	s.must(feed.Number(s.Context(), s.db))
	state, err := feed.ReadState(s.Context(), s.db.Session(database.Single))
	s.must(err)
	return state.End()
}

// TestIdleServers has one server look for all servers that hear it. Each Rest costs two statements, whatever the number of
// servers. If that server ends, another one looks.
func TestIdleServers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, dbtest.PostgreSQL)
	looks, signals := 0, 0
	count := func() {
		for _, query := range f.sent.take() {
			if strings.HasPrefix(query, glance) {
				looks++
			}
			if strings.Contains(query, "pg_notify") {
				signals++
			}
		}
	}
	count()
	looks = 0
	for _, w := range f.waits {
		w.end(poll)
	}
	f.until("the looks after the first signal", func() bool { count(); return looks == servers })
	f.subscribe(1, nil)
	looks, signals = 0, 0
	f.until("the looks of the first subscriber, and its signal", func() bool { count(); return looks == 2 && signals == 1 })
	for leader := range 3 { // the second one has a subscriber
		for range 3 {
			f.sent.take()
			var before []int
			for _, w := range f.waits {
				before = append(before, w.resting())
			}
			f.waits[leader].endRests()
			for i := leader; i < servers; i++ {
				if leader == 0 && i == 1 { // it must say that it has a subscriber
					continue
				}
				f.until("the next wait", func() bool { return f.waits[i].resting() > before[i] })
			}
			var got []string
			f.until("the look and the signal", func() bool {
				got = append(got, f.sent.take()...)
				return len(got) >= 2
			})
			if len(got) != 2 || !strings.HasPrefix(got[0], glance) || !strings.Contains(got[1], "pg_notify") {
				t.Errorf("server %d looks: got the statements %q of all servers, want a look and a signal", leader, got)
			}
		}
		f.stops[leader]()
	}
}

// TestMutationOnServers bounds the statements after a commit: the server that committed numbers the change, and each server with
// subscribers reads it.
func TestMutationOnServers(t *testing.T) {
	t.Parallel()
	const commits, write, number, look = 30, 1, 3, 1
	f := newFleet(t, dbtest.PostgreSQL)
	var all []*feed.Subscription[any]
	for i := range servers {
		all = append(all, f.subscribe(i, nil))
	}
	statements := 0
	for version := range 2 * commits {
		if version == commits { // all servers know by now that others have subscribers
			f.sent.take()
			statements = 0
		}
		f.commit(version%servers, version)
		for _, s := range all {
			c, err := s.Next(t.Context())
			f.must(err)
			if c.Version != version {
				t.Fatalf("got version %d, want %d", c.Version, version)
			}
		}
		statements += len(f.sent.take())
	}
	if most := commits * (write + number + look + servers); statements > most {
		t.Errorf("got %d statements of %d commits, want at most %d", statements, commits, most)
	}
}

// TestSubscriberElsewhere has a server without subscribers number its changes at once, because another server has some. This
// also holds for a server that starts when the other one has said so.
func TestSubscriberElsewhere(t *testing.T) {
	t.Parallel()
	f := newFleet(t, dbtest.PostgreSQL)
	s := f.subscribe(0, nil)
	next := func(server int) {
		t.Helper()
		f.commit(server, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if c, err := s.Next(ctx); err != nil || c.NodeID != thing(byte(server+1)) {
			t.Errorf("a change on server %d: got %v, %v, want it before any wait ends", server, c, err)
		}
	}
	for i := range servers {
		next(i)
	}
	f.start()
	next(servers)
}

// TestStrangeSignals sends texts that no server sends. Anyone who reaches the database can do so: nothing may end, and nothing may
// be missing.
func TestStrangeSignals(t *testing.T) {
	t.Parallel()
	i := newIdle(t, dbtest.PostgreSQL)
	i.ready()
	s, err := i.Subscribe(t.Context(), feed.Request{}, false)
	i.must(err)
	defer s.Close()
	end := i.lastCursor()
	for n, text := range []string{
		"?", "=", "?=", " ", "? +", "?a", "?a +", "?a -", "?a + b", "?a - b c", "=a", "=a b", "=a b c", "announced", "\u00e4", strings.Repeat("?a ", 2500),
		"=a " + end.String(), "=a " + end.Later(1000).String(), "?a + " + end.Later(1000).String(), "=a " + end.Elsewhere().String(), "?a - " + end.Elsewhere().String(),
	} {
		i.must(i.db.Signal(t.Context(), "roster_changes", text))
		i.must(i.write(feed.Change{NodeID: thing(byte(n + 1)), Kind: feed.Created, Version: 1, At: time.Unix(1, 0)}).Commit())
		i.Wake()
		if c, err := s.Next(t.Context()); err != nil || c.NodeID != thing(byte(n+1)) {
			t.Fatalf("after %.50q: got %v, %v, want the change", text, c, err)
		}
	}
}

// TestRefusedSignals numbers changes on a server whose database refuses signals, as when its queue is full. Nothing may depend on
// a signal.
func TestRefusedSignals(t *testing.T) {
	t.Parallel()
	i := newIdle(t, dbtest.PostgreSQL)
	i.ready()
	s, err := i.Subscribe(t.Context(), feed.Request{}, false)
	i.must(err)
	defer s.Close()
	for n, code := range []string{"54000", "42501"} {
		i.exec("SET allow_system_table_mods = on; CREATE OR REPLACE FUNCTION pg_catalog.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS " +
			"$$ BEGIN RAISE EXCEPTION 'no signals' USING ERRCODE = '" + code + "'; END $$; RESET allow_system_table_mods")
		i.must(i.write(feed.Change{NodeID: thing(byte(n + 1)), Kind: feed.Created, Version: 1, At: time.Unix(1, 0)}).Commit())
		i.Wake()
		if c, err := s.Next(t.Context()); err != nil || c.NodeID != thing(byte(n+1)) {
			t.Fatalf("%s: got %v, %v, want the change", code, c, err)
		}
	}
}

// TestSilentNumbering follows changes that a server of the release before numbers. It tells nobody, but it says that it exists.
func TestSilentNumbering(t *testing.T) {
	t.Parallel()
	i := newIdle(t, dbtest.PostgreSQL)
	i.ready()
	s, err := i.Subscribe(t.Context(), feed.Request{}, false)
	i.must(err)
	defer s.Close()
	i.must(i.db.Signal(t.Context(), "roster_changes", "?before"))
	for version := range 3 {
		i.must(i.write(feed.Change{NodeID: thing(1), Kind: feed.Updated, Version: version, At: time.Unix(1, 0)}).Commit())
		i.must(i.numberOld())
		got := make(chan int, 1)
		go func() {
			c, err := s.Next(t.Context())
			if err != nil {
				t.Error(err)
			}
			got <- c.Version
		}()
		i.until("the change", func() bool { i.end(poll); return len(got) == 1 })
		if v := <-got; v != version {
			t.Fatalf("got version %d, want %d", v, version)
		}
	}
}
