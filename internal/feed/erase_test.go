package feed_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"roster/internal/database"
	"roster/internal/feed"
)

// actors returns the actors of all changes, in the order of the feed.
func (s *tester) actors() string {
	s.Helper()
	var list []string
	for _, c := range s.read(nil, 1000) {
		list = append(list, c.Actor)
	}
	return strings.Join(list, ",")
}

// TestEraseActor removes an actor, and no similar one.
func TestEraseActor(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		var changes []feed.Change
		for i, actor := range []string{"ada", "Ada", "ada ", "", "ada", "adam", "a%", "ada\t"} {
			changes = append(changes, feed.Change{NodeID: thing(byte(i + 1)), Kind: feed.Updated, Version: 2 + i, Fields: []string{"email"}, At: time.Unix(1, 0), Actor: actor})
		}
		s.must(s.write(changes...).Commit())
		count := func() int64 {
			n, err := feed.CountActor(s.Context(), s.db.Session(database.Single), "ada")
			s.must(err)
			return n
		}
		if n := count(); n != 2 {
			s.Errorf("got %d changes of the actor, want 2", n)
		}
		n, end, err := feed.EraseActor(s.Context(), s.db, "ada")
		s.must(err)
		if got, want := s.actors(), ",Ada,ada ,,,adam,a%,ada\t"; n != 2 || got != want || count() != 0 {
			s.Errorf("got %d changes, actors %q, want 2 and %q", n, got, want)
		}
		again, _, err := feed.EraseActor(s.Context(), s.db, "ada")
		s.must(err)
		if again != 0 {
			s.Errorf("the second time: got %d changes, want 0", again)
		}
		got := s.read(nil, 1000)
		if c := got[4]; len(got) != len(changes) || c.NodeID != thing(5) || c.Version != 6 || fmt.Sprint(c.Fields) != "[email]" || c.Kind != feed.Updated {
			s.Errorf("got %+v, want all but the actors as before", got)
		}

		s.must(s.write(feed.Change{NodeID: thing(1), Kind: feed.Deleted, Version: 9, Actor: "ada"}).Commit()) // without a number
		s.must(feed.Number(s.Context(), s.db))
		s.must(s.write(feed.Change{NodeID: thing(2), Kind: feed.Deleted, Version: 9, Actor: "ada"}).Commit())
		tx := s.db.Session(database.Write)
		defer tx.Rollback()
		n, err = feed.EraseActorSince(s.Context(), tx, "ada", end)
		s.must(err)
		s.must(tx.Commit())
		if left := count(); n != 2 || left != 0 {
			s.Errorf("after the end: got %d changes erased and %d left, want 2 and 0", n, left)
		}
	})
}

// TestEraseActorEmpty erases in an empty feed, and what does not exist.
func TestEraseActorEmpty(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		n, end, err := feed.EraseActor(s.Context(), s.db, "ada")
		s.must(err)
		tx := s.db.Session(database.Write)
		defer tx.Rollback()
		since, err := feed.EraseActorSince(s.Context(), tx, "ada", end)
		s.must(err)
		if n != 0 || since != 0 {
			s.Errorf("got %d and %d changes, want none", n, since)
		}
	})
}

// TestEraseManyActors erases more changes than a transaction takes, with gaps between their IDs.
func TestEraseManyActors(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		const n = 2500
		changes := make([]feed.Change, n)
		for i := range changes {
			changes[i] = feed.Change{NodeID: thing(byte(1 + i%200)), Kind: feed.Created, Version: i + 1, At: time.Unix(int64(i), 0), Actor: []string{"ada", "bob"}[i%2]}
		}
		s.must(s.write(changes[:n/2]...).Commit())
		s.write(changes[:n/2]...).Rollback()
		s.must(s.write(changes[n/2:]...).Commit())
		erased, _, err := feed.EraseActor(s.Context(), s.db, "ada")
		s.must(err)
		if got := s.actors(); erased != n/2 || strings.Count(got, "ada") != 0 || strings.Count(got, "bob") != n/2 {
			s.Errorf("got %d changes erased, %d of ada and %d of bob left, want %d, 0 and %d", erased, strings.Count(got, "ada"), strings.Count(got, "bob"), n/2, n/2)
		}
		var scanned []feed.Change
		s.must(feed.Scan(s.Context(), s.db.Session(database.Single), func(page []feed.Change) error {
			scanned = append(scanned, page...)
			return nil
		}))
		if len(scanned) != n {
			s.Fatalf("got %d changes by a scan, want %d", len(scanned), n)
		}
		for i, c := range scanned {
			want := changes[i]
			if want.Actor == "ada" {
				want.Actor = ""
			}
			if c.NodeID != want.NodeID || c.Version != want.Version || c.Actor != want.Actor || !c.At.Equal(want.At) || c.Cursor != (feed.Cursor{}) {
				s.Fatalf("change %d by a scan: got %+v, want %+v", i, c, want)
			}
		}
	})
}

// TestEraseActorMeanwhile erases while others write, number and prune the same changes. Nothing fails, and every change
// keeps its place.
func TestEraseActorMeanwhile(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		const transactions, size = 40, 50
		some := make([]feed.Change, size)
		for i := range some {
			some[i] = feed.Change{NodeID: thing(byte(i)), Kind: feed.Updated, Version: 2, At: time.Unix(100, 0), Actor: "ada"}
		}
		old := some[0]
		old.At = time.Unix(1, 0)
		s.must(s.write(old).Commit())
		var writing, others sync.WaitGroup
		done := make(chan struct{})
		work := func(do func() error) {
			others.Go(func() {
				for {
					if err := do(); err != nil {
						s.Error(err)
						return
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		work(func() error { return feed.Number(s.Context(), s.db) })
		work(func() error { _, err := feed.Prune(s.Context(), s.db, time.Unix(50, 0)); return err })
		work(func() error { _, _, err := feed.EraseActor(s.Context(), s.db, "ada"); return err })
		for range 2 {
			writing.Go(func() {
				for range transactions {
					tx := s.db.Session(database.Write)
					err := feed.Write(s.Context(), tx, some)
					if err == nil {
						err = tx.Commit()
					}
					tx.Rollback()
					if err != nil {
						s.Error(err)
						return
					}
				}
			})
		}
		writing.Wait()
		close(done)
		others.Wait()
		_, _, err := feed.EraseActor(s.Context(), s.db, "ada")
		s.must(err)
		got := s.read(nil, 1000)
		if len(got) != 2*transactions*size {
			s.Errorf("got %d changes, want %d", len(got), 2*transactions*size)
		}
		for _, c := range got {
			if c.Actor != "" {
				s.Fatalf("got %+v, want no actor", c)
			}
		}
	})
}
