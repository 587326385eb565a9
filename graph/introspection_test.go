package graph_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/graph"
	"roster/internal/dbtest"
)

// The tests of this file compute what they want from the contract, which grows with each entity.

// TestPossibleTypes asks for the types that implement an interface.
func TestPossibleTypes(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: graph.SDL()})
	var data struct {
		Type struct {
			PossibleTypes []struct{ Name string }
		}
	}
	serve(t, dbtest.SQLite, settings{}).must(&data, `{ type: __type(name: "Node") { possibleTypes { name } } }`)
	var got, want []string
	for _, p := range data.Type.PossibleTypes {
		got = append(got, p.Name)
	}
	for _, p := range schema.GetPossibleTypes(schema.Types["Node"]) {
		want = append(want, p.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) < 2 || !slices.Equal(got, want) {
		t.Errorf("got the types %q, want %q", got, want)
	}
}

// TestEnumValue sends a value that an enum does not have. The message names those that it has.
func TestEnumValue(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: graph.SDL()})
	a := serve(t, dbtest.SQLite, settings{}).fails("GRAPHQL_VALIDATION_FAILED", `{ changes(types: [THING]) { caughtUp } }`)
	message := a.Errors[0].Message
	for _, value := range schema.Types["EntityType"].EnumValues {
		if !strings.Contains(message, value.Name) {
			t.Errorf("got the message %q, want one with %s", message, value.Name)
		}
	}
	if !strings.HasSuffix(message, "(EntityType), found THING.") {
		t.Errorf("got the message %q, want it to say what was found", message)
	}
}
