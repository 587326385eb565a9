package compiled_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"roster/graph/compiled"
)

const sdl = `
type Query { me: Me, other: Me, text: String }
type Me { name: String, tags: [String!], wrong: String }
`

// compile returns the plan of a document, and the function that answers a request by it.
func compile(t *testing.T, callers map[string]func(context.Context) compiled.Caller, document string, variables map[string]any) (run func() (string, error), err error) {
	t.Helper()
	o := &compiled.Options{Schema: gqlparser.MustLoadSchema(&ast.Source{Input: sdl}), Resolved: func(string) bool { return false }, Callers: callers}
	doc, errs := gqlparser.LoadQueryWithRules(o.Schema, document, rules.NewDefaultRules())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	p, err := o.Compile(doc, doc.Operations[0], variables)
	return func() (string, error) {
		data, err := o.Run(t.Context(), p, nil, variables)
		return string(data), err
	}, err
}

func me(context.Context) compiled.Caller {
	return compiled.Caller{"name": "A \"b\"\n\t\r\\\x01é", "tags": []string{"x", "y"}, "wrong": 1}
}

// callers are those of sdl, without Query.other.
func callers() map[string]func(context.Context) compiled.Caller {
	return map[string]func(context.Context) compiled.Caller{"Query.me": me}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		`{ __typename }`:  `{"__typename":"Query"}`,
		`{ me { name } }`: `{"me":{"name":"A \"b\"\n\t\r\\\u0001é"}}`,
		`{ a: me { b: tags __typename } c: __typename }`:                                           `{"a":{"b":["x","y"],"__typename":"Me"},"c":"Query"}`,
		`{ me { tags } ...F } fragment F on Query { me { tags name @skip(if: true) __typename } }`: `{"me":{"tags":["x","y"],"__typename":"Me"}}`,
		`query ($no: Boolean!) { me @include(if: $no) { name } }`:                                  `{}`,
		`query ($no: Boolean!) { me { name @include(if: $no) } }`:                                  `{"me":{}}`,
	} {
		run, err := compile(t, callers(), document, map[string]any{"no": false})
		if err != nil {
			t.Errorf("%s: got %v, want a plan", document, err)
			continue
		}
		if got, err := run(); got != want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", document, got, err, want)
		}
	}
}

// What the package does not know has no plan, and says which field it is.
func TestUnknown(t *testing.T) {
	t.Parallel()
	var wide strings.Builder
	for i := range 10_100 {
		fmt.Fprintf(&wide, "a%d: me { name } ", i)
	}
	for document, want := range map[string]string{
		`{ other { name } }`:              "Query.other",
		`{ me { name } text }`:            "Query.text",
		`{ __schema { types { name } } }`: "Query.__schema",
		"{" + wide.String() + "}":         "more than",
	} {
		_, err := compile(t, callers(), document, nil)
		if !errors.Is(err, compiled.ErrUnknown) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s: got %v, want an error with %s", document, err, want)
		}
	}
}

// A request that meets an error has no answer, and a panic is an error.
func TestErrors(t *testing.T) {
	t.Parallel()
	run, err := compile(t, callers(), `{ me { wrong } }`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := run(); err == nil || got != "" {
		t.Errorf("a value of another type: got %s, %v, want an error and no data", got, err)
	}
	run, err = compile(t, map[string]func(context.Context) compiled.Caller{"Query.me": func(context.Context) compiled.Caller { panic("oh") }}, `{ me { name } }`, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := run()
	if panicked, ok := errors.AsType[*compiled.PanicError](err); !ok || got != "" || panicked.Value != "oh" || !strings.Contains(string(panicked.Stack), "TestErrors") {
		t.Errorf("a panic: got %s, %v, want it with its stack, and no data", got, err)
	}
}
