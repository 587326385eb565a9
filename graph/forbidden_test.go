package graph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"roster/graph"
	"roster/internal/database"
	"roster/internal/dbtest"
)

// TestForeignUsers changes users who are not the caller: the answer is the same bytes whether the user exists or not, and
// whatever else is wrong.
func TestForeignUsers(t *testing.T) {
	t.Parallel()
	const missing = "user_01kg9p6je5tqmrz92xxm1cr6rb"
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{callers: columns{}})
		f := s.newUsersOf(1)
		other := strings.Trim(f.Replace("OTHER"), `"`)
		const document = `mutation ($input: UpdateUserInput!) { updateUser(input: $input) { user { id } } }`
		want := `{"errors":[{"message":"the caller may not update User","path":["updateUser"],"locations":[{"line":1,"column":39}],"extensions":{"code":"FORBIDDEN"}}],"data":null}`
		for name, input := range map[string]map[string]any{
			"nothing":           {},
			"a valid name":      {"username": "free"},
			"a taken name":      {"username": "self1"},
			"an invalid name":   {"username": "", "email": "x"},
			"null":              {"username": nil},
			"the right version": {"expectedVersion": 1},
			"another version":   {"expectedVersion": 7, "email": "free@example.com"},
		} {
			for _, id := range []string{other, missing, strings.Replace(other, "user_", "post_", 1)} {
				input["id"] = id
				_, text := s.send(http.MethodPost, s.url, s.body(document, "input", input), f.as(asMember)...)
				if got := string(text); got != want {
					t.Errorf("%s of %s: got %s, want %s", name, id, got, want)
				}
			}
		}
	})
}

// same reports whether two texts have equal JSON.
func same(t *testing.T, a, b string) bool {
	t.Helper()
	var values [2]any
	for i, text := range []string{a, b} {
		if err := json.Unmarshal([]byte(text), &values[i]); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
	return fmt.Sprint(values[0]) == fmt.Sprint(values[1])
}

// TestForeignPosts changes posts of another user: FORBIDDEN comes before all other faults.
func TestForeignPosts(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{callers: columns{}})
		f := s.newUsersOf(1)
		const missing, noUser = `"post_01kg9p6je5tqmrz92xxm1cr6rb"`, `"user_01kg9p6je5tqmrz92xxm1cr6rb"`
		for document, want := range map[string]string{
			`mutation { updatePost(input: {id: THEIRS, title: ""}) { post { id } } }`:                                   "no",
			`mutation { updatePost(input: {id: THEIRS, title: null, expectedVersion: 7}) { post { id } } }`:             "no",
			`mutation { updatePost(input: {id: THEIRS, authorId: MINE}) { post { id } } }`:                              "no",
			`mutation { updatePost(input: {id: MINE, authorId: OTHER, title: "", body: null}) { post { id } } }`:        "no",
			`mutation { updatePost(input: {id: MINE, authorId: ` + noUser + `, title: ""}) { post { id } } }`:           "no", // of nobody
			`mutation { updatePost(input: {id: ` + missing + `, authorId: OTHER}) { post { id } } }`:                    "no",
			`mutation { deletePost(input: {id: THEIRS, expectedVersion: 7}) { deletedId } }`:                            "no",
			`mutation { createPost(input: {authorId: OTHER, title: ""}) { post { id } } }`:                              "no",
			`mutation { createPost(input: {authorId: ` + noUser + `, title: ""}) { post { id } } }`:                     "no",
			`mutation { createPost(input: {authorId: MINE, title: ""}) { post { id } } }`:                               "no",
			`mutation { a: deletePost(input: {id: MINE}) { deletedId } deletePost(input: {id: THEIRS}) { deletedId } }`: "no",
			`mutation { updatePost(input: {id: MINE, title: ""}) { post { id } } }`:                                     "BLANK",
			`mutation { updatePost(input: {id: ` + missing + `, title: "T"}) { post { id } } }`:                         "NOT_FOUND",
			`mutation { updatePost(input: {id: MINE, authorId: SELF, expectedVersion: 1}) { post { id } } }`:            "ok",
		} {
			before := s.extent(f)
			h, text := s.ask(f.Replace(document), f.as(asMember)...)
			if got := outcome(t, h, text); got != want {
				t.Errorf("%s: got %s, want %s: %s", document, got, want, text)
			}
			if after := s.extent(f); after != before {
				t.Errorf("%s: got the state %s, want %s", document, after, before)
			}
		}
	})
}

// TestRefusals has documents that a caller may execute in part, or not at all.
func TestRefusals(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{callers: columns{}, executor: func(e *graph.Executor) { e.Undeclare("Query.post") }})
		f := s.newUsersOf(1)
		credentials := `{"message":"` + `this needs credentials: send the header Authorization with Bearer and a token or an API key`
		for _, test := range []struct {
			what     string
			column   int
			document string
			want     string
		}{
			{"fields of a fragment count", asNobody, `{ ...f } fragment f on Query { __typename users { nodes { id } } }`, `{"errors":[` + credentials +
				`","locations":[{"line":1,"column":43}],"extensions":{"code":"UNAUTHENTICATED"}}]}`},
			{"a field that is skipped does not", asNobody, `{ __typename users @skip(if: true) { nodes { id } } ... @include(if: false) { stats { userCount } } }`, `{"data":{"__typename":"Query"}}`},
			{"a reader who wants to write", asReader, `mutation { createPost(input: {authorId: SELF, title: "T"}) { post { id } } }`, `{"errors":[` + credentials +
				`","locations":[{"line":1,"column":12}],"extensions":{"code":"UNAUTHENTICATED"}}]}`},
			{"a reader who wants more than it may", asReader, `{ users { nodes { id } } stats { userCount } }`, `{"errors":[` + credentials +
				`","locations":[{"line":1,"column":26}],"extensions":{"code":"UNAUTHENTICATED"}}]}`},
			{"no role", asNoRole, `{ __typename users { nodes { id } } }`, `{"errors":[{"message":"the caller has no role on this server, so it may only select viewer: ask an administrator for a role",` +
				`"locations":[{"line":1,"column":14}],"extensions":{"code":"FORBIDDEN"}}]}`},
			{"no user", asNoUser, `{ users { nodes { id } } }`, `{"errors":[{"message":"no user has the identity of the caller, so it may only select viewer: ask an administrator to set it",` +
				`"locations":[{"line":1,"column":3}],"extensions":{"code":"FORBIDDEN"}}]}`},
			{
				"all fields that are forbidden, before their arguments", asMember, `{ b: changes(first: 0) { endCursor } a: user(by: {username: "a"}) { id } changesCursor }`,
				`{"errors":[{"message":"the caller may not read Change","path":["b"],"locations":[{"line":1,"column":3}],"extensions":{"code":"FORBIDDEN"}},` +
					`{"message":"the caller may not read Change","path":["changesCursor"],"locations":[{"line":1,"column":74}],"extensions":{"code":"FORBIDDEN"}}],"data":null}`,
			},
			{
				"in bulk", asMember, `mutation { createPosts(inputs: []) { posts { id } } }`,
				`{"errors":[{"message":"the caller may not create Post in bulk","path":["createPosts"],"locations":[{"line":1,"column":12}],"extensions":{"code":"FORBIDDEN"}}],"data":null}`,
			},
			{
				"a field without a permission, which may be null", asMember, `{ post(id: MINE) { id } user(by: {id: SELF}) { username } }`,
				`{"errors":[{"message":"the caller may not read Query.post","path":["post"],"locations":[{"line":1,"column":3}],"extensions":{"code":"FORBIDDEN"}}],` +
					`"data":{"post":null,"user":{"username":"self1"}}}`,
			},
			{"the same as an ADMIN", asAdmin, `{ post(id: MINE) { title } }`, `{"data":{"post":{"title":"Mine"}}}`},
		} {
			if _, got := s.ask(f.Replace(test.document), f.as(test.column)...); !same(t, got, test.want) {
				t.Errorf("%s: got %s, want %s", test.what, got, test.want)
			}
		}
	})
}

// TestForbiddenKey sends forbidden mutations with an idempotency key: they do not claim it.
func TestForbiddenKey(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{callers: columns{}})
		f := s.newUsersOf(1)
		document := f.Replace(`mutation { createUser(input: {username: "NEW", email: "NEW@example.com"}) { user { username } } }`)
		send := func(column int) (string, string) {
			h, text := s.send(http.MethodPost, s.url, s.body(document), append(f.as(column), "Idempotency-Key", "k")...)
			return outcome(t, h, string(text)), h.Header.Get("Idempotency-Replayed")
		}
		for i, want := range []string{"no ", "403 ", "ok ", "ok true"} {
			outcome, replayed := send([]int{asMember, asNoUser, asAdmin, asAdmin}[i])
			if got := outcome + " " + replayed; got != want {
				t.Errorf("request %d: got %s, want %s", i, got, want)
			}
		}
	})
}

// TestKeyAuthority repeats mutations under an idempotency key with other permissions of the same subject: the answer is for
// the permissions that it was stored for, and for an ADMIN.
func TestKeyAuthority(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{callers: columns{}})
		f, other := s.newUsersOf(1), s.newUsersOf(2)
		document := f.Replace(`mutation { createPost(input: {authorId: SELF, title: "T"}) { post { author { identity { subject } } } } }`)
		send := func(key string, caller []string) string {
			h, text := s.send(http.MethodPost, s.url, s.body(document), append(caller, "Idempotency-Key", key)...)
			return strings.TrimSpace(outcome(t, h, strings.Replace(string(text), `"errors":[{`, `"errors":[{"path":[1],"locations":[1],`, 1)) + " " + h.Header.Get("Idempotency-Replayed"))
		}
		for i, step := range []struct {
			key    string
			caller []string
			want   string
		}{
			{"a", f.as(asAdmin), "ok"},
			{"a", f.as(asAdmin), "ok true"},
			{"a", f.as(asMember), "403"},
			{"b", f.as(asMember), "ok"},
			{"b", f.as(asMember), "ok true"},
			{"b", other.as(asMember), "403"},
			{"b", f.as(asNoRole), "403"},
			{"b", f.as(asAdmin), "ok true"},
		} {
			if got := send(step.key, step.caller); got != step.want {
				t.Errorf("step %d: got %s, want %s", i, got, step.want)
			}
		}
		// A server of the previous release claims keys without an authority.
		session := s.db.Session(database.Write)
		err := session.Exec(s.Context(), "UPDATE idempotency_keys SET authority = NULL", []any{}, nil)
		if err := errors.Join(err, session.Commit()); err != nil {
			t.Fatal(err)
		}
		if got := send("a", f.as(asMember)); got != "ok true" {
			t.Errorf("without an authority: got %s, want ok true", got)
		}
	})
}

// TestSecretKey creates an API key under an idempotency key: nothing happens, because the answer must not be stored.
func TestSecretKey(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{callers: columns{}})
		f := s.newUsersOf(1)
		before := s.extent(f)
		document := `mutation { revokeApiKey(input: {id: KEY}) { apiKey { id } } ...f } fragment f on Mutation { createApiKey(input: {name: "k", roles: [ADMIN]}) { secret } }`
		for column, want := range map[int]string{asAdmin: "400 BAD_REQUEST", asMember: "200 FORBIDDEN FORBIDDEN"} {
			h, text := s.send(http.MethodPost, s.url, s.body(f.Replace(document)), append(f.as(column), "Idempotency-Key", "k")...)
			var a answer
			if err := json.Unmarshal(text, &a); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(h.StatusCode, " ", a.codes()); got != want {
				t.Errorf("column %d: got %s, want %s: %s", column, got, want, text)
			}
		}
		if after := s.extent(f); after != before {
			t.Errorf("got the state %s, want %s", after, before)
		}
	})
}
