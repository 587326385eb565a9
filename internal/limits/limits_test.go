package limits_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"roster/e2e/abuse"
	"roster/internal/limits"
)

// library is a schema that has nothing in common with Roster's but the shape of a connection.
const library = `
	type Query {
		book(isbn: String!): Book
		books(isbns: [String!]!, note: String): [Book]!
		shelf: [Book!]!
		newest(first: Int = 5): [Book!]!
		find(where: Find, first: Int, last: Int): BookConnection!
		thing: Thing
		count: Int
	}
	type Mutation { lend(isbn: String!): Book, giveBack(isbn: String!): Book, lendAll(isbns: [String!]!, note: String): Lent }
	type Lent { books: [Book!]!, note: String }
	input Find { text: String, contains: String, any: [Find!] }
	type BookConnection { edges: [BookEdge!]!, nodes: [Book!]!, pageInfo: PageInfo!, counted: Int! }
	type BookEdge { cursor: String!, node: Book! }
	type PageInfo { hasNextPage: Boolean! }
	type Book implements Thing { title: String!, pages: Int!, others(first: Int, last: Int): BookConnection!, authors: [Author!]! }
	type Author implements Thing { title: String!, others(first: Int): BookConnection!, best: Book }
	interface Thing { title: String! }
`

// TestDefault checks that the default limits are those of the flags.
func TestDefault(t *testing.T) {
	t.Parallel()
	var want limits.Limits
	if err := kong.ApplyDefaults(&want); err != nil {
		t.Fatal(err)
	}
	if got := limits.Default(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func load(sdl string) *ast.Schema { return gqlparser.MustLoadSchema(&ast.Source{Input: sdl}) }

func libraryChecker(l limits.Limits) *limits.Checker {
	return limits.New(load(library), l, limits.Prices{
		Page: 10, MaxPage: 50, List: 20,
		Fields:     map[limits.Field]int64{{Type: "BookConnection", Name: "counted"}: 1_000},
		Conditions: map[string]int64{"contains": 5_000},
	})
}

// counts are the surcharges of the counts in Roster's schema.
func counts() map[limits.Field]int64 {
	return map[limits.Field]int64{{Type: "UserConnection", Name: "totalCount"}: 1_000, {Type: "PostConnection", Name: "totalCount"}: 1_000}
}

// roster is a checker for Roster's schema with its prices, and the schema.
func roster(t testing.TB) (*limits.Checker, *ast.Schema) {
	t.Helper()
	sdl, err := os.ReadFile("../../schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	schema := load(string(sdl))
	delete(schema.Directives, "defer") // as the server does
	return limits.New(schema, limits.Default(), limits.Prices{
		Page: 20, MaxPage: 100, MaxPages: map[limits.Field]int{{Type: "Query", Name: "changes"}: 1000}, List: 20,
		Fields:     counts(),
		Conditions: map[string]int64{"contains": 5_000},
	}), schema
}

// check runs all checks on the first operation of a document.
func check(c *limits.Checker, document string, variables map[string]any) (limits.Text, *limits.Document, int64, error) {
	text, err := c.Text(document)
	if err != nil {
		return text, nil, 0, err
	}
	parsed, err := parser.ParseQuery(&ast.Source{Input: document})
	if err != nil || len(parsed.Operations) == 0 {
		return text, nil, 0, nil //nolint:nilerr // what is no GraphQL is within every limit
	}
	d, err := c.Document(parsed)
	if err != nil {
		return text, d, 0, err
	}
	cost, err := d.Cost(parsed.Operations[0], variables)
	return text, d, cost, err
}

func decode(t testing.TB, text string) map[string]any {
	t.Helper()
	if text == "" {
		return nil
	}
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("decode %s: %v", text, err)
	}
	return v
}

func TestCost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		document, variables string
		cost                int64
	}{
		// Ten values are as much as one object.
		{`{ count }`, ``, 1},
		{`{ a: count b: count c: count d: count e: count f: count g: count h: count i: count j: count }`, ``, 1},
		{`{ count __typename a: count b: count c: count d: count e: count f: count g: count h: count i: count }`, ``, 2},
		{`{ book(isbn: "1") { title pages } }`, ``, 2},
		// Pages: the connection, an edge and a node for each, and what is in them.
		{`{ find { nodes { title } } }`, ``, 1 + 10 + 1},
		{`{ find(first: 30) { nodes { title } } }`, ``, 1 + 30 + 3},
		{`{ find(last: 30) { edges { cursor node { title } } } }`, ``, 1 + 30*2 + 6},
		{`{ find(first: 3) { pageInfo { hasNextPage } edges { node { pages } } nodes { title } } }`, ``, 1 + 2 + 3*3},
		{`{ find(first: 3, last: 30) { nodes { title } } }`, ``, 1 + 30 + 3},
		{`{ find(first: null) { nodes { title } } }`, ``, 1 + 10 + 1},
		{`{ find(first: 20) { nodes { others(first: 5) { nodes { title } } } } }`, ``, 1 + 20*(1+1+5) + 10},
		// No page is larger than the largest.
		{`{ find(first: 51) { nodes { title } } }`, ``, 1 + 50 + 5},
		{`{ find(first: 99999999999999999999) { nodes { title } } }`, ``, 1 + 50 + 5},
		{`{ find(first: -99999999999999999999) { nodes { title } } }`, ``, 1 + 50 + 5},
		{`{ find(first: -1) { nodes { title } } }`, ``, 1},
		{`{ find(first: "many") { nodes { title } } }`, ``, 1 + 50 + 5},
		// The same in variables and their defaults.
		{`query ($n: Int) { find(first: $n) { nodes { title } } }`, ``, 1 + 10 + 1},
		{`query ($n: Int) { find(first: $n) { nodes { title } } }`, `{"n": null}`, 1 + 10 + 1},
		{`query ($n: Int) { find(first: $n) { nodes { title } } }`, `{"n": 40}`, 1 + 40 + 4},
		{`query ($n: Int) { find(first: $n) { nodes { title } } }`, `{"n": 40.0}`, 1 + 40 + 4},
		{`query ($n: Int) { find(first: $n) { nodes { title } } }`, `{"n": 4e1}`, 1 + 40 + 4},
		{`query ($n: Int) { find(first: $n) { nodes { title } } }`, `{"n": 1e99}`, 1 + 50 + 5},
		{`query ($n: Int) { find(first: $n) { nodes { title } } }`, `{"n": -1e99}`, 1 + 50 + 5},
		{`query ($n: Int) { find(first: $n) { nodes { title } } }`, `{"n": "7"}`, 1 + 50 + 5},
		{`query ($n: Int) { find(first: $n) { nodes { title } } }`, `{"m": 7}`, 1 + 10 + 1},
		{`query ($n: Int = 40) { find(first: $n) { nodes { title } } }`, ``, 1 + 40 + 4},
		{`query ($n: Int = 40) { find(first: $n) { nodes { title } } }`, `{"n": 3}`, 1 + 3 + 1},
		{`query ($n: Int = 40) { find(first: $n) { nodes { title } } }`, `{"n": null}`, 1 + 10 + 1},
		{`query ($n: Int = null) { find(first: $n) { nodes { title } } }`, ``, 1 + 10 + 1},
		// Other lists: cut like a page, one for each argument, or nothing is known.
		{`{ newest(first: 7) { title } }`, ``, 7 + 1},
		{`{ newest { title } }`, ``, 5 + 1},
		{`{ newest(first: null) { title } }`, ``, 10 + 1},
		{`query ($n: Int) { newest(first: $n) { title } }`, ``, 5 + 1},
		{`query ($n: Int) { newest(first: $n) { title } }`, `{"n": null}`, 10 + 1},
		{`query ($n: Int = null) { newest(first: $n) { title } }`, ``, 10 + 1},
		{`{ books(isbns: ["1", "2", "3"]) { title } }`, ``, 3 + 1},
		{`{ books(isbns: "1", note: "") { title } }`, ``, 1 + 1},
		{`query ($i: [String!]!) { books(isbns: $i) { title } }`, `{"i": ["1", "2", "3"]}`, 3 + 1},
		{`query ($i: [String!]!) { books(isbns: $i) { title } }`, `{"i": "1"}`, 1 + 1},
		{`query ($i: [String!]! = ["1", "2"]) { books(isbns: $i) { title } }`, ``, 2 + 1},
		{`{ shelf { title } }`, ``, 20 + 2},
		{`{ shelf { authors { title } } }`, ``, 20 + 20*20 + 40},
		// Mutations of many: each input, and as much of the answer.
		{`mutation { lendAll(isbns: ["1", "2", "3"]) { note } }`, ``, 3 + 1 + 1},
		{`mutation { lendAll(isbns: ["1", "2", "3"]) { books { title } } }`, ``, 3 + 1 + 3 + 1},
		{`mutation { lendAll(isbns: ["1", "2", "3"]) { books { others(first: 7) { nodes { title } } } } }`, ``, 3 + 1 + 3 + 3*(1+7) + 3},
		{`mutation ($i: [String!]!) { lendAll(isbns: $i) { a: books { title } b: books { title } } }`, `{"i": ["1", "2", "3", "4"]}`, 4 + 1 + 2*4 + 1},
		{`mutation ($i: [String!]!) { a: lendAll(isbns: $i) { note } b: lendAll(isbns: "1") { books { title } } }`, `{"i": ["1", "2", "3", "4"]}`, 4 + 1 + 1 + 1 + 1 + 1},
		// Prices that are paid once, and not for what is not asked for.
		{`{ find { counted } }`, ``, 1 + 1 + 1_000},
		{`{ shelf { others { a: counted b: counted } } }`, ``, 20 + 20 + 4 + 2_000},
		{`{ find(where: {contains: "x"}) { nodes { title } } }`, ``, 1 + 10 + 1 + 5_000},
		{`{ find(where: {contains: null, text: "contains"}) { nodes { title } } }`, ``, 1 + 10 + 1},
		{`{ find(where: {any: [{contains: "x"}, {contains: "y"}]}) { nodes { title } } }`, ``, 1 + 10 + 1 + 10_000},
		{`query ($w: Find) { find(where: $w) { nodes { title } } }`, `{"w": {"any": [{"contains": "x"}, {"contains": null}]}}`, 1 + 10 + 1 + 5_000},
		{`query ($w: Find) { a: find(where: $w) { nodes { title } } b: find(where: {any: [$w]}) { nodes { title } } }`, `{"w": {"contains": "x"}}`, 2*(1+10+1) + 10_000},
		{`query ($w: Find = {contains: "x"}) { find(where: $w) { nodes { title } } }`, ``, 1 + 10 + 1 + 5_000},
		{`query ($w: Find = {contains: "x"}) { find(where: $w) { nodes { title } } }`, `{"w": {}}`, 1 + 10 + 1},
		{`query ($s: String) { find(where: {contains: $s}) { nodes { title } } }`, ``, 1 + 10 + 1 + 5_000},
		// Fragments count where they are; what answers under one name is answered once.
		{`{ find(first: 2) { ...f } } fragment f on BookConnection { nodes { ...g ...g } } fragment g on Book { title authors { title } }`, ``, 1 + 2 + 2*20 + 5},
		{`{ find(first: 2) { nodes { title } nodes { pages } ... { nodes { title authors { title } } } } }`, ``, 1 + 2 + 2*20 + 5},
		{`{ thing { ... on Book { others(first: 5) { nodes { title } } } ... on Author { others(first: 50) { nodes { title } } } } }`, ``, 1 + 1 + 50 + 5},
		{`{ thing { ... on Author { x: others(first: 50) { nodes { title } } } ... on Book { x: others(first: 5) { nodes { title } } } } }`, ``, 1 + 1 + 50 + 5},
		{`{ thing { ... on Author { x: best { title } } ... on Book { x: authors { title } } } }`, ``, 1 + 20 + 2},
		// Introspection: as many types as there are, and five of anything else.
		{`{ __type(name: "Book") { name fields { name } } }`, ``, 1 + 5 + 1},
		{`{ __schema { queryType { name } types { name } } }`, ``, 1 + 1 + types + (types+1)/10 + 1},
		// What the schema does not have costs as much as it looks.
		{`{ nothing { at all } }`, ``, 1 + 1},
		{`{ find { nodes } count { x } }`, ``, 1 + 1 + 1},
		{`subscription { count }`, ``, 1},
		{`mutation { lend(isbn: "1") { title } giveBack(isbn: "1") { title } }`, ``, 2 + 1},
	} {
		_, _, cost, err := check(libraryChecker(limits.Limits{}), test.document, decode(t, test.variables))
		if err != nil || cost != test.cost {
			t.Errorf("%s %s costs %d, want %d, %v", test.document, test.variables, cost, test.cost, err)
		}
	}
}

// types is how many types the library has, those of introspection included.
const types = 23

func TestCostEndsAtTheLargestNumber(t *testing.T) {
	t.Parallel()
	l := limits.Limits{MaxCost: math.MaxInt}
	deep := `{ shelf ` + strings.Repeat(`{ others(first: 50) { nodes { authors `, 60) + `{ title }` + strings.Repeat(` } } }`, 60) + `}`
	_, _, cost, err := check(libraryChecker(l), deep, nil)
	if err != nil || cost < math.MaxInt64/100 {
		t.Errorf("got cost %d, %v, want nearly the largest number", cost, err)
	}
	l.MaxCost = 1_000_000
	_, _, _, err = check(libraryChecker(l), deep, nil)
	if exceeded, ok := errors.AsType[*limits.ExceededError](err); !ok || exceeded.Allowed != 1_000_000 {
		t.Errorf("got %v, want an ExceededError of 1000000", err)
	}
}

func TestEachLimit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		limit     limits.Limits
		document  string // is over the limit by one
		variables string
		message   string
	}{
		{limits.Limits{MaxDocumentBytes: 7}, `{ aaaa }`, ``, "the document has 8 bytes; the limit is 7"},
		{limits.Limits{MaxTokens: 6}, "{ a # comment\n a\n a a }", ``, "the document has more than 6 tokens"},
		{limits.Limits{MaxDepth: 2}, `{ a { ... { a } } }`, ``, "the document selects 3 levels deep; the limit is 2"},
		{limits.Limits{MaxDepth: 2}, `{ a { ...f } } fragment f on A { a { a } }`, ``, "the document selects 3 levels deep; the limit is 2"},
		{limits.Limits{MaxFields: 2}, `{ a { a ...f } } fragment f on A { a }`, ``, "the document has 3 fields; the limit is 2"},
		{limits.Limits{MaxAliases: 1}, `{ a: a b: a c: a }`, ``, "the document has 2 aliases; the limit is 1"},
		{limits.Limits{MaxDirectives: 6}, `query ($v: Int @a) @a { a @a ... @a { a } ...f @a } fragment f on A @a { a @a }`, ``, "the document has 7 directives; the limit is 6"},
		{limits.Limits{MaxVariables: 1}, `query ($a: Int, $b: Int) { a }`, ``, "an operation declares 2 variables; the limit is 1"},
		{limits.Limits{MaxInputDepth: 2}, `{ a(a: [{a: [1]}]) }`, ``, "the input in the document is 3 levels deep; the limit is 2"},
		{limits.Limits{MaxInputDepth: 2}, `query ($v: [Int] = [[[]]]) { a }`, ``, "the input in the document is 3 levels deep; the limit is 2"},
		{limits.Limits{MaxInputDepth: 2}, `{ a }`, `{"v": {"a": [{}]}}`, "a variable is more than 2 levels deep"},
		{limits.Limits{MaxInputList: 2}, `{ a(a: [1, 2, 3]) }`, ``, "a list in the document has 3 values; the limit is 2"},
		{limits.Limits{MaxInputList: 2}, `{ a }`, `{"v": {"a": [1, 2, 3]}}`, "a list in a variable has 3 values; the limit is 2"},
		{limits.Limits{MaxInputValues: 3}, `{ a(a: [1, {a: 1}]) }`, ``, "the input in the document has 4 values; the limit is 3"},
		{limits.Limits{MaxInputValues: 3}, `{ a @a(a: 1, b: 1) a(a: [1]) }`, ``, "the input in the document has 4 values; the limit is 3"},
		{limits.Limits{MaxInputValues: 3}, `{ a }`, `{"a": 1, "b": [1, 1]}`, "the variables have more than 3 values"},
		{limits.Limits{MaxExpanded: 4}, `{ a ...f } fragment f on A { a b }`, ``, "the document has 6 parts when its fragments are in their places; the limit is 4"},
		{limits.Limits{MaxExpanded: 6}, `{ a(a: [[1]]) @a }`, ``, "the document has 8 parts when its fragments are in their places; the limit is 6"},
		{limits.Limits{MaxExpanded: 2}, `{ a } fragment f on A { b } fragment f on A { b }`, ``, "the document has 3 parts when its fragments are in their places; the limit is 2"},
		{limits.Limits{MaxRepeats: 5}, `{ a a a a }`, ``, "the document has 6 pairs of fields that answer under one name in one place; the limit is 5"},
		{limits.Limits{MaxRepeats: 5}, `{ a { b } ... { a: c { b } } ...f } fragment f on Query { a { b { c } } }`, ``, "the document has 7 pairs of fields that answer under one name in one place; the limit is 5"},
		{limits.Limits{MaxRepeats: 3}, `{ ...f ...g } fragment f on Query { a } fragment g on Query { b }`, ``, "the document has 4 pairs of fields that answer under one name in one place; the limit is 3"},
		{limits.Limits{MaxMutationFields: 1}, `mutation { a: lend { title } ...f } fragment f on Mutation { a: lend { pages } b: lend { title } }`, ``, "the mutation has 2 fields; the limit is 1"},
		{limits.Limits{MaxCost: 10}, `{ find { nodes { title } } }`, ``, "the operation costs 12; the limit is 10"},
	} {
		_, _, _, err := check(libraryChecker(test.limit), test.document, decode(t, test.variables))
		if err == nil || err.Error() != test.message {
			t.Errorf("%+v: %s %s: got %v, want %s", test.limit, test.document, test.variables, err, test.message)
		}
		// With more, or without a limit, it passes.
		for by := range 2 {
			more := raised(test.limit, by)
			if _, _, _, err := check(libraryChecker(more), test.document, decode(t, test.variables)); err != nil {
				t.Errorf("%+v: %s %s: got %v, want no error", more, test.document, test.variables, err)
			}
		}
	}
}

// raised returns limits in which what was set is a few higher, or not set.
func raised(l limits.Limits, by int) limits.Limits {
	for _, field := range reflect.ValueOf(&l).Elem().Fields() {
		if n := field.Int(); n > 0 {
			field.SetInt((n + 2) * int64(by))
		}
	}
	return l
}

func TestNesting(t *testing.T) {
	t.Parallel()
	c := libraryChecker(limits.Limits{})
	for _, part := range []string{"{", "[", "("} {
		if _, err := c.Text(strings.Repeat(part, 200)); err != nil {
			t.Error(err)
		}
		text, err := c.Text(strings.Repeat(part, 10_000))
		if _, ok := errors.AsType[*limits.ExceededError](err); !ok || text.Tokens != 201 {
			t.Errorf("got %v after %d tokens, want an ExceededError after 201", err, text.Tokens)
		}
	}
}

func TestTextStopsAtWhatIsNoToken(t *testing.T) {
	t.Parallel()
	text, err := libraryChecker(limits.Default()).Text(`{ long "x ` + "\n" + strings.Repeat("{", 1_000))
	if err != nil || text != (limits.Text{Tokens: 2, Longest: 4}) {
		t.Errorf("got %+v, %v, want 2 tokens, the longest of 4 bytes", text, err)
	}
}

func TestCycle(t *testing.T) {
	t.Parallel()
	for document, name := range map[string]string{
		`{ ...f } fragment f on Query { ...f }`:                                                     "f",
		`{ ...f } fragment f on Query { count ...g } fragment g on Query { book { ... { ...f } } }`: "f",
		`{ count } fragment f on Query { count ...f }`:                                              "f",
	} {
		_, d, cost, err := check(libraryChecker(limits.Default()), document, nil)
		if err != nil || cost != 0 || d.Cycle == nil || d.Cycle.Name != name {
			t.Errorf("%s: got %+v, cost %d, %v, want the cycle %s and cost 0", document, d, cost, err, name)
		}
	}
	if _, d, _, err := check(libraryChecker(limits.Default()), `{ ...f ...f } fragment f on Query { ...g } fragment g on Query { count }`, nil); err != nil || d.Cycle != nil {
		t.Errorf("got %+v, %v, want no cycle", d, err)
	}
}

// TestRealDocuments checks that what clients send is far below every limit: even a fifth of each lets it pass.
func TestRealDocuments(t *testing.T) {
	t.Parallel()
	c, schema := roster(t)
	documents := map[string]string{
		"the introspection of graphql-js": introspectionQuery,
		"a feed":                          `{ users(first: 50) { nodes { id username posts(first: 10) { nodes { id title author { id username } } } } } }`,
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, body := range regexp.MustCompile(`(?s)-d '(\{.*?\})'\n`).FindAllStringSubmatch(string(readme), -1) {
		documents[fmt.Sprintf("number %d of the README", i+1)], _ = decode(t, body[1])["query"].(string)
	}
	if len(documents) < 5 {
		t.Errorf("got %d requests in the README, want 5 or more", len(documents))
	}
	fifth := limits.Default()
	for _, field := range reflect.ValueOf(&fifth).Elem().Fields() {
		field.SetInt(field.Int() / 5)
	}
	fifth.MaxDepth, fifth.MaxCost = 20, 80_000 // introspection is the deepest and the dearest, and grows with each type
	few := limits.New(schema, fifth, limits.Prices{
		Page: 20, MaxPage: 100, List: 20, Fields: counts(), Conditions: map[string]int64{"contains": 5_000},
	})
	for name, document := range documents {
		if _, d, cost, err := check(few, document, nil); err != nil || d == nil {
			t.Errorf("%s: got %v, want no error", name, err)
		} else {
			t.Logf("%s: cost %d, %+v", name, cost, d.Measure)
		}
	}
	for document, passes := range map[string]bool{
		`{ users(first: 100) { nodes { id username posts(first: 100) { nodes { id title author { id username } } } } } }`: true,
		// With all that there is to select.
		`{ users(first: 100) { totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor node {
			__typename id username email createdAt updatedAt version posts(first: 100) { totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor node {
				__typename id title body createdAt updatedAt version author { __typename id username email createdAt updatedAt version } } } } } } } }`: true,
		`{ users(first: 100) { nodes { posts(first: 100) { nodes { author { posts(first: 100) { nodes { id } } } } } } } }`: false,
	} {
		if _, _, cost, err := check(c, document, nil); (err == nil) != passes {
			t.Errorf("%s: got cost %d, %v, want accepted: %t", document, cost, err, passes)
		}
	}
}

// TestMutationsOfMany checks that a thousand inputs are within the limits that the server has, with what belongs to them.
func TestMutationsOfMany(t *testing.T) {
	t.Parallel()
	c, _ := roster(t)
	posts := make([]any, 5)
	for i := range posts {
		posts[i] = map[string]any{"title": "t", "body": "b"}
	}
	inputs := make([]any, 1000)
	for i := range inputs {
		inputs[i] = map[string]any{"username": "u", "email": "e", "posts": posts[:3]}
	}
	for document, passes := range map[string]bool{
		`mutation ($i: [CreateUserInput!]!) { createUsers(inputs: $i) {
			users { __typename id username email createdAt updatedAt version posts(first: 3) { nodes { id title body author { id username } } } } } }`: true,
		`mutation ($i: [CreateUserInput!]!) { createUsers(inputs: $i) { users { posts(first: 100) { nodes { author { id } } } } } }`: false,
	} {
		if _, _, cost, err := check(c, document, map[string]any{"i": inputs}); (err == nil) != passes {
			t.Errorf("%s: got cost %d, %v, want accepted: %t", document, cost, err, passes)
		}
	}
	for i := range inputs {
		inputs[i] = map[string]any{"username": "u", "email": "e", "posts": posts}
	}
	if _, _, cost, err := check(c, `mutation ($i: [CreateUserInput!]!) { createUsers(inputs: $i) { users { id } } }`, map[string]any{"i": inputs}); err != nil {
		t.Errorf("got cost %d, %v, want no error", cost, err)
	}
}

// TestDocumentation checks the numbers in docs/limits.md.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	c, _ := roster(t)
	defaults := map[string]int64{}
	for field, value := range reflect.ValueOf(limits.Default()).Fields() {
		flag := regexp.MustCompile(`[A-Z]`).ReplaceAllStringFunc(field.Name, func(s string) string { return "-" + strings.ToLower(s) })
		defaults[flag[1:]] = value.Int()
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\| (\\d+) \\|").FindAllStringSubmatch(string(text), -1) {
		if want, ok := defaults[row[1]]; ok && row[2] != fmt.Sprint(want) {
			t.Errorf("--%s is documented as %s, not %d", row[1], row[2], want)
		}
		delete(defaults, row[1])
	}
	if len(defaults) > 0 {
		t.Errorf("got the limits %v without documentation, want none", defaults)
	}
	examples := regexp.MustCompile("(?m)^\\| `(\\{.*\\})` \\| ([\\d,]+) \\|$").FindAllStringSubmatch(string(text), -1)
	for _, e := range examples {
		_, _, cost, _ := check(c, e[1], nil)
		if want := strings.ReplaceAll(e[2], ",", ""); fmt.Sprint(cost) != want {
			t.Errorf("%s costs %d, not %s", e[1], cost, want)
		}
	}
	if len(examples) < 5 {
		t.Errorf("got %d examples, want 5 or more", len(examples))
	}
}

// TestStepsOnAbuse checks that each hostile request is refused after few steps, whatever it says.
func TestStepsOnAbuse(t *testing.T) {
	t.Parallel()
	requests, err := abuse.Requests()
	if err != nil {
		t.Fatal(err)
	}
	c, schema := roster(t)
	for _, r := range requests {
		var body struct {
			Query     string
			Variables map[string]any
		}
		if json.Unmarshal(r.Body, &body) != nil || r.Status == http.StatusRequestEntityTooLarge {
			continue // what does not come this far
		}
		text, d, _, err := check(c, body.Query, body.Variables)
		if message := fmt.Sprint(err); r.Code == "COST_LIMIT" && !r.RefusedWith(message) {
			t.Errorf("%s: got %s, want %s", r.Name, message, r.Message)
		}
		if text.Tokens > c.Limits().MaxTokens+1 {
			t.Errorf("%s: got %d tokens, want at most %d", r.Name, text.Tokens, c.Limits().MaxTokens+1)
		}
		if d == nil {
			continue
		}
		if d.Steps > most(c, text, d) {
			t.Errorf("%s: got %d steps, want at most %d: %+v", r.Name, d.Steps, most(c, text, d), d.Measure)
		}
		t.Logf("%s: %d tokens, %d steps: %v", r.Name, text.Tokens, d.Steps, err)
		if err == nil && d.Cycle == nil { // the rest is the validator's
			if parsed, err := parser.ParseQuery(&ast.Source{Input: body.Query}); err != nil ||
				len(validator.ValidateWithRules(schema, parsed, rules.NewDefaultRules())) == 0 {
				t.Errorf("%s: got %v, want an error", r.Name, err)
			}
		}
	}
}

// most is the most steps that a document may take: each part of it once to measure it, and once more for each place
// where fragments put it, when those places are within the limit.
func most(c *limits.Checker, text limits.Text, d *limits.Document) int64 {
	steps := 2 * int64(text.Tokens)
	if d.Expanded <= int64(c.Limits().MaxExpanded) {
		steps += d.Expanded
	}
	return steps
}

// FuzzLimits checks that no document makes the checks panic, or take more steps than its tokens and the limits allow.
func FuzzLimits(f *testing.F) {
	requests, err := abuse.Requests()
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range requests {
		if len(r.Document) < 5_000 {
			f.Add(r.Document, string(r.Variables))
		}
	}
	f.Add(introspectionQuery, `{}`)
	f.Add(`query ($a: Int = 1, $b: [ID!] = ["x"]) { nodes(ids: $b) { ...f } } fragment f on User { posts(last: $a) { nodes { id } } }`, `{"a": 2, "b": [3]}`)
	f.Add(`{ a: users { ...f } ...g } fragment f on UserConnection { nodes { id } } fragment g on Query { ...g }`, ``)
	c, _ := roster(f)
	f.Fuzz(func(t *testing.T, document, variables string) {
		var v map[string]any
		_ = json.Unmarshal([]byte(variables), &v) // or none
		text, d, cost, err := check(c, document, v)
		if _, ok := errors.AsType[*limits.ExceededError](err); err != nil && !ok {
			t.Errorf("got %v, want an ExceededError or none", err)
		}
		if cost < 0 || d != nil && d.Steps > most(c, text, d) {
			t.Errorf("got cost %d and %d steps, want at least 0 and at most %d: %+v", cost, d.Steps, most(c, text, d), d.Measure)
		}
	})
}

// BenchmarkAbuse measures the checks of each hostile request: what the server does before it refuses, but for HTTP.
func BenchmarkAbuse(b *testing.B) {
	requests, err := abuse.Requests()
	if err != nil {
		b.Fatal(err)
	}
	c, _ := roster(b)
	for _, r := range requests {
		var body struct {
			Query     string
			Variables map[string]any
		}
		if json.Unmarshal(r.Body, &body) != nil {
			continue
		}
		b.Run(r.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _, _ = check(c, body.Query, body.Variables)
			}
		})
	}
}

// introspectionQuery is what getIntrospectionQuery of graphql-js gives with all its options, as GraphiQL sends it.
const introspectionQuery = `query IntrospectionQuery {
  __schema {
    description
    queryType { name kind }
    mutationType { name kind }
    subscriptionType { name kind }
    types { ...FullType }
    directives { name description isRepeatable locations args(includeDeprecated: true) { ...InputValue } }
  }
}
fragment FullType on __Type {
  kind name description specifiedByURL isOneOf
  fields(includeDeprecated: true) { name description args(includeDeprecated: true) { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
  inputFields(includeDeprecated: true) { ...InputValue }
  interfaces { ...TypeRef }
  enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
  possibleTypes { ...TypeRef }
}
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue isDeprecated deprecationReason }
fragment TypeRef on __Type {
  kind name
  ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }
}`
