package seed_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/feed"
	"roster/internal/seed"
	"roster/internal/typeid"
)

// What the options of TestFill give, on every engine and in every version: people refer to it. It changes only when
// the data are meant to.
const fingerprint = "343f2e17ced6e972ac8069612877dc957ea3e21382346ff1f5033a405ca64b9b"

func everyone(t *testing.T) context.Context {
	return rules.WithCaller(t.Context(), rules.Everyone())
}

func TestFill(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := migrated.Open(t, e)
		var told []string
		now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
		o := seed.Options{Users: 1100, PostsPerUser: 3, Seed: 7, Now: now, Progress: func(users, posts int) {
			told = append(told, fmt.Sprint(users, "+", posts))
		}}
		if err := seed.Fill(everyone(t), db, o); err != nil {
			t.Fatal(err)
		}
		const want = "1000+0 1100+0 1100+1000 1100+2000 1100+3000 1100+3300"
		if got := strings.Join(told, " "); got != want {
			t.Errorf("progress: got %s, want %s", got, want)
		}
		users, posts := rows(t, db)
		if len(users) != 1100 || len(posts) != 3300 {
			t.Fatalf("there are %d users and %d posts", len(users), len(posts))
		}
		if got := digest(users, posts); got != fingerprint {
			t.Errorf("fingerprint: got %s, want %s", got, fingerprint)
		}
		likely(t, users, posts)
		inFeed(t, db, users, posts, now)

		// Again, and with another number of posts: refused, and nothing changed.
		for _, again := range []seed.Options{o, {Users: 1, PostsPerUser: 0, Seed: 7}} {
			again.Progress = nil
			err := seed.Fill(everyone(t), db, again)
			if !errors.Is(err, seed.ErrThere) || !strings.HasPrefix(err.Error(), "the user "+users[0].Username+" ("+users[0].Email+")") {
				t.Errorf("again: %v", err)
			}
		}
		if after, afterPosts := rows(t, db); digest(after, afterPosts) != fingerprint {
			t.Error("a second seed: got other rows, want the same")
		}
	})
}

// inFeed checks that the feed has all rows as created, and nothing else: who follows it misses nothing.
func inFeed(t *testing.T, db *database.DB, users []*ent.User, posts []*ent.Post, at time.Time) {
	t.Helper()
	if err := feed.Number(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	session := db.Session(database.Snapshot)
	defer session.Rollback()
	page, err := feed.Read(everyone(t), session, feed.Request{First: len(users) + len(posts) + 1})
	if err != nil {
		t.Fatal(err)
	}
	versions := map[typeid.ID]int{}
	for _, c := range page.Changes {
		if c.Kind != feed.Created || !c.At.Equal(at) {
			t.Errorf("got the change %+v, want %s at %v", c, feed.Created, at)
		}
		versions[c.NodeID] = c.Version
	}
	want := map[typeid.ID]int{}
	for _, u := range users {
		want[u.ID] = u.Version
	}
	for _, p := range posts {
		want[p.ID] = p.Version
	}
	if len(page.Changes) != len(want) || !maps.Equal(versions, want) {
		t.Errorf("got %d changes of %d things, want one of each of %d", len(page.Changes), len(versions), len(want))
	}
}

// likely checks what data that came in through the API would have.
func likely(t *testing.T, users []*ent.User, posts []*ent.Post) {
	t.Helper()
	check := func(what fmt.Stringer, version int, created, updated, earliest time.Time) {
		if created.Before(earliest) || updated.Before(created) || updated.After(seed.Epoch()) {
			t.Errorf("%v: got createdAt %v and updatedAt %v, want them in order", what, created, updated)
		}
		if version < 1 || (version == 1) != created.Equal(updated) {
			t.Errorf("%v: got version %d, createdAt %v and updatedAt %v, want 1 only if it never changed", what, version, created, updated)
		}
	}
	since := map[typeid.ID]time.Time{}
	last := seed.Epoch().AddDate(-6, 0, 0)
	for _, u := range users {
		check(u.ID, u.Version, u.CreatedAt, u.UpdatedAt, last)
		last, since[u.ID] = u.CreatedAt, u.CreatedAt
	}
	written := map[typeid.ID]int{}
	last = users[0].CreatedAt
	for _, p := range posts {
		check(p.ID, p.Version, p.CreatedAt, p.UpdatedAt, last)
		if p.CreatedAt.Before(since[p.AuthorID]) {
			t.Errorf("%v: got createdAt %v, want it after its author", p.ID, p.CreatedAt)
		}
		last = p.CreatedAt
		written[p.AuthorID]++
	}
	for id, n := range written {
		if n != 3 {
			t.Errorf("%v: got %d posts, want 3", id, n)
		}
	}
}

func TestSeedsDiffer(t *testing.T) {
	t.Parallel()
	digests := map[string]bool{}
	for _, o := range []seed.Options{{Users: 20, PostsPerUser: 1, Seed: 1}, {Users: 20, PostsPerUser: 1, Seed: 2}} {
		db := migrated.Open(t, dbtest.SQLite)
		if err := seed.Fill(everyone(t), db, o); err != nil {
			t.Fatal(err)
		}
		digests[digest(rows(t, db))] = true
	}
	if len(digests) != 2 {
		t.Error("two seeds: got the same data, want different data")
	}
}

// What fails leaves nothing behind.
func TestAllOrNone(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := migrated.Open(t, e)
		ctx, stop := context.WithCancel(everyone(t))
		defer stop()
		err := seed.Fill(ctx, db, seed.Options{Users: 10, PostsPerUser: 500, Progress: func(_, posts int) {
			if posts > 0 {
				stop()
			}
		}})
		if err == nil || !strings.HasPrefix(err.Error(), "create posts: ") {
			t.Errorf("interrupted: got %v, want the cause", err)
		}
		if users, posts := rows(t, db); len(users)+len(posts) > 0 {
			t.Errorf("interrupted: got %d users and %d posts, want none", len(users), len(posts))
		}
		err = seed.Fill(t.Context(), db, seed.Options{Users: 10})
		if forbidden, ok := errors.AsType[*rules.ForbiddenError](err); !ok || forbidden.Type != "User" {
			t.Errorf("without a caller: got %v, want a ForbiddenError", err)
		}
	})
}

// rows is all there is, in the order of the IDs.
func rows(t *testing.T, db *database.DB) ([]*ent.User, []*ent.Post) {
	t.Helper()
	client := ent.NewClient(ent.Driver(db.Session(database.Single)))
	users, err := client.User.Query().Order(user.ByID()).All(everyone(t))
	if err != nil {
		t.Fatal(err)
	}
	posts, err := client.Post.Query().Order(post.ByID()).All(everyone(t))
	if err != nil {
		t.Fatal(err)
	}
	return users, posts
}

// digest is a hash of all that the rows hold, but for what the rules make of it.
func digest(users []*ent.User, posts []*ent.Post) string {
	h := sha256.New()
	micro := func(t time.Time) int64 { return t.UnixMicro() }
	for _, u := range users {
		fmt.Fprintln(h, u.ID, u.Username, u.Email, micro(u.CreatedAt), micro(u.UpdatedAt), u.Version)
	}
	for _, p := range posts {
		fmt.Fprintln(h, p.ID, p.AuthorID, p.Title, p.Body, micro(p.CreatedAt), micro(p.UpdatedAt), p.Version)
	}
	return hex.EncodeToString(h.Sum(nil))
}
