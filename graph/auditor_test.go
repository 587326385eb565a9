package graph_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"roster/internal/dbtest"
)

// TestAuditor sends the queries of docs/security.md for auditors, after changes that have something to find.
func TestAuditor(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	documents := regexp.MustCompile("(?s)```graphql\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(documents) != 5 {
		t.Fatalf("got %d queries in docs/security.md, want 5", len(documents))
	}
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		var made struct {
			User struct{ User struct{ ID string } }
		}
		s.must(&made, `mutation {
			user: createUser(input: {username: "ada", email: "ada@example.com", identity: {issuer: "https://id.example", subject: "ada"}}) { user { id } }
			key: createApiKey(input: {name: "nightly", roles: [ADMIN]}) { apiKey { id } }
		}`)
		s.must(nil, `mutation ($id: ID!) { updateUser(input: {id: $id, status: SUSPENDED}) { user { id } } }`, "id", made.User.User.ID)
		for i, want := range []string{
			`{"changes":{"changes":[],`, // by nobody, who made none
			`"kind":"UPDATED","version":2,"changedFields":["status"]}`,
			`"kind":"CREATED","changedFields":[],"node":{"name":"nightly",`,
			`"changedFields":["status"],"node":{"username":"ada","status":"SUSPENDED","identity":{"issuer":"https://id.example","subject":"ada"}}`,
			`"users":{"nodes":[{"id":"` + made.User.User.ID + `","username":"ada"}],"totalCount":1}`,
		} {
			a := s.do(documents[i][1], "actor", "nobody", "id", made.User.User.ID)
			if len(a.Errors) > 0 || !strings.Contains(string(a.Data), want) {
				t.Errorf("query %d: got %s, %v, want %s", i+1, a.Data, a.Errors, want)
			}
		}
	})
}
