package ent_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	"roster/internal/typeid"
)

// people are users and their posts, with texts that need care on the way into a database.
func people(n int) (users []*ent.User, posts []*ent.Post) {
	now := time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC)
	ids := typeid.NewSource(func() time.Time { return now }, rand.NewChaCha8([32]byte{}))
	texts := []string{"plain", `"quoted" \back\ 'single' {a,NULL}`, "many\nlines\t\r\n", "\u2028 <html> & \u0001", "𝔘nicode 🎉 e\u0301", ""}
	for i := range n {
		now = now.Add(1100 * time.Microsecond)
		u := &ent.User{
			ID: ids.New(user.Label), Username: fmt.Sprintf("Üser.%d", n-i), Email: fmt.Sprintf("U\"%d\"@Exämple.com", i), // in no order
			CreatedAt: now, UpdatedAt: now.Add(time.Duration(i) * time.Microsecond), Version: i + 1,
		}
		u.Email = strings.ReplaceAll(u.Email, `"`, "")
		users = append(users, u)
		posts = append(posts, &ent.Post{
			ID: ids.New(post.Label), AuthorID: users[(i*7)%len(users)].ID, Title: fmt.Sprintf(`Straße "%d" \`, i), Body: texts[i%len(texts)],
			CreatedAt: time.Date(1970+i%99, 2, 3, 4, 5, 6, 7000, time.UTC), UpdatedAt: now, Version: 1,
		})
	}
	return users, posts
}

// opened is a client of a session that writes, on a new database, and the statements that it sends.
func opened(t *testing.T, e dbtest.Engine) (ctx context.Context, client *ent.Client, sent *[]string) {
	t.Helper()
	sent = new([]string)
	db := migrated.Open(t, e, func(o *database.Options) { o.Observe = func(query string) { *sent = append(*sent, query) } })
	session := db.Session(database.Write)
	t.Cleanup(session.Rollback)
	return rules.WithCaller(t.Context(), rules.Everyone()), ent.NewClient(ent.Driver(session)), sent
}

// TestWrites writes rows at once, in one statement for any number, and reads what ent's own way of writing gives.
func TestWrites(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		for _, n := range []int{0, 1, 2, 1000} {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				ctx, client, sent := opened(t, e)
				users, posts := people(n)
				once := func(what string, err error) {
					t.Helper()
					if err != nil || len(*sent) > 1 || n > 0 && len(*sent) == 0 {
						t.Errorf("%s: %v in %d statements: %v", what, err, len(*sent), *sent)
					}
					*sent = nil
				}
				*sent = nil
				once("insert users", client.User.InsertAll(ctx, users))
				once("insert posts", client.Post.InsertAll(ctx, posts))
				same(ctx, t, client, users, posts)
				for i, u := range users {
					u.Username, u.UsernameKey, u.Version, u.UpdatedAt = fmt.Sprintf("Now%d", i), "", u.Version+1, u.UpdatedAt.Add(time.Hour)
				}
				*sent = nil
				once("update users", client.User.UpdateAll(ctx, users, user.FieldUsername, user.FieldUsernameKey, user.FieldVersion, user.FieldUpdatedAt))
				for i, p := range posts {
					p.AuthorID, p.Body = users[len(users)-1-i].ID, p.Body+"\n"
				}
				once("update posts", client.Post.UpdateAll(ctx, posts, post.FieldAuthorID, post.FieldBody))
				*sent = nil
				same(ctx, t, client, users, posts)
			})
		}
	})
}

// same checks that the database has these rows, and the folded forms that ent's hooks give them.
func same(ctx context.Context, t *testing.T, client *ent.Client, users []*ent.User, posts []*ent.Post) {
	t.Helper()
	gotUsers, err := client.User.Query().Order(user.ByID()).All(ctx)
	if err != nil || len(gotUsers) != len(users) {
		t.Fatal(len(gotUsers), err)
	}
	for i, got := range gotUsers {
		u := users[i]
		usernameKey, _ := rules.Username(u.Username)
		emailKey, _ := rules.Email(u.Email)
		want := fmt.Sprint(u.ID, u.Username, usernameKey, u.Email, emailKey, u.CreatedAt, u.UpdatedAt, u.Version)
		if text := fmt.Sprint(got.ID, got.Username, got.UsernameKey, got.Email, got.EmailKey, got.CreatedAt.UTC(), got.UpdatedAt.UTC(), got.Version); text != want {
			t.Fatalf("user %d is %s, want %s", i, text, want)
		}
	}
	gotPosts, err := client.Post.Query().Order(post.ByID()).All(ctx)
	if err != nil || len(gotPosts) != len(posts) {
		t.Fatal(len(gotPosts), err)
	}
	for i, got := range gotPosts {
		p := posts[i]
		key, _ := rules.Title(p.Title)
		want := fmt.Sprintf("%v %q %q %q %v %v %v %v", p.ID, p.Title, key, p.Body, p.AuthorID, p.CreatedAt, p.UpdatedAt, p.Version)
		if text := fmt.Sprintf("%v %q %q %q %v %v %v %v", got.ID, got.Title, got.TitleKey, got.Body, got.AuthorID, got.CreatedAt.UTC(), got.UpdatedAt.UTC(), got.Version); text != want {
			t.Fatalf("post %d is %s, want %s", i, text, want)
		}
	}
}

// TestWritesKeepTheRules writes at once what the hooks refuse one by one.
func TestWritesKeepTheRules(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		ctx, client, sent := opened(t, e)
		*sent = nil
		users, posts := people(3)
		nobody := rules.WithCaller(ctx, rules.Caller{})
		for what, err := range map[string]error{
			"insert": client.User.InsertAll(nobody, users),
			"update": client.User.UpdateAll(nobody, users, user.FieldUsername),
			"delete": client.User.DeleteBy(nobody, user.FieldID, []typeid.ID{users[0].ID}),
		} {
			if _, ok := errors.AsType[*rules.ForbiddenError](err); !ok {
				t.Errorf("nobody may %s: %v", what, err)
			}
		}
		users[1].Email = "none"
		posts[2].Title = " "
		bad, _ := people(2)
		bad[1].Username = "a b"
		late := &ent.Post{Title: "T", Body: "\x00"}
		for _, err := range []error{
			client.User.InsertAll(ctx, users), client.Post.InsertAll(ctx, posts),
			client.User.UpdateAll(ctx, bad, user.FieldUsername), client.Post.InsertAll(ctx, []*ent.Post{late}),
		} {
			if _, ok := errors.AsType[*rules.Fault](err); !ok {
				t.Errorf("what breaks a rule is written: %v", err)
			}
		}
		if len(*sent) > 0 {
			t.Errorf("statements were sent: %v", *sent)
		}
	})
}
