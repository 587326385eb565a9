package graph_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"roster/ent"
	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/dbtest"
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
			t.Errorf("the user has %d posts, the last is %+v", u.Posts.TotalCount, u.Posts.Nodes)
		}
		s.write(u.ID, deleted+1-created)
		const remove = "mutation ($id: ID!) { deleteUser(input: {id: $id, dependents: CASCADE}) { deletedId } }"
		s.fails("HAS_DEPENDENTS", remove, "id", u.ID)
		s.must(nil, "mutation ($id: ID!) { deletePost(input: {id: $id}) { deletedId } }", "id", u.Posts.Nodes[0].ID)
		s.must(nil, remove, "id", u.ID)
		var left struct{ Users, Posts struct{ TotalCount int } }
		s.must(&left, "{ users { totalCount } posts { totalCount } }")
		if left.Users.TotalCount+left.Posts.TotalCount != 0 {
			t.Errorf("something is left: %+v", left)
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
	ctx := rules.WithCaller(s.Context(), rules.Everyone())
	session := s.db.Session(database.Write)
	client := ent.NewClient(ent.Driver(session))
	ids := typeid.NewSource(time.Now, rand.NewChaCha8([32]byte{1}))
	for n > 0 {
		some := make([]*ent.PostCreate, min(n, 1000))
		for i := range some {
			some[i] = client.Post.Create().SetID(ids.New("post")).SetAuthorID(id).SetTitle("T").SetBody("").
				SetCreatedAt(time.UnixMilli(0)).SetUpdatedAt(time.UnixMilli(0)).SetVersion(1)
		}
		if err := client.Post.CreateBulk(some...).Exec(ctx); err != nil {
			s.Fatal(err)
		}
		n -= len(some)
	}
	if err := session.Commit(); err != nil {
		s.Fatal(err)
	}
}
