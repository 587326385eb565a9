package graph_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"roster/internal/dbtest"
)

// crowd is what a test of statements reads.
type crowd struct {
	userIDs []string
	postIDs []string // of the first user, of the second, and so on
}

// populate creates so many users with so many posts each.
func populate(s *tester, users, posts int) crowd {
	s.Helper()
	var c crowd
	const together = 20 // users in one operation
	for from := 0; from < users; from += together {
		var document strings.Builder
		document.WriteString("mutation ($posts: [UserPostInput!]) {")
		for i := from; i < min(users, from+together); i++ {
			fmt.Fprintf(&document, `u%d: createUser(input: {username: "u%d", email: "u%d@example.com", posts: $posts}) { user { id posts(first: 100) { nodes { id } } } }`, i, i, i)
		}
		document.WriteString("}")
		var made map[string]struct {
			User struct {
				ID    string
				Posts struct{ Nodes []struct{ ID string } }
			}
		}
		s.must(&made, document.String(), "posts", titles(posts))
		for i := from; i < min(users, from+together); i++ {
			user := made[fmt.Sprintf("u%d", i)].User
			c.userIDs = append(c.userIDs, user.ID)
			for _, p := range user.Posts.Nodes {
				c.postIDs = append(c.postIDs, p.ID)
			}
		}
	}
	s.statements.take()
	return c
}

// titles is the input of so many posts.
func titles(n int) []map[string]string {
	input := make([]map[string]string, n)
	for i := range input {
		input[i] = map[string]string{"title": fmt.Sprintf("Post %d", i)}
	}
	return input
}

// variable is one that an operation may use.
type variable struct {
	name, kind string
	value      any
}

// operation makes an operation of a field, with those of the variables that it uses.
func operation(kind, field string, all []variable) (document string, variables []any) {
	var declared []string
	for _, v := range all {
		if regexp.MustCompile(`\$` + v.name + `\b`).MatchString(field) {
			declared = append(declared, "$"+v.name+": "+v.kind)
			variables = append(variables, v.name, v.value)
		}
	}
	if declared != nil {
		kind += " (" + strings.Join(declared, ", ") + ")"
	}
	return kind + " { " + field + " }", variables
}

// TestStatementsOfSelections reads several edges at once, and what is no edge.
func TestStatementsOfSelections(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		for _, users := range []int{1, 60} {
			s := serve(t, e, settings{})
			c := populate(s, users, 2)
			for field, want := range map[string]int{
				"users(first: 100) { totalCount }":                                                                                         2, // the page and the count
				"users(first: 100) { nodes { posts { totalCount } } totalCount }":                                                          4,
				"users(first: 100) { nodes { a: posts(first: 1) { nodes { id } } b: posts(last: 1) { nodes { id } } } }":                   3,
				"users(first: 100) { nodes { a: posts { nodes { id } } b: posts { nodes { id } } } }":                                      2, // the same twice
				"posts(first: 100) { nodes { a: author { id } b: author { username } c: author { id } } }":                                 3,
				"posts(first: 100) { nodes { author { posts { nodes { author { posts { nodes { title } } } } } } } }":                      5,
				"users(first: 100) { nodes { posts { nodes { title } } } edges { node { posts { nodes { title } } } } }":                   2,
				"users(first: 100) { nodes { id } } posts(first: 100) { nodes { id } }":                                                    2,
				"users(first: 100) { nodes { ... { posts { nodes { author { username ... on User { email } } } } } ... on Node { id } } }": 3,
				`users(first: 100, where: {hasPosts: true}, orderBy: [{field: EMAIL}]) {
					nodes { posts(where: {title: {startsWith: "p"}}, orderBy: [{field: TITLE}]) { nodes { id } totalCount } }
				}`: 3,
				"nodes(ids: $users) { id ... on User { posts { nodes { id } } } } more: nodes(ids: $posts) { ... on Post { author { id } } }": 4,
				"nodes(ids: $both) { ... on User { posts { nodes { id } } } ... on Post { author { id } } }":                                  4,
				"nodes(ids: []) { id }":          0,
				"users(first: 0) { totalCount }": 0,
				"__typename":                     0,
				"__schema { types { name } }":    0,
			} {
				document, variables := operation("query", field, []variable{
					{"users", "[ID!]!", c.userIDs},
					{"posts", "[ID!]!", c.postIDs[:min(len(c.postIDs), 100)]},
					{"both", "[ID!]!", slices.Concat(c.userIDs[:min(users, 50)], c.postIDs[:min(len(c.postIDs), 50)])},
				})
				if a := s.do(document, variables...); len(a.Errors) > 0 && a.codes() != "INVALID" {
					t.Errorf("%s: got %+v, want no code other than INVALID", document, a.Errors)
				}
				if got := s.statements.take(); len(got) != want {
					t.Errorf("%s with %d users: %d statements, want %d:\n%s", document, users, len(got), want, strings.Join(got, "\n"))
				}
			}
		}
	})
}

// TestStatementsOfMutations counts what each mutation needs itself, with the one for its changes. What hangs on its payload
// is read as in a query.
func TestStatementsOfMutations(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		for _, posts := range []int{2, 90} {
			s := serve(t, e, settings{})
			c := populate(s, 3, posts)
			for _, test := range []struct {
				field string
				want  int
			}{
				{`createUser(input: {username: "a", email: "a@example.com"}) { user { username } }`, 2},
				{`createUser(input: {username: "b", email: "b@example.com", posts: $posts}) { user { posts { totalCount } } }`, 5},
				{`createUser(input: {username: "", email: ""}) { user { id } }`, 0},
				{`createUser(input: {username: "", email: "u0@example.com"}) { user { id } }`, 1},               // is the address taken?
				{`createUser(input: {username: "U0", email: "u0@example.com"}) { user { id } }`, 3},             // it failed; what is taken?
				{`updateUser(input: {id: $user, username: "c", email: "c@example.com"}) { user { email } }`, 3}, // lock and change
				{`updateUser(input: {id: $user}) { user { email } }`, 1},                                        // nothing to change
				{`updateUser(input: {id: $post}) { user { email } }`, 0},
				{`createPost(input: {authorId: $user, title: "new"}) { post { title } }`, 2},
				{`updatePost(input: {id: $post, title: "changed"}) { post { title } }`, 3},
				{`deletePost(input: {id: $post}) { deletedId }`, 3},
				{`deleteUser(input: {id: $user}) { deletedId }`, 2},                      // lock it and count its posts
				{`deleteUser(input: {id: $user, dependents: CASCADE}) { deletedId }`, 6}, // these go before it
			} {
				document, variables := operation("mutation", test.field, []variable{
					{"posts", "[UserPostInput!]", titles(posts)}, {"user", "ID!", c.userIDs[0]}, {"post", "ID!", c.postIDs[posts]},
				})
				answer, got := s.do(document, variables...), s.statements.take()
				n := onAnyEngine(got)
				if len(answer.Errors) > 0 { // no engine came to the changes
					n = len(got)
				}
				if n != test.want {
					t.Errorf("%s with %d posts: %d statements, want %d:\n%s", test.field, posts, n, test.want, strings.Join(got, "\n"))
				}
			}
		}
	})
}

// onAnyEngine counts statements where engines differ. SQLite numbers changes by a statement of its own, which does not count.
// PostgreSQL inserts the changes together with created rows; this counts twice.
func onAnyEngine(statements []string) (n int) {
	for _, query := range statements {
		switch {
		case strings.HasPrefix(query, "UPDATE feed "):
		case strings.HasPrefix(query, "WITH first AS (INSERT "):
			n += 2
		default:
			n++
		}
	}
	return n
}

// TestTransactions looks at what goes over the wire: one statement reads without a transaction, several read in one
// that only reads, and a mutation writes in one; each begins with the first statement.
func TestTransactions(t *testing.T) {
	t.Parallel()
	overNetwork(t, 0, func(t *testing.T, s *tester, proxy *dbtest.Proxy) {
		wire := new(recording)
		c := populate(s, 2, 2)
		proxy.LoseAnswers(func(request []byte) bool {
			wire.add(string(request))
			return false
		})
		for field, want := range map[string]string{
			"{ users { nodes { username } } }":                              "",
			"{ node(id: $post) { ... on Post { title } } }":                 "",
			"{ user(by: {id: $user}) { username } }":                        "",
			"{ __typename }":                                                "",
			"{ users { nodes { posts { nodes { title } } } } }":             "reads",
			"{ users { totalCount } }":                                      "reads",
			"{ a: post(id: $post) { title } b: post(id: $post) { title } }": "reads",
			"{ users(first: 0) { totalCount } }":                            "",
		} {
			document, variables := operation("query", strings.Trim(field, "{}"), []variable{{"user", "ID!", c.userIDs[0]}, {"post", "ID!", c.postIDs[0]}})
			s.do(document, variables...)
			if got := transactions(wire.take()); got != want {
				t.Errorf("%s: %q, want %q", field, got, want)
			}
		}
		for input, want := range map[string]string{
			`{id: "` + c.userIDs[0] + `", username: "changed"}`: "writes commits",
			`{id: "` + c.userIDs[0] + `"}`:                      "writes commits",
			`{id: "` + c.userIDs[0] + `", username: ""}`:        "writes rolls back",
			`{id: "` + c.postIDs[0] + `"}`:                      "", // it fails before any statement
		} {
			s.do("mutation { updateUser(input: " + input + ") { user { id } } }")
			if got := transactions(wire.take()); got != want {
				t.Errorf("updateUser(%s): %q, want %q", input, got, want)
			}
		}
	})
}

// transactions tells what of transactions went over the wire.
func transactions(wire []string) string {
	var seen []string
	for _, request := range wire {
		for _, word := range []struct{ sent, means string }{
			{"READ ONLY", "reads"}, {"COMMITTED", "writes"}, {"COMMIT\x00", "commits"}, {"ROLLBACK", "rolls back"},
		} {
			if strings.Contains(strings.ToUpper(request)+"\x00", word.sent) {
				seen = append(seen, word.means)
			}
		}
	}
	if len(seen) > 0 && seen[0] == "reads" {
		return "reads" // how it ends makes no difference
	}
	return strings.Join(seen, " ")
}
