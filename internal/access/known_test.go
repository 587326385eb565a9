package access_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"roster/ent/rules"
	"roster/internal/access"
)

// TestKnown tests which credentials are known: a client that has sent many wrong ones may still use these.
func TestKnown(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		a := s.access()
		want := func(what string, want bool, authorization ...string) {
			s.Helper()
			if got := a.Known(authorization...); got != want {
				s.Errorf("%s: got %t, want %t", what, got, want)
			}
		}
		token, other := s.token("ada", "ADMIN"), s.token("bob", "ADMIN")
		want("no header", false)
		want("two headers", false, "Bearer "+token, "Bearer "+token)
		want("Basic", false, "Basic YWRhOnNlY3JldA==")
		want("a new token", false, "Bearer "+token)
		s.context(a, token)
		want("a verified token", true, "Bearer "+token)
		want("another token", false, "Bearer "+other)
		s.clock.advance(time.Hour + time.Minute)
		want("an expired token", false, "Bearer "+token)

		_, secret := s.key(0, rules.Admin)
		_, unused := s.key(0, rules.Admin)
		s.context(a, secret)
		s.wantInvalid("a wrong key", s.authenticate(a, s.secret().Secret()), unknownKey)
		want("a malformed key", false, "Bearer "+secret[:len(secret)-1]+"~")
		sent := s.count(func() {
			for range access.MaxStrangers {
				want("a key that this server has not seen", true, "Bearer "+unused)
			}
			want("too many such keys", false, "Bearer "+unused)
			s.clock.advance(time.Minute) // a lookup counts, however old it is
			want("a key that this server has seen", true, "Bearer "+secret)
			for range access.MaxStrangers {
				want("such keys after a while", true, "Bearer "+s.secret().Secret())
			}
			want("too many such keys", false, "Bearer "+s.secret().Secret())
			want("a key that this server has seen", true, "Bearer "+secret)
		})
		if sent != 0 {
			s.Errorf("got %d statements, want none", sent)
		}

		stopped := s.idle()
		ctx, stop := context.WithCancel(s.Context())
		defer stop()
		var running sync.WaitGroup
		stopped.StartLookups(ctx, &running)
		s.context(stopped, secret)
		stop()
		running.Wait()
		s.clock.advance(time.Minute)
		waiting, cancel := context.WithCancel(s.Context())
		var lookup sync.WaitGroup
		lookup.Go(func() { _, _ = stopped.Authenticate(waiting, "Bearer "+secret) }) // it waits for ever
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for stopped.Waiting() == 0 {
			<-ticker.C
		}
		for range access.MaxStrangers + 1 {
			if !stopped.Known("Bearer " + secret) {
				s.Error("a key during its next lookup: got an unknown one, want a known one")
			}
		}
		cancel()
		lookup.Wait()

		k, revoked := s.key(time.Hour, rules.Admin)
		s.context(a, revoked)
		s.revoke(k)
		s.clock.advance(time.Minute)
		s.wantInvalid("a revoked key", s.authenticate(a, revoked), "the API key is revoked")
		if a.Known("Bearer " + revoked) {
			s.Error("a revoked key: got a known one, want an unknown one")
		}
	})
}
