package graph_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"roster/graph"
	"roster/graph/graphtest"
	"roster/internal/dbtest"
	"roster/internal/limits"
)

// usual is the limits that the server has when it is told nothing else.
func usual(o *graph.Options) { o.Limits = limits.Default() }

func TestLimits(t *testing.T) {
	t.Parallel()
	s := serve(t, dbtest.SQLite, settings{graph: usual})
	const levels = `query ($n: Int) { users(first: $n) { nodes { posts(first: $n) { nodes { author { posts(first: $n) { nodes { id } } } } } } } }`
	s.must(nil, levels, "n", 40)
	a := s.fails("COST_LIMIT", levels, "n", 100)
	if want := "the operation costs 1130201; the limit is 100000"; a.Errors[0].Message != want || a.Data != nil {
		t.Errorf("got %+v, %s, want the cost and the limit without data", a.Errors, a.Data)
	}
	s.fails("COST_LIMIT", `mutation { `+repeat(101, `a%d: deletePost(input: {id: "x"}) { deletedId } `)+`}`)
	s.fails("COST_LIMIT", `query ($ids: [ID!]!) { nodes(ids: $ids) { id } }`, "ids", make([]string, 3_000))
	s.fails("GRAPHQL_PARSE_FAILED", `{ users { totalCount }`)
	if n := len(s.fails(strings.TrimSpace(strings.Repeat("GRAPHQL_VALIDATION_FAILED ", 10)), `{ `+repeat(50, `x%d `)+` }`).Errors); n != 10 {
		t.Errorf("got %d errors, want 10", n)
	}
	_, text := s.send(http.MethodPost, s.url, []byte(`{"query": "{ users(first: 100) { nodes { posts(first: 100) { nodes { author { posts(first: 100) { nodes { id } } } } } } } }", "extensions": {"cost": true}}`))
	if want := `{"errors":[{"message":"the operation costs 1130201; the limit is 100000","extensions":{"code":"COST_LIMIT"}}],"extensions":{"cost":{"cost":1130201,"limit":100000}}}`; string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

// repeat is a text n times, each time with its number.
func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestScenariosAreWithinTheLimits checks that the documents of the other tests, which are what people write, cost a
// fraction of what they may.
func TestScenariosAreWithinTheLimits(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	s := serve(t, dbtest.SQLite, settings{graph: func(o *graph.Options) {
		usual(o)
		o.Limits.MaxCost /= 2
	}})
	for _, file := range files {
		for _, step := range readScenario(t, file).Steps {
			document := graphtest.Placeholder().ReplaceAllString(step.Section(""), "x")
			if document == "" {
				continue
			}
			var variables map[string]any
			if text := graphtest.Placeholder().ReplaceAllString(step.Section("variables"), "x"); text != "" {
				if err := json.Unmarshal([]byte(fill(s, text, nil)), &variables); err != nil {
					t.Fatal(err)
				}
			}
			var pairs []any
			for name, value := range variables {
				pairs = append(pairs, name, value)
			}
			if a := s.do(fill(s, document, nil), pairs...); strings.Contains(a.codes(), "COST_LIMIT") {
				t.Errorf("%s: %s: got %+v, want no COST_LIMIT", file, step.Name, a.Errors)
			}
		}
	}
}

// TestSecretSchema checks that a server without introspection does not tell about its schema, in errors of documents and
// of variables.
func TestSecretSchema(t *testing.T) {
	t.Parallel()
	s := serve(t, dbtest.SQLite, settings{graph: func(o *graph.Options) { o.Introspection = false }})
	for _, test := range []struct {
		document  string
		variables []any
		message   string
		path      string
	}{
		{`{ a: __schema { queryType { name } } }`, nil, "Introspection is switched off.", ""},
		{`{ users { nodes { usrname } } }`, nil, "There is no such field.", ""},
		{`{ user { id } }`, nil, "A required argument is missing.", ""},
		{`mutation ($i: CreateUserInput!) { createUser(input: $i) { user { id } } }`, nil, "the value does not fit the variable's type", "[variable i]"},
		{`mutation ($i: CreateUserInput!) { createUser(input: $i) { user { id } } }`, []any{"i", map[string]any{}}, "the value does not fit the variable's type", "[variable i]"},
		{`mutation ($i: CreateUserInput!) { createUser(input: $i) { user { id } } }`, []any{"i", "x"}, "the value does not fit the variable's type", "[variable i]"},
		{`mutation ($i: DeleteUserInput!) { deleteUser(input: $i) { deletedId } }`, []any{"i", map[string]any{"id": "x", "dependents": "CASCAD"}}, "the value does not fit the variable's type", "[variable i]"},
	} {
		a := s.fails("GRAPHQL_VALIDATION_FAILED", test.document, test.variables...)
		path := ""
		if a.Errors[0].Path != nil {
			path = fmt.Sprint(a.Errors[0].Path)
		}
		if a.Errors[0].Message != test.message || path != test.path || a.Data != nil {
			t.Errorf("%s %v: got %+v, %s, want an error without names of the schema", test.document, test.variables, a.Errors, a.Data)
		}
	}
	s.must(nil, `{ __typename users { __typename } }`)
}

func TestTrustedDocuments(t *testing.T) {
	t.Parallel()
	trusted := map[string]string{
		"sha1:0a":       `query Users($n: Int) { users(first: $n) { totalCount } }`,
		"introspection": `{ __schema { queryType { name } } }`,
		"remove":        `mutation Remove($id: ID!) { deletePost(input: {id: $id}) { deletedId } }`,
	}
	s := serve(t, dbtest.SQLite, settings{graph: func(o *graph.Options) { o.TrustedDocuments = trusted }})
	for body, want := range map[string]string{
		`{"documentId": "sha1:0a", "variables": {"n": 3}}`:                       `{"data":{"users":{"totalCount":0}}}`,
		`{"documentId": "0a"}`:                                                   `{"data":{"users":{"totalCount":0}}}`,
		`{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0a"}}}`: `{"data":{"users":{"totalCount":0}}}`,
		`{"query": "{ __schema { queryType { name } } }"}`:                       `{"data":{"__schema":{"queryType":{"name":"Query"}}}}`,
		`{"query": "{ users { totalCount } }"}`:                                  untrusted,
		`{"query": "{ __schema { types { name } } }"}`:                           untrusted,
		`{"query": "{", "documentId": "0a"}`:                                     untrusted,
		`{"documentId": "0b"}`:                                                   untrusted,
		`{"documentId": "sha256:0b"}`:                                            untrusted,
	} {
		if _, got := s.send(http.MethodPost, s.url, []byte(body)); string(got) != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
	if response, got := s.send(http.MethodGet, s.url+"?documentId=sha1:0a", nil); response.StatusCode != http.StatusOK {
		t.Errorf("got %s, want status 200", got)
	}
	if response, got := s.send(http.MethodGet, s.url+"?documentId=remove&variables=%7B%22id%22%3A%22x%22%7D", nil); response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("got %s, want status 405", got)
	}
}

const untrusted = `{"errors":[{"message":"only trusted documents are executed here, and this is none of them","extensions":{"code":"FORBIDDEN"}}]}`

func TestTrustedDocumentsMustBeValid(t *testing.T) {
	t.Parallel()
	_, err := graph.NewExecutor(graph.Options{TrustedDocuments: map[string]string{"a": `{ nothing }`}})
	if err == nil || !strings.HasPrefix(err.Error(), `trusted document "a": line 1, column 3: `) {
		t.Errorf("got %v, want the line and the column of the document", err)
	}
}

// TestPersistedQueriesOfOldClients checks the HTTP status: clients that accept application/json alone take another one
// than 200 for a broken network.
func TestPersistedQueriesOfOldClients(t *testing.T) {
	t.Parallel()
	s := serve(t, dbtest.SQLite, settings{})
	response, text := s.send(http.MethodPost, s.url, []byte(`{"documentId": "x"}`), "Accept", "application/json")
	if want := `{"errors":[{"message":"PersistedQueryNotFound","extensions":{"code":"PERSISTED_QUERY_NOT_FOUND"}}]}`; response.StatusCode != http.StatusOK || string(text) != want {
		t.Errorf("got %d %s, want status 200 and PERSISTED_QUERY_NOT_FOUND", response.StatusCode, text)
	}
}

// TestSchemaIsSecretForNobody sends right and wrong documents without credentials to a server without introspection: the
// answers are the same, so that a list of words does not find the schema.
func TestSchemaIsSecretForNobody(t *testing.T) {
	t.Parallel()
	const sent = `{"errors":[{"message":"this needs credentials: send the header Authorization with Bearer and a token or an API key",` +
		`"extensions":{"code":"UNAUTHENTICATED"}}]}`
	secret := serve(t, dbtest.SQLite, settings{callers: columns{}, graph: func(o *graph.Options) { o.Introspection, o.Limits.MaxDepth = false, 6 }})
	shown := serve(t, dbtest.SQLite, settings{callers: columns{}})
	f := secret.newUsersOf(1)
	for _, test := range []struct{ body, code string }{
		{`{"query":"{ users { nodes { id } } }"}`, ""},
		{`{"query":"{ users { nodes { id } } }","extensions":{"cost":true}}`, ""},
		{`{"query":"mutation { deleteUser(input: {id: \"1\"}) { deletedId } }"}`, ""},
		{`{"query":"{ usrs { nodes { id } } }"}`, "GRAPHQL_VALIDATION_FAILED"},
		{`{"query":"{ users { nodes { nme } } }","extensions":{"cost":true}}`, "GRAPHQL_VALIDATION_FAILED"},
		{`{"query":"{ viewer { nme } }"}`, "GRAPHQL_VALIDATION_FAILED"},
		{`{"query":"{ __schema { queryType { name } } }"}`, "GRAPHQL_VALIDATION_FAILED"},
		{`{"query":"query ($id: ID!) { node(id: $id) { id } }"}`, "GRAPHQL_VALIDATION_FAILED"},
		{`{"query":"{"}`, "GRAPHQL_PARSE_FAILED"},
		{`{"query":"{ users { nodes { posts { nodes { author { posts { nodes { id } } } } } } } }"}`, "COST_LIMIT"},
		{`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + strings.Repeat("0", 64) + `"}}}`, "PERSISTED_QUERY_NOT_FOUND"},
	} {
		h, text := secret.send(http.MethodPost, secret.url, []byte(test.body), f.as(asNobody)...)
		if got := strings.TrimSpace(string(text)); got != sent || h.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s as nobody: got status %d, %s, want 401 and %s", test.body, h.StatusCode, got, sent)
		}
		if test.code == "" {
			continue
		}
		_, text = secret.send(http.MethodPost, secret.url, []byte(test.body), f.as(asReader)...)
		if !strings.Contains(string(text), test.code) {
			t.Errorf("%s as a reader: got %s, want %s", test.body, text, test.code)
		}
		_, text = shown.send(http.MethodPost, shown.url, []byte(test.body), f.as(asNobody)...)
		if test.code != "COST_LIMIT" && !strings.Contains(test.body, "__schema") && !strings.Contains(string(text), test.code) {
			t.Errorf("%s as nobody with introspection: got %s, want %s", test.body, text, test.code)
		}
	}
	// Mutations are not allowed in a GET. This must not show that they exist.
	for _, document := range []string{`mutation { deleteUser(input: {id: "1"}) { deletedId } }`, `mutation { deleteUsr { x } }`} {
		h, text := secret.send(http.MethodGet, secret.url+"?query="+url.QueryEscape(document), nil, f.as(asNobody)...)
		if got := strings.TrimSpace(string(text)); got != sent || h.StatusCode != http.StatusUnauthorized {
			t.Errorf("GET of %s: got status %d, %s, want 401 and %s", document, h.StatusCode, got, sent)
		}
	}
	_, text := secret.ask(`{ __typename viewer { subject } }`, f.as(asNobody)...)
	if want := `{"data":{"__typename":"Query","viewer":null}}`; strings.TrimSpace(text) != want {
		t.Errorf("viewer: got %s, want %s", text, want)
	}
}

// TestDocumentsOfStrangers tests that callers without credentials and without permissions do not fill the cache of documents:
// otherwise they could push out the documents of all others.
func TestDocumentsOfStrangers(t *testing.T) {
	t.Parallel()
	s := serve(t, dbtest.SQLite, settings{callers: columns{}})
	f := s.newUsersOf(1)
	for column, kept := range map[int]bool{asNobody: false, asReader: true, asAdmin: true} {
		document := fmt.Sprintf("query Of%d { __typename }", column)
		hash := sha256.Sum256([]byte(document))
		byHash := fmt.Sprintf(`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"%x"}}}`, hash)
		want := `{"data":{"__typename":"Query"}}`
		if _, text := s.ask(document, f.as(column)...); strings.TrimSpace(text) != want {
			t.Fatalf("column %d: got %s, want %s", column, text, want)
		}
		if !kept {
			want = `{"errors":[{"message":"PersistedQueryNotFound","extensions":{"code":"PERSISTED_QUERY_NOT_FOUND"}}]}`
		}
		if _, text := s.send(http.MethodPost, s.url, []byte(byHash), f.as(column)...); strings.TrimSpace(string(text)) != want {
			t.Errorf("column %d: got %s, want %s", column, text, want)
		}
	}
}
