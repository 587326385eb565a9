package stats_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"time"

	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/fixture"
	"roster/internal/dbtest/migrated"
	"roster/internal/directory"
	"roster/internal/stats"
	"roster/internal/typeid"
)

// world is the rows of the test. It counts all figures one by one.
type world struct {
	created []time.Time
	posts   []int // of each user
}

// newWorld has users around the edges of days, weeks, months and years, most of them without posts.
func newWorld(random *mathrand.Rand) *world {
	w := &world{}
	for _, edge := range []string{
		"2024-01-01T00:00:00Z", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z", "2024-03-04T00:00:00Z", "2024-12-30T00:00:00Z",
		"2025-01-01T00:00:00Z", "2025-03-30T01:00:00Z", "2025-03-31T00:00:00Z",
	} {
		at, _ := time.Parse(time.RFC3339, edge)
		for _, away := range []time.Duration{-time.Hour, -time.Microsecond, 0, time.Microsecond, time.Duration(random.Int64N(int64(100 * time.Hour))).Truncate(time.Microsecond)} {
			w.created = append(w.created, at.Add(away))
			w.posts = append(w.posts, max(0, random.IntN(6)-3))
		}
	}
	return w
}

func (w *world) write(t *testing.T, db *database.DB) {
	t.Helper()
	ids := typeid.NewSource(time.Now, rand.Reader)
	var records []*directory.Record
	for i, at := range w.created {
		id := ids.New(user.Label)
		records = append(records, fixture.User(t, id, fmt.Sprintf("user%d", i), fixture.At(at)))
		for range w.posts[i] {
			records = append(records, fixture.Post(t, ids.New(post.Label), id, "x", "", fixture.At(at)))
		}
	}
	fixture.Write(t, db, records...)
}

// signUps counts hour by hour, the slow way. A period ends where an hour of another period starts.
func (w *world) signUps(from, to time.Time, by stats.Period) []stats.SignUps {
	name := func(t time.Time) string {
		switch by {
		case stats.Week:
			year, week := t.ISOWeek()
			return fmt.Sprint(year, week)
		case stats.Month:
			return t.Format("2006-01")
		case stats.Day:
		}
		return t.Format(time.DateOnly)
	}
	var found []stats.SignUps
	for start := from; start.Before(to); {
		end := start.Truncate(time.Hour).Add(time.Hour)
		if end.After(to) {
			end = to
		}
		if n := len(found); n == 0 || name(found[n-1].From) != name(start) {
			found = append(found, stats.SignUps{From: start})
		}
		last := &found[len(found)-1]
		last.To = end
		for _, at := range w.created {
			if !at.Before(start) && at.Before(end) {
				last.Users++
			}
		}
		start = end
	}
	return found
}

func TestStats(t *testing.T) {
	t.Parallel()
	random := mathrand.New(mathrand.NewPCG(1, 2))
	w := newWorld(random)
	posts, without := 0, 0
	for _, n := range w.posts {
		posts += n
		if n == 0 {
			without++
		}
	}
	first := time.Date(2023, time.December, 1, 0, 0, 0, 0, time.UTC)
	var ranges [][2]time.Time
	for range 6 {
		from := first.Add(time.Duration(random.Int64N(int64(300 * 24 * time.Hour)))).Truncate(time.Microsecond)
		ranges = append(ranges, [2]time.Time{from, from.Add(time.Duration(random.Int64N(int64(400 * 24 * time.Hour)))).Truncate(time.Microsecond)})
	}
	for _, at := range w.created[:12] { // where something is
		ranges = append(ranges, [2]time.Time{at, at.Add(48 * time.Hour)}, [2]time.Time{at.Add(-48 * time.Hour), at})
	}
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := migrated.Open(t, e)
		ctx := rules.WithCaller(t.Context(), rules.Everyone())
		session := db.Session(database.Snapshot)
		defer session.Rollback()
		w.write(t, db)
		s, err := stats.New(ctx, session)
		if err != nil {
			t.Fatal(err)
		}
		for name, test := range map[string]struct {
			count func(context.Context) (int, error)
			want  int
		}{
			"users": {s.UserCount, len(w.created)}, "posts": {s.PostCount, posts}, "users without posts": {s.UsersWithoutPosts, without},
		} {
			if got, err := test.count(ctx); err != nil || got != test.want {
				t.Errorf("%s: got %d, %v, want %d", name, got, err, test.want)
			}
		}
		for _, by := range []stats.Period{stats.Day, stats.Week, stats.Month} {
			for _, r := range ranges {
				got, err := s.SignUps(ctx, r[0], r[1], by)
				if want := w.signUps(r[0], r[1], by); err != nil || !slices.Equal(got, want) {
					t.Errorf("from %v to %v by %s: got %v, %v, want %v", r[0], r[1], by, got, err, want)
				}
			}
		}
	})
}

func TestSignUpsFaults(t *testing.T) {
	t.Parallel()
	db := migrated.Open(t, dbtest.SQLite)
	ctx := rules.WithCaller(t.Context(), rules.Everyone())
	s, err := stats.New(ctx, db.Session(database.Single))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)
	if got, err := s.SignUps(ctx, start, start.AddDate(0, 0, stats.MaxPeriods), stats.Day); err != nil || len(got) != stats.MaxPeriods {
		t.Errorf("got %d periods, %v, want %d", len(got), err, stats.MaxPeriods)
	}
	for _, to := range []time.Time{start, start.Add(-1), start.AddDate(0, 0, stats.MaxPeriods).Add(time.Microsecond), start.AddDate(7000, 0, 0)} {
		_, err := s.SignUps(ctx, start, to, stats.Day)
		if faults, ok := errors.AsType[rules.Faults](err); !ok || len(faults) != 1 || faults[0].Code != rules.Invalid || !faults.Has("to") {
			t.Errorf("to %v: got %v, want a fault of to", to, err)
		}
	}
}

func TestForbidden(t *testing.T) {
	t.Parallel()
	if _, err := stats.New(rules.WithCaller(t.Context(), rules.Caller{Roles: []rules.Role{rules.Member}}), nil); err == nil {
		t.Error("a member: got Stats, want a ForbiddenError")
	}
}
