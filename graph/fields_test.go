package graph

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"roster/internal/limits"
)

// resolved finds the fields for which the generated code calls a function with a context: these may send statements.
func resolved(t *testing.T) map[string]bool {
	t.Helper()
	code, err := os.ReadFile("generated/generated.go")
	if err != nil {
		t.Fatal(err)
	}
	field := regexp.MustCompile(`(?s)\nfunc \(ec \*executionContext\) _([A-Za-z]+)_(\w+)\(ctx context\.Context, field .*?\n}\n`)
	call := regexp.MustCompile(`return (obj|ec\.Resolvers\.\w+\(\))\.\w+\(ctx\b`)
	fields := map[string]bool{}
	for _, match := range field.FindAllStringSubmatch(string(code), -1) {
		if call.MatchString(match[0]) {
			fields[match[1]+"."+match[2]] = true
		}
	}
	return fields
}

// conditionsOf adds the conditions of a filter: its fields that are no filters themselves.
func conditionsOf(schema *ast.Schema, filter string, seen, conditions map[string]bool) {
	if seen[filter] {
		return
	}
	seen[filter] = true
	for _, f := range schema.Types[filter].Fields {
		if schema.Types[f.Type.Name()].Kind == ast.InputObject {
			conditionsOf(schema, f.Type.Name(), seen, conditions)
			continue
		}
		conditions[filter+"."+f.Name] = true
	}
}

// Who adds a field to the contract has to say what it costs.
func TestDeclarations(t *testing.T) {
	t.Parallel()
	schema, declared := served(), fields()
	for name := range resolved(t) {
		_, ok := declared[name]
		if !ok && !strings.HasPrefix(name, "Mutation.") {
			t.Errorf("the field %s calls a function and is not declared: add %q to fields in graph/fields.go, with the "+
				"statements that the function sends, and with a surcharge when one of them reads rows that no page bounds", name, name)
		}
	}
	for name := range declared {
		f := fieldOf(name)
		if of := schema.Types[f.Type]; of == nil || of.Fields.ForName(f.Name) == nil {
			t.Errorf("fields in graph/fields.go declares %q, which is not in schema.graphqls: remove it", name)
		}
	}
	conditionNames := map[string]bool{}
	for _, of := range schema.Types {
		for _, f := range of.Fields {
			if where := f.Arguments.ForName("where"); where != nil {
				conditionsOf(schema, where.Type.Name(), map[string]bool{}, conditionNames)
			}
		}
	}
	surcharges := conditions()
	for name := range conditionNames {
		if _, ok := surcharges[name]; !ok {
			t.Errorf("the condition %s is not declared: add %q to conditions in graph/fields.go, with a surcharge when no "+
				"index finds its rows, or with 0", name, name)
		}
	}
	byName := map[string]string{}
	for name, surcharge := range surcharges {
		if !conditionNames[name] {
			t.Errorf("conditions in graph/fields.go declares %q, which no where argument of schema.graphqls has: remove it", name)
		}
		field := fieldOf(name).Name
		if other, ok := byName[field]; ok && surcharges[other] != surcharge {
			t.Errorf("%s and %s have different surcharges: variables do not show their types, so conditions of one name cost the same", name, other)
		}
		byName[field] = name
	}
}

// Clients know the prices: they are in docs/limits.md.
func TestPrices(t *testing.T) {
	t.Parallel()
	counts := map[string]int64{"totalCount": 1_000, "userCount": 1_000, "postCount": 1_000, "usersWithoutPosts": 5_000, "signUps": 1_000}
	p := prices()
	for _, of := range served().Types {
		for _, f := range of.Fields {
			got, want := p.Fields[limits.Field{Type: of.Name, Name: f.Name}], counts[f.Name]
			if of.Kind == ast.InputObject {
				got, want = p.Conditions[f.Name], map[string]int64{"contains": 5_000}[f.Name]
				if strings.HasPrefix(f.Name, "has") { // hasPosts, hasIdentity
					want = 5_000
				}
			}
			if got != want {
				t.Errorf("%s.%s: got a surcharge of %d, want %d", of.Name, f.Name, got, want)
			}
			pages, largest := p.MaxPages[limits.Field{Type: of.Name, Name: f.Name}], map[string]int{"Query.changes": 1_000}[of.Name+"."+f.Name]
			if pages != largest {
				t.Errorf("%s.%s: got a largest page of %d, want %d", of.Name, f.Name, pages, largest)
			}
		}
	}
}
