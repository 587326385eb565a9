package graph_test

import (
	"strings"
	"testing"
	"time"

	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/idempotency"
)

// TestKeyOfErasedAnswer sends a mutation again after its answer was erased. It is not executed again, for anybody.
func TestKeyOfErasedAnswer(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		body := s.body(`mutation { createUser(input: {username: "ada", email: "ada@example.com"}) { user { id } } }`)
		first := s.once("a", body)
		id, _, _ := strings.Cut(strings.TrimPrefix(string(first.Data), `{"createUser":{"user":{"id":"`), `"`)
		s.must(nil, `mutation ($id: ID!) { deleteUser(input: {id: $id}) { deletedId } }`, "id", id)
		session := s.db.Session(database.Write)
		defer session.Rollback()
		err := idempotency.Read(t.Context(), s.db.Session(database.Single), time.Time{}, func(page []idempotency.Answer) error {
			_, err := idempotency.Erase(t.Context(), session, page)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Commit(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			a, replayed := s.again("a", body)
			if a.codes() != "NOT_FOUND" || string(a.Data) != "null" || replayed || !strings.Contains(a.Errors[0].Message, "the request took effect then, and is not executed again") {
				t.Errorf("sent again: got %s %+v, want NOT_FOUND", a.Data, a.Errors)
			}
		}
		if a, _ := s.again("a", s.body(writePost, "author", id, "title", "T")); a.codes() != "IDEMPOTENCY_KEY_REUSED" {
			t.Errorf("another request: got %+v, want IDEMPOTENCY_KEY_REUSED", a.Errors)
		}
		var users struct{ Users struct{ TotalCount int } }
		if s.must(&users, `{ users(first: 1) { totalCount } }`); users.Users.TotalCount != 0 {
			t.Errorf("got %d users, want 0", users.Users.TotalCount)
		}
		s.once("b", body)
	})
}
