package documents_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/e2e/abuse"
	"roster/internal/codes"
	"roster/internal/documents"
	"roster/internal/limits"
)

// options is a library for Roster's schema. Each of settings may change it.
func options(t testing.TB, settings ...func(*documents.Options)) documents.Options {
	t.Helper()
	sdl, err := os.ReadFile("../../schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: string(sdl)})
	delete(schema.Directives, "defer") // as the server does
	o := documents.Options{
		Schema:        schema,
		Limits:        limits.New(schema, limits.Default(), limits.Prices{Page: 20, MaxPage: 100, List: 20}),
		CacheBytes:    1 << 20,
		Introspection: true,
	}
	for _, set := range settings {
		set(&o)
	}
	return o
}

func library(t testing.TB, settings ...func(*documents.Options)) *documents.Library {
	t.Helper()
	l, err := documents.New(options(t, settings...))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func secret(o *documents.Options) { o.Introspection = false }

func trusting(trusted map[string]string) func(*documents.Options) {
	return func(o *documents.Options) { o.Trusted = trusted }
}

func hashOf(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

// byHash is the extensions of a request for a persisted query.
func byHash(hash string) map[string]any {
	return map[string]any{"persistedQuery": map[string]any{"version": json.Number("1"), "sha256Hash": hash}}
}

// code is the code of the only error, or the number of errors.
func code(errs gqlerror.List) string {
	if len(errs) != 1 {
		return fmt.Sprint(len(errs))
	}
	return fmt.Sprint(errs[0].Extensions["code"])
}

const (
	count = `{ users { totalCount } }`
	wrong = `{ nothing }`
)

func TestDocumentsAreKept(t *testing.T) {
	t.Parallel()
	l := library(t)
	first, cost, errs := l.Find(documents.Request{Text: count})
	if len(errs) > 0 || cost != 2 || first.Text != count || len(first.Parsed.Operations) != 1 {
		t.Fatalf("got %+v, cost %d, %v, want the document with cost 2", first, cost, errs)
	}
	second, cost, errs := l.Find(documents.Request{Text: count})
	if len(errs) > 0 || cost != 2 || second != first {
		t.Errorf("again: got %+v, cost %d, %v, want the same document with cost 2", second, cost, errs)
	}
	none := library(t, func(o *documents.Options) { o.CacheBytes = 0 })
	first, _, _ = none.Find(documents.Request{Text: count})
	if second, _, _ = none.Find(documents.Request{Text: count}); second == first {
		t.Error("without a cache: got the same document, want another one")
	}
}

func TestPersistedQueries(t *testing.T) {
	t.Parallel()
	l := library(t)
	for i, step := range []struct {
		text string
		hash string
		code string // or the number of errors
	}{
		{"", hashOf(count), "PERSISTED_QUERY_NOT_FOUND"},
		{count, hashOf(wrong), "BAD_REQUEST"},
		{"", hashOf(wrong), "PERSISTED_QUERY_NOT_FOUND"},
		{"", hashOf(count), "PERSISTED_QUERY_NOT_FOUND"},
		{count, "", "BAD_REQUEST"},
		{count, hashOf(count), "0"},
		{"", hashOf(count), "0"},
		{"", strings.ToUpper(hashOf(count)), "0"},
		{"", "sha256:" + hashOf(count), "0"},
		{"", "md5:" + hashOf(count), "PERSISTED_QUERY_NOT_FOUND"},
		{"", hashOf(count)[1:], "PERSISTED_QUERY_NOT_FOUND"},
		{"", strings.Repeat("0", 64), "PERSISTED_QUERY_NOT_FOUND"},
		{"", "no hash", "PERSISTED_QUERY_NOT_FOUND"},
		// What is not valid, or asks for too much, is not kept.
		{wrong, hashOf(wrong), "GRAPHQL_VALIDATION_FAILED"},
		{"", hashOf(wrong), "PERSISTED_QUERY_NOT_FOUND"},
		{"{", hashOf("{"), "GRAPHQL_PARSE_FAILED"},
		{"", hashOf("{"), "PERSISTED_QUERY_NOT_FOUND"},
		{dear, hashOf(dear), "COST_LIMIT"},
		{"", hashOf(dear), "PERSISTED_QUERY_NOT_FOUND"},
	} {
		d, _, errs := l.Find(documents.Request{Text: step.text, Extensions: byHash(step.hash)})
		if code(errs) != step.code || (d == nil) != (len(errs) > 0) {
			t.Errorf("step %d: %v, want %s", i, errs, step.code)
		}
		if code(errs) == "PERSISTED_QUERY_NOT_FOUND" && errs[0].Message != "PersistedQueryNotFound" { // what clients look for
			t.Errorf("step %d: got %v, want the message PersistedQueryNotFound", i, errs)
		}
	}
}

const dear = `{ users(first: 100) { nodes { posts(first: 100) { nodes { author { posts(first: 100) { nodes { id } } } } } } } }`

func TestPersistedQueryExtension(t *testing.T) {
	t.Parallel()
	l := library(t)
	if _, _, errs := l.Find(documents.Request{Text: count, Extensions: byHash(hashOf(count))}); len(errs) > 0 {
		t.Errorf("got %v, want no error", errs)
	}
	for _, extension := range []any{
		true, "x",
		[]any{},
		map[string]any{},
		map[string]any{"version": json.Number("1")},
		map[string]any{"version": json.Number("1"), "sha256Hash": 5},
		map[string]any{"version": json.Number("2"), "sha256Hash": hashOf(count)},
		map[string]any{"version": "1", "sha256Hash": hashOf(count)},
		map[string]any{"sha256Hash": hashOf(count)},
	} {
		_, _, errs := l.Find(documents.Request{Text: count, Extensions: map[string]any{"persistedQuery": extension}})
		if code(errs) != "BAD_REQUEST" {
			t.Errorf("%v: got %v, want BAD_REQUEST", extension, errs)
		}
	}
	if _, _, errs := l.Find(documents.Request{Text: count, Extensions: map[string]any{"persistedQuery": nil}}); len(errs) > 0 {
		t.Errorf("a null extension: got %v, want no error", errs)
	}
	if _, _, errs := l.Find(documents.Request{}); code(errs) != "BAD_REQUEST" {
		t.Errorf("an empty request: got %v, want BAD_REQUEST", errs)
	}
}

func TestCostIsCheckedEachTime(t *testing.T) {
	t.Parallel()
	l := library(t)
	const text = `query Cheap { users { totalCount } } query Dear($n: Int) { users(first: $n) { nodes { posts(first: $n) { nodes { author { posts(first: $n) { nodes { id } } } } } } } }`
	for _, test := range []struct {
		operation string
		n         any
		code      string
	}{
		{"Dear", json.Number("100"), "COST_LIMIT"}, // at first before it is validated
		{"Dear", json.Number("10"), "0"},
		{"Dear", json.Number("100"), "COST_LIMIT"},
		{"Cheap", json.Number("100"), "0"},
		{"", json.Number("100"), "0"},        // which the executor refuses
		{"Missing", json.Number("100"), "0"}, // the same
	} {
		_, cost, errs := l.Find(documents.Request{Text: text, OperationName: test.operation, Variables: map[string]any{"n": test.n}})
		if code(errs) != test.code || (test.code == "COST_LIMIT") != (cost > 100_000) {
			t.Errorf("%+v: got cost %d, %v, want the code %s, and for COST_LIMIT a cost above 100000", test, cost, errs, test.code)
		}
	}
	// The size of the variables counts, whatever is done with them.
	_, _, errs := l.Find(documents.Request{Text: text, Variables: map[string]any{"x": make([]any, 5_000)}})
	if code(errs) != "COST_LIMIT" {
		t.Errorf("got %v, want COST_LIMIT", errs)
	}
}

// TestNulls checks that a null for a variable is an error where its operation uses it in a place that must not be null, each
// time, and there alone.
func TestNulls(t *testing.T) {
	t.Parallel()
	const text = `query Optional($n: Boolean = true, $m: Boolean = true, $f: Int) { ...f a: users(first: $f) { totalCount @skip(if: $m) } }
		query Required($n: Boolean!) { ...f }
		query Without($n: Int = 5) { users(first: $n) { totalCount } }
		fragment f on Query { users { totalCount @include(if: $n) } }`
	null := func(names ...string) map[string]any {
		variables := map[string]any{}
		for _, name := range names {
			variables[name] = nil
		}
		return variables
	}
	for _, l := range []*documents.Library{library(t), library(t, secret)} {
		for range 2 { // it is new, and then it is known
			for _, test := range []struct {
				operation string
				variables map[string]any
				names     string
			}{
				{"Optional", null("n", "m", "f"), "[n m]"},
				{"Optional", null("m", "other"), "[m]"},
				{"Optional", map[string]any{"n": true, "m": false}, "[]"},
				{"Optional", nil, "[]"},
				{"Without", null("n"), "[]"},
				{"Required", null("n"), "[]"}, // which the executor refuses
				{"", null("n"), "[]"},         // the same
			} {
				_, _, errs := l.Find(documents.Request{Text: text, OperationName: test.operation, Variables: test.variables})
				names := []string{}
				for _, err := range errs {
					name := strings.TrimPrefix(err.Path.String(), "variable.")
					if want := fmt.Sprintf(`Variable "$%s" is null, but is used where null is not allowed.`, name); err.Message != want {
						t.Errorf("got %s, want %s", err.Message, want)
					}
					names = append(names, name)
				}
				if fmt.Sprint(names) != test.names {
					t.Errorf("%s %v: %v, want errors of %s", test.operation, test.variables, errs, test.names)
				}
			}
		}
	}
	var definitions, uses strings.Builder
	for i := range 15 {
		fmt.Fprintf(&definitions, "$v%d: Boolean = true ", i)
		fmt.Fprintf(&uses, "a%d: __typename @skip(if: $v%d) ", i, i)
	}
	nulls := map[string]any{}
	for i := range 15 {
		nulls[fmt.Sprintf("v%d", i)] = nil
	}
	_, _, errs := library(t).Find(documents.Request{Text: "query (" + definitions.String() + ") {" + uses.String() + "}", Variables: nulls})
	if len(errs) != documents.MaxErrors {
		t.Errorf("got %d errors, want %d", len(errs), documents.MaxErrors)
	}
}

func TestErrorsOfDocuments(t *testing.T) {
	t.Parallel()
	l := library(t)
	for _, test := range []struct {
		text, code, message string
	}{
		{`{`, "GRAPHQL_PARSE_FAILED", "Expected Name, found <EOF>"},
		{`{ user(by: {username: "\uD83D"}) { id } }`, "GRAPHQL_PARSE_FAILED", "Half a surrogate pair is no character."},
		{`{ "` + strings.Repeat("ü", 1_000) + `" }`, "GRAPHQL_PARSE_FAILED", "Expected Name, found String"},
		{strings.Repeat("ü", 1_000), "GRAPHQL_PARSE_FAILED", `Unexpected character "ü".`},
		{`{ users(first: é) { totalCount } }`, "GRAPHQL_PARSE_FAILED", `Unexpected character "é".`},
		{"{ \x07 }", "GRAPHQL_PARSE_FAILED", `Cannot contain the invalid character "\u0007"`},
		{`{ user(by: {username: 'x'}) { id } }`, "GRAPHQL_PARSE_FAILED", `Unexpected single quote character ('), did you mean to use a double quote (")?`},
		{`{ user(by: {username: "x}) { id } }`, "GRAPHQL_PARSE_FAILED", `Unterminated string.`},
		{`{ user(by: {username: "\q"}) { id } }`, "GRAPHQL_PARSE_FAILED", `Invalid character escape sequence: \q.`},
		{`{ users(first: 01) { totalCount } }`, "GRAPHQL_PARSE_FAILED", `Invalid number, unexpected digit after 0: "1".`},
		{`{ user(by: "<Invalid>" { id } }`, "GRAPHQL_PARSE_FAILED", `Expected Name, found {`},
		{strings.Repeat("u", 1_000), "GRAPHQL_PARSE_FAILED", `Unexpected Name "` + strings.Repeat("u", 500-len(`Unexpected Name "`)) + "…"},
		{`fragment f on User { id }`, "GRAPHQL_VALIDATION_FAILED", "no operation provided"},
		{`{ nothing }`, "GRAPHQL_VALIDATION_FAILED", `Cannot query field "nothing" on type "Query".`},
		{`{ user(by: {id: "x"}) { usrname } }`, "GRAPHQL_VALIDATION_FAILED", `Cannot query field "usrname" on type "User". Did you mean "username"?`},
		{`{ ...f } fragment f on Query { ...f }`, "GRAPHQL_VALIDATION_FAILED", `Cannot spread fragment "f" within itself.`},
		{`{ users { totalCount ` + strings.Repeat("@x", 300) + ` } }`, "COST_LIMIT", "the document has 300 directives; the limit is 250"},
	} {
		_, _, errs := l.Find(documents.Request{Text: test.text})
		if code(errs) != test.code || errs[0].Message != test.message {
			t.Errorf("%.100s: got %v, want %s: %s", test.text, errs, test.code, test.message)
		}
	}
}

func TestErrorsHavePlaces(t *testing.T) {
	t.Parallel()
	l := library(t)
	for text, want := range map[string]gqlerror.Location{
		"{\n  nothing }": {Line: 2, Column: 3},
		"{ ...f }\nfragment f on Query { id: __typename ...f }": {Line: 2, Column: 41},
		"{ users {":           {Line: 1, Column: 10},
		"{\r\n  nothing }":    {Line: 2, Column: 3},
		"{\r  nothing }":      {Line: 2, Column: 3},
		"{\n\r  nothing }":    {Line: 3, Column: 3},
		"{ # 😀\r\n nothing }": {Line: 2, Column: 2},
		"\ufeff{ nothing }":   {Line: 1, Column: 4},
		"{ user(by: {username: \"😀\"}) { nothing } }":                                       {Line: 1, Column: 31},
		"{ users(first: \"\") { totalCount } }":                                             {Line: 1, Column: 16},
		"{ users(first: \"😀\") { totalCount } }":                                            {Line: 1, Column: 16},
		"{\r\n users(first: \"\"\"\r\n\r\n😀\"\"\") { totalCount } }":                        {Line: 2, Column: 15},
		"{ user(by: {username: \"\"\"\r\n\r\n😀\"\"\"}) { nothing } }":                       {Line: 3, Column: 10},
		"{ user(by: {username: \"\"\"\n\"\"\"}) { id } users(first: \"\") { totalCount } }": {Line: 2, Column: 27},
		"{\r\n \"x\" }": {Line: 2, Column: 2},
		"{\r\n  user(by: {username: \"ü\\uD83D\"}) { id } }": {Line: 2, Column: 25},
		"{ user(by: {username: \"ü\\uD83D\"}) { id } }":      {Line: 1, Column: 25},
	} {
		_, _, errs := l.Find(documents.Request{Text: text})
		if len(errs) != 1 || len(errs[0].Locations) != 1 || errs[0].Locations[0] != want {
			t.Errorf("%q: %v, want %v", text, errs, want)
		}
	}
}

func TestAtMostTenErrors(t *testing.T) {
	t.Parallel()
	l := library(t)
	var b strings.Builder
	for i := range 15 {
		fmt.Fprintf(&b, "x%d ", i)
	}
	_, _, errs := l.Find(documents.Request{Text: "{" + b.String() + "}"})
	if len(errs) != documents.MaxErrors {
		t.Fatalf("got %d errors, want %d", len(errs), documents.MaxErrors)
	}
	for i, err := range errs {
		if want := fmt.Sprintf(`Cannot query field "x%d" on type "Query".`, i); err.Message != want {
			t.Errorf("got %s, want %s", err.Message, want)
		}
	}
	// A fault in a fragment that is used again is one.
	_, _, errs = l.Find(documents.Request{Text: "{ a: users { ...f } b: users { ...f } } fragment f on UserConnection { nothing }"})
	if len(errs) != 1 {
		t.Errorf("got %v, want one error", errs)
	}
}

// faults has documents that break every rule.
var faults = []string{ //nolint:gochecknoglobals // of two tests, and never changed
	`{ users { nothing usrname } }`,
	`{ node(id: "x") { username } }`,
	`{ users { ... on PageInf { x } ... on PostOrderField { x } } } fragment f on Stringgg { x } fragment g on String { x }`,
	`{ users(frst: 1, wher: {}) { totalCount @include(of: true) } }`,
	`{ users @deprecated { totalCount @skp(if: true) @skip } } `,
	`{ ...f } `,
	`subscription { users { totalCount } }`,
	`subscription { a: changes { cursor } b: changes { cursor } }`,
	`subscription { ... { changes { cursor } ...f } } fragment f on Subscription { a: changes { cursor } ...g } fragment g on Subscription { ...f }`,
	`subscription { ...f } fragment f on Subscription { a: changes { cursor } b: changes { cursor } }`,
	`subscription { __typename }`, `subscription { changes { cursor } __typename }`,
	`subscription ($a: Boolean!) { changes @skip(if: $a) { cursor } }`, `subscription { ... @include(if: true) { changes { cursor } } }`,
	`subscription { ...f @skip(if: false) } fragment f on Subscription { changes { cursor } }`,
	`query ($a: UserWher, $b: User, $c: String = 5) { users { totalCount } }`,
	`query a { users { totalCount } } query a { users { totalCount } } { users { totalCount } }`,
	`{ __schema { types { fields { type { fields { type { fields { name } } } } } } } __type(name: "User") { name } }`,
	`{ users(first: $n) { totalCount } }`,
	`query q { users(first: $n) { totalCount } } fragment f on User { id } fragment f on User { id }`,
	`query q($n: Int, $n: Int) { users { totalCount } }`,
	`{ users { a: totalCount a: nodes { id } } } `,
	`{ posts { nodes { x: title x: author { id } y: id y: title } } }`,
	`{ users(first: 1) { totalCount } users(first: 2) { totalCount } }`,
	`{ users { ... on User { id } nodes { ...f } } } fragment f on Post { id }`,
	`{ user { id } nodes { id } }`,
	`{ users { nodes { id { x } posts } } users }`,
	`{ user(by: {id: "x", id: "y"}, by: {}) { id } }`,
	`{ user(by: {usrname: "x"}) { id } a: user(by: {id: "x", username: "y"}) { id } b: user(by: {id: null}) { id } c: user(by: 5) { id } }`,
	`{ users(orderBy: {field: USRNAME}) { totalCount } a: users(orderBy: {field: "USERNAM"}) { totalCount } b: users(orderBy: {}) { totalCount } c: users(orderBy: {field: null, direction: DES}) { totalCount } }`,
	`{ users(first: "x") { totalCount } a: users(where: {and: 5, hasPosts: "x"}) { totalCount } b: users(first: 99999999999) { totalCount } c: nodes(ids: [{}, ENUM, 1.5]) { id } d: users(after: CREATED_A) { totalCount } }`,
	`mutation { createUser(input: {username: null}) { user { id } } deleteUser(input: {id: "x", dependents: CASCADED}) { deletedId } }`,
	`query ($a: Int, $b: String!, $c: ID) { users(first: $b, after: $a) { totalCount } user(by: {id: $c}) { id } }`,
	`{ users { totalCount @include(if: true) @include(if: false) } }`,
	`{ users { nodes { id ... @defer { username } } } }`,
	`{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }`,
	`query ($a: DateTime = 1e999) { stats { signUps(from: 99999999999999999999, to: {x: [-1e999]}) { users } } users(where: {createdAt: {gt: $a}}) { totalCount } }`,
}

// TestSecretSchema checks that without introspection no message has a name of the schema that the document did not have.
func TestSecretSchema(t *testing.T) {
	t.Parallel()
	o := options(t, secret)
	l, err := documents.New(o)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for name, d := range o.Schema.Types {
		names[name] = true
		for _, f := range d.Fields {
			names[f.Name] = true
			for _, a := range f.Arguments {
				names[a.Name] = true
			}
		}
		for _, v := range d.EnumValues {
			names[v.Name] = true
		}
	}
	for word := range strings.FieldsSeq("id name type field fields input by in not of or and to at") { // which are words, too
		delete(names, word)
	}
	word := regexp.MustCompile(`\w+`)
	rules := map[string]bool{}
	for _, text := range faults {
		_, _, errs := l.Find(documents.Request{Text: text})
		if len(errs) == 0 {
			t.Errorf("%s: got no error, want one", text)
		}
		own := word.FindAllString(text, -1)
		for _, err := range errs {
			rules[err.Rule] = true
			for _, w := range word.FindAllString(err.Message, -1) {
				if names[w] && !slices.Contains(own, w) {
					t.Errorf("%s: got %s, want no message with %s", text, err.Message, w)
				}
			}
			if strings.Contains(err.Message, "Did you mean") {
				t.Errorf("%s: got %s, want no suggestion", text, err.Message)
			}
		}
	}
	for rule := range documents.AllRules() {
		if !rules[rule] && !slices.Contains([]string{"NoFragmentCycles", "KnownRootType"}, rule) { // said by another rule before; there are all types
			t.Errorf("%s: got no error of this rule, want one", rule)
		}
	}
}

// TestOpenSchema checks that with introspection the same documents have faults that help.
func TestOpenSchema(t *testing.T) {
	t.Parallel()
	l := library(t)
	var all strings.Builder
	for _, text := range faults {
		_, _, errs := l.Find(documents.Request{Text: text})
		for _, err := range errs {
			fmt.Fprintln(&all, err.Message)
		}
	}
	for _, want := range []string{
		`Did you mean "username"?`, `Did you mean "where"?`, `Did you mean "String"?`, `Did you mean the enum value "USERNAME"?`,
		`Did you mean "posts { ... }"?`, `Did you mean to use an inline fragment on "User"?`,
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no error says %s:\n%s", want, &all)
		}
	}
}

func TestIntrospectionCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	open, closed := library(t), library(t, secret)
	for _, text := range []string{
		`{ __schema { queryType { name } } }`,
		`{ __type(name: "User") { name } }`,
		`{ a: __schema { queryType { name } } }`,
		`{ users { totalCount } ... { b: __type(name: "User") { name } } }`,
		`{ ...f } fragment f on Query { ...g } fragment g on Query { c: __schema { queryType { name } } }`,
		`query A { users { totalCount } } query B { __schema { queryType { name } } }`,
	} {
		if _, _, errs := open.Find(documents.Request{Text: text}); len(errs) > 0 {
			t.Errorf("%s: got %v, want no error", text, errs)
		}
		_, _, errs := closed.Find(documents.Request{Text: text})
		if code(errs) != "GRAPHQL_VALIDATION_FAILED" || errs[0].Message != "Introspection is switched off." {
			t.Errorf("%s: got %v, want GRAPHQL_VALIDATION_FAILED", text, errs)
		}
	}
	if _, _, errs := closed.Find(documents.Request{Text: `{ __typename users { __typename nodes { __typename } } }`}); len(errs) > 0 {
		t.Errorf("__typename: got %v, want no error", errs)
	}
}

func TestTrustedDocuments(t *testing.T) {
	t.Parallel()
	const second = `query Second { users { nodes { id } } }`
	l := library(t, trusting(map[string]string{
		hashOf(count):    count,
		"sha1:0123":      second,
		"second by name": second,
		"introspection":  `{ __schema { queryType { name } } }`,
	}))
	for _, test := range []struct{ text, id, code string }{
		{"", hashOf(count), "0"},
		{"", "sha256:" + hashOf(count), "0"},
		{"", "sha1:0123", "0"},
		{"", "0123", "0"},
		{"", "second by name", "0"},
		{"", "introspection", "0"},
		{count, "", "0"},
		{second, "", "0"},
		{second, "0123", "0"},
		{count, hashOf(count), "0"},
		{count, "0123", "FORBIDDEN"},
		{"", "01234", "FORBIDDEN"},
		{"", hashOf(second), "FORBIDDEN"},
		{"", count, "FORBIDDEN"},
		{`{ users { totalCount }}`, "", "FORBIDDEN"},
		{`{ users { totalCount }}`, hashOf(`{ users { totalCount }}`), "FORBIDDEN"},
		{`{ __schema { types { name } } }`, "", "FORBIDDEN"},
		{`{`, "", "FORBIDDEN"},
		{"", "", "BAD_REQUEST"},
	} {
		r := documents.Request{Text: test.text}
		if test.id != "" {
			r.Extensions = byHash(test.id)
		}
		d, _, errs := l.Find(r)
		if code(errs) != test.code || (d == nil) != (len(errs) > 0) {
			t.Errorf("%+v: got %v, want the code %q", test, errs, test.code)
		}
	}
	_, _, errs := library(t, trusting(map[string]string{"d": `query ($n: Int) { users(first: $n) { nodes { posts(first: $n) { nodes { author { posts(first: $n) { nodes { id } } } } } } } }`})).
		Find(documents.Request{Extensions: byHash("d"), Variables: map[string]any{"n": json.Number("100")}})
	if code(errs) != "COST_LIMIT" {
		t.Errorf("got %v, want COST_LIMIT", errs)
	}
}

func TestTrustedDocumentsMustBeValid(t *testing.T) {
	t.Parallel()
	for want, settings := range map[string][]func(*documents.Options){
		`trusted document "b": line 1, column 3: Cannot query field "nothing" on type "Query".`: {trusting(map[string]string{"a": count, "b": wrong})},
		`trusted document "a": line 1, column 2: Expected Name, found <EOF>`:                    {trusting(map[string]string{"a": "{"})},
		`trusted document "a": no operation provided`:                                           {trusting(map[string]string{"a": ""})},
		`trusted document "sha256:a": another one has the same key`:                             {trusting(map[string]string{"a": count, "sha256:a": count})},
		`trusted document "a": line 1, column 3: Introspection is switched off.`:                {secret, trusting(map[string]string{"a": `{ __schema { queryType { name } } }`})},
		`trusted document "a": the document has 300 directives; the limit is 250`:               {trusting(map[string]string{"a": "{ users { totalCount " + strings.Repeat("@x", 300) + "} }"})},
	} {
		if _, err := documents.New(options(t, settings...)); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestAtOnce lets many requests find, validate and replace documents at the same time; the race detector looks on.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	l := library(t, func(o *documents.Options) { o.CacheBytes = 20_000 })
	var requests sync.WaitGroup
	for i := range 4 {
		requests.Go(func() {
			for j := range 200 {
				text := fmt.Sprintf("query Q%d { users { totalCount } }", (i*j)%17)
				d, _, errs := l.Find(documents.Request{Text: text, Extensions: byHash(hashOf(text))})
				if len(errs) > 0 || d.Text != text {
					t.Errorf("got %v, want the document %s", errs, text)
				}
			}
		})
	}
	requests.Wait()
}

// FuzzFind checks that whatever is sent is answered: with a document, or with errors that are few, short and have a code,
// and with the same decision whether the schema is secret or not.
func FuzzFind(f *testing.F) {
	requests, err := abuse.Requests()
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range requests {
		if len(r.Document) < 3_000 {
			f.Add(r.Document)
		}
	}
	for _, text := range faults {
		f.Add(text)
	}
	open, closed := library(f), library(f, secret)
	f.Fuzz(func(t *testing.T, text string) {
		d, cost, errs := open.Find(documents.Request{Text: text})
		secretly, _, secretErrs := closed.Find(documents.Request{Text: text})
		if (d == nil) != (len(errs) > 0) || cost < 0 || len(errs) > documents.MaxErrors || len(secretErrs) > documents.MaxErrors {
			t.Errorf("got %+v, cost %d, %v, want a document or at most %d errors", d, cost, errs, documents.MaxErrors)
		}
		if d == nil && secretly != nil || d != nil && secretly == nil && secretErrs[0].Rule != "Introspection" {
			t.Errorf("without introspection: got %v, want %v", secretErrs, errs)
		}
		for _, err := range slices.Concat(errs, secretErrs) {
			if code, _ := err.Extensions["code"].(codes.Code); code == "" || err.Message == "" || len(err.Message) > 600 {
				t.Errorf("got %+v, want a code, and a message of 1 to 600 bytes", err)
			}
		}
	})
}

// What is kept with a document takes no more memory than the document counts for.
func TestKeep(t *testing.T) {
	t.Parallel()
	d, _, errs := library(t).Find(documents.Request{Text: "{ __typename }"})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	room := d.Room()
	made := 0
	keep := func(key string, size int64) any {
		return d.Keep(key, func() (any, int64) { made++; return made, size })
	}
	for _, step := range []struct {
		key  string
		size int64
		want int
	}{
		{"half", room/2 - 4, 1},
		{"half", room/2 - 4, 1},
		{"too much", room, 2},
		{"too much", room, 3},                  // it is made again
		{strings.Repeat("k", int(room)), 0, 4}, // the key counts too
		{"the rest", room - room/2 - 8, 5},
		{"the rest", room, 5},
		{"half", room, 1},
		{"", 0, 6},
		{"", 0, 6},
		{"a byte", 0, 7},
		{"a byte", 0, 8},
	} {
		if got := keep(step.key, step.size); got != step.want {
			t.Errorf("%s: got value %v, want %d", step.key, got, step.want)
		}
	}
}
