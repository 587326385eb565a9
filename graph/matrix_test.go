package graph_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	gqlrules "github.com/vektah/gqlparser/v2/validator/rules"

	"roster/ent/rules"
	"roster/graph"
	"roster/internal/auth"
	"roster/internal/dbtest"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// The columns of the matrix: the callers. A word says what each gets:
//
//	ok    the answer, without an error and without null
//	null  an answer with null and without an error
//	no    FORBIDDEN for the field, or UNAUTHENTICATED if the caller is nobody, and nothing happens
//	401   UNAUTHENTICATED for the whole document, without data
//	403   FORBIDDEN for the whole document, without data
//	else  the code of an error
const (
	//         nobody   reader   no role  no user  MEMBER   its key  ADMIN    its key  suspended
	anyone  = "ok       ok       ok       ok       ok       ok       ok       ok       403"
	readers = "401      ok       403      403      ok       ok       ok       ok       403"
	owner   = "401      401      403      403      ok       no       ok       ok       403"
	admins  = "401      401      403      403      no       no       ok       ok       403"
	self    = "401      null     403      403      ok       null     ok       ok       403"
	others  = "401      null     403      403      null     null     ok       ok       403"
	search  = "401      401      403      403      no       no       ok       ok       403"
	follows = "401      401      403      403      403      403      ok       ok       403"
)

// Columns of the matrix.
const (
	asNobody    = 0
	asReader    = 1
	asNoRole    = 2
	asNoUser    = 3
	asMember    = 4
	asAdmin     = 6
	asSuspended = 8
)

// callersOf returns the callers of the columns. self is the ID of their user, and key that of their API key.
func callersOf(self, key typeid.ID) []rules.Caller {
	const issuer, subject, name = "https://id.example", "ada", "Ada"
	members, admins := []rules.Role{rules.Member}, []rules.Role{rules.Admin}
	return []rules.Caller{
		{},
		{Reader: true},
		{Issuer: issuer, Subject: subject, Name: name, User: self},
		{Issuer: issuer, Subject: subject, Name: name, Roles: members},
		{Issuer: issuer, Subject: subject, Name: name, Roles: members, User: self},
		{Subject: key.String(), Name: name, Roles: members, Key: key},
		{Issuer: issuer, Subject: subject, Name: name, Roles: admins, User: self},
		{Subject: key.String(), Name: name, Roles: admins, Key: key},
	}
}

// A permission is a row of the matrix. SELF is the ID of the caller's user, MINE of a post of this user, OTHER of another
// user, THEIRS of a post of the other user, KEY of an API key, and NEW is a new text. The documents have all fields, inputs and orders of the schema.
type permission struct{ what, who, document string }

func matrix() []permission {
	const (
		user   = `id username email createdAt updatedAt version status`
		post   = `id title body createdAt updatedAt version author { id }`
		page   = `pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount`
		change = `cursor type nodeId kind version changedFields at actor node { id }`
		times  = `{gt: "2001-01-01T00:00:00Z", gte: "2001-01-01T00:00:00Z", lt: "2100-01-01T00:00:00Z", lte: "2100-01-01T00:00:00Z"}`
		texts  = `{eq: "ab", in: ["ab"], startsWith: "ab", contains: "ab"}`
	)
	return []permission{
		{"the type name", anyone, `{ __typename }`},
		{"the viewer", "null null ok ok ok ok ok ok 403", `{ viewer { subject roles } }`},
		{"the user of the viewer", "null null ok null ok null ok null 403", `{ viewer { user { email identity { subject } posts { nodes { author { id } } } } } }`},
		{"introspection", anyone, `{ __schema { queryType { name } } __type(name: "User") { name } }`},

		// Reads.
		{"the own user", readers, `{ user(by: {id: SELF}) { ` + user + ` posts { nodes { id } } } }`},
		{"another user", readers, `{ user(by: {id: OTHER}) { ` + user + ` posts { nodes { id } } } }`},
		{"a post", readers, `{ post(id: THEIRS) { ` + post + ` } }`},
		{"users", readers, `{ users(where: {id: {in: [SELF, OTHER]}}) { nodes { id } edges { cursor node { id } } ` + page + ` } }`},
		{"posts", readers, `{ posts(where: {authorId: {eq: OTHER}}) { nodes { id } edges { cursor node { id author { username } } } ` + page + ` } }`},
		{"filters of users", readers, `{ users(where: {id: {eq: SELF, in: []}, username: ` + texts + `, email: ` + texts + `, createdAt: ` + times + `,
			updatedAt: ` + times + `, status: ACTIVE, hasPosts: true, and: [], or: [], not: {}}) { totalCount } }`},
		{"filters of posts", readers, `{ posts(where: {id: {eq: MINE}, title: ` + texts + `, authorId: {eq: SELF}, createdAt: ` + times + `,
			updatedAt: ` + times + `, and: [], or: [], not: {}}) { totalCount } }`},
		{"orders of users", readers, `{ users(orderBy: [{field: USERNAME, direction: DESC}, {field: EMAIL}, {field: CREATED_AT}, {field: UPDATED_AT}]) { nodes { id } } }`},
		{"orders of posts", readers, `{ posts(orderBy: [{field: TITLE, direction: DESC}, {field: CREATED_AT}, {field: UPDATED_AT}]) { nodes { id } } }`},
		{"the user by its names", readers, `{ a: user(by: {username: "SELF_NAME"}) { id } b: user(by: {email: "SELF_NAME@example.com"}) { id } }`},
		{"node", readers, `{ user: node(id: OTHER) { id ... on User { email } } post: node(id: THEIRS) { ... on Post { body } } }`},
		{"nodes", readers, `{ nodes(ids: [SELF, OTHER, MINE, THEIRS]) { id } }`},

		{"the own identity", self, `{ user(by: {id: SELF}) { identity { issuer subject } } }`},
		{"the identity of another user", others, `{ users(where: {id: {eq: OTHER}}) { nodes { identity { subject } } } }`},
		{"the identity of another author", others, `{ post(id: THEIRS) { author { identity { subject } } } }`},
		{"the user with an identity", search, `{ user(by: {identity: {issuer: "https://id.example", subject: "SELF_NAME"}}) { id } }`},
		{"the user with no possible identity", "401 401 403 403 no no null null 403", `{ user(by: {identity: {issuer: "https://id.example", subject: "no one"}}) { id } }`},
		{"users with an identity", search, `{ users(where: {hasIdentity: true}) { totalCount } }`},
		{"users with an identity, in part of a filter", search, `{ users(where: {or: [{not: {hasIdentity: false}}]}, first: 1) { nodes { id } } }`},

		// API keys.
		{"an API key", others, `{ node(id: KEY) { id ... on ApiKey { name } } }`},
		{"an API key among nodes", others, `{ nodes(ids: [KEY]) { id } }`},
		{"API keys", admins, `{ apiKeys(where: {id: {eq: KEY}}) { nodes { id name roles prefix createdAt updatedAt version expiresAt } edges { cursor node { id } } ` + page + ` } }`},
		{"the times of API keys", "401 401 403 403 no no null null 403", `{ apiKeys(where: {id: {eq: KEY}}) { nodes { lastUsedAt revokedAt } } }`},
		{"filters of API keys", admins, `{ apiKeys(where: {id: {eq: KEY}, name: ` + texts + `, createdAt: ` + times + `, updatedAt: ` + times + `, expiresAt: ` + times + `,
			revoked: true, and: [], or: [], not: {}}) { totalCount } }`},
		{"orders of API keys", admins, `{ apiKeys(orderBy: [{field: NAME, direction: DESC}, {field: CREATED_AT}, {field: UPDATED_AT}]) { nodes { id } } }`},
		{"create an API key", admins, `mutation { createApiKey(input: {name: "NEW", roles: [ADMIN, MEMBER], expiresAt: "2100-01-01T00:00:00Z"}) { apiKey { id } secret } }`},
		{"revoke an API key", admins, `mutation { revokeApiKey(input: {id: KEY, expectedVersion: 1}) { apiKey { revokedAt } } }`},

		// The feed and the statistics.
		{"changes", admins, `{ changes(nodeIds: [SELF], actor: "grace") { changes { ` + change + ` } endCursor caughtUp } }`},
		{"the end of the changes", admins, `{ changesCursor }`},
		{"new changes", follows, `subscription { changes(after: "CURSOR", nodeIds: [SELF]) { ` + change + ` } }`},
		{"statistics", admins, `{ stats { userCount postCount usersWithoutPosts
			signUps(from: "2026-01-01T00:00:00Z", to: "2026-02-01T00:00:00Z") { from to users } } }`},

		// Users.
		{"create a user", admins, `mutation { createUser(input: {username: "NEW", email: "NEW@example.com", status: ACTIVE,
			identity: {issuer: "https://id.example", subject: "NEW"}, posts: [{title: "T", body: "B"}]}) { user { id } } }`},
		{"change the own user", owner, `mutation { updateUser(input: {id: SELF, username: "NEW", email: "NEW@example.com", expectedVersion: 1}) { user { username } } }`},
		{"change the own status", admins, `mutation { updateUser(input: {id: SELF, status: ACTIVE}) { user { status } } }`},
		{"change the own identity", admins, `mutation { updateUser(input: {id: SELF, identity: {issuer: "https://id.example", subject: "NEW"}}) { user { id } } }`},
		{"remove the own identity", admins, `mutation { updateUser(input: {id: SELF, username: "NEW", identity: null}) { user { id } } }`},
		{"change another user", admins, `mutation { updateUser(input: {id: OTHER, username: "NEW"}) { user { id } } }`},
		{"delete the own user", admins, `mutation { deleteUser(input: {id: SELF, dependents: CASCADE, expectedVersion: 1}) { deletedId } }`},
		{"delete another user", admins, `mutation { deleteUser(input: {id: OTHER, dependents: CASCADE}) { deletedId } }`},
		{"create many users", admins, `mutation { createUsers(inputs: [{username: "NEW", email: "NEW@example.com"}]) { users { id } } }`},
		{"change many users", admins, `mutation { updateUsers(inputs: [{id: SELF, username: "NEW"}]) { users { id } } }`},
		{"delete many users", admins, `mutation { deleteUsers(inputs: [{id: SELF, dependents: CASCADE}]) { deletedIds } }`},
		{"create or change many users", admins, `mutation { upsertUsers(inputs: [{username: "SELF_NAME", email: "NEW@example.com"}]) { users { id } created updated unchanged } }`},

		// Posts.
		{"create a post", owner, `mutation { createPost(input: {authorId: SELF, title: "T", body: "B"}) { post { author { email } } } }`},
		{"create a post of another user", admins, `mutation { createPost(input: {authorId: OTHER, title: "T"}) { post { id } } }`},
		{"create many posts", admins, `mutation { createPosts(inputs: [{authorId: SELF, title: "T"}]) { posts { id } } }`},
		{"change an own post", owner, `mutation { updatePost(input: {id: MINE, title: "NEW", body: "NEW", expectedVersion: 1}) { post { title } } }`},
		{"give an own post to its author", owner, `mutation { updatePost(input: {id: MINE, authorId: SELF}) { post { id } } }`},
		{"give an own post to another user", admins, `mutation { updatePost(input: {id: MINE, authorId: OTHER}) { post { id } } }`},
		{"take a post of another user", admins, `mutation { updatePost(input: {id: THEIRS, authorId: SELF}) { post { id } } }`},
		{"change a post of another user", admins, `mutation { updatePost(input: {id: THEIRS, title: "NEW"}) { post { id } } }`},
		{"delete an own post", owner, `mutation { deletePost(input: {id: MINE, expectedVersion: 1}) { deletedId author { id } } }`},
		{"delete a post of another user", admins, `mutation { deletePost(input: {id: THEIRS}) { deletedId author { id } } }`},
	}
}

// twoUsers are the users of a cell of the matrix, and what stands for them in the documents.
type twoUsers struct {
	self typeid.ID
	*strings.Replacer
}

// newUsersOf creates two users, each with a post, and an API key.
func (s *tester) newUsersOf(n int) twoUsers {
	s.Helper()
	cursor := s.cursor()
	type created struct {
		User struct {
			ID    typeid.ID
			Posts struct{ Nodes []struct{ ID string } }
		}
	}
	var made struct {
		Self, Other created
		Key         struct{ APIKey struct{ ID string } }
	}
	user := func(name, title string) string {
		return fmt.Sprintf(`createUser(input: {username: "%s%d", email: "%[1]s%[2]d@example.com", identity: {issuer: "https://id.example", subject: "%[1]s%[2]d"},
			posts: [{title: %[3]q}]}) { user { id posts { nodes { id } } } }`, name, n, title)
	}
	s.must(&made, `mutation {
		self: `+user("self", "Mine")+`
		other: `+user("other", "Theirs")+`
		key: createApiKey(input: {name: "key", roles: [MEMBER], expiresAt: "2100-01-01T00:00:00Z"}) { apiKey { id } }
	}`)
	quote := func(id any) string { return fmt.Sprintf("%q", fmt.Sprint(id)) }
	return twoUsers{made.Self.User.ID, strings.NewReplacer(
		"SELF_NAME", fmt.Sprint("self", n), "SELF", quote(made.Self.User.ID), "OTHER", quote(made.Other.User.ID),
		"MINE", quote(made.Self.User.Posts.Nodes[0].ID), "THEIRS", quote(made.Other.User.Posts.Nodes[0].ID),
		"KEY", quote(made.Key.APIKey.ID), "NEW", fmt.Sprint("new", n), "CURSOR", cursor,
	)}
}

// columns is an Authenticator of the callers of the matrix. Credentials are a column and the ID of the caller's user.
// Without credentials, the caller is an ADMIN.
type columns struct{}

func (columns) Authenticate(ctx context.Context, authorization ...string) (context.Context, error) {
	caller := rules.Everyone()
	caller.Subject = "grace"
	if len(authorization) > 0 {
		column, self := 0, ""
		if _, err := fmt.Sscan(authorization[0], &column, &self); err != nil {
			return nil, err
		}
		var id typeid.ID
		if err := id.UnmarshalGQL(self); err != nil {
			return nil, err
		}
		if column == asSuspended {
			return nil, auth.ErrSuspended
		}
		caller = callersOf(id, typeid.New("api_key", uuid.UUID{1}))[column]
	}
	return rules.WithCaller(ctx, caller), nil
}

func (columns) Known(...string) bool { return true }

func (columns) Watch(context.Context, func(reason error)) (stop func()) { return func() {} }

// as returns the header of a caller.
func (f twoUsers) as(column int) []string {
	return []string{"Authorization", fmt.Sprint(column, " ", f.self)}
}

// TestMatrix sends each document of the matrix as each caller.
func TestMatrix(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := followAs(t, e, feed.Options{}, "", columns{})
		n := 0
		for _, row := range matrix() {
			words := strings.Fields(row.who)
			for column := range asSuspended + 1 {
				n++
				f := s.newUsersOf(n)
				before := s.extent(f)
				h, text := s.ask(f.Replace(row.document), f.as(column)...)
				got := outcome(t, h, text)
				if got != words[column] {
					t.Errorf("%s, column %d: got %s, want %s: %s", row.what, column, got, words[column], text)
				}
				if after := s.extent(f); got != "ok" && after != before {
					t.Errorf("%s, column %d: got the state %s, want %s", row.what, column, after, before)
				}
			}
		}
	})
}

// TestRulesCostNothing counts the statements of each document of the matrix: a MEMBER causes no more than an ADMIN, and
// nobody causes none.
func TestRulesCostNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{callers: columns{}})
		n := 0
		count := func(row permission, column int) (statements int) {
			n++
			f := s.newUsersOf(n)
			s.statements.take()
			s.ask(f.Replace(row.document), f.as(column)...)
			return len(s.statements.take())
		}
		for _, row := range matrix() {
			if row.who == follows {
				continue // the feed sends its own
			}
			if got := count(row, asNobody); row.who != anyone && got != 0 {
				t.Errorf("%s: got %d statements as asNobody, want none", row.what, got)
			}
			if strings.Fields(row.who)[asMember] == "no" {
				continue // some rows are read before they are refused
			}
			if got, want := count(row, asMember), count(row, asAdmin); got > want {
				t.Errorf("%s: got %d statements as a MEMBER, want at most %d, as an ADMIN causes", row.what, got, want)
			}
		}
	})
}

// extent returns how many users and posts there are, and the versions of two of the users and of their posts.
func (s *tester) extent(f twoUsers) string {
	s.Helper()
	return string(s.do(f.Replace(`{
		stats { userCount postCount }
		apiKeys(where: {revoked: false}) { totalCount }
		users(where: {id: {in: [SELF, OTHER]}}) { nodes { version posts { nodes { version author { id } } } } }
	}`)).Data)
}

// ask sends an operation and returns its response, or the first one of a subscription.
func (s *tester) ask(document string, headers ...string) (head, string) {
	s.Helper()
	if !strings.HasPrefix(document, "subscription") {
		h, text := s.send(http.MethodPost, s.url, s.body(document), headers...)
		return h, string(text)
	}
	request, err := http.NewRequestWithContext(s.Context(), http.MethodPost, s.url, bytes.NewReader(s.body(document)))
	if err != nil {
		s.Fatal(err)
	}
	for i, headers := 0, append(headers, "Content-Type", "application/json", "Accept", "text/event-stream"); i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.client.Do(request)
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for {
		line, err := lines.ReadString('\n')
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			return head{response.StatusCode, response.Header}, data
		}
		if err == io.EOF {
			return head{response.StatusCode, response.Header}, line // a refusal without a stream
		}
		if err != nil {
			s.Fatal(err)
		}
	}
}

// outcome returns the word of the matrix for a response.
func outcome(t *testing.T, h head, text string) string {
	t.Helper()
	var response struct {
		Data   any
		Errors []struct {
			Path       []any
			Locations  []any
			Extensions struct{ Code string }
		}
	}
	if err := json.Unmarshal([]byte(text), &response); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	whole := !strings.Contains(text, `"data":`)
	codes := map[string]bool{}
	for _, e := range response.Errors {
		codes[e.Extensions.Code] = true
		if !whole && (len(e.Path) == 0 || len(e.Locations) == 0) {
			return "an error without a place"
		}
	}
	challenge := h.Header.Get("WWW-Authenticate")
	switch {
	case whole && codes["UNAUTHENTICATED"] && (h.StatusCode != http.StatusUnauthorized || challenge != "Bearer"),
		whole && codes["FORBIDDEN"] && (h.StatusCode != http.StatusForbidden || challenge != ""),
		!whole && h.StatusCode != http.StatusOK:
		return fmt.Sprintf("the status %d with the challenge %q", h.StatusCode, challenge)
	case len(codes) == 0 && !hasNull(response.Data):
		return "ok"
	case len(codes) == 0:
		return "null"
	case len(codes) > 1:
		return "several codes"
	case whole && codes["UNAUTHENTICATED"]:
		return "401"
	case whole && codes["FORBIDDEN"]:
		return "403"
	case codes["FORBIDDEN"], codes["UNAUTHENTICATED"]:
		return "no"
	}
	return slices.Collect(maps.Keys(codes))[0]
}

// hasNull reports whether a value of JSON has null.
func hasNull(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), hasNull)
	case []any:
		return slices.ContainsFunc(v, hasNull)
	}
	return false
}

// TestMatrixIsWhole finds the fields, inputs and orders of the schema that the matrix does not have.
func TestMatrixIsWhole(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: graph.SDL()})
	seen := map[string]bool{}
	id := `"user_01kg9p6je5tqmrz92xxm1cr6rb"`
	f := strings.NewReplacer("SELF_NAME", "a", "SELF", id, "OTHER", id, "MINE", id, "THEIRS", id, "KEY", id)
	for _, row := range matrix() {
		document, err := gqlparser.LoadQueryWithRules(schema, f.Replace(row.document), gqlrules.NewDefaultRules())
		if err != nil {
			t.Fatalf("%s: %v", row.what, err)
		}
		if n := len(strings.Fields(row.who)); n != asSuspended+1 {
			t.Errorf("%s: got %d columns, want one for each caller", row.what, n)
		}
		addSelected(document.Operations[0].SelectionSet, seen)
	}
	for _, name := range coordinates(schema) {
		if !seen[name] {
			t.Errorf("got no row with %s in the matrix of graph/matrix_test.go, want one that says who may select it", name)
		}
	}
}

// coordinates returns the names of all fields, inputs and orders of a schema.
func coordinates(schema *ast.Schema) (names []string) {
	for _, of := range schema.Types {
		if of.BuiltIn || strings.HasPrefix(of.Name, "__") {
			continue
		}
		for _, f := range of.Fields {
			if !strings.HasPrefix(f.Name, "__") {
				names = append(names, of.Name+"."+f.Name)
			}
		}
		for _, v := range of.EnumValues {
			if strings.HasSuffix(of.Name, "OrderField") {
				names = append(names, of.Name+"."+v.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// addSelected adds the names of what a document selects and sends.
func addSelected(set ast.SelectionSet, seen map[string]bool) {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.InlineFragment:
			addSelected(s.SelectionSet, seen)
		case *ast.Field:
			seen[s.ObjectDefinition.Name+"."+s.Name] = true
			for _, a := range s.Arguments {
				addSent(a.Value, seen)
			}
			addSelected(s.SelectionSet, seen)
		}
	}
}

// addSent adds the names of the inputs and of the values of enums in an argument.
func addSent(v *ast.Value, seen map[string]bool) {
	if v.Kind == ast.EnumValue {
		seen[v.Definition.Name+"."+v.Raw] = true
	}
	for _, c := range v.Children {
		if v.Kind == ast.ObjectValue {
			seen[v.Definition.Name+"."+c.Name] = true
		}
		addSent(c.Value, seen)
	}
}
