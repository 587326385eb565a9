package graph_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"roster/internal/budget"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/feed"
)

// answersOf returns a budget for answers whose data has so many bytes at most.
func answersOf(most int64) *budget.Budget {
	return budget.New(budget.Options{MaxAnswer: most, Memory: 256 << 20, Wait: time.Minute})
}

// large creates users who have one post each, with bodies of so many bytes, and returns the IDs of the users.
func (s *tester) large(n, bytes int) (ids []string) {
	s.Helper()
	for i := range n {
		var made struct {
			CreateUser struct{ User struct{ ID string } }
		}
		s.must(&made, `mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } } }`, "input", map[string]any{
			"username": fmt.Sprintf("large%d", i), "email": fmt.Sprintf("large%d@example.com", i),
			"posts": []any{map[string]any{"title": fmt.Sprint("Post ", i), "body": strings.Repeat("x", bytes)}},
		})
		ids = append(ids, made.CreateUser.User.ID)
	}
	return ids
}

// data sends an operation and returns the bytes of its data.
func (s *tester) data(document string) string {
	s.Helper()
	a := s.do(document)
	if len(a.Errors) > 0 {
		s.Fatalf("%s\nfailed: %+v", document, a.Errors)
	}
	return string(a.Data)
}

// An answer has as many bytes as it may have, and not one more, whatever makes it large.
func TestLargestAnswer(t *testing.T) {
	t.Parallel()
	aliases := func(n int, field string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "a%d: %s ", i, field)
		}
		return b.String()
	}
	documents := map[string]string{
		"rows":                       `{ posts(first: 4) { nodes { body } } }`,
		"pages":                      `{` + aliases(3, `posts(first: 2) { nodes { body } }`) + `}`,
		"one row under many names":   `{ posts(first: 1) { nodes { ` + aliases(5, `body`) + `} } }`,
		"one row of many parents":    `{ posts(first: 3) { nodes { author { posts(first: 1) { nodes { author { posts { nodes { body } } } } } } } } }`,
		"rows of edges":              `{ users(first: 3) { edges { cursor node { posts(first: 1) { edges { node { body } } } } } } }`,
		"long names":                 `{ users(first: 3) { nodes { ` + strings.Repeat("a", 2000) + `: id } } }`,
		"type names under long ones": `{ users(first: 3) { nodes { ` + strings.Repeat("a", 2000) + `: __typename } } }`,
		"the schema":                 `{ __schema { types { name description fields { name description } } } }`,
		"changes that are one":       `{ changes(first: 1) { changes { ` + strings.Repeat("a", 2000) + `: version } } }`,
	}
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := migrated.URL(t, e)
		free := serve(t, e, settings{url: url})
		free.large(5, 1000)
		for name, document := range documents {
			want := free.data(document)
			for _, room := range []int{0, -1} {
				s := serve(t, e, settings{url: url, answers: answersOf(int64(len(want) + room))})
				status, text := s.send(http.MethodPost, s.url, s.body(document))
				got := string(text)
				if room == 0 {
					if got != `{"data":`+want+`}` {
						t.Errorf("%s, which fit: got %.300s, want all data", name, got)
					}
					continue
				}
				refused := fmt.Sprintf(`{"errors":[{"message":"the data of the answer has more than %d bytes (--max-answer-bytes): ask for fewer nodes or fields",`+
					`"extensions":{"code":"COST_LIMIT"}}],"data":null}`, len(want)-1)
				if got != refused || status.StatusCode != http.StatusOK {
					t.Errorf("%s, a byte too many: got %d %.300s, want %s", name, status.StatusCode, got, refused)
				}
			}
		}
	})
}

// The one more row that tells whether there is another page is read, and is not answered.
func TestRowsThatAreNotAnswered(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{answers: answersOf(20_000)})
		ids := s.large(8, 9_000)
		posts := make([]string, len(ids))
		for i, id := range ids { // the first author gets all posts
			posts[i] = s.postOf(id)
			s.must(nil, `mutation ($id: ID!, $author: ID!) { updatePost(input: {id: $id, authorId: $author}) { post { id } } }`,
				"id", posts[i], "author", ids[0])
		}
		if got := s.data(`{ posts(first: 2) { nodes { body } } }`); len(got) < 18_000 {
			t.Errorf("got %d bytes, want at least 18000", len(got))
		}
		if got := s.data(`{ users(first: 1) { nodes { posts(last: 2) { nodes { body } } } } }`); len(got) < 18_000 {
			t.Errorf("got %d bytes, want at least 18000", len(got))
		}
		s.fails("COST_LIMIT", `{ posts(first: 3) { nodes { body } } }`)

		for i := range ids { // the posts of two authors alternate
			s.must(nil, `mutation ($id: ID!, $author: ID!) { updatePost(input: {id: $id, authorId: $author}) { post { id } } }`,
				"id", posts[i], "author", ids[i%2])
		}
		if got := s.data(`{ users(first: 2) { nodes { posts(first: 1) { nodes { body } } } } }`); len(got) < 18_000 {
			t.Errorf("got %d bytes, want at least 18000", len(got))
		}
	})
}

// postOf returns the ID of the first post of a user.
func (s *tester) postOf(user string) string {
	s.Helper()
	var found struct {
		User struct {
			Posts struct{ Nodes []struct{ ID string } }
		}
	}
	s.must(&found, `query ($id: ID!) { user(by: {id: $id}) { posts(first: 1) { nodes { id } } } }`, "id", user)
	return found.User.Posts.Nodes[0].ID
}

// A mutation whose answer is too large has not happened, and its key is as if it had not been used.
func TestMutationWithTooLargeAnAnswer(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{answers: answersOf(5_000)})
		ids := s.large(1, 1_000)
		post := s.postOf(ids[0])
		many := func(n int) []byte {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, `a%d: updatePost(input: {id: %q, title: "New %d"}) { post { body version } } `, i, post, i)
			}
			return s.body("mutation { " + b.String() + "}")
		}
		status, text := s.send(http.MethodPost, s.url, many(6), "Idempotency-Key", "one")
		if want := `"code":"COST_LIMIT"`; status.StatusCode != http.StatusOK || !strings.Contains(string(text), want) || !strings.HasSuffix(string(text), `"data":null}`) {
			t.Errorf("got %d %.300s, want %s", status.StatusCode, text, want)
		}
		const read = `{ posts { nodes { title version } } changes(first: 10) { changes { kind } } }`
		const want = `{"posts":{"nodes":[{"title":"Post 0","version":1}]},"changes":{"changes":[{"kind":"CREATED"},{"kind":"CREATED"}]}}`
		if got := s.data(read); got != want {
			t.Errorf("after it: got %s, want %s", got, want)
		}
		if status, text := s.send(http.MethodPost, s.url, many(2), "Idempotency-Key", "one"); !strings.Contains(string(text), `"version":3`) || status.Header.Get("Idempotency-Replayed") != "" {
			t.Errorf("another request with the key: got %.300s, want version 3 and no replay", text)
		}
	})
}

// A page of changes ends where its answer would be too large, and who goes on gets everything once.
func TestPagesOfLargeChanges(t *testing.T) {
	t.Parallel()
	const most = 30_000
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{answers: answersOf(most)})
		s.large(20, 4_000)
		var after any
		var kinds []string
		pages := 0
		for caughtUp := false; !caughtUp; pages++ {
			a := s.do(`query ($after: String) { changes(after: $after, first: 1000) { caughtUp endCursor changes { cursor type node { ... on Post { body } } } } changesCursor }`, "after", after)
			var data struct {
				Changes struct {
					CaughtUp  bool
					EndCursor string
					Changes   []struct {
						Cursor, Type string
						Node         struct{ Body string }
					}
				}
			}
			if err := json.Unmarshal(a.Data, &data); err != nil || len(a.Errors) > 0 || len(a.Data) > most {
				t.Fatalf("page %d: got %v, %+v, %d bytes, want data within the limit", pages, err, a.Errors, len(a.Data))
			}
			for _, c := range data.Changes.Changes {
				if want := map[string]int{"USER": 0, "POST": 4_000}[c.Type]; len(c.Node.Body) != want {
					t.Errorf("a %s: got %d bytes, want %d", c.Type, len(c.Node.Body), want)
				}
				kinds = append(kinds, c.Type)
			}
			if last := data.Changes.Changes[len(data.Changes.Changes)-1]; !caughtUp && last.Cursor != data.Changes.EndCursor {
				t.Errorf("page %d: got the end cursor %s, want that of the last change %s", pages, data.Changes.EndCursor, last.Cursor)
			}
			after, caughtUp = data.Changes.EndCursor, data.Changes.CaughtUp
		}
		if got, want := strings.Join(kinds, " "), strings.TrimSpace(strings.Repeat("USER POST ", 20)); got != want {
			t.Errorf("got the changes %s, want %s", got, want)
		}
		if pages < 3 || pages > 20 {
			t.Errorf("got %d pages, want 3 to 20", pages)
		}
		// What no shorter page makes smaller is refused.
		s.fails("COST_LIMIT", `{ changes(first: 1000) { changes { nodeId } } posts(first: 10) { nodes { body } } }`)
		s.fails("COST_LIMIT", `{ changes(first: 1000, types: [POST]) { changes { node { ... on Post { a: body b: body c: body d: body e: body f: body g: body h: body } } } } }`)
	})
}

// A subscriber gets what it has missed, however large it is, and a change too large for an event ends the subscription,
// since the next event would hide that one is missing.
func TestSubscriptionToLargeChanges(t *testing.T) {
	t.Parallel()
	const document = `subscription ($after: String) { changes(after: $after, types: [POST]) { node { ... on Post { title body } } } }`
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := follow(t, e, feed.Options{Poll: never, Budget: answersOf(200_000)}, "")
		start := s.cursor()
		for i, bytes := range []int{1_000, 190_000, 100_000, 190_000, 5, 190_000, 190_000} {
			s.must(nil, `mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } } }`, "input", map[string]any{
				"username": fmt.Sprint("user", i), "email": fmt.Sprintf("user%d@example.com", i),
				"posts": []any{map[string]any{"title": fmt.Sprint("Post ", i), "body": strings.Repeat("x", bytes)}},
			})
		}
		missed := s.subscribe(document, "after", start)
		defer missed.stop()
		check := func(from *events, i, bytes int) {
			t.Helper()
			text, ok := from.next()
			if want := fmt.Sprintf(`{"data":{"changes":{"node":{"title":"Post %d","body":"%s"}}}}`, i, strings.Repeat("x", bytes)); !ok || text != want {
				t.Fatalf("post %d: got %t, %.200s", i, ok, text)
			}
		}
		for i, bytes := range []int{1_000, 190_000, 100_000, 190_000, 5, 190_000, 190_000} {
			check(missed, i, bytes)
		}
		live := s.subscribe(document, "after", s.cursor())
		defer live.stop()
		s.must(nil, `mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } } }`, "input", map[string]any{
			"username": "last", "email": "last@example.com",
			"posts": []any{map[string]any{"title": "Post 7", "body": strings.Repeat("x", 150_000)}, map[string]any{"title": "Too large", "body": strings.Repeat("x", 200_000)}},
		})
		for _, from := range []*events{missed, live} {
			check(from, 7, 150_000)
			from.ends("COST_LIMIT")
		}
	})
}

// When others take all memory, a request waits a moment and is refused, a mutation has not happened, and what needs little
// is answered.
func TestNoMemoryForAnAnswer(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		answers := budget.New(budget.Options{MaxAnswer: 1 << 20, Memory: 8 << 20, Wait: 50 * time.Millisecond})
		s := serve(t, e, settings{answers: answers})
		ids := s.large(1, 200_000)
		post := s.postOf(ids[0])
		release, ok := answers.Reserve(2 << 20) // all that there is for answers of its size
		if !ok {
			t.Fatal("got no free memory, want all of it free")
		}
		defer release()
		const message = `{"errors":[{"message":"the server has no memory for this answer now: try again","extensions":{"code":"UNAVAILABLE"}}]}`
		for name, document := range map[string]string{
			"query":    `{ posts { nodes { body } } }`,
			"mutation": fmt.Sprintf(`mutation { updatePost(input: {id: %q, title: "New"}) { post { body } } }`, post),
		} {
			status, text := s.send(http.MethodPost, s.url, s.body(document))
			if status.StatusCode != http.StatusServiceUnavailable || status.Header.Get("Retry-After") == "" || string(text) != message {
				t.Errorf("%s: got %d %v %s, want %s", name, status.StatusCode, status.Header, text, message)
			}
		}
		if got, want := s.data(`{ posts { nodes { title } } }`), `{"posts":{"nodes":[{"title":"Post 0"}]}}`; got != want {
			t.Errorf("a small answer: got %s, want %s", got, want)
		}
		release()
		if got := s.data(`{ posts { nodes { body } } }`); len(got) < 200_000 {
			t.Errorf("when there is memory again: got %d bytes, want at least 200000", len(got))
		}
	})
}
