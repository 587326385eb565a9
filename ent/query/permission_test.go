package query_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/fixture"
	"roster/internal/dbtest/migrated"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// readings are all ways to read users and posts. Each returns the names of the users and the titles of the posts that it
// finds, and the numbers that it counts.
func readings(users, posts []typeid.ID) map[string]func(context.Context, *ent.Client) (any, error) {
	args := query.Args{}
	foreign := &ent.Post{ID: posts[1], AuthorID: users[1]}
	return map[string]func(context.Context, *ent.Client) (any, error){
		"users by their IDs": func(ctx context.Context, c *ent.Client) (any, error) {
			found, err := c.User.Reader().ByIDs(ctx, query.All, users...)
			return names(maps.Values(found)), err
		},
		"users by their names": func(ctx context.Context, c *ent.Client) (any, error) {
			found, err := c.User.Reader().AnyBy(ctx, query.All, user.FieldUsernameKey, []string{"a", "b"})
			return names(slices.Values(found)), err
		},
		"a page of users": func(ctx context.Context, c *ent.Client) (any, error) {
			page, err := query.ReadPage[ent.User, ent.UserWhere](ctx, c.User.Reader(), "Users", query.All, args, nil, nil)
			if err != nil {
				return nil, err
			}
			n, err := page.TotalCount(ctx)
			return fmt.Sprint(names(slices.Values(page.Nodes())), n), err
		},
		"posts that match": func(ctx context.Context, c *ent.Client) (any, error) {
			where := &ent.PostWhere{Or: []ent.PostWhere{{AuthorID: &query.IDFilter{In: users}}, {}}}
			page, err := query.ReadPage(ctx, c.Post.Reader(), "Posts", query.All, args, where, []ent.PostOrder{{Field: "TITLE"}})
			if err != nil {
				return nil, err
			}
			n, err := page.TotalCount(ctx)
			return fmt.Sprint(titlesOf(slices.Values(page.Nodes())), n), err
		},
		"posts of users": func(ctx context.Context, c *ent.Client) (any, error) {
			parents := []*ent.User{{ID: users[0]}, {ID: users[1]}}
			c.User.Reader().Together(parents)
			out := ""
			for _, u := range parents {
				page, err := u.LoadPosts(ctx, query.All, args, nil, nil)
				if err != nil {
					return nil, err
				}
				n, err := page.TotalCount(ctx)
				if err != nil {
					return nil, err
				}
				out += fmt.Sprint(titlesOf(slices.Values(page.Nodes())), n)
			}
			return out, nil
		},
		"the author of a post": func(ctx context.Context, c *ent.Client) (any, error) {
			p := *foreign
			c.Post.Reader().Together([]*ent.Post{&p})
			author, err := p.LoadAuthor(ctx, query.All)
			return author != nil, err
		},
		"posts, locked": func(ctx context.Context, c *ent.Client) (any, error) {
			found, err := c.Post.Reader().Lock(ctx, posts...)
			return titlesOf(maps.Values(found)), err
		},
		"posts, locked by their authors": func(ctx context.Context, c *ent.Client) (any, error) {
			found, err := c.Post.Reader().LockBy(ctx, query.All, post.FieldAuthorID, users)
			return titlesOf(slices.Values(found)), err
		},
		"the numbers of posts": func(ctx context.Context, c *ent.Client) (any, error) {
			counts, err := c.Post.Reader().CountBy(ctx, post.FieldAuthorID, users)
			return fmt.Sprint(counts[users[0].As("")], counts[users[1].As("")]), err
		},
	}
}

func names(users func(func(*ent.User) bool)) any {
	var list []string
	for u := range users {
		list = append(list, u.Username)
	}
	slices.Sort(list)
	return fmt.Sprint(list)
}

func titlesOf(posts func(func(*ent.Post) bool)) any {
	var list []string
	for p := range posts {
		list = append(list, p.Title)
	}
	slices.Sort(list)
	return fmt.Sprint(list)
}

// TestReach reads in all ways as callers who may read everything, their own rows, and nothing.
func TestReach(t *testing.T) {
	t.Parallel()
	want := map[string][2]string{ // everything, and own rows
		"users by their IDs":             {"[a b]", "[a]"},
		"users by their names":           {"[a b]", "[a]"},
		"a page of users":                {"[a b]2", "[a]1"},
		"posts that match":               {"[A B]2", "[A]1"},
		"posts of users":                 {"[A]1[B]1", "[A]1[]0"},
		"the author of a post":           {"true", "false"},
		"posts, locked":                  {"[A B]", "[A]"},
		"posts, locked by their authors": {"[A B]", "[A]"},
		"the numbers of posts":           {"1 1", "1 0"},
	}
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		sent := 0
		db := migrated.Open(t, e, func(o *database.Options) { o.Observe = func(string) { sent++ } })
		at := fixture.At(time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC))
		users := []typeid.ID{typeid.New(user.Label, uuid.UUID{1}), typeid.New(user.Label, uuid.UUID{2})}
		posts := []typeid.ID{typeid.New(post.Label, uuid.UUID{3}), typeid.New(post.Label, uuid.UUID{4})}
		fixture.Write(t, db, fixture.User(t, users[0], "a", at), fixture.User(t, users[1], "b", at),
			fixture.Post(t, posts[0], users[0], "A", "", at), fixture.Post(t, posts[1], users[1], "B", "", at))
		member := []rules.Role{rules.Member}
		all := readings(users, posts)
		if len(all) != len(want) {
			t.Errorf("got %d readings, want %d", len(all), len(want))
		}
		for what, read := range all {
			for caller, reach := range map[string]struct {
				caller rules.Caller
				extent int // 0: everything, 1: own rows, 2: nothing
			}{
				"everyone":              {rules.Everyone(), 0},
				"a MEMBER":              {rules.Caller{Subject: "s", Roles: member, User: users[0]}, 0},
				"a reader":              {rules.Caller{Reader: true}, 0},
				"a user without a role": {rules.Caller{Subject: "s", User: users[0]}, 1},
				"a MEMBER without user": {rules.Caller{Subject: "s", Roles: member}, 2},
				"nobody":                {rules.Caller{}, 2},
			} {
				session := db.Session(database.Write)
				sent = 0
				got, err := read(rules.WithCaller(t.Context(), reach.caller), ent.NewClient(ent.Driver(session)))
				session.Rollback()
				if reach.extent == 2 {
					if _, forbidden := errors.AsType[*rules.ForbiddenError](err); !forbidden || sent > 0 {
						t.Errorf("%s as %s: got %v, %v after %d statements, want a ForbiddenError before any", what, caller, got, err, sent)
					}
				} else if fmt.Sprint(got) != want[what][reach.extent] || err != nil {
					t.Errorf("%s as %s: got %v, %v, want %s", what, caller, got, err, want[what][reach.extent])
				}
			}
		}
	})
}

// TestUnknownTypes loads nodes together with one of a type that only the next release knows: that one is nil.
func TestUnknownTypes(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := migrated.Open(t, e)
		known, unknown := typeid.New(user.Label, uuid.UUID{1}), typeid.New("later", uuid.UUID{2})
		fixture.Write(t, db, fixture.User(t, known, "a", fixture.At(time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC))))
		ctx, columns := rules.WithCaller(t.Context(), rules.Everyone()), func(*statement.Table) query.Columns { return query.All }
		group := ent.NewClient(ent.Driver(db.Session(database.Single))).NodeGroup([]typeid.ID{known, unknown})
		for id, want := range map[typeid.ID]bool{known: true, unknown: false} {
			if n, err := group.Load(ctx, columns, id); err != nil || (n != nil) != want {
				t.Errorf("%v: got %v, %v, want a node: %t", id, n, err, want)
			}
		}
	})
}

// TestNodeReach reads nodes as callers who may not read all of them: these are nil, as if they did not exist, and a type
// that the caller may not read costs no statement.
func TestNodeReach(t *testing.T) {
	t.Parallel()
	sent := 0
	db := migrated.Open(t, dbtest.SQLite, func(o *database.Options) { o.Observe = func(string) { sent++ } })
	at := fixture.At(time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC))
	users := []typeid.ID{typeid.New(user.Label, uuid.UUID{1}), typeid.New(user.Label, uuid.UUID{2})}
	fixture.Write(t, db, fixture.User(t, users[0], "a", at), fixture.User(t, users[1], "b", at))
	session := db.Session(database.Single)
	defer session.Rollback()
	columns := func(*statement.Table) query.Columns { return query.All }
	for name, test := range map[string]struct {
		caller     rules.Caller
		want       string
		statements int
	}{
		"everyone":              {rules.Everyone(), "true true", 1},
		"a user without a role": {rules.Caller{Subject: "s", User: users[0]}, "true false", 1},
		"nobody":                {rules.Caller{}, "false false", 0},
	} {
		ctx, client := rules.WithCaller(t.Context(), test.caller), ent.NewClient(ent.Driver(session))
		sent = 0
		nodes, err := client.Nodes(ctx, columns, users)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(nodes[0] != nil, " ", nodes[1] != nil); got != test.want || sent != test.statements {
			t.Errorf("%s: got %s by %d statements, want %s by %d", name, got, sent, test.want, test.statements)
		}
		group := client.NodeGroup(users)
		got := ""
		for i, id := range users {
			group.Adopt(id, &ent.User{ID: id})
			n, err := group.Load(ctx, columns, id)
			if err != nil {
				t.Fatal(err)
			}
			got += []string{"", " "}[i] + fmt.Sprint(n != nil)
		}
		if got != test.want || sent != test.statements {
			t.Errorf("%s: got the adopted nodes %s by %d statements, want %s by %d", name, got, sent, test.want, test.statements)
		}
	}
}

// TestFilterReach filters by what a caller may not read of all rows: that is forbidden, whatever else is wrong.
func TestFilterReach(t *testing.T) {
	t.Parallel()
	db := migrated.Open(t, dbtest.SQLite)
	session := db.Session(database.Single)
	defer session.Rollback()
	id, yes, zero, size := typeid.New(user.Label, uuid.UUID{1}), true, 0, 1
	member := rules.Caller{Subject: "s", Roles: []rules.Role{rules.Member}, User: id}
	noRole := rules.Caller{Subject: "s", User: id}
	identity, posts := &ent.UserWhere{HasIdentity: &yes}, &ent.UserWhere{HasPosts: &yes}
	inside := &ent.UserWhere{Or: []ent.UserWhere{{}, {Not: identity}}, ID: &query.IDFilter{Eq: new(typeid.New(post.Label, uuid.UUID{2}))}}
	for name, test := range map[string]struct {
		caller rules.Caller
		where  *ent.UserWhere
		first  *int
		want   string
	}{
		"identity as everyone":              {rules.Everyone(), identity, &size, "[]"},
		"identity as a MEMBER":              {member, identity, &size, "the caller may not read User.identity"},
		"identity with faults as a MEMBER":  {member, inside, &zero, "the caller may not read User.identity"},
		"identity as a user without a role": {noRole, identity, &size, "[]"}, // its own row
		"posts as a MEMBER":                 {member, posts, &size, "[]"},
		"posts as a user without a role":    {noRole, posts, &size, "the caller may not read Post"},
	} {
		ctx, c := rules.WithCaller(t.Context(), test.caller), ent.NewClient(ent.Driver(session))
		page, err := query.ReadPage[ent.User, ent.UserWhere](ctx, c.User.Reader(), "Users", query.All, query.Args{First: test.first}, test.where, nil)
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(page.Nodes())
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}
