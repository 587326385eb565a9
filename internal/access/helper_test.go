package access_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roster/ent"
	"roster/ent/rules"
	"roster/internal/access"
	"roster/internal/auth"
	"roster/internal/auth/provider"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/directory"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// issuer is the issuer of all tokens.
const issuer = "https://id.example.com/"

// A clock is a time that only the test moves.
type clock struct{ now atomic.Pointer[time.Time] }

func newClock() *clock {
	c, noon := new(clock), time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	c.now.Store(&noon)
	return c
}

func (c *clock) time() time.Time { return *c.now.Load() }

func (c *clock) advance(d time.Duration) {
	next := c.time().Add(d)
	c.now.Store(&next)
}

// tester has a database, a clock, and the secret of tokens.
type tester struct {
	testing.TB
	url        string
	db         *database.DB
	clock      *clock
	ids        *typeid.Source
	signer     *provider.Key
	statements *atomic.Int64 // that mention users or API keys
}

func newTester(tb testing.TB, e dbtest.Engine) *tester {
	tb.Helper()
	s := &tester{TB: tb, url: dbtest.Empty(tb, e), clock: newClock(), statements: new(atomic.Int64), signer: provider.NewKey(tb, "HS256", "")}
	s.ids = typeid.NewSource(time.Now, rand.Reader)
	s.db = s.open()
	return s
}

func each(t *testing.T, f func(s *tester)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) { f(newTester(t, e)) })
}

// open opens the database, as another server would.
func (s *tester) open(change ...func(*database.Options)) *database.DB {
	s.Helper()
	return migrated.Open(s, engineOf(s.url), append([]func(*database.Options){func(o *database.Options) {
		o.URL = s.url
		o.Observe = func(query string) {
			if strings.Contains(query, "users") || strings.Contains(query, "api_keys") {
				s.statements.Add(1)
			}
		}
	}}, change...)...)
}

// hold begins a transaction that writes.
func (s *tester) hold() *database.Session {
	s.Helper()
	session := s.db.Session(database.Write)
	_, err := database.Affected(s.Context(), session, "UPDATE users SET version = version")
	s.must(err)
	return session
}

func engineOf(url string) dbtest.Engine {
	scheme, _, _ := strings.Cut(url, ":")
	return dbtest.Engine(scheme)
}

// access returns the Access of a server. It runs what Authenticate needs until the end of the test.
func (s *tester) access(change ...func(*access.Options)) *access.Access {
	s.Helper()
	a := s.idle(change...)
	s.run(a)
	return a
}

// idle returns an Access that does not run.
func (s *tester) idle(change ...func(*access.Options)) *access.Access {
	s.Helper()
	verifier, err := auth.New(auth.Options{
		Secrets: [][]byte{s.signer.Secret()}, Issuer: issuer, Audience: provider.Audience, Clock: s.clock.time,
	})
	s.must(err)
	o := access.Options{Verifier: verifier, Database: s.db, IDs: s.ids, Clock: s.clock.time}
	for _, f := range change {
		f(&o)
	}
	return access.New(o)
}

func (s *tester) run(a *access.Access) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	a.StartLookups(ctx, &running)
	s.Cleanup(func() { stop(); running.Wait() })
}

func linking(o *access.Options) { o.LinkByEmail = true }

func (s *tester) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// do writes in a transaction, for an ADMIN.
func (s *tester) do(write func(ctx context.Context, tx *directory.Transaction) error) {
	s.Helper()
	ctx := rules.WithCaller(s.Context(), rules.Everyone())
	tx := directory.New(s.db.Session(database.Write), directory.Options{Clock: s.clock.time, IDs: s.ids})
	defer tx.Rollback()
	s.must(write(ctx, tx))
	s.must(tx.Commit(ctx, nil))
}

// user creates a user. The identity has the subject, or there is none if it is empty.
func (s *tester) user(username, email, subject string) *ent.User {
	s.Helper()
	input := directory.CreateUser{Username: username, Email: email, Status: rules.Active}
	if subject != "" {
		input.Identity = identity(subject)
	}
	var list []*ent.User
	s.do(func(ctx context.Context, tx *directory.Transaction) (err error) {
		list, err = tx.CreateUsers(ctx, []directory.CreateUser{input})
		return err
	})
	return list[0]
}

func identity(subject string) *rules.Identity {
	return &rules.Identity{Issuer: issuer, Subject: subject}
}

func (s *tester) update(u *ent.User, input directory.UpdateUser) {
	s.Helper()
	input.ID = u.ID
	s.do(func(ctx context.Context, tx *directory.Transaction) error {
		_, err := tx.UpdateUsers(ctx, []directory.UpdateUser{input})
		return err
	})
}

func to[T any](value T) directory.Optional[T] { return directory.Optional[T]{Set: true, Value: &value} }

func (s *tester) suspend(u *ent.User) {
	s.Helper()
	s.update(u, directory.UpdateUser{Status: to(rules.Suspended)})
}

func (s *tester) unlink(u *ent.User) {
	s.Helper()
	s.update(u, directory.UpdateUser{Identity: directory.Optional[rules.Identity]{Set: true}})
}

func (s *tester) delete(u *ent.User) {
	s.Helper()
	s.do(func(ctx context.Context, tx *directory.Transaction) error {
		_, err := tx.DeleteUsers(ctx, []directory.DeleteUser{{Target: directory.Target{ID: u.ID}}})
		return err
	})
}

// reread returns a user as it is now.
func (s *tester) reread(u *ent.User) *ent.User {
	s.Helper()
	now, err := ent.NewClient(ent.Driver(s.db.Session(database.Single))).User.Get(s.Context(), u.ID)
	s.must(err)
	return now
}

// key creates an API key. A zero lifetime is for ever.
func (s *tester) key(lifetime time.Duration, roles ...rules.Role) (*ent.ApiKey, string) {
	s.Helper()
	secret := s.secret()
	hash := secret.Hash()
	input := directory.CreateAPIKey{Name: "Nightly", Roles: roles, Prefix: secret.Prefix(), SecretHash: hex.EncodeToString(hash[:])}
	if lifetime > 0 {
		input.ExpiresAt = new(s.clock.time().Add(lifetime))
	}
	var list []*ent.ApiKey
	s.do(func(ctx context.Context, tx *directory.Transaction) (err error) {
		list, err = tx.CreateAPIKeys(ctx, []directory.CreateAPIKey{input})
		return err
	})
	return list[0], secret.Secret()
}

// secret returns a new secret of an API key.
func (s *tester) secret() auth.APIKey {
	s.Helper()
	secret, err := auth.NewAPIKey(rand.Reader)
	s.must(err)
	return secret
}

func (s *tester) revoke(k *ent.ApiKey) {
	s.Helper()
	s.do(func(ctx context.Context, tx *directory.Transaction) error {
		_, err := tx.RevokeAPIKeys(ctx, []directory.Target{{ID: k.ID}})
		return err
	})
}

// rereadKey returns an API key as it is now.
func (s *tester) rereadKey(k *ent.ApiKey) *ent.ApiKey {
	s.Helper()
	now, err := ent.NewClient(ent.Driver(s.db.Session(database.Single))).ApiKey.Get(s.Context(), k.ID)
	s.must(err)
	return now
}

// token returns a token that is valid for an hour.
func (s *tester) token(subject string, roles ...string) string {
	return s.tokenWith(map[string]any{"sub": subject, "roles": roles})
}

// mail returns the token of a MEMBER with a verified address.
func (s *tester) mail(subject, email string) string {
	return s.tokenWith(map[string]any{"sub": subject, "roles": "MEMBER", "email": email, "email_verified": true})
}

func (s *tester) tokenWith(claims map[string]any) string {
	all := map[string]any{"iss": issuer, "aud": provider.Audience, "exp": s.clock.time().Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	return s.signer.Token(all)
}

// caller returns the caller of credentials, which must be good.
func (s *tester) caller(a *access.Access, text string) rules.Caller {
	s.Helper()
	return rules.CallerFrom(s.context(a, text))
}

// context returns the context of a request with credentials, which must be good.
func (s *tester) context(a *access.Access, text string) context.Context {
	s.Helper()
	ctx, err := a.Authenticate(s.Context(), "Bearer "+text)
	s.must(err)
	return ctx
}

// wantSuspended wants an error: that of a suspended user.
func (s *tester) wantSuspended(what string, err error) {
	s.Helper()
	if !errors.Is(err, auth.ErrSuspended) {
		s.Errorf("%s: got %v, want %v", what, err, auth.ErrSuspended)
	}
}

// wantInvalid wants an error: that of invalid credentials.
func (s *tester) wantInvalid(what string, err error, description string) {
	s.Helper()
	if invalid, ok := errors.AsType[*auth.InvalidError](err); !ok || invalid.Description != description {
		s.Errorf("%s: got %v, want %q", what, err, description)
	}
}

// authenticate returns the error of credentials.
func (s *tester) authenticate(a *access.Access, text string) error {
	_, err := a.Authenticate(s.Context(), "Bearer "+text)
	return err
}

// count returns the number of statements that f sends.
func (s *tester) count(f func()) int {
	before := s.statements.Load()
	f()
	return int(s.statements.Load() - before)
}

// changes returns all changes.
func (s *tester) changes() []feed.Change {
	s.Helper()
	s.must(feed.Number(s.Context(), s.db))
	session := s.db.Session(database.Snapshot)
	defer session.Rollback()
	page, err := feed.Read(rules.WithCaller(s.Context(), rules.Everyone()), session, feed.Request{First: 10_000})
	s.must(err)
	return page.Changes
}

// watch returns a channel that gets the reason for which a stream ends.
func (s *tester) watch(ctx context.Context, a *access.Access) (reasons chan error, stop func()) {
	reasons = make(chan error, 10)
	return reasons, a.Watch(ctx, func(reason error) { reasons <- reason })
}

// reason returns the reason for which a stream has ended, or nil.
func reason(reasons chan error) error {
	select {
	case err := <-reasons:
		return err
	default:
		return nil
	}
}
