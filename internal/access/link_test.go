package access_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roster/ent/rules"
	"roster/internal/access"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/directory"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// TestLink links a user to the first token with its address.
func TestLink(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		var commits atomic.Int64
		a := s.access(linking, func(o *access.Options) { o.Committed = func() { commits.Add(1) } })
		ada := s.user("ada", "ada@example.com", "")
		before := len(s.changes())
		want := rules.Caller{Issuer: issuer, Subject: "subject", Name: "subject", Roles: []rules.Role{rules.Member}, User: ada.ID, LinksByEmail: true}
		for range 3 {
			if got := s.caller(a, s.mail("subject", "ada@example.com")); got.User != want.User || got.Subject != want.Subject || !slices.Equal(got.Roles, want.Roles) || !got.LinksByEmail {
				s.Errorf("got %+v, want %+v", got, want)
			}
			s.clock.advance(access.Keep)
		}
		if got := s.reread(ada); got.Version != 2 || *directory.IdentityOf(got) != *identity("subject") {
			s.Errorf("got version %d, identity %v, want version 2 and that of the token", got.Version, directory.IdentityOf(got))
		}
		changes := s.changes()[before:]
		if len(changes) != 1 || changes[0].Kind != feed.Updated || changes[0].NodeID != ada.ID || changes[0].Actor != "subject" || !slices.Equal(changes[0].Fields, []string{"identity"}) {
			s.Errorf("got the changes %+v, want an update of identity by the subject", changes)
		}
		if got := commits.Load(); got != 1 {
			s.Errorf("got %d calls of Committed, want 1", got)
		}
	})
}

// TestLinkUnknown loses the answer to the commit of a link: the next attempt finds the link, and the servers are told.
func TestLinkUnknown(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			s := newTester(t, e)
			ada := s.user("ada", "ada@example.com", "")
			var proxy *dbtest.Proxy
			var commits, lost atomic.Int64
			db := s.open(func(o *database.Options) { o.URL, proxy = dbtest.ProxyURL(t, s.url) })
			a := s.access(linking, func(o *access.Options) { o.Database, o.Committed = db, func() { commits.Add(1) } })
			proxy.LoseAnswers(func(request []byte) bool {
				return bytes.Contains(request, []byte("COMMIT")) && lost.Add(1) == 1
			})
			if got := s.caller(a, s.mail("subject", "ada@example.com")); got.User != ada.ID {
				s.Errorf("got the user %s, want %s", got.User, ada.ID)
			}
			if lost.Load() == 0 || commits.Load() != 1 {
				s.Errorf("got %d commits and %d calls of Committed, want at least 1, and 1", lost.Load(), commits.Load())
			}
		})
	}
}

// TestLinkAddresses tests which addresses link.
func TestLinkAddresses(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		a, off := s.access(linking), s.access()
		for i, test := range []struct {
			user, token string
			linked      bool
		}{
			{"ada@example.com", "ada@exaMple.com", true},
			{"ADA@EXAMPLE.org", "ada@example.org", true},
			{"jose\u0301@example.com", "jos\u00e9@example.com", true},
			{"jos\u00e9@example.org", "JOSe\u0301@example.org", true},
			{"jos\u00e9@example.net", "JOS\u00c9@example.net", false}, // beyond ASCII, the case counts
			{"stra\u00dfe@example.com", "strasse@example.com", false},
			{"strasse@example.org", "stra\u00dfe@example.org", false},
			{"mike@example.com", "mi\u212ae@example.com", true},  // in NFC, the Kelvin sign is a K
			{"rose@example.com", "ro\u017fe@example.com", false}, // the long s folds to s
			{"ada@b\u00fccher.example", "ada@xn--bcher-kva.example", false},
			{"\u03bf\u03c2@example.com", "\u03bf\u03c3@example.com", false}, // the two sigmas
			{"eve@example.com", "eve@example.com ", false},
			{"bob@example.com", "bob@example.co", false},
			{"max@example.com", "", false}, // the provider has not verified it
			{"may@example.com", "Mary <may@example.com>", false},
			{"long@example.com", strings.Repeat("long", 1000) + "@example.com", false},
		} {
			u := s.user(fmt.Sprintf("user%d", i), test.user, "")
			subject := fmt.Sprintf("subject %d", i)
			if got := s.caller(off, s.mail(subject, test.token)); got.User != (typeid.ID{}) {
				s.Errorf("%q and %q: got a user without --auth-link-by-email", test.user, test.token)
			}
			want := typeid.ID{}
			if test.linked {
				want = u.ID
			}
			if got := s.caller(a, s.mail(subject, test.token)); got.User != want {
				s.Errorf("%q and %q: got the user %v, want %v", test.user, test.token, got.User, want)
			}
		}
	})
}

// TestLinkOnce tests users that have an identity, and identities that a user had.
func TestLinkOnce(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		a := s.access(linking)
		none := func(what, subject, email string) {
			s.Helper()
			s.clock.advance(access.Keep)
			if got := s.caller(a, s.mail(subject, email)); got.User != (typeid.ID{}) {
				s.Errorf("%s: got the user %v, want none", what, got.User)
			}
		}
		ada := s.user("ada", "ada@example.com", "first")
		none("a user with an identity", "second", "ada@example.com")
		s.unlink(ada)
		none("an identity that an ADMIN removed", "first", "ada@example.com")
		none("a user whose identity an ADMIN removed", "third", "ada@example.com")
		s.update(s.reread(ada), directory.UpdateUser{Identity: to(*identity("third"))})
		s.delete(s.reread(ada))
		s.user("colleague", "ada@example.com", "")
		none("the identity of a deleted user", "third", "ada@example.com")
		// A MEMBER takes the address of a future colleague: the colleague does not become that user.
		eve := s.user("eve", "eve@example.com", "eve")
		s.update(eve, directory.UpdateUser{Email: to("future@example.com")})
		none("a taken address", "future", "future@example.com")
		s.update(eve, directory.UpdateUser{Identity: to(*identity("eve2"))})
		none("a replaced identity", "eve", "future@example.com")
		// A user with an identity is found by it, whatever the address.
		bob := s.user("bob", "bob@example.com", "")
		s.clock.advance(access.Keep)
		if got := s.caller(a, s.mail("eve2", "bob@example.com")); got.User != eve.ID || directory.IdentityOf(s.reread(bob)) != nil {
			s.Errorf("got the user %v, want %v, and no other link", got.User, eve.ID)
		}
	})
}

// TestLinkSuspended links a suspended user: its token is refused, whatever its role.
func TestLinkSuspended(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		a := s.access(linking)
		ada := s.user("ada", "ada@example.com", "")
		s.suspend(ada)
		token := s.tokenWith(map[string]any{"sub": "ada", "roles": "ADMIN", "email": "ada@example.com", "email_verified": true})
		for range 2 {
			s.wantSuspended("a request", s.authenticate(a, token))
			s.clock.advance(access.Keep)
		}
		if got := directory.IdentityOf(s.reread(ada)); got == nil || *got != *identity("ada") {
			s.Errorf("got the identity %v, want that of the token", got)
		}
	})
}

// TestLinkRace lets two servers link the same identities and the same users at the same time.
func TestLinkRace(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		other := s.open()
		servers := []*access.Access{s.access(linking), s.access(linking, func(o *access.Options) { o.Database = other })}
		const rounds = 10
		for i := range rounds {
			email := fmt.Sprintf("user%d@example.com", i)
			u := s.user(fmt.Sprintf("user%d", i), email, "")
			before := len(s.changes())
			// Two identities want one user. Each server gets both.
			subjects := []string{fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i)}
			var users [2][2]typeid.ID
			var all sync.WaitGroup
			for n, a := range servers {
				for m, subject := range subjects {
					token := s.mail(subject, email)
					all.Go(func() {
						ctx, err := a.Authenticate(s.Context(), "Bearer "+token)
						if err != nil {
							s.Errorf("%s: got %v, want a caller", subject, err)
							return
						}
						users[m][n] = rules.CallerFrom(ctx).User
					})
				}
			}
			all.Wait()
			winner := 0
			if *directory.IdentityOf(s.reread(u)) == *identity(subjects[1]) {
				winner = 1
			}
			if got := users[winner]; got != [2]typeid.ID{u.ID, u.ID} || users[1-winner] != [2]typeid.ID{} {
				s.Errorf("got the users %v of the identity and %v of the other one, want %v twice, and none", got, users[1-winner], u.ID)
			}
			if changes := s.changes()[before:]; len(changes) != 1 || changes[0].Actor != subjects[winner] {
				s.Errorf("got the changes %+v, want one by %s", changes, subjects[winner])
			}
		}
	})
}

// TestLinkReads tests that a caller who cannot be linked costs no transaction that locks.
func TestLinkReads(t *testing.T) {
	t.Parallel()
	s := newTester(t, dbtest.SQLite)
	a := s.access(linking)
	ada := s.user("ada", "ada@example.com", "ada")
	s.unlink(ada)
	session := s.hold() // the only connection that writes
	defer session.Rollback()
	for _, email := range []string{"ada@example.com", "nobody@example.com"} {
		if got := s.caller(a, s.mail("ada", email)); got.User != (typeid.ID{}) {
			t.Errorf("got the user %v, want none", got.User)
		}
		s.clock.advance(access.Keep + time.Millisecond)
	}
}
