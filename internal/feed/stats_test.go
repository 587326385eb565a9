package feed_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"entgo.io/ent/dialect"

	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// nothing is a Loader of no nodes.
func nothing(context.Context, []typeid.ID) (map[typeid.ID]struct{}, error) { return nil, nil }

// TestLag commits changes while a Feed does not look for them. They are its lag until it has read them.
func TestLag(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		f := feed.New(feed.Options{Database: s.db}, nothing)
		numbers := s.db.Dialect() != dialect.SQLite // where changes get their numbers later
		now := time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC)
		lag := func(when string, changes int, age time.Duration) {
			s.Helper()
			if got, of, err := f.Lag(s.Context(), now); err != nil || got != changes || of != age {
				s.Errorf("%s: got %d changes, %v, %v, want %d, %v", when, got, of, err, changes, age)
			}
		}
		change := func(n byte, ago time.Duration) feed.Change {
			return feed.Change{NodeID: thing(n), Kind: feed.Created, Version: 1, At: now.Add(-ago)}
		}
		lag("without changes", 0, 0)
		tx := s.write(change(1, time.Minute), change(2, time.Second))
		if numbers {
			lag("before the commit", 0, 0)
		}
		s.must(tx.Commit())
		if numbers {
			lag("without numbers", 2, time.Minute)
		} else {
			lag("without subscribers", 0, 0)
		}
		subscription, err := f.Subscribe(s.Context(), feed.Request{}, false)
		s.must(err)
		defer subscription.Close()
		lag("after a subscriber has begun", 0, 0)
		s.must(s.write(change(3, 2*time.Second)).Commit())
		lag("not read", 1, 2*time.Second)
		if numbers {
			s.must(feed.Number(s.Context(), s.db))
			lag("with a number, but not read", 1, 2*time.Second)
		}
		if got := f.Stats(); got.Subscribers != 1 || got.Slow != 0 || got.Listening {
			s.Errorf("got %+v, want one subscriber", got)
		}
		ctx, stop := context.WithCancel(s.Context())
		defer stop()
		go f.Run(ctx)
		if _, err := subscription.Next(ctx); err != nil {
			s.Fatal(err)
		}
		lag("read", 0, 0)
	})
}

// TestSlowSubscribers counts a subscriber that has fallen too far behind.
func TestSlowSubscribers(t *testing.T) {
	t.Parallel()
	db := migrated.Open(t, dbtest.SQLite)
	s := &tester{t, db}
	now := time.Now()
	f := feed.New(feed.Options{Database: db, Keep: 1, Clock: func() time.Time { return now }}, nothing)
	slow, err := f.Subscribe(t.Context(), feed.Request{}, false)
	s.must(err)
	defer slow.Close()
	level, err := f.Subscribe(t.Context(), feed.Request{}, false)
	s.must(err)
	defer level.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go f.Run(ctx)
	for n := range byte(4) {
		s.must(s.write(feed.Change{NodeID: thing(n), Kind: feed.Created, Version: 1, At: now}).Commit())
		f.Wake()
		if _, err := level.Next(ctx); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Hour)
	if _, err := slow.Next(ctx); !errors.Is(err, feed.ErrSlow) {
		t.Errorf("got %v, want ErrSlow", err)
	}
	if got := f.Stats(); got.Slow != 1 || got.Subscribers != 2 {
		t.Errorf("got %+v, want one slow subscriber of two that are not closed", got)
	}
}
