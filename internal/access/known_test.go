package access_test

import (
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
	})
}
