package directory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"entgo.io/ent/dialect/sql"

	"roster/ent"
	"roster/ent/apikey"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// account is an input for a user of this name.
func account(name string, status rules.Status, identity *rules.Identity) directory.CreateUser {
	return directory.CreateUser{Username: name, Email: name + "@example.com", Status: status, Identity: identity}
}

// createAccounts creates users.
func (s *tester) createAccounts(list ...directory.CreateUser) (users []*ent.User) {
	s.Helper()
	s.do(func(ctx context.Context, tx *directory.Transaction) (err error) {
		users, err = tx.CreateUsers(ctx, list)
		return err
	})
	return users
}

// accounts returns the username, the status, the identity and the version of all users.
func (s *tester) accounts() (list []string) {
	s.Helper()
	users, _ := s.rows()
	for _, u := range users {
		text := fmt.Sprint(u.Username, " ", u.Status, " ", u.Version)
		if i := directory.IdentityOf(u); i != nil {
			text += fmt.Sprintf(" %q %q", i.Issuer, i.Subject)
		}
		list = append(list, text)
	}
	return list
}

// former returns the number of identities that users had and lost.
func (s *tester) former() (n int) {
	s.Helper()
	session := s.db.Session(database.Single)
	defer session.Rollback()
	s.must(database.Each(s.Context(), session, "SELECT COUNT(*) FROM former_identities", nil, func(rows *sql.Rows) error { return rows.Scan(&n) }))
	return n
}

// wants compares lists of texts.
func (s *tester) wants(what string, got, want []string) {
	s.Helper()
	if !slices.Equal(got, want) {
		s.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// faultsOf returns the paths and the codes of faults.
func faultsOf(err error) (list []string) {
	faults, ok := errors.AsType[rules.Faults](err)
	if !ok && err != nil {
		return []string{err.Error()}
	}
	for _, f := range faults {
		list = append(list, fmt.Sprint(f.Path, f.Code))
	}
	return list
}

func ofUser(u *ent.User) directory.Target { return directory.Target{ID: u.ID} }

func none[T any]() directory.Optional[T] { return directory.Optional[T]{Set: true} }

// TestAccounts creates and updates the status and the identity of users.
func TestAccounts(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		users := s.createAccounts(account("ada", rules.Active, nil), account("bob", rules.Suspended, &rules.Identity{Issuer: "i", Subject: "b"}))
		s.wants("create", s.accounts(), []string{"ada ACTIVE 1", `bob SUSPENDED 1 "i" "b"`})
		_, cursor := s.changes(nil)
		for _, step := range []struct {
			what   string
			update directory.UpdateUser
			want   []string
			fields []string // nil: no change
			former int
		}{
			{"suspend", directory.UpdateUser{Target: ofUser(users[0]), Status: to(rules.Suspended)}, []string{"ada SUSPENDED 2", `bob SUSPENDED 1 "i" "b"`}, []string{"status"}, 0},
			{"suspend again", directory.UpdateUser{Target: ofUser(users[0]), Status: to(rules.Suspended)}, []string{"ada SUSPENDED 2", `bob SUSPENDED 1 "i" "b"`}, nil, 0},
			{"another identity", directory.UpdateUser{Target: ofUser(users[1]), Identity: to(rules.Identity{Issuer: "j", Subject: "b"}), Status: to(rules.Active)}, []string{"ada SUSPENDED 2", `bob ACTIVE 2 "j" "b"`}, []string{"status", "identity"}, 1},
			{"the same identity", directory.UpdateUser{Target: ofUser(users[1]), Identity: to(rules.Identity{Issuer: "j", Subject: "b"})}, []string{"ada SUSPENDED 2", `bob ACTIVE 2 "j" "b"`}, nil, 1},
			{"a new name", directory.UpdateUser{Target: ofUser(users[1]), Username: to("Bob")}, []string{"ada SUSPENDED 2", `Bob ACTIVE 3 "j" "b"`}, []string{"username"}, 1},
			{"no identity", directory.UpdateUser{Target: ofUser(users[1]), Identity: none[rules.Identity]()}, []string{"ada SUSPENDED 2", "Bob ACTIVE 4"}, []string{"identity"}, 3},
			{"no identity again", directory.UpdateUser{Target: ofUser(users[1]), Identity: none[rules.Identity]()}, []string{"ada SUSPENDED 2", "Bob ACTIVE 4"}, nil, 3},
			{"the first identity", directory.UpdateUser{Target: ofUser(users[0]), Identity: to(rules.Identity{Issuer: "i", Subject: "b"})}, []string{`ada SUSPENDED 3 "i" "b"`, "Bob ACTIVE 4"}, []string{"identity"}, 3},
			{"no identity, which was lost before", directory.UpdateUser{Target: ofUser(users[0]), Identity: none[rules.Identity]()}, []string{"ada SUSPENDED 4", "Bob ACTIVE 4"}, []string{"identity"}, 4},
		} {
			s.do(func(ctx context.Context, tx *directory.Transaction) error {
				_, err := tx.UpdateUsers(ctx, []directory.UpdateUser{step.update})
				return err
			})
			s.wants(step.what, s.accounts(), step.want)
			var changes []feed.Change
			var fields []string
			if changes, cursor = s.changes(cursor); len(changes) > 0 {
				fields = changes[0].Fields
			}
			if s.wants(step.what+": changed fields", fields, step.fields); s.former() != step.former {
				t.Errorf("%s: got %d hashes of identities and users, want %d", step.what, s.former(), step.former)
			}
		}
		s.createAccounts(account("cleo", rules.Active, &rules.Identity{Issuer: "i", Subject: "c"}))
		list, _ := s.rows()
		s.do(func(ctx context.Context, tx *directory.Transaction) error {
			_, err := tx.DeleteUsers(ctx, []directory.DeleteUser{{Target: ofUser(list[2])}})
			return err
		})
		if got := s.former(); got != 5 {
			t.Errorf("after a delete: got %d hashes of identities and users, want 5", got)
		}
	})
}

// TestIdentities compares identities byte for byte, as a pair.
func TestIdentities(t *testing.T) {
	t.Parallel()
	pairs := [][2]string{
		{"i", "s"},
		{"i", "S"},
		{"I", "s"},
		{"i", "s "},
		{"i ", "s"},
		{"i", " s"},
		{"is", "s"},
		{"i", "ss"},
		{"j", "s"},
		{"i", "é"},
		{"i", "e\u0301"},
		{"i", "É"},
		{"i", "ß"},
		{"i", "ss\t"},
		{"i", "s\n"},
		{"i", "\u200b"},
		{"s", "i"},
		{" ", " "},
		{strings.Repeat("é", 127) + "x", strings.Repeat("\x01", rules.IdentityLimit)},
		{"i", "😀"},
		{`"`, `\`},
	}
	each(t, func(s *tester) {
		identities, list := make([]rules.Identity, len(pairs)), make([]directory.CreateUser, len(pairs))
		for i, pair := range pairs {
			identities[i] = rules.Identity{Issuer: pair[0], Subject: pair[1]}
			list[i] = account(fmt.Sprint("user", i), rules.Active, &identities[i])
		}
		s.createAccounts(list...)
		find := func(identity rules.Identity) (*ent.User, error) {
			client := ent.NewClient(ent.Driver(s.db.Session(database.Single)))
			return directory.UserByIdentity(s.everyone(), client.User.Reader(), query.All, identity)
		}
		for i, identity := range identities {
			u, err := find(identity)
			if err != nil || u == nil || u.Username != list[i].Username || *directory.IdentityOf(u) != identity {
				t.Errorf("%q: got the user %v, %v, want %s", identity, u, err, list[i].Username)
			}
			again := list[i]
			again.Username, again.Email = "other", "other@example.com"
			for _, careful := range []bool{true, false} {
				err = s.attempt(careful, func(ctx context.Context, tx *directory.Transaction) error {
					_, err := tx.CreateUsers(ctx, []directory.CreateUser{again})
					return err
				})
				failure := database.AsFailure(err)
				if got := faultsOf(err); careful && !slices.Equal(got, []string{"[0 identity]TAKEN"}) || !careful && (failure == nil || failure.Kind != database.Unique) {
					t.Errorf("%q again, careful %v: got %q, %v, want that it is taken", identity, careful, got, err)
				}
			}
		}
		for _, pair := range [][2]string{{"i", "s  "}, {"J", "s"}, {"i", "S "}, {"i", "e"}, {"i", "\u200b\u200b"}, {"", "s"}} {
			u, err := find(rules.Identity{Issuer: pair[0], Subject: pair[1]})
			if err != nil || u != nil {
				t.Errorf("%q: got the user %v, %v, want none", pair, u, err)
			}
		}
	})
}

// attempt runs a transaction that fails, as the first attempt or as a careful one, and rolls it back.
func (s *tester) attempt(careful bool, write func(ctx context.Context, tx *directory.Transaction) error) error {
	s.Helper()
	tx := directory.New(s.db.Session(database.Write), directory.Options{Clock: time.Now, IDs: s.ids, Careful: careful})
	defer tx.Rollback()
	return write(s.everyone(), tx)
}

// TestIdentityFaults reports a taken identity together with all other faults.
func TestIdentityFaults(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 128)
	each(t, func(s *tester) {
		users := s.createAccounts(account("ada", rules.Active, &rules.Identity{Issuer: "i", Subject: "a"}), account("bob", rules.Active, &rules.Identity{Issuer: "i", Subject: "b"}), account("cleo", rules.Active, nil))
		before := s.accounts()
		s.wants("create", faultsOf(s.attempt(false, func(ctx context.Context, tx *directory.Transaction) error {
			_, err := tx.CreateUsers(ctx, []directory.CreateUser{
				account("ada", rules.Active, &rules.Identity{Issuer: "i", Subject: "a"}),
				account("x y", rules.Active, &rules.Identity{Issuer: "i", Subject: "b"}),
				account("d", rules.Active, &rules.Identity{Issuer: "j", Subject: "a"}),
				account("e", rules.Active, &rules.Identity{Issuer: "j", Subject: "a"}),
				account("f", rules.Active, &rules.Identity{Subject: long}),
				account("g", rules.Active, &rules.Identity{Issuer: "x\x00", Subject: "\xff"}),
			})
			return err
		})), []string{
			"[0 username]TAKEN", "[0 email]TAKEN", "[0 identity]TAKEN", "[1 username]INVALID", "[1 email]INVALID", "[1 identity]TAKEN", "[3 identity]TAKEN",
			"[4 identity issuer]BLANK", "[4 identity subject]TOO_LONG", "[5 identity issuer]INVALID", "[5 identity subject]INVALID",
		})
		stale := 7
		s.wants("update", faultsOf(s.attempt(false, func(ctx context.Context, tx *directory.Transaction) error {
			_, err := tx.UpdateUsers(ctx, []directory.UpdateUser{
				{Target: ofUser(users[2]), Email: to("ada@example.com"), Status: none[rules.Status](), Identity: to(rules.Identity{Issuer: "i", Subject: "a"})},
				{Target: directory.Target{ID: users[1].ID, ExpectedVersion: &stale}, Identity: to(rules.Identity{Issuer: "i", Subject: "a"})},
				{Target: directory.Target{ID: s.ids.New(user.Label)}, Identity: to(rules.Identity{Issuer: "i", Subject: "b"})},
			})
			return err
		})), []string{
			"[0 email]TAKEN", "[0 status]BLANK", "[0 identity]TAKEN", "[1 identity]TAKEN", "[1 expectedVersion]STALE_VERSION", "[2 id]NOT_FOUND",
		})
		s.wants("after the faults", s.accounts(), before)
		if got := s.former(); got != 0 {
			t.Errorf("got %d former identities, want none", got)
		}
	})
}

// TestIdentitiesMove exchanges identities within one update, together with names and without, and moves one to a user that
// has none.
func TestIdentitiesMove(t *testing.T) {
	t.Parallel()
	a, b := rules.Identity{Issuer: "i", Subject: "a"}, rules.Identity{Issuer: "j", Subject: "a"}
	each(t, func(s *tester) {
		users := s.createAccounts(account("ada", rules.Active, &a), account("bob", rules.Suspended, &b), account("cleo", rules.Active, nil))
		for _, step := range []struct {
			what string
			list []directory.UpdateUser
			want []string
		}{
			{
				"two exchange",
				[]directory.UpdateUser{{Target: ofUser(users[0]), Identity: to(b)}, {Target: ofUser(users[1]), Identity: to(a)}},
				[]string{`ada ACTIVE 2 "j" "a"`, `bob SUSPENDED 2 "i" "a"`, "cleo ACTIVE 1"},
			},
			{
				"three go round, with names",
				[]directory.UpdateUser{
					{Target: ofUser(users[2]), Identity: to(b), Username: to("ada")},
					{Target: ofUser(users[0]), Identity: to(a), Username: to("bob")},
					{Target: ofUser(users[1]), Identity: none[rules.Identity](), Username: to("cleo")},
				},
				[]string{`bob ACTIVE 3 "i" "a"`, "cleo SUSPENDED 3", `ada ACTIVE 2 "j" "a"`},
			},
			{
				"names alone",
				[]directory.UpdateUser{{Target: ofUser(users[0]), Username: to("ada")}, {Target: ofUser(users[2]), Username: to("bob")}},
				[]string{`ada ACTIVE 4 "i" "a"`, "cleo SUSPENDED 3", `bob ACTIVE 3 "j" "a"`},
			},
			{
				"one moves, and only its issuer changes for another",
				[]directory.UpdateUser{
					{Target: ofUser(users[1]), Identity: to(a)}, {Target: ofUser(users[0]), Identity: to(rules.Identity{Issuer: "k", Subject: "a"})},
				},
				[]string{`ada ACTIVE 5 "k" "a"`, `cleo SUSPENDED 4 "i" "a"`, `bob ACTIVE 3 "j" "a"`},
			},
		} {
			for _, careful := range []bool{true, false} {
				tx := directory.New(s.db.Session(database.Write), directory.Options{Clock: time.Now, IDs: s.ids, Careful: careful})
				_, err := tx.UpdateUsers(s.everyone(), step.list)
				if err != nil {
					t.Errorf("%s, careful %v: got %v, want no error", step.what, careful, err)
				}
				if careful {
					tx.Rollback()
				} else {
					s.must(tx.Commit(s.everyone(), nil))
				}
			}
			s.wants(step.what, s.accounts(), step.want)
		}
		if got := s.former(); got != 3 {
			t.Errorf("got %d hashes of identities and users, want 3", got)
		}
		s.wants("one keeps what another takes", faultsOf(s.attempt(false, func(ctx context.Context, tx *directory.Transaction) error {
			_, err := tx.UpdateUsers(ctx, []directory.UpdateUser{{Target: ofUser(users[0]), Identity: to(b)}, {Target: ofUser(users[2]), Username: to("x")}})
			return err
		})), []string{"[0 identity]TAKEN"})
	})
}

// TestLinkOfADeletedUser links an identity while another transaction deletes the user that has it. Whichever comes first,
// the identity has no user in the end.
func TestLinkOfADeletedUser(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		identity := rules.Identity{Issuer: "i", Subject: "a"}
		users := s.createAccounts(account("ada", rules.Active, &identity), account("bob", rules.Active, nil))
		deleting := s.begin()
		_, err := deleting.DeleteUsers(s.everyone(), []directory.DeleteUser{{Target: ofUser(users[0])}})
		s.must(err)
		linked := make(chan error)
		go func() {
			tx := s.begin()
			u, err := tx.Link(rules.WithCaller(s.Context(), rules.Caller{Issuer: "i", Subject: "a"}), users[1].ID, "bob@example.com", identity)
			tx.Rollback()
			if err == nil && u != nil {
				err = fmt.Errorf("linked %v", u.ID)
			}
			linked <- err
		}()
		s.must(deleting.Commit(s.everyone(), nil))
		if err := <-linked; err != nil && !errors.Is(err, directory.ErrFormer) {
			s.Errorf("got %v, want no link", err)
		}
	})
}

// TestLink gives an identity to the user with an address once.
func TestLink(t *testing.T) {
	t.Parallel()
	former := rules.Identity{Issuer: "i", Subject: "former"}
	each(t, func(s *tester) {
		users := s.createAccounts(account("ada", rules.Active, nil), account("bob", rules.Active, &former), account("cleo", rules.Active, &rules.Identity{Issuer: "i", Subject: "c"}))
		s.do(func(ctx context.Context, tx *directory.Transaction) error {
			_, err := tx.UpdateUsers(ctx, []directory.UpdateUser{{Target: ofUser(users[1]), Identity: none[rules.Identity]()}})
			return err
		})
		_, cursor := s.changes(nil)
		member := rules.WithCaller(s.Context(), rules.Caller{Issuer: "i", Subject: "a", Roles: []rules.Role{rules.Member}})
		for _, step := range []struct {
			what     string
			id       typeid.ID
			email    string
			identity rules.Identity
			links    bool
		}{
			{"another address", users[0].ID, "bob@example.com", rules.Identity{Issuer: "i", Subject: "a"}, false},
			{"a former identity", users[0].ID, "ada@example.com", former, false},
			{"a user that had an identity", users[1].ID, "bob@example.com", rules.Identity{Issuer: "i", Subject: "new"}, false},
			{"a user with an identity", users[2].ID, "cleo@example.com", rules.Identity{Issuer: "i", Subject: "a"}, false},
			{"no such user", s.ids.New(user.Label), "ada@example.com", rules.Identity{Issuer: "i", Subject: "a"}, false},
			{"the address", users[0].ID, "ADA@example.com", rules.Identity{Issuer: "i", Subject: "a"}, true},
			{"the address again", users[0].ID, "ada@example.com", rules.Identity{Issuer: "i", Subject: "a"}, false},
		} {
			tx := s.begin()
			u, err := tx.Link(member, step.id, step.email, step.identity)
			s.must(err)
			s.must(tx.Commit(member, nil))
			if (u != nil) != step.links {
				t.Errorf("%s: got the user %v, want linked: %v", step.what, u, step.links)
			}
		}
		s.wants("after the links", s.accounts(), []string{`ada ACTIVE 2 "i" "a"`, "bob ACTIVE 2", `cleo ACTIVE 1 "i" "c"`})
		changes, _ := s.changes(cursor)
		if len(changes) != 1 || changes[0].NodeID != users[0].ID || !slices.Equal(changes[0].Fields, []string{"identity"}) || changes[0].Actor != "a" {
			t.Errorf("got the changes %+v, want one of the identity by a", changes)
		}
	})
}

// TestAPIKeys creates and revokes API keys.
func TestAPIKeys(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		tomorrow, past := time.Now().Add(24*time.Hour), time.Now().Add(-time.Hour)
		never := time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
		s.wants("faults", faultsOf(s.attempt(false, func(ctx context.Context, tx *directory.Transaction) error {
			_, err := tx.CreateAPIKeys(ctx, []directory.CreateAPIKey{
				{Name: "good", Roles: []rules.Role{rules.Admin}},
				{Name: " ", ExpiresAt: &past},
				{Name: strings.Repeat("x", rules.KeyNameLimit+1), Roles: []rules.Role{rules.Admin, rules.Admin}},
				{Name: "a\nb", Roles: []rules.Role{"OWNER"}, ExpiresAt: &never},
			})
			return err
		})), []string{"[1 name]BLANK", "[1 roles]BLANK", "[1 expiresAt]INVALID", "[2 name]TOO_LONG", "[2 roles]INVALID", "[3 name]INVALID", "[3 roles]INVALID", "[3 expiresAt]INVALID"})
		var keys []*ent.ApiKey
		s.do(func(ctx context.Context, tx *directory.Transaction) (err error) {
			keys, err = tx.CreateAPIKeys(ctx, []directory.CreateAPIKey{
				{Name: "Büro", Roles: []rules.Role{rules.Admin, rules.Member}, ExpiresAt: &tomorrow, Prefix: "rost_1", SecretHash: "1"}, {Name: "Büro", Roles: []rules.Role{rules.Member}, Prefix: "rost_2", SecretHash: "2"},
			})
			return err
		})
		revoke := func(targets ...directory.Target) error {
			tx := s.begin()
			defer tx.Rollback()
			if _, err := tx.RevokeAPIKeys(s.everyone(), targets); err != nil {
				return err
			}
			return tx.Commit(s.everyone(), nil)
		}
		_, cursor := s.changes(nil)
		s.must(revoke(directory.Target{ID: keys[0].ID}))
		list := func() []*ent.ApiKey {
			list, err := ent.NewClient(ent.Driver(s.db.Session(database.Single))).ApiKey.Query().Order(apikey.ByID()).All(s.Context())
			s.must(err)
			return list
		}
		first := list()
		changes, cursor := s.changes(cursor)
		if first[0].RevokedAt == nil || first[0].Version != 2 || first[1].RevokedAt != nil || first[0].Name != "Büro" || !slices.Equal(first[0].Roles.Roles(), []rules.Role{rules.Admin, rules.Member}) ||
			!first[0].ExpiresAt.Equal(tomorrow.Truncate(time.Microsecond)) || len(changes) != 1 || !slices.Equal(changes[0].Fields, []string{"revokedAt"}) {
			t.Errorf("got the keys %v and the changes %+v, want the first one revoked", first, changes)
		}
		s.must(revoke(directory.Target{ID: keys[0].ID}))
		changes, _ = s.changes(cursor)
		if again := list(); !again[0].RevokedAt.Equal(*first[0].RevokedAt) || again[0].Version != 2 || !again[0].UpdatedAt.Equal(first[0].UpdatedAt) || len(changes) != 0 {
			t.Errorf("revoked twice: got %v and the changes %+v, want %v and none", again, changes, first)
		}
		one := 1
		s.wants("faults of a revocation", faultsOf(revoke(directory.Target{ID: s.ids.New(user.Label)}, directory.Target{ID: s.ids.New(apikey.Label)}, directory.Target{ID: keys[0].ID, ExpectedVersion: &one})),
			[]string{"[0 id]INVALID", "[1 id]NOT_FOUND", "[2 expectedVersion]STALE_VERSION"})
	})
}
