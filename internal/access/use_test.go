package access_test

import (
	"bytes"
	"context"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"roster/ent/rules"
	"roster/internal/access"
	"roster/internal/dbtest"
)

// TestLastUse uses a key on two servers. The last use is written once a minute, and changes nothing else.
func TestLastUse(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		one, two := s.access(), s.access()
		key, secret := s.key(0, rules.Admin)
		created, changes := s.rereadKey(key), s.changes()
		if created.LastUsedAt != nil {
			s.Fatalf("got the last use %v, want none", created.LastUsedAt)
		}
		use := func(a *access.Access) {
			s.context(a, secret)
			a.WriteUses(s.Context())
		}
		want := func(what string, at time.Time) {
			s.Helper()
			if got := s.rereadKey(key); got.LastUsedAt == nil || !got.LastUsedAt.Equal(at) || got.Version != created.Version || !got.UpdatedAt.Equal(created.UpdatedAt) {
				s.Errorf("%s: got the last use %v, version %d of %v, want %v, version %d of %v", what,
					got.LastUsedAt, got.Version, got.UpdatedAt, at, created.Version, created.UpdatedAt)
			}
		}
		s.context(two, secret) // both have read that the key was never used
		first := s.clock.time()
		use(one)
		want("first use", first)
		s.clock.advance(access.Keep - time.Microsecond)
		two.WriteUses(s.Context())
		want("on the other server, which does not know of the first one", first)
		for range 5 {
			s.clock.advance(time.Second)
			if got := s.count(func() { use(one); use(two) }); got != 2 {
				s.Errorf("within a minute: got %d statements, want the two lookups", got)
			}
		}
		want("within a minute", first)
		s.clock.advance(access.UseInterval)
		second := s.clock.time()
		use(two)
		want("a minute later", second)
		use(one)
		s.clock.advance(access.UseInterval - time.Microsecond)
		use(one)
		use(two)
		want("just before a minute", second)
		s.clock.advance(time.Microsecond)
		use(one)
		want("after a minute", second.Add(access.UseInterval))

		// An open stream is a use.
		defer one.Watch(s.context(one, secret), func(reason error) { s.Errorf("got the end %v of a stream, want none", reason) })()
		s.clock.advance(access.UseInterval)
		one.Check(s.Context())
		one.WriteUses(s.Context())
		want("by an open stream", second.Add(2*access.UseInterval))
		if got := s.changes(); !reflect.DeepEqual(got, changes) {
			s.Errorf("got the changes %v, want %v", got, changes)
		}
	})
}

// TestLastUseFails tests a last use that cannot be written: requests go on, and the next attempt comes a minute later.
func TestLastUseFails(t *testing.T) {
	t.Parallel()
	s := newTester(t, dbtest.SQLite)
	var log bytes.Buffer
	a := s.access(func(o *access.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	key, secret := s.key(0, rules.Admin)
	ended, end := context.WithCancel(t.Context())
	end()
	for _, step := range []struct {
		wait time.Duration
		want int
	}{{0, 1}, {access.Keep, 1}, {access.UseInterval - access.Keep - 1, 1}, {1, 2}} {
		s.clock.advance(step.wait)
		s.context(a, secret)
		a.WriteUses(ended)
		if got := strings.Count(log.String(), "level=DEBUG msg=\"the last use of an API key cannot be written\" key="+key.ID.String()); got != step.want {
			t.Errorf("got %d attempts, want %d", got, step.want)
		}
	}
	if strings.Contains(log.String(), secret) {
		t.Error("got the secret in the log")
	}
}
