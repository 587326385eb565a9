package access_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"roster/ent"
	"roster/ent/rules"
	"roster/internal/access"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/directory"
)

// TestSuspension suspends a user and revokes a key on one of two servers. Within a second of their clock, both refuse new
// requests and end open streams.
func TestSuspension(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		other := s.open()
		servers := []*access.Access{s.access(), s.access(func(o *access.Options) { o.Database = other })}
		ada := s.user("ada", "ada@example.com", "ada")
		key, secret := s.key(0, rules.Admin)
		refusals := map[string]func(what string, err error){
			s.token("ada", "MEMBER"): s.wantSuspended,
			s.token("ada", "ADMIN"):  s.wantSuspended,
			secret:                   func(what string, err error) { s.wantInvalid(what, err, revokedKey) },
		}
		type stream struct {
			want    func(string, error)
			reasons chan error
		}
		var streams []stream
		opened := func() { // each server has a stream for each caller
			for text, want := range refusals {
				for _, a := range servers {
					reasons, _ := s.watch(s.context(a, text), a)
					streams = append(streams, stream{want, reasons})
				}
			}
		}
		opened()
		s.suspend(ada)
		s.revoke(key)
		s.clock.advance(access.Keep - 1)
		opened()                             // in the last moment in which the lookup in memory counts
		const spare = 250 * time.Millisecond // for the statements
		if access.Keep+access.WatchInterval+spare > time.Second {
			s.Errorf("got %v and %v, want less than a second together", access.Keep, access.WatchInterval)
		}
		s.clock.advance(access.WatchInterval)
		for _, a := range servers {
			a.Check(s.Context())
			for text, want := range refusals {
				want("a request", s.authenticate(a, text))
			}
		}
		for _, stream := range streams {
			stream.want("a stream", reason(stream.reasons))
		}
		for _, a := range servers {
			a.Check(s.Context())
		}
		for _, stream := range streams {
			if again := reason(stream.reasons); again != nil {
				s.Errorf("got a second end: %v", again)
			}
		}
		s.update(ada, directory.UpdateUser{Status: to(rules.Active)})
		s.clock.advance(access.Keep)
		for _, a := range servers {
			s.context(a, s.token("ada", "MEMBER"))
		}
	})
}

// TestWatch ends streams for each reason, and for no other one.
func TestWatch(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		for name, test := range map[string]struct {
			text func(u *ent.User, subject, secret string) string
			do   func(u *ent.User, k *ent.ApiKey)
			want string // description; empty: the stream stays
		}{
			"nothing":  {member, func(*ent.User, *ent.ApiKey) {}, ""},
			"a change": {member, func(u *ent.User, _ *ent.ApiKey) { s.update(u, directory.UpdateUser{Username: to(u.Username + "2")}) }, ""},
			"deleted":  {member, func(u *ent.User, _ *ent.ApiKey) { s.delete(u) }, lostIdentity},
			"unlinked": {member, func(u *ent.User, _ *ent.ApiKey) { s.unlink(u) }, lostIdentity},
			"linked to other": {member, func(u *ent.User, _ *ent.ApiKey) {
				i := directory.Optional[rules.Identity]{Set: true, Value: identity(*u.IdentitySubject)}
				s.unlink(u)
				s.update(s.user("other"+u.Username, "other"+u.Email, ""), directory.UpdateUser{Identity: i})
			}, lostIdentity},
			"token expired": {member, func(*ent.User, *ent.ApiKey) { s.clock.advance(time.Hour + 30*time.Second) }, expiredToken},
			"key expired":   {apiKey, func(*ent.User, *ent.ApiKey) { s.clock.advance(time.Hour) }, expiredKey},
			"key revoked":   {apiKey, func(_ *ent.User, k *ent.ApiKey) { s.revoke(k) }, revokedKey},
			"key alone":     {apiKey, func(u *ent.User, _ *ent.ApiKey) { s.suspend(u) }, ""},
			"user for an ADMIN without one": {
				func(u *ent.User, _, _ string) string { return s.token("new-"+u.Username, "ADMIN") },
				func(u *ent.User, _ *ent.ApiKey) { s.user("new-"+u.Username, "new-"+u.Email, "new-"+u.Username) }, "",
			},
		} {
			a := s.access()
			username := strings.ReplaceAll(name, " ", "-")
			u := s.user(username, username+"@example.com", username)
			k, secret := s.key(time.Hour, rules.Admin)
			text := test.text(u, s.token(username, "MEMBER"), secret)
			reasons, _ := s.watch(s.context(a, text), a)
			stopped, stop := s.watch(s.context(a, text), a)
			stop()
			if a.Check(s.Context()); reason(reasons) != nil {
				s.Errorf("%s: got an end at once, want none", name)
			}
			test.do(u, k)
			a.Check(s.Context())
			if err := reason(reasons); test.want != "" || err != nil {
				s.wantInvalid(name, err, test.want)
			}
			if err := reason(stopped); err != nil {
				s.Errorf("%s: a stopped watch: got %v, want nothing", name, err)
			}
		}
	})
}

func member(_ *ent.User, token, _ string) string  { return token }
func apiKey(_ *ent.User, _, secret string) string { return secret }

// TestWatchLateUser suspends the user that an ADMIN got while its stream was open.
func TestWatchLateUser(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		a := s.access()
		reasons, _ := s.watch(s.context(a, s.token("ada", "ADMIN")), a)
		s.suspend(s.user("ada", "ada@example.com", "ada"))
		a.Check(s.Context())
		s.wantSuspended("a stream", reason(reasons))
	})
}

// TestWatchNobody watches callers that cannot lose anything.
func TestWatchNobody(t *testing.T) {
	t.Parallel()
	s := newTester(t, dbtest.SQLite)
	a := s.access()
	ctx, err := a.Authenticate(t.Context())
	s.must(err)
	reasons, stop := s.watch(ctx, a)
	s.clock.advance(1000 * time.Hour)
	if got := s.count(func() { a.Check(t.Context()) }); got != 0 || reason(reasons) != nil {
		t.Errorf("got %d statements, want none, and no end", got)
	}
	stop()
}

// TestWatchMany counts the statements for many streams: one for all callers with tokens, and one for all keys.
func TestWatchMany(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		a := s.access()
		s.user("ada", "ada@example.com", "ada")
		_, secret := s.key(0, rules.Admin)
		for range 50 {
			for _, text := range []string{s.token("ada"), s.token("nobody"), secret} {
				s.watch(s.context(a, text), a)
			}
		}
		if got := s.count(func() { a.Check(s.Context()) }); got != 2 {
			s.Errorf("got %d statements, want 2", got)
		}
	})
}

// TestRun tests that a running Access checks open streams and writes last uses, and that it stops.
func TestRun(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		written := make(chan struct{}, 1)
		db := s.open(func(o *database.Options) {
			o.Observe = func(query string) {
				if strings.HasPrefix(query, "UPDATE") && strings.Contains(query, "last_used_at") {
					written <- struct{}{}
				}
			}
		})
		a := s.idle(func(o *access.Options) { o.Database = db })
		ctx, stop := context.WithCancel(s.Context())
		var running sync.WaitGroup
		running.Go(func() { a.Run(ctx) })
		k, secret := s.key(0, rules.Admin)
		reasons, _ := s.watch(s.context(a, secret), a)
		<-written
		s.revoke(k)
		s.wantInvalid("a stream", <-reasons, revokedKey)
		stop()
		running.Wait()
	})
}
