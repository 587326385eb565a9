package graph_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"roster/internal/dbtest"
	"roster/internal/dbtest/fixture"
	"roster/internal/directory"
	"roster/internal/typeid"
)

// TestManyPosts creates as many posts with a user as one mutation takes, and deletes as many as one takes along.
func TestManyPosts(t *testing.T) {
	t.Parallel()
	const created, deleted = 1000, 10_000
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		var made struct{ CreateUser struct{ User user } }
		s.must(&made, `mutation ($posts: [UserPostInput!]) {
			createUser(input: {username: "ada", email: "ada@example.com", posts: $posts}) { user { id posts(last: 1) { nodes { id title } totalCount } } }
		}`, "posts", titles(created))
		u := made.CreateUser.User
		if u.Posts.TotalCount != created || u.Posts.Nodes[0].Title != fmt.Sprintf("Post %d", created-1) {
			t.Errorf("got %d posts, the last of them %+v, want all created posts in their order", u.Posts.TotalCount, u.Posts.Nodes)
		}
		s.write(u.ID, deleted+1-created)
		const remove = "mutation ($id: ID!) { deleteUser(input: {id: $id, dependents: CASCADE}) { deletedId } }"
		s.fails("HAS_DEPENDENTS", remove, "id", u.ID)
		s.must(nil, "mutation ($id: ID!) { deletePost(input: {id: $id}) { deletedId } }", "id", u.Posts.Nodes[0].ID)
		s.must(nil, remove, "id", u.ID)
		var left struct{ Users, Posts struct{ TotalCount int } }
		s.must(&left, "{ users { totalCount } posts { totalCount } }")
		if left.Users.TotalCount+left.Posts.TotalCount != 0 {
			t.Errorf("after the deletion: got %+v, want no users and no posts", left)
		}
	})
}

// TestManyPostsOfManyUsers deletes as many posts with many users as go with them: with each, and with all together.
func TestManyPostsOfManyUsers(t *testing.T) {
	t.Parallel()
	const each, all = 10_000, 20_000
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		var data struct{ CreateUsers madeUsers }
		s.must(&data, many()["createUsers"], "inputs", newUsers(all/each+1, "u", 0))
		users := data.CreateUsers.Users
		for _, u := range users[:all/each] {
			s.write(u.ID, each)
		}
		s.write(users[all/each].ID, 1)
		inputs := data.CreateUsers.each(func(_ int, id string) object { return object{"id": id, "dependents": "CASCADE"} })
		a := s.fails("HAS_DEPENDENTS", many()["deleteUsers"], "inputs", inputs)
		if got := fmt.Sprint(a.Errors[0].Extensions.Field); got != "[inputs 2 id]" {
			t.Errorf("path of the fault: got %s, want [inputs 2 id]", got)
		}
		s.must(nil, many()["deleteUsers"], "inputs", inputs[1:])
		s.write(users[0].ID, 1)
		a = s.fails("HAS_DEPENDENTS", many()["deleteUsers"], "inputs", inputs[:1])
		if got := fmt.Sprint(a.Errors[0].Extensions.Field); got != "[inputs 0 id]" {
			t.Errorf("path of the fault: got %s, want [inputs 0 id]", got)
		}
		var left struct{ Users, Posts struct{ TotalCount int } }
		s.must(&left, "{ users { totalCount } posts { totalCount } }")
		if left.Users.TotalCount != 1 || left.Posts.TotalCount != each+1 {
			t.Errorf("after the refusal: got %+v, want the user and all posts", left)
		}
	})
}

// write puts posts of a user into the database, more than clients could in a reasonable time.
func (s *tester) write(author string, n int) {
	s.Helper()
	id, err := typeid.Parse(author)
	if err != nil {
		s.Fatal(err)
	}
	ids := typeid.NewSource(time.Now, rand.NewChaCha8([32]byte{1}))
	posts := make([]*directory.Record, n)
	for i := range posts {
		posts[i] = fixture.Post(s, ids.New("post"), id, "T", "", fixture.At(time.UnixMilli(0)))
	}
	fixture.Write(s, s.db, posts...)
}
