package access_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"roster/ent/rules"
	"roster/internal/access"
	"roster/internal/auth"
	"roster/internal/dbtest"
	"roster/internal/directory"
)

// The descriptions of refused credentials.
const (
	badHeader    = "the Authorization header must be Bearer and a token"
	malformedKey = "the API key is malformed"
	unknownKey   = "the API key is unknown"
	revokedKey   = "the API key is revoked"
	expiredKey   = "the API key has expired"
	expiredToken = "the token has expired"
	lostIdentity = "the user of the token has lost its identity"
)

// TestCallers finds the callers of good credentials.
func TestCallers(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		a, linked := s.access(), s.access(linking, func(o *access.Options) { o.Anonymous = true })
		ada := s.user("ada", "ada@example.com", "Ada")
		s.do(func(ctx context.Context, tx *directory.Transaction) error { // the same subject elsewhere
			_, err := tx.CreateUsers(ctx, []directory.CreateUser{{
				Username: "eve", Email: "eve@example.com", Status: rules.Suspended, Identity: &rules.Identity{Issuer: "https://other.example.com/", Subject: "Ada"},
			}})
			return err
		})
		key, secret := s.key(time.Hour, rules.Admin, rules.Member)
		both := []rules.Role{rules.Admin, rules.Member}
		for _, test := range []struct {
			name string
			a    *access.Access
			text string
			want rules.Caller
		}{
			{"ADMIN with a user", a, s.token("Ada", "ADMIN"), rules.Caller{Issuer: issuer, Subject: "Ada", Name: "Ada", Roles: both[:1], User: ada.ID}},
			{"MEMBER where users are linked", linked, s.token("Ada", "MEMBER"), rules.Caller{Issuer: issuer, Subject: "Ada", Name: "Ada", Roles: both[1:], User: ada.ID, LinksByEmail: true}},
			{"a user without a role", a, s.token("Ada"), rules.Caller{Issuer: issuer, Subject: "Ada", Name: "Ada", User: ada.ID}},
			{"a subject in another case", a, s.token("ada", "MEMBER"), rules.Caller{Issuer: issuer, Subject: "ada", Name: "ada", Roles: both[1:]}},
			{"a subject with a space at its end", a, s.token("Ada ", "MEMBER"), rules.Caller{Issuer: issuer, Subject: "Ada ", Name: "Ada ", Roles: both[1:]}},
			{"a subject with line breaks", a, s.token("a\r\nb\"'\\", "MEMBER"), rules.Caller{Issuer: issuer, Subject: "a\r\nb\"'\\", Name: "a\r\nb\"'\\", Roles: both[1:]}},
			{"API key", a, secret, rules.Caller{Subject: key.ID.String(), Name: "Nightly", Roles: both, Key: key.ID}},
		} {
			for _, from := range []string{"the database", "memory"} {
				if got := s.caller(test.a, test.text); !reflect.DeepEqual(got, test.want) {
					s.Errorf("%s from %s: got %+v, want %+v", test.name, from, got, test.want)
				}
			}
		}
		for a, want := range map[*access.Access]rules.Caller{a: {}, linked: {Reader: true}} {
			ctx, err := a.Authenticate(s.Context())
			if got := rules.CallerFrom(ctx); err != nil || !reflect.DeepEqual(got, want) {
				s.Errorf("nobody: got %+v, %v, want %+v", got, err, want)
			}
		}
	})
}

// TestRefusals refuses bad credentials. Nobody becomes anonymous by them.
func TestRefusals(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		a := s.access(func(o *access.Options) { o.Anonymous = true })
		_, secret := s.key(time.Hour, rules.Admin)
		for header, want := range map[string]string{
			"":                              badHeader,
			"Basic YTpi":                    badHeader,
			"Bearer":                        badHeader,
			"Bearer rost_":                  malformedKey,
			"Bearer " + secret[:30]:         malformedKey,
			"Bearer " + secret[:37] + "~":   malformedKey,
			"Bearer " + s.secret().Secret(): unknownKey,
			// It would look like a key in the change feed.
			"Bearer " + s.token("api_key_01jvsz5r0xe3k8m1p4s6t9w2yb", "ADMIN"): "the subject of the token is the ID of an API key",
		} {
			_, err := a.Authenticate(s.Context(), header)
			s.wantInvalid(header, err, want)
		}
		s.clock.advance(time.Hour)
		s.wantInvalid("at its expiry", s.authenticate(a, secret), expiredKey)
		if _, err := a.Authenticate(s.Context(), "Bearer "+secret, "Bearer "+secret); !errors.Is(err, auth.ErrAmbiguous) {
			s.Errorf("two headers: got %v, want %v", err, auth.ErrAmbiguous)
		}
	})
}

// TestMemory counts the statements of lookups.
func TestMemory(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		a := s.access()
		s.user("ada", "ada@example.com", "ada")
		_, secret := s.key(0, rules.Admin)
		for name, text := range map[string]string{
			"user": s.token("ada", "MEMBER"), "no user": s.token("nobody", "MEMBER"), "key": secret, "unknown key": s.secret().Secret(),
		} {
			burst := func() {
				var all sync.WaitGroup
				for range 50 {
					all.Go(func() { _, _ = a.Authenticate(s.Context(), "Bearer "+text) })
				}
				all.Wait()
			}
			for _, step := range []struct {
				what string
				wait time.Duration
				want int
			}{{"first", 0, 1}, {"again", 0, 0}, {"just before", access.Keep - 1, 0}, {"too late", 1, 1}, {"again", access.Keep - 1, 0}} {
				s.clock.advance(step.wait)
				if got := s.count(burst); got != step.want {
					s.Errorf("%s, %s: got %d statements, want %d", name, step.what, got, step.want)
				}
			}
		}
	})
}

// TestFlood tests many unknown keys at once: they share statements. A key with a wrong checksum needs none.
func TestFlood(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		a := s.idle()
		const flood = 2 * access.MaxBatch
		var all sync.WaitGroup
		for range flood {
			secret := s.secret().Secret()
			for range 2 { // they share a lookup
				all.Go(func() { s.wantInvalid("unknown", s.authenticate(a, secret), unknownKey) })
			}
			s.wantInvalid("malformed", s.authenticate(a, secret[:len(secret)-1]+"~"), malformedKey)
		}
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for a.Waiting() < flood { // Run has not begun
			<-ticker.C
		}
		got := s.count(func() { s.run(a); all.Wait() })
		if got != 2 {
			s.Errorf("got %d statements, want 2", got)
		}
	})
}

// TestDatabaseAway tests callers that cannot be found now: it is no fault of their credentials.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		a := s.access()
		_, secret := s.key(0, rules.Admin)
		token := s.token("ada", "ADMIN")
		ctx := s.context(a, token)
		reasons, _ := s.watch(ctx, a)
		s.clock.advance(access.Keep)
		s.must(s.db.Close())
		for name, text := range map[string]string{"token": token, "key": secret} {
			err := s.authenticate(a, text)
			if _, invalid := errors.AsType[*auth.InvalidError](err); err == nil || invalid || errors.Is(err, auth.ErrSuspended) {
				s.Errorf("%s: got %v, want an error of the database", name, err)
			}
		}
		a.Check(s.Context())
		if err := reason(reasons); err != nil {
			s.Errorf("a stream: got %v, want no end", err)
		}
		s.clock.advance(time.Hour + time.Minute)
		a.Check(s.Context())
		s.wantInvalid("a stream after the token's expiry", reason(reasons), expiredToken)
	})
}

// TestEndedRequest tests a request that ends before its caller is found.
func TestEndedRequest(t *testing.T) {
	t.Parallel()
	s := newTester(t, dbtest.SQLite)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.idle().Authenticate(ctx, "Bearer "+s.secret().Secret()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// TestCost bounds the allocations of a request with a token whose user is in memory.
func TestCost(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts those of parallel tests
	s := newTester(t, dbtest.SQLite)
	a := s.access()
	s.user("ada", "ada@example.com", "ada")
	header := "Bearer " + s.token("ada", "MEMBER")
	got := testing.AllocsPerRun(100, func() { _, _ = a.Authenticate(t.Context(), header) })
	if got > 10 {
		t.Errorf("got %v allocations, want 10 or fewer", got)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	s := newTester(b, dbtest.SQLite)
	a := s.access()
	s.user("ada", "ada@example.com", "ada")
	_, secret := s.key(0, rules.Admin)
	for name, text := range map[string]string{"token": s.token("ada", "MEMBER"), "key": secret} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), "Bearer "+text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
