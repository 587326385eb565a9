package graph

import (
	"runtime"
	"testing"

	"github.com/vektah/gqlparser/v2"
	gqlrules "github.com/vektah/gqlparser/v2/validator/rules"

	"roster/graph/compiled"
	"roster/internal/documents"
	"roster/internal/limits"
)

// planned returns documents that have plans.
func planned() map[string]string {
	return map[string]string{
		"one":    `query ($u: String!) { user(by: {username: $u}) { id username email createdAt } }`,
		"nested": `{ users(first: 50) { edges { node { id username posts(first: 10) { edges { node { id title author { id username } } } } } } } }`,
		"node":   `{ nodes(ids: []) { id ... on User { username email } ... on Post { title author { email } } } }`,
		"pages":  `{ posts { pageInfo { hasNextPage endCursor } totalCount nodes { id title body createdAt updatedAt version } } }`,
	}
}

// TestSizeOfPlans compares the size of plans with the memory that they take. It is not parallel, so that no other test
// allocates meanwhile.
func TestSizeOfPlans(t *testing.T) {
	schema := served()
	o := compiledOptions(schema, fields())
	for name, document := range planned() {
		doc, errs := gqlparser.LoadQueryWithRules(schema, document, gqlrules.NewDefaultRules())
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		const n = 1000
		var before, after runtime.MemStats
		plans := make([]*compiled.Plan, n)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range plans {
			var err error
			if plans[i], err = o.Compile(doc, doc.Operations[0], nil); err != nil {
				t.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		took := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n
		if size := plans[0].Size; took > size*5/4 {
			t.Errorf("%s: got the size %d, want at least four fifths of the %d bytes that it takes", name, size, took)
		}
	}
}

// TestPlansAreKept finds the plan of the first request in the second one. Each set of values of the variables of @skip and
// @include has its own.
func TestPlansAreKept(t *testing.T) {
	t.Parallel()
	e, err := NewExecutor(Options{Limits: limits.Default(), DocumentCacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	planOf := func(document string, variables map[string]any) *plan {
		o, errs := e.library.Operation(documents.Request{Text: document, Variables: variables})
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		return e.planOf(o)
	}
	for name, document := range planned() {
		variables := map[string]any{}
		if name == "one" {
			variables["u"] = "ada"
		}
		first := planOf(document, variables)
		if again := planOf(document, variables); first.compiled == nil || again != first {
			t.Errorf("%s: got %p and then %p, want the same plan", name, first, again)
		}
	}
	const document = `query ($a: Boolean!, $b: Boolean!) { posts { nodes { id @skip(if: $a) title @include(if: $b) } } }`
	plans := map[*plan]bool{}
	for range 2 {
		for _, values := range [][2]bool{{true, true}, {true, false}, {false, false}} {
			plans[planOf(document, map[string]any{"a": values[0], "b": values[1]})] = true
		}
	}
	if len(plans) != 3 {
		t.Errorf("got %d plans, want one for each set of values", len(plans))
	}
}
