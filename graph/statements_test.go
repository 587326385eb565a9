package graph_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/graph"
	"roster/internal/database"
	"roster/internal/dbtest"
)

// crowd is what a test of statements reads: so many users with so many posts each.
type crowd struct {
	users, posts int
	userIDs      []string
	postIDs      []string // of the first user, of the second, and so on
}

// populate creates a crowd.
func populate(s *tester, users, posts int) crowd {
	s.Helper()
	c := crowd{users: users, posts: posts}
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

// rows is how many rows an edge of the schema leads to from one in a crowd, of the edges that a crowd has. All the others
// are for TestEveryEdge.
func (c crowd) rows(edge string) (n int, ok bool) {
	n, ok = map[string]int{"User.posts": c.posts, "Post.author": 1}[edge]
	return n, ok
}

// hop is an edge: a field of an entity that leads to entities.
type hop struct {
	owner, name, target string
	connection          bool
}

// hopsOf returns the edges of an entity that a crowd has.
func hopsOf(schema *ast.Schema, t *ast.Definition) (hops []hop) {
	for _, f := range t.Fields {
		target, connection := schema.Types[f.Type.Name()], false
		if nodes := target.Fields.ForName("nodes"); nodes != nil && strings.HasSuffix(target.Name, "Connection") {
			target, connection = schema.Types[nodes.Type.Name()], true
		}
		if _, ok := (crowd{}).rows(t.Name + "." + f.Name); ok && slices.Contains(target.Interfaces, "Node") {
			hops = append(hops, hop{t.Name, f.Name, target.Name, connection})
		}
	}
	return hops
}

// paths returns all sequences of edges up to a length that start at an entity, the empty one too.
func paths(schema *ast.Schema, from string, length int) (list [][]hop) {
	list = [][]hop{nil}
	if length == 0 {
		return list
	}
	for _, e := range hopsOf(schema, schema.Types[from]) {
		for _, rest := range paths(schema, e.target, length-1) {
			list = append(list, append([]hop{e}, rest...))
		}
	}
	return list
}

// along selects the edges of a path, and the ID of each row at its end.
func along(path []hop) string {
	if len(path) == 0 {
		return "{ id }"
	}
	if path[0].connection {
		return fmt.Sprintf("{ id %s(first: 100) { edges { cursor node %s } } }", path[0].name, along(path[1:]))
	}
	return fmt.Sprintf("{ id %s %s }", path[0].name, along(path[1:]))
}

// ends counts the rows at the end of a path in an answer.
func ends(t *testing.T, data any, path []hop) int {
	t.Helper()
	n := 0
	switch v := data.(type) {
	case []any:
		for _, element := range v {
			n += ends(t, element, path)
		}
	case map[string]any:
		switch {
		case v["edges"] != nil:
			return ends(t, v["edges"], path)
		case v["nodes"] != nil:
			return ends(t, v["nodes"], path)
		case v["node"] != nil:
			return ends(t, v["node"], path)
		case len(path) > 0:
			return ends(t, v[path[0].name], path[1:])
		case v["id"] == nil:
			t.Fatalf("no row: %v", v)
		}
		return 1
	}
	return n
}

// TestStatementsOfQueries walks the schema from everything that a query starts at, along all edges: each level is one
// statement, whether it has one row or hundreds, and has the rows that it should.
func TestStatementsOfQueries(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: graph.SDL()})
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		for _, size := range []struct{ users, posts int }{{1, 1}, {100, 3}} {
			s := serve(t, e, settings{})
			c := populate(s, size.users, size.posts)
			for _, root := range []struct {
				field, entity string
				rows          int
			}{
				{"users(first: 100) { nodes %s }", "User", c.users},
				{"users(last: 100) { edges { node %s } }", "User", c.users},
				{"posts(first: 100) { nodes %s }", "Post", min(c.users*c.posts, 100)},
				{"nodes(ids: $users) { ... on User %s }", "User", c.users},
				{"nodes(ids: $posts) { ... on Post %s }", "Post", min(c.users*c.posts, 100)},
				{"node(id: $user) { ... on User %s }", "User", 1},
				{"node(id: $post) { ... on Post %s }", "Post", 1},
				{"user(by: {id: $user}) %s", "User", 1},
				{`user(by: {username: "u0"}) %s`, "User", 1},
				{`user(by: {email: "u0@example.com"}) %s`, "User", 1},
				{"post(id: $post) %s", "Post", 1},
			} {
				for _, path := range paths(schema, root.entity, 4) {
					field := fmt.Sprintf(root.field, along(path))
					document, variables := operation("query", field, []variable{
						{"user", "ID!", c.userIDs[0]},
						{"users", "[ID!]!", c.userIDs},
						{"post", "ID!", c.postIDs[0]},
						{"posts", "[ID!]!", c.postIDs[:min(len(c.postIDs), 100)]},
					})
					var data map[string]any
					s.must(&data, document, variables...)
					rows := root.rows
					for _, edge := range path {
						n, _ := c.rows(edge.owner + "." + edge.name)
						rows *= n
					}
					for _, value := range data {
						if got := ends(t, value, path); got != rows {
							t.Errorf("%s: %d rows, want %d", field, got, rows)
						}
					}
					if got := s.statements.take(); len(got) != 1+len(path) {
						t.Errorf("%s with %d rows: %d statements, want one for each of %d levels:\n%s",
							field, rows, len(got), 1+len(path), strings.Join(got, "\n"))
					}
				}
			}
		}
	})
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
					t.Errorf("%s: %+v", document, a.Errors)
				}
				if got := s.statements.take(); len(got) != want {
					t.Errorf("%s with %d users: %d statements, want %d:\n%s", document, users, len(got), want, strings.Join(got, "\n"))
				}
			}
		}
	})
}

// TestStatementsOfMutations reads along all edges of what mutations return, however many posts there are.
func TestStatementsOfMutations(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: graph.SDL()})
	type mutation struct {
		field  string // with a place for a selection on an entity
		entity string
		own    int // how many statements it needs itself
		more   int // how many posts more than before its user then has
	}
	mutations := map[string]mutation{
		"createUser": {`createUser(input: {username: $name, email: $email, posts: $posts}) { user %s }`, "User", 2, 0},
		"updateUser": {`updateUser(input: {id: $user, username: $name, email: $email}) { user %s }`, "User", 2, 0},
		"deleteUser": {`deleteUser(input: {id: $user, dependents: CASCADE}) { deletedId }`, "", 4, 0},
		"createPost": {`createPost(input: {authorId: $user, title: "new"}) { post %s }`, "Post", 1, 1},
		"updatePost": {`updatePost(input: {id: $post, title: "changed"}) { post %s }`, "Post", 2, 0},
		"deletePost": {`deletePost(input: {id: $post}) { author %s }`, "User", 3, -1},
	}
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		for _, posts := range []int{2, 90} {
			s := serve(t, e, settings{})
			c := populate(s, 40, posts)
			fresh := 0 // each mutation gets a user of its own
			for _, f := range schema.Mutation.Fields {
				m, ok := mutations[f.Name]
				if !ok { // it is for TestEveryEdgeOfMutations
					continue
				}
				all := [][]hop{nil}
				if m.entity != "" {
					all = paths(schema, m.entity, 3)
				}
				for _, path := range all {
					rows, field := 1, m.field
					if m.entity != "" {
						field = fmt.Sprintf(m.field, along(path))
					}
					for _, edge := range path {
						n, _ := c.rows(edge.owner + "." + edge.name)
						if edge.connection {
							n += m.more
						}
						rows *= n
					}
					name := fmt.Sprintf("new%d", fresh)
					document, variables := operation("mutation", field, []variable{
						{"name", "String!", name},
						{"email", "String!", name + "@example.com"},
						{"posts", "[UserPostInput!]", titles(posts)},
						{"user", "ID!", c.userIDs[fresh]},
						{"post", "ID!", c.postIDs[fresh*posts]},
					})
					fresh++
					var data map[string]map[string]any
					s.must(&data, document, variables...)
					for _, entity := range data[f.Name] {
						if got := ends(t, entity, path); m.entity != "" && got != rows {
							t.Errorf("%s: %d rows, want %d", field, got, rows)
						}
					}
					if got := s.statements.take(); len(got) != m.own+len(path) {
						t.Errorf("%s with %d posts: %d statements, want %d and one for each of %d levels:\n%s",
							field, posts, len(got), m.own, len(path), strings.Join(got, "\n"))
					}
				}
			}
		}
	})
}

// TestTransactions looks at what goes over the wire: one statement reads without a transaction, several read in one
// that only reads, and a mutation writes in one; each begins with the first statement.
func TestTransactions(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			wire := new(recording)
			var proxy *dbtest.Proxy
			s := serve(t, e, settings{database: func(o *database.Options) { o.URL, proxy = dbtest.ProxyURL(t, o.URL) }})
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
