package graph_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"entgo.io/ent/dialect/sql"

	"roster/ent/rules"
	"roster/graph"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/fixture"
	"roster/internal/directory"
	"roster/internal/transfer"
	"roster/internal/typeid"
)

const (
	oldUser = "user_01hf7yat00fbkbgftfr34ex7ze"
	oldPost = "post_01hf7yat00fbkbgftfr34ex7ze"
)

// TestBodyLimit sends a body as long as it may be, and one that is a byte longer, through each door.
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		fits := strings.Repeat("é", rules.BodyLimit/2)
		var made struct {
			CreateUser struct {
				User struct {
					ID    string
					Posts struct{ Nodes []struct{ ID string } }
				}
			}
		}
		s.must(&made, `mutation ($body: String!) { createUser(input: {username: "ada", email: "ada@example.com", posts: [{title: "a", body: $body}]}) { user { id posts { nodes { id } } } } }`, "body", fits)
		author, post := made.CreateUser.User.ID, made.CreateUser.User.Posts.Nodes[0].ID
		s.must(nil, `mutation ($id: ID!, $body: String!) { createPost(input: {authorId: $id, title: "a", body: $body}) { post { id } } }`, "id", author, "body", fits)
		s.must(nil, `mutation ($id: ID!, $body: String!) { updatePost(input: {id: $id, body: $body}) { post { id } } }`, "id", post, "body", fits[:rules.BodyLimit-2]+"xy")
		for field, document := range map[string]string{
			"[input posts 0 body]": `mutation ($body: String!) { createUser(input: {username: "bob", email: "b@example.com", posts: [{title: "a", body: $body}]}) { user { id } } }`,
			"[input body]":         `mutation ($id: ID!, $body: String!) { createPost(input: {authorId: $id, title: "a", body: $body}) { post { id } } }`,
			"[inputs 0 body]":      `mutation ($id: ID!, $body: String!) { createPosts(inputs: [{authorId: $id, title: "a", body: $body}]) { posts { id } } }`,
		} {
			a := s.fails("TOO_LONG", document, "id", author, "body", fits+"x")
			if got := fmt.Sprint(a.Errors[0].Extensions.Field); got != field {
				t.Errorf("the field is %s, want %s", got, field)
			}
		}
		s.fails("TOO_LONG", `mutation ($id: ID!, $body: String!) { updatePost(input: {id: $id, body: $body}) { post { id } } }`, "id", post, "body", fits+"x")
		for _, row := range []string{`{"authorId": "` + author + `", "title": "a", "body": "%s"}`, "authorId,title,body\n" + author + ",a,%s\n"} {
			for body, want := range map[string]int{fits: 0, fits + "x": 1} {
				faults := load(s, []byte(fmt.Sprintf(row, body)), directory.Fail)
				if len(faults) != want || want == 1 && (faults[0].Code != rules.TooLong || faults[0].Field != "body") {
					t.Errorf("a body of %d bytes: got %+v, want TOO_LONG above the limit alone", len(body), faults)
				}
			}
		}
	})
}

// TestOldValues has rows that releases before took: a longer body, the largest Int as a version, and a last change before
// the creation. They can be read, exported and, but for the version, changed; only an import refuses them.
func TestOldValues(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		old(s, strings.Repeat("y", rules.BodyLimit+100))
		document := `mutation ($id: ID!) { updatePost(input: {id: $id, title: "new"}) { post { title body version createdAt updatedAt } } }`
		var updated struct{ UpdatePost struct{ Post thing } }
		s.must(&updated, document, "id", oldPost)
		if p := updated.UpdatePost.Post; p.Title != "new" || len(p.Body) != rules.BodyLimit+100 || p.Version != 2 || !p.UpdatedAt.Equal(p.CreatedAt) {
			t.Errorf("got the post %s, want the new title, the old body and version 2", short(p))
		}
		a := s.fails("INVALID", `mutation ($id: ID!) { updateUser(input: {id: $id, username: "new"}) { user { id } } }`, "id", oldUser)
		if got := a.Errors[0].Message; got != "input.id has version 2147483647 and cannot be changed: the largest version is 2000000000" {
			t.Errorf("got the message %q, want that of the largest version", got)
		}
		s.fails("INVALID", `mutation { upsertUsers(inputs: [{username: "ada", email: "new@example.com"}]) { users { id } } }`)
		s.must(nil, `mutation ($id: ID!) { updateUser(input: {id: $id, username: "ada"}) { user { id } } }`, "id", oldUser) // changes nothing
		users, posts := exported(s, transfer.CSV)
		if !strings.Contains(users, ",2147483647\n") || len(posts) < rules.BodyLimit+100 {
			t.Errorf("export: got %.300s%.300s, want the old version and the whole body", users, posts)
		}
		for file, want := range map[string]string{users: "version INVALID", posts: "body TOO_LONG"} {
			faults := load(s, []byte(file), directory.Update)
			if len(faults) != 1 || faults[0].Field+" "+string(faults[0].Code) != want {
				t.Errorf("import: got %+v, want %s", faults, want)
			}
		}
		faults := load(s, []byte("username,email\nada,new@example.com\n"), directory.Update)
		if len(faults) != 1 || faults[0].Code != rules.Invalid || faults[0].Field != "id" {
			t.Errorf("import of an update: got %+v, want INVALID at id", faults)
		}
		// A body that is not read is compared by its length.
		if faults := load(s, []byte("id,authorId,title,body\n"+oldPost+","+oldUser+",new,short\n"), directory.Update); len(faults) > 0 {
			t.Errorf("import of a shorter body: got %+v, want no fault", faults)
		}
		var found struct{ Post thing }
		s.must(&found, "query ($id: ID!) { post(id: $id) { "+postFields+" } }", "id", oldPost)
		if found.Post.Body != "short" || found.Post.Version != 3 {
			t.Errorf("got the post %s, want the short body and version 3", short(found.Post))
		}
	})
}

// old writes a user and a post as releases before could have.
func old(s *tester, body string) {
	s.Helper()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	id := func(text string) typeid.ID {
		id, err := typeid.Parse(text)
		if err != nil {
			s.Fatal(err)
		}
		return id
	}
	history := fixture.At(now)
	history.Version = 2147483647
	fixture.Write(s, s.db, fixture.User(s, id(oldUser), "ada", history), fixture.Post(s, id(oldPost), id(oldUser), "old", "", fixture.At(now)))
	session := s.db.Session(database.Write)
	defer session.Rollback()
	// Past the rules, as an import did.
	query, args := sql.Dialect(s.db.Dialect()).Update("posts").Set("created_at", now.AddDate(50, 0, 0)).Set("body", body).Query()
	if _, err := database.Affected(s.Context(), session, query, args...); err != nil {
		s.Fatal(err)
	}
	if err := session.Commit(); err != nil {
		s.Fatal(err)
	}
}

// TestClockSetBack updates what was created and changed before the clock was set back, and what an import brought from the
// future: no time is before another one of the same thing, and no version is lost.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
		s := serve(t, e, settings{graph: func(o *graph.Options) { o.Clock = func() time.Time { return now } }})
		s.must(nil, `mutation { createUser(input: {username: "ada", email: "ada@example.com", posts: [{title: "a"}]}) { user { id } } }`)
		if faults := load(s, []byte("username,email,createdAt,title\nbob,bob@example.com,2999-01-01T00:00:00Z,b\n"), directory.Fail); len(faults) > 0 {
			t.Fatal(faults)
		}
		for _, set := range []string{"2026-06-02T00:00:00Z", "2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z"} {
			var err error
			if now, err = time.Parse(time.RFC3339, set); err != nil {
				t.Fatal(err)
			}
			before := all(s)
			for id := range before {
				document := `mutation ($id: ID!, $name: String!) { updateUser(input: {id: $id, username: $name}) { user { id } } }`
				if strings.HasPrefix(id, "post_") {
					document = `mutation ($id: ID!, $name: String!) { updatePost(input: {id: $id, title: $name}) { post { id } } }`
				}
				s.must(nil, document, "id", id, "name", "x"+id[len(id)-8:]+set[8:10]+set[5:7])
			}
			for id, n := range all(s) { // which looks at the times too
				if was := before[id]; n.UpdatedAt.Before(was.UpdatedAt) || n.Version != was.Version+1 {
					t.Errorf("%s: got %s, want a later time and the next version", short(was), short(n))
				}
			}
		}
		users, posts := exported(s, transfer.JSONLines)
		wipe(s)
		restore(s, users, posts)
	})
}
