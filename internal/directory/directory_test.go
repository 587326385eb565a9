package directory_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/fixture"
	"roster/internal/dbtest/migrated"
	"roster/internal/directory"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// tester writes to a database through the domain.
type tester struct {
	*testing.T
	db  *database.DB
	ids *typeid.Source
}

func each(t *testing.T, f func(s *tester)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		f(&tester{t, migrated.Open(t, e), typeid.NewSource(time.Now, rand.NewChaCha8([32]byte{}))})
	})
}

// everyone is the context of a caller who may do everything.
func (s *tester) everyone() context.Context {
	return rules.WithCaller(s.Context(), rules.Caller{Subject: "ada", Roles: []rules.Role{rules.Admin}})
}

func (s *tester) begin() *directory.Transaction {
	tx := directory.New(s.db.Session(database.Write), directory.Options{Clock: time.Now, IDs: s.ids})
	s.Cleanup(tx.Rollback)
	return tx
}

func (s *tester) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// do runs a transaction and commits it.
func (s *tester) do(write func(ctx context.Context, tx *directory.Transaction) error) {
	s.Helper()
	tx := s.begin()
	s.must(write(s.everyone(), tx))
	s.must(tx.Commit(s.everyone(), nil))
}

// exec runs a statement past the domain, as a server of another version could.
func (s *tester) exec(query string, args []any) {
	s.Helper()
	session := s.db.Session(database.Write)
	defer session.Rollback()
	_, err := database.Affected(s.Context(), session, query, args...)
	s.must(err)
	s.must(session.Commit())
}

// rows returns all users and posts, in the order of their IDs.
func (s *tester) rows() ([]*ent.User, []*ent.Post) {
	s.Helper()
	client := ent.NewClient(ent.Driver(s.db.Session(database.Single)))
	users, err := client.User.Query().Order(user.ByID()).All(s.Context())
	s.must(err)
	posts, err := client.Post.Query().Order(post.ByID()).All(s.Context())
	s.must(err)
	return users, posts
}

// changes returns the changes after a cursor, and the cursor after them.
func (s *tester) changes(after *feed.Cursor) ([]feed.Change, *feed.Cursor) {
	s.Helper()
	err := feed.Number(s.Context(), s.db)
	s.must(err)
	session := s.db.Session(database.Snapshot)
	defer session.Rollback()
	page, err := feed.Read(s.everyone(), session, feed.Request{After: after, First: 10_000})
	s.must(err)
	return page.Changes, &page.End
}

// newUsers are inputs of users with two posts each.
func newUsers(names ...string) []directory.CreateUser {
	list := make([]directory.CreateUser, len(names))
	for i, name := range names {
		list[i] = directory.CreateUser{Username: name, Email: name + "@example.com", Posts: []directory.UserPost{{Title: "One"}, {Title: "Two", Body: "b"}}}
	}
	return list
}

func to[T any](value T) directory.Optional[T] { return directory.Optional[T]{Set: true, Value: &value} }

// TestTexts writes texts that need care on the way into a database, one row and many at once, and reads the same.
func TestTexts(t *testing.T) {
	t.Parallel()
	texts := []string{"plain", `"quoted" \back\ 'single' {a,NULL}`, "many\nlines\t\r\n", "\u2028 <html> & \u0001", "𝔘nicode 🎉 e\u0301", ""}
	each(t, func(s *tester) {
		ids := s.ids
		var records []*directory.Record
		want := map[typeid.ID]string{}
		for i := range 1000 {
			at := time.Date(1970+i%99, 2, 3, 4, 5, 6, 7000, time.UTC)
			h := directory.History{CreatedAt: at, UpdatedAt: at.Add(time.Duration(i) * time.Microsecond), Version: i + 1}
			u, p := ids.New(user.Label), ids.New(post.Label)
			records = append(records, fixture.User(s, u, fmt.Sprintf("Üser.%d", 1000-i), h), fixture.Post(s, p, u, fmt.Sprintf(`Straße "%d" \`, i), texts[i%len(texts)], h))
			want[u] = fmt.Sprint(fmt.Sprintf("Üser.%d", 1000-i), h.CreatedAt, h.UpdatedAt, h.Version)
			want[p] = fmt.Sprintf(`Straße "%d" \ %q %v %v %v %d`, i, texts[i%len(texts)], u, h.CreatedAt, h.UpdatedAt, h.Version)
		}
		fixture.Write(s, s.db, records[:2]...)
		fixture.Write(s, s.db, records[2:]...)
		users, posts := s.rows()
		got := map[typeid.ID]string{}
		for _, u := range users {
			got[u.ID] = fmt.Sprint(u.Username, u.CreatedAt.UTC(), u.UpdatedAt.UTC(), u.Version)
		}
		for _, p := range posts {
			got[p.ID] = fmt.Sprintf("%s %q %v %v %v %d", p.Title, p.Body, p.AuthorID, p.CreatedAt.UTC(), p.UpdatedAt.UTC(), p.Version)
		}
		if !maps.Equal(got, want) {
			for id := range want {
				if got[id] != want[id] {
					t.Fatalf("%v: got %s, want %s", id, got[id], want[id])
				}
			}
			t.Fatalf("got %d rows, want %d", len(got), len(want))
		}
		// The same by a mutation, which inserts in another way than an import.
		s.do(func(ctx context.Context, tx *directory.Transaction) error {
			inputs := make([]directory.CreatePost, len(texts))
			for i, text := range texts {
				inputs[i] = directory.CreatePost{AuthorID: users[0].ID, Title: "T", Body: text}
			}
			_, err := tx.CreatePosts(ctx, inputs, true)
			return err
		})
		_, posts = s.rows()
		for i, text := range texts {
			if got := posts[1000+i]; got.Body != text || got.AuthorID != users[0].ID {
				t.Errorf("got the body %q of %v, want %q of %v", got.Body, got.AuthorID, text, users[0].ID)
			}
		}
	})
}

// TestKeys writes texts in every way there is: each has the key by its rule.
func TestKeys(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		check := func(what string) {
			t.Helper()
			users, posts := s.rows()
			for _, u := range users {
				username, _ := rules.Username(u.Username)
				email, _ := rules.Email(u.Email)
				if u.UsernameKey != username || u.EmailKey != email {
					t.Errorf("%s: %q has the key %q, %q the key %q", what, u.Username, u.UsernameKey, u.Email, u.EmailKey)
				}
			}
			for _, p := range posts {
				if title, _ := rules.Title(p.Title); p.TitleKey != title {
					t.Errorf("%s: %q has the key %q", what, p.Title, p.TitleKey)
				}
			}
		}
		var users []*ent.User
		s.do(func(ctx context.Context, tx *directory.Transaction) (err error) {
			users, err = tx.CreateUsers(ctx, newUsers("Ada", "ÉLISE", "ｊｏ"))
			return err
		})
		check("create")
		s.do(func(ctx context.Context, tx *directory.Transaction) error { // they swap, in another case
			_, err := tx.UpdateUsers(ctx, []directory.UpdateUser{
				{Target: directory.Target{ID: users[0].ID}, Username: to("Élise"), Email: to("ÉLISE@example.com")},
				{Target: directory.Target{ID: users[1].ID}, Username: to("ADA"), Email: to("ADA@EXAMPLE.com")},
				{Target: directory.Target{ID: users[2].ID}, Email: to("Jo@Straße.example")},
			})
			return err
		})
		check("update")
		for _, by := range []directory.UserKey{directory.ByUsername, directory.ByEmail} {
			s.do(func(ctx context.Context, tx *directory.Transaction) error {
				_, created, updated, err := tx.UpsertUsers(ctx, []directory.UpsertUser{{"aDA", "ada@example.com"}, {"New" + string(by), string(by) + "@EXAMPLE.com"}}, by)
				if want := map[directory.UserKey]int{directory.ByUsername: 1}[by]; created != 1 || updated != want {
					t.Errorf("by %s: got %d created and %d updated, want 1 and %d", by, created, updated, want)
				}
				return err
			})
			check("upsert by " + string(by))
		}
		_, posts := s.rows()
		s.do(func(ctx context.Context, tx *directory.Transaction) error {
			_, err := tx.UpdatePosts(ctx, []directory.UpdatePost{{Target: directory.Target{ID: posts[0].ID}, Title: to("STRASSE")}, {Target: directory.Target{ID: posts[1].ID}, Body: to("STRASSE")}})
			return err
		})
		check("update posts")
		s.do(func(ctx context.Context, tx *directory.Transaction) error {
			records := []*directory.Record{
				fixture.User(s, users[0].ID, "ÑandÚ", directory.History{}),
				fixture.Post(s, posts[0].ID, users[1].ID, "Größe", "", directory.History{}), fixture.Post(s, typeid.ID{}, users[1].ID, "GRÖSSE", "", directory.History{}),
			}
			err := tx.Import(ctx, records, directory.Update)
			if records[0].Outcome != directory.Updated || records[1].Outcome != directory.Updated || records[2].Outcome != directory.Created {
				t.Errorf("got the outcomes %v", records)
			}
			return err
		})
		check("import")
	})
}

// TestOldKeys changes what else there is of rows whose keys are older than the rules: the keys stay until the text changes.
func TestOldKeys(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		var users []*ent.User
		s.do(func(ctx context.Context, tx *directory.Transaction) (err error) {
			users, err = tx.CreateUsers(ctx, newUsers("ada", "bob"))
			return err
		})
		d := sql.Dialect(s.db.Dialect())
		s.exec(d.Update(user.Table).Set(user.FieldEmailKey, "old").Where(sql.EQ(user.FieldID, users[0].ID)).Query())
		s.exec(d.Update(post.Table).Set(post.FieldTitleKey, "old").Query())
		keys := func(want string) {
			t.Helper()
			users, posts := s.rows()
			if got := users[0].EmailKey + " " + posts[0].TitleKey; got != want {
				t.Errorf("got the keys %s, want %s", got, want)
			}
		}
		_, posts := s.rows()
		s.do(func(ctx context.Context, tx *directory.Transaction) error {
			_, err := tx.UpdateUsers(ctx, []directory.UpdateUser{{Target: directory.Target{ID: users[0].ID}, Username: to("eva"), Email: to("ada@example.com")}, {Target: directory.Target{ID: users[1].ID}, Email: to("b@example.com")}})
			return err
		})
		s.do(func(ctx context.Context, tx *directory.Transaction) error {
			_, err := tx.UpdatePosts(ctx, []directory.UpdatePost{{Target: directory.Target{ID: posts[0].ID}, Title: to("One"), Body: to("new")}, {Target: directory.Target{ID: posts[1].ID}, Title: to("Other")}})
			return err
		})
		keys("old old")
		s.do(func(ctx context.Context, tx *directory.Transaction) error {
			_, _, _, err := tx.UpsertUsers(ctx, []directory.UpsertUser{{"EVA", "ada@example.com"}}, directory.ByUsername)
			return err
		})
		keys("old old")
		s.do(func(ctx context.Context, tx *directory.Transaction) error {
			_, err := tx.UpdateUsers(ctx, []directory.UpdateUser{{Target: directory.Target{ID: users[0].ID}, Email: to("Ada@example.com")}})
			return errors.Join(err, func() error {
				_, err := tx.UpdatePosts(ctx, []directory.UpdatePost{{Target: directory.Target{ID: posts[0].ID}, Title: to("ONE")}})
				return err
			}())
		})
		keys("ada@example.com one")
	})
}

// TestChanges does random things, and applies the changes to a copy: it is what the database has, after each transaction.
func TestChanges(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		random := rand.New(rand.NewPCG(5, 6))
		copied := map[typeid.ID]int{} // versions
		kinds := map[feed.Kind]int{}
		var cursor *feed.Cursor
		name := func() string { return fmt.Sprint("name", random.IntN(30)) }
		for range 60 {
			users, posts := s.rows()
			tx := s.begin()
			err := s.something(tx, random, name, users, posts)
			if _, faulty := errors.AsType[rules.Faults](err); faulty || database.AsFailure(err) != nil && database.AsFailure(err).Kind == database.Unique {
				tx.Rollback()
			} else {
				s.must(err)
				s.must(tx.Commit(s.everyone(), nil))
			}
			var changes []feed.Change
			changes, cursor = s.changes(cursor)
			if tx.Changed() && err == nil && len(changes) == 0 {
				t.Error("after a commit: got no changes, want some")
			}
			for _, c := range changes {
				kinds[c.Kind]++
				if c.Kind == feed.Updated && (c.Version != copied[c.NodeID]+1 || len(c.Fields) == 0) || c.Actor != "ada" {
					t.Errorf("got the change %+v of version %d", c, copied[c.NodeID])
				}
				if copied[c.NodeID] = c.Version; c.Kind == feed.Deleted {
					delete(copied, c.NodeID)
				}
			}
			there := map[typeid.ID]int{}
			users, posts = s.rows()
			for _, u := range users {
				there[u.ID] = u.Version
			}
			for _, p := range posts {
				there[p.ID] = p.Version
			}
			if !maps.Equal(there, copied) {
				t.Fatalf("got %v from the changes, want %v", copied, there)
			}
		}
		if len(kinds) != 3 {
			t.Errorf("got changes of the kinds %v, want all three", kinds)
		}
	})
}

// something does one thing of each kind there is.
func (s *tester) something(tx *directory.Transaction, random *rand.Rand, name func() string, users []*ent.User, posts []*ent.Post) error {
	ctx := s.everyone()
	if len(users) == 0 || len(posts) == 0 {
		_, err := tx.CreateUsers(ctx, newUsers(name(), name(), name()))
		return err
	}
	u, p := users[random.IntN(len(users))].ID, posts[random.IntN(len(posts))].ID
	var err error
	switch random.IntN(8) {
	case 0:
		_, err = tx.CreateUsers(ctx, newUsers(name()))
	case 1:
		_, err = tx.UpdateUsers(ctx, []directory.UpdateUser{{Target: directory.Target{ID: u}, Username: to(name())}})
	case 2:
		a, b := name(), name()
		_, _, _, err = tx.UpsertUsers(ctx, []directory.UpsertUser{{a, b + "@example.com"}, {b, a + "@example.com"}}, directory.ByUsername)
	case 3:
		_, err = tx.DeleteUsers(ctx, []directory.DeleteUser{{Target: directory.Target{ID: u}, Cascade: true}})
	case 4:
		_, err = tx.CreatePosts(ctx, []directory.CreatePost{{AuthorID: u, Title: name()}}, false)
	case 5:
		_, err = tx.UpdatePosts(ctx, []directory.UpdatePost{{Target: directory.Target{ID: p}, Title: to(name()), AuthorID: to(u)}})
	case 6:
		_, err = tx.DeletePosts(ctx, []directory.Target{{ID: p}})
	default:
		mode := []directory.OnConflict{directory.Fail, directory.Skip, directory.Update}[random.IntN(3)]
		err = tx.Import(ctx, []*directory.Record{
			fixture.User(s, typeid.ID{}, name(), directory.History{}), fixture.User(s, u, name(), directory.History{Version: 3}),
			fixture.Post(s, p, u, name(), "", directory.History{}), fixture.Post(s, typeid.ID{}, u, name(), "", directory.History{}),
		}, mode)
	}
	return err
}

// TestLast commits nothing when the last statement fails, and writes the changes before it.
func TestLast(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		full := errors.New("full")
		for _, want := range []error{full, nil} {
			tx := s.begin()
			_, err := tx.CreateUsers(s.everyone(), newUsers("ada"))
			s.must(err)
			if err := tx.Commit(s.everyone(), func(context.Context) error { return want }); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
			tx.Rollback()
			users, _ := s.rows()
			changes, _ := s.changes(nil)
			if n := map[error]int{nil: 1}[want]; len(users) != n || len(changes) != 3*n {
				t.Errorf("got %d users and %d changes, want %d and %d", len(users), len(changes), n, 3*n)
			}
		}
	})
}

// TestForbiddenRows writes as a MEMBER: its own rows, and those of others, whatever else is wrong.
func TestForbiddenRows(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		s.do(func(ctx context.Context, tx *directory.Transaction) error {
			_, err := tx.CreateUsers(ctx, newUsers("ada", "bob"))
			return err
		})
		users, posts := s.rows()
		mine, theirs := posts[0], posts[0]
		for _, p := range posts {
			if p.AuthorID == users[0].ID {
				mine = p
			} else {
				theirs = p
			}
		}
		self, other := users[0].ID, users[1].ID
		missing, stale := typeid.New(user.Label, uuid.UUID{1}), 7
		member := rules.WithCaller(s.Context(), rules.Caller{Subject: "ada", Roles: []rules.Role{rules.Member}, User: self})
		updateUsers := func(list ...directory.UpdateUser) func(tx *directory.Transaction) error {
			return func(tx *directory.Transaction) error { return second(tx.UpdateUsers(member, list)) }
		}
		updatePosts := func(list ...directory.UpdatePost) func(tx *directory.Transaction) error {
			return func(tx *directory.Transaction) error { return second(tx.UpdatePosts(member, list)) }
		}
		targetOf := func(id typeid.ID) directory.Target { return directory.Target{ID: id} }
		for what, test := range map[string]struct {
			do   func(tx *directory.Transaction) error
			want bool // that it is permitted
		}{
			"its own name":     {updateUsers(directory.UpdateUser{Target: targetOf(self), Username: to("free"), Email: to("free@example.com")}), true},
			"its own status":   {updateUsers(directory.UpdateUser{Target: targetOf(self), Status: to(rules.Active)}), false},
			"its own identity": {updateUsers(directory.UpdateUser{Target: targetOf(self), Identity: directory.Optional[rules.Identity]{Set: true}}), false},
			"another user too": {updateUsers(directory.UpdateUser{Target: targetOf(self), Username: to("")}, directory.UpdateUser{Target: targetOf(other)}), false},
			"another user":     {updateUsers(directory.UpdateUser{Target: directory.Target{ID: other, ExpectedVersion: &stale}, Username: to("ada")}), false},
			"no user":          {updateUsers(directory.UpdateUser{Target: targetOf(missing), Username: to("ada")}), false},
			"its own post":     {updatePosts(directory.UpdatePost{Target: targetOf(mine.ID), Title: to("T"), AuthorID: to(self)}), true},
			"a gift":           {updatePosts(directory.UpdatePost{Target: targetOf(mine.ID), Title: to(""), AuthorID: to(other)}), false},
			"another post":     {updatePosts(directory.UpdatePost{Target: directory.Target{ID: theirs.ID, ExpectedVersion: &stale}, Title: to("")}), false},
			"a theft":          {updatePosts(directory.UpdatePost{Target: targetOf(theirs.ID), AuthorID: to(self)}), false},
			"a new post": {func(tx *directory.Transaction) error {
				return second(tx.CreatePosts(member, []directory.CreatePost{{AuthorID: self, Title: "T"}}, true))
			}, true},
			"a new post of another": {func(tx *directory.Transaction) error {
				return second(tx.CreatePosts(member, []directory.CreatePost{{AuthorID: self, Title: "T"}, {AuthorID: other}}, true))
			}, false},
			"the end of its post": {func(tx *directory.Transaction) error {
				return second(tx.DeletePosts(member, []directory.Target{targetOf(mine.ID)}))
			}, true},
			"the end of a post": {func(tx *directory.Transaction) error {
				return second(tx.DeletePosts(member, []directory.Target{targetOf(theirs.ID)}))
			}, false},
			"the end of its user": {func(tx *directory.Transaction) error {
				return second(tx.DeleteUsers(member, []directory.DeleteUser{{Target: targetOf(self)}}))
			}, false},
			"new and changed ones": {func(tx *directory.Transaction) error {
				return upsert(tx.UpsertUsers(member, []directory.UpsertUser{{Username: "ada"}}, directory.ByUsername))
			}, false},
			"a key": {func(tx *directory.Transaction) error {
				return second(tx.CreateAPIKeys(member, []directory.CreateAPIKey{{}}))
			}, false},
			"the end of a key": {func(tx *directory.Transaction) error {
				return second(tx.RevokeAPIKeys(member, []directory.Target{targetOf(self)}))
			}, false},
			"an import": {func(tx *directory.Transaction) error { return tx.Import(member, nil, directory.Fail) }, false},
		} {
			tx := s.begin()
			err := test.do(tx)
			if _, forbidden := errors.AsType[*rules.ForbiddenError](err); forbidden == test.want || test.want && err != nil {
				t.Errorf("%s: got %v, want it permitted: %t", what, err, test.want)
			}
			if tx.Changed() != test.want {
				t.Errorf("%s: got changes: %t, want %t", what, tx.Changed(), test.want)
			}
			tx.Rollback()
		}
	})
}

func upsert(_ []*ent.User, _, _ int, err error) error { return err }

// TestForbidden does everything as nobody: nothing is written.
func TestForbidden(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		s.do(func(ctx context.Context, tx *directory.Transaction) error {
			_, err := tx.CreateUsers(ctx, newUsers("ada"))
			return err
		})
		users, posts := s.rows()
		nobody := rules.WithCaller(s.Context(), rules.Caller{})
		for what, do := range map[string]func(tx *directory.Transaction) error{
			"create users": func(tx *directory.Transaction) error {
				_, err := tx.CreateUsers(nobody, newUsers("bob"))
				return err
			},
			"update users": func(tx *directory.Transaction) error {
				_, err := tx.UpdateUsers(nobody, []directory.UpdateUser{{Target: directory.Target{ID: users[0].ID}, Username: to("bob")}})
				return err
			},
			"delete users": func(tx *directory.Transaction) error {
				_, err := tx.DeleteUsers(nobody, []directory.DeleteUser{{Target: directory.Target{ID: users[0].ID}, Cascade: true}})
				return err
			},
			"create posts": func(tx *directory.Transaction) error {
				_, err := tx.CreatePosts(nobody, []directory.CreatePost{{AuthorID: users[0].ID, Title: "T"}}, false)
				return err
			},
			"delete posts": func(tx *directory.Transaction) error {
				_, err := tx.DeletePosts(nobody, []directory.Target{{ID: posts[0].ID}})
				return err
			},
			"import": func(tx *directory.Transaction) error { return tx.Import(nobody, nil, directory.Fail) },
		} {
			err := do(s.begin())
			if _, forbidden := errors.AsType[*rules.ForbiddenError](err); !forbidden {
				t.Errorf("%s: got %v, want a ForbiddenError", what, err)
			}
		}
	})
}

// TestRefusesBuilders writes by each builder of ent: the hook of the schema refuses it before any statement.
func TestRefusesBuilders(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		sent := 0
		db := migrated.Open(t, e, func(o *database.Options) { o.Observe = func(string) { sent++ } })
		session := db.Session(database.Write)
		defer session.Rollback()
		ctx := rules.WithCaller(t.Context(), rules.Everyone())
		c, id, now := ent.NewClient(ent.Driver(session)), typeid.New(user.Label, uuid.UUID{1}), time.Now()
		newUser := func() *ent.UserCreate {
			return c.User.Create().SetID(id).SetUsername("a").SetUsernameKey("a").SetEmail("a@b.c").SetEmailKey("a@b.c").SetCreatedAt(now).SetUpdatedAt(now).SetVersion(1)
		}
		newPost := func() *ent.PostCreate {
			return c.Post.Create().SetID(id).SetTitle("a").SetTitleKey("a").SetBody("").SetAuthorID(id).SetCreatedAt(now).SetUpdatedAt(now).SetVersion(1)
		}
		sent = 0
		for what, err := range map[string]error{
			"create a user": newUser().Exec(ctx), "create a post": newPost().Exec(ctx),
			"create users": c.User.CreateBulk(newUser(), newUser()).Exec(ctx), "create posts": c.Post.CreateBulk(newPost(), newPost()).Exec(ctx),
			"update users": c.User.Update().SetUsername("b").Exec(ctx), "update posts": c.Post.Update().SetTitle("b").Exec(ctx),
			"update a user": c.User.UpdateOneID(id).SetUsername("b").Exec(ctx), "update a post": c.Post.UpdateOneID(id).SetTitle("b").Exec(ctx),
			"delete users": second(c.User.Delete().Exec(ctx)), "delete posts": second(c.Post.Delete().Exec(ctx)),
			"delete a user": c.User.DeleteOneID(id).Exec(ctx), "delete a post": c.Post.DeleteOneID(id).Exec(ctx),
		} {
			if err == nil || !strings.Contains(err.Error(), "package directory") {
				t.Errorf("%s: got %v, want an error that names package directory", what, err)
			}
		}
		if sent > 0 {
			t.Errorf("got %d statements, want none", sent)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestPaths has faults in several inputs: each path begins with the index of its input, and the order is that of the
// inputs and their fields.
func TestPaths(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		inputs := newUsers("ada", "a b", "ADA")
		inputs[1].Posts[1].Title, inputs[1].Email = "", "none"
		_, err := s.begin().CreateUsers(s.everyone(), inputs)
		faults, _ := errors.AsType[rules.Faults](err)
		var got []string
		for _, f := range faults {
			got = append(got, fmt.Sprint(f.Path, f.Code))
		}
		want := []string{"[1 username]INVALID", "[1 email]INVALID", "[1 posts 1 title]BLANK", "[2 username]TAKEN", "[2 email]TAKEN"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestCommitted reports a commit, and one whose answer is lost, and tells the servers of both. It reports no commit that
// fails, and none without changes.
func TestCommitted(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			var proxy *dbtest.Proxy
			var signals atomic.Int64
			s := &tester{t, migrated.Open(t, e, func(o *database.Options) {
				o.URL, proxy = dbtest.ProxyURL(t, o.URL)
				o.Observe = func(query string) {
					if strings.Contains(query, "pg_notify") {
						signals.Add(1)
					}
				}
			}), typeid.NewSource(time.Now, rand.NewChaCha8([32]byte{}))}
			failed := errors.New("failed")
			for name, c := range map[string]struct {
				users     []string
				lost      bool
				last      error
				committed bool
			}{
				"success":       {users: []string{"ada"}, committed: true},
				"a lost answer": {users: []string{"bob"}, lost: true, committed: true},
				"a failure":     {users: []string{"cleo"}, last: failed},
				"no changes":    {},
			} {
				before, tx := signals.Load(), s.begin()
				_, err := tx.CreateUsers(s.everyone(), newUsers(c.users...))
				s.must(err)
				proxy.LoseAnswers(func(request []byte) bool { return c.lost && bytes.Contains(request, []byte("COMMIT")) })
				err = tx.Commit(s.Context(), func(context.Context) error { return c.last })
				proxy.LoseAnswers(nil)
				failure := database.AsFailure(err)
				if unknown := failure != nil && failure.Kind == database.Unknown; unknown != c.lost || (err != nil) != (c.lost || c.last != nil) {
					s.Errorf("%s: got %v, want an unknown outcome: %t", name, err, c.lost)
				}
				if got := tx.Committed(); got != c.committed {
					s.Errorf("%s: got committed: %t, want %t", name, got, c.committed)
				}
				if told := signals.Load() > before; e == dbtest.PostgreSQL && told != c.committed {
					s.Errorf("%s: got a signal: %t, want %t", name, told, c.committed)
				}
			}
		})
	}
}
