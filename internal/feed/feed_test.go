package feed_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// thing is the ID of a user that there need not be: the feed does not look.
func thing(n byte) typeid.ID { return typeid.New("user", uuid.UUID{15: n}) }

// tester is a database with a feed.
type tester struct {
	*testing.T
	db *database.DB
}

func each(t *testing.T, f func(s *tester)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) { f(&tester{t, migrated.Open(t, e)}) })
}

// must fails the test on an error.
func (s *tester) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// write writes changes in a transaction that goes on.
func (s *tester) write(changes ...feed.Change) *database.Session {
	s.Helper()
	tx := s.db.Session(database.Write)
	s.Cleanup(tx.Rollback)
	s.must(feed.Write(s.Context(), tx, changes))
	return tx
}

// read reads what comes after a cursor, in pages of a size, after all that is committed has got its number.
func (s *tester) read(after *feed.Cursor, size int) []feed.Change {
	s.Helper()
	err := feed.Number(s.Context(), s.db)
	s.must(err)
	var found []feed.Change
	for {
		session := s.db.Session(database.Snapshot)
		page, err := feed.Read(s.Context(), session, feed.Request{After: after, First: size})
		session.Rollback()
		s.must(err)
		found = append(found, page.Changes...)
		if page.CaughtUp {
			return found
		}
		after = &page.End
	}
}

// What is written is read: one change, and many at once.
func TestWriteAndRead(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		at := time.Date(2026, 1, 31, 9, 30, 0, 1000, time.UTC)
		want := []feed.Change{{NodeID: thing(1), Kind: feed.Updated, Version: 7, Fields: []string{"username", "email"}, At: at, Actor: "ada"}}
		s.must(s.write(want...).Commit())
		var many []feed.Change
		for i := range 1200 {
			c := feed.Change{NodeID: thing(byte(1 + i%200)), Kind: []feed.Kind{feed.Created, feed.Updated, feed.Deleted}[i%3], Version: 1 + i, At: at.Add(time.Duration(i) * time.Microsecond)}
			if i%2 == 0 {
				c.Actor = `O'Neill "\ 名😀`
			}
			if c.Kind == feed.Updated {
				c.Fields = []string{"title"}
			}
			many = append(many, c)
		}
		s.must(s.write(many...).Commit())
		s.must(s.write().Commit())
		want = append(want, many...)
		got := s.read(nil, 500)
		if len(got) != len(want) {
			s.Fatalf("got %d changes, want %d", len(got), len(want))
		}
		for i := range got {
			got[i].Cursor = feed.Cursor{}
			if fmt.Sprint(got[i]) != fmt.Sprint(want[i]) || !got[i].At.Equal(want[i].At) {
				s.Fatalf("change %d: got %+v, want %+v", i, got[i], want[i])
			}
		}
	})
}

// TestActor reads and follows the changes of one actor. Actors are compared byte for byte.
func TestActor(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		actors := []string{"", "ada", "Ada", "ada ", " ada", "ada\t", "\u00e4da", "a\u0308da", "ADA", "a%", "a_a"}
		f := feed.New(feed.Options{Database: s.db}, func(context.Context, []typeid.ID) (map[typeid.ID]any, error) { return nil, nil })
		ctx, cancel := context.WithCancel(s.Context())
		var running sync.WaitGroup
		running.Go(func() { f.Run(ctx) })
		s.Cleanup(func() { cancel(); running.Wait() })
		var changes []feed.Change
		var followers []*feed.Subscription[any]
		for i, actor := range actors {
			follower, err := f.Subscribe(ctx, feed.Request{Actor: &actors[i]}, false)
			s.must(err)
			followers = append(followers, follower)
			changes = append(changes, feed.Change{NodeID: thing(byte(i + 1)), Kind: feed.Created, Version: 1, At: time.Unix(1, 0), Actor: actor})
		}
		s.must(s.write(changes...).Commit())
		s.must(feed.Number(ctx, s.db))
		for i, actor := range actors {
			page, err := feed.Read(ctx, s.db.Session(database.Single), feed.Request{First: 100, Actor: &actors[i]})
			s.must(err)
			if actor == "" { // nobody is no actor
				if len(page.Changes) > 0 {
					s.Errorf("got %d changes by nobody, want none", len(page.Changes))
				}
				continue
			}
			if len(page.Changes) != 1 || page.Changes[0].Actor != actor {
				s.Errorf("%q: got %+v, want its change", actor, page.Changes)
			}
			if e, err := followers[i].Next(ctx); err != nil || e.Actor != actor || e.NodeID != thing(byte(i+1)) {
				s.Errorf("a follower of %q: got %+v, %v, want its change", actor, e, err)
			}
		}
	})
}

// T1 changes B, T2 changes A and commits, T1 changes A and commits: the change of T2 comes before T1's change of A, and
// who reads at any moment gets all of it, once. (SQLite lets no two transactions write at a time.)
func TestInversion(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		if s.db.Dialect() == "sqlite3" {
			s.must(s.write(feed.Change{NodeID: thing(1), Kind: feed.Updated, Version: 2}).Commit())
			s.must(s.write(feed.Change{NodeID: thing(2), Kind: feed.Updated, Version: 2}, feed.Change{NodeID: thing(1), Kind: feed.Updated, Version: 3}).Commit())
		} else {
			t1 := s.db.Session(database.Write)
			defer t1.Rollback()
			s.must(t1.Exec(s.Context(), "UPDATE feed SET id = id WHERE id = 2", []any{}, nil)) // T1 has begun, and has its number
			s.must(s.write(feed.Change{NodeID: thing(1), Kind: feed.Updated, Version: 2}).Commit())
			s.must(feed.Write(s.Context(), t1, []feed.Change{
				{NodeID: thing(2), Kind: feed.Updated, Version: 2}, {NodeID: thing(1), Kind: feed.Updated, Version: 3},
			}))
			s.must(t1.Commit())
		}
		var got []string
		for _, c := range s.read(nil, 100) {
			got = append(got, fmt.Sprint(c.NodeID.UUID()[15], "v", c.Version))
		}
		if text := strings.Join(got, ", "); text != "1v2, 2v2, 1v3" {
			s.Error(text)
		}
	})
}

// A transaction that inserts first and commits last comes last, and holds up nobody.
func TestLateCommit(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		if s.db.Dialect() == "sqlite3" {
			s.must(s.write(feed.Change{NodeID: thing(1)}).Commit())
			if got := s.read(nil, 100); len(got) != 1 {
				s.Errorf("got %v, want one change", got)
			}
			return
		}
		late := s.write(feed.Change{NodeID: thing(1)})
		s.must(s.write(feed.Change{NodeID: thing(2)}).Commit())
		before := s.read(nil, 100)
		if len(before) != 1 || before[0].NodeID != thing(2) {
			s.Fatalf("before the late commit: got %v, want only the changes before it", before)
		}
		s.must(late.Commit())
		after := s.read(&before[0].Cursor, 100)
		if len(after) != 1 || after[0].NodeID != thing(1) {
			s.Errorf("after the late commit: got %v, want its change", after)
		}
		if all := s.read(nil, 100); len(all) != 2 || all[0].Cursor != before[0].Cursor || all[1].Cursor != after[0].Cursor {
			s.Errorf("from the start: got %v, want the same order", all)
		}
	})
}

// Writers commit and roll back in any order while several number and several read: every reader gets what was committed,
// in one order, and the versions of each thing one after the other.
func TestWritersAndReaders(t *testing.T) {
	t.Parallel()
	const writers, transactions, readers = 8, 40, 3
	each(t, func(s *tester) {
		var committed sync.Map
		var locks [5]sync.Mutex // stand for the rows' locks
		var versions [5]int
		var writing, reading sync.WaitGroup
		for w := range writers {
			writing.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(w)))
				for i := range transactions {
					a, b := random.IntN(5), random.IntN(5)
					if a > b {
						a, b = b, a
					}
					locks[a].Lock()
					if a != b {
						locks[b].Lock()
					}
					tx := s.db.Session(database.Write)
					changes := []feed.Change{{NodeID: thing(byte(a)), Kind: feed.Updated, Version: versions[a] + 1, Actor: fmt.Sprint(w, "-", i)}}
					if a != b {
						changes = append(changes, feed.Change{NodeID: thing(byte(b)), Kind: feed.Updated, Version: versions[b] + 1, Actor: changes[0].Actor})
					}
					err := feed.Write(s.Context(), tx, changes)
					if err == nil && random.IntN(4) > 0 {
						err = tx.Commit()
						if err == nil {
							committed.Store(changes[0].Actor, len(changes))
							versions[a]++
							if a != b {
								versions[b]++
							}
						}
					}
					tx.Rollback()
					if a != b {
						locks[b].Unlock()
					}
					locks[a].Unlock()
					if err != nil {
						s.Error(err)
						return
					}
				}
			})
		}
		done := make(chan struct{})
		seen := make([][]feed.Change, readers)
		for r := range readers {
			reading.Go(func() {
				var after *feed.Cursor
				for last := false; ; {
					if err := feed.Number(s.Context(), s.db); err != nil {
						s.Error(err)
						return
					}
					session := s.db.Session(database.Snapshot)
					page, err := feed.Read(s.Context(), session, feed.Request{After: after, First: 1 + r*10})
					session.Rollback()
					if err != nil {
						s.Error(err)
						return
					}
					seen[r] = append(seen[r], page.Changes...)
					after = &page.End
					if last && page.CaughtUp {
						return
					}
					select {
					case <-done:
						last = true
					default:
					}
				}
			})
		}
		writing.Wait()
		close(done)
		reading.Wait()
		want := 0
		committed.Range(func(_, n any) bool { want += n.(int); return true }) //nolint:errcheck // what was stored
		if want == 0 || len(seen[0]) != want {
			s.Fatalf("got %d changes, want %d", len(seen[0]), want)
		}
		for r := range seen {
			if !slices.EqualFunc(seen[r], seen[0], func(a, b feed.Change) bool {
				return a.Cursor == b.Cursor && a.NodeID == b.NodeID && a.Version == b.Version
			}) {
				s.Errorf("reader %d got another order than reader 0", r)
			}
		}
		now := map[typeid.ID]int{}
		for _, c := range seen[0] {
			if _, ok := committed.Load(c.Actor); !ok {
				s.Errorf("got a change of %s, want none: it was not committed", c.Actor)
			}
			if now[c.NodeID]++; c.Version != now[c.NodeID] {
				s.Errorf("%s: got version %d, want %d", c.NodeID, c.Version, now[c.NodeID])
			}
		}
	})
}

// Pruning goes in small steps, stops at the first change that is kept, and a feed of which nothing is left goes on where
// it was.
func TestPrune(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		changes := make([]feed.Change, 2500)
		for i := range changes {
			changes[i] = feed.Change{NodeID: thing(1), Kind: feed.Updated, Version: i + 1, At: start.Add(time.Duration(i) * time.Second)}
		}
		s.must(s.write(changes...).Commit())
		all := s.read(nil, 1000)
		for _, step := range []struct{ at, pruned, left int }{{0, 0, 2500}, {1, 1, 2499}, {2001, 2000, 499}, {2001, 0, 499}, {9999, 499, 0}, {9999, 0, 0}} {
			total := int64(0)
			for {
				n, err := feed.Prune(s.Context(), s.db, start.Add(time.Duration(step.at)*time.Second))
				if err != nil || n > 1000 {
					s.Fatalf("before %d: %d pruned at once: %v", step.at, n, err)
				}
				if total += n; n == 0 {
					break
				}
			}
			if left := s.read(nil, 1000); total != int64(step.pruned) || len(left) != step.left {
				s.Errorf("before %d: %d pruned, %d left", step.at, total, len(left))
			}
		}
		session := s.db.Session(database.Snapshot)
		defer session.Rollback()
		if _, err := feed.Read(s.Context(), session, feed.Request{After: &all[2498].Cursor, First: 1}); !errors.Is(err, feed.ErrExpired) {
			s.Errorf("after the change before the last one: %v", err)
		}
		session.Rollback()
		s.must(s.write(feed.Change{NodeID: thing(2), Kind: feed.Created, Version: 1, At: start}).Commit())
		if got := s.read(&all[2499].Cursor, 10); len(got) != 1 || got[0].NodeID != thing(2) {
			s.Errorf("after the last change: got %v, want only the new one", got)
		}
	})
}

// FuzzParseCursor: what is a cursor reads as what it was made of, and nothing else does.
func FuzzParseCursor(f *testing.F) {
	f.Add("")
	f.Add(feed.Cursor{}.String())
	f.Add("AQAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := feed.ParseCursor(text)
		if err == nil && c.String() != text {
			t.Errorf("%q is a cursor, and so is %q", text, c)
		}
		if err != nil && !errors.Is(err, feed.ErrInvalid) {
			t.Error(err)
		}
	})
}
