package graphtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// An Operation writes parts of a random operation: names, directives and values. It makes variables of some values.
type Operation struct {
	Random *rand.Rand
	Schema *ast.Schema
	// Nulls also allows null for variables with a default where the schema does not.
	Nulls bool

	// Definitions has the definitions of the variables.
	Definitions []string
	// Sent has the variables to send. Variables also has those with their default value.
	Sent, Variables map[string]any

	names int
}

// An Enum is a value of an enum.
type Enum string

// NewOperation returns an operation without variables.
func NewOperation(random *rand.Rand, schema *ast.Schema) *Operation {
	return &Operation{Random: random, Schema: schema, Sent: map[string]any{}, Variables: map[string]any{}}
}

// Pick returns one of the values.
func Pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// Chance returns true in one of n cases.
func (o *Operation) Chance(n int) bool { return o.Random.IntN(n) == 0 }

// Name returns a new name for the operation.
func (o *Operation) Name(prefix string) string {
	o.names++
	return fmt.Sprintf("%s%d", prefix, o.names)
}

// Directives returns @skip or @include, sometimes.
func (o *Operation) Directives() string {
	if !o.Chance(12) {
		return ""
	}
	name := Pick(o.Random, "skip", "include")
	// Mostly, the field is included.
	value := (name == "include") != o.Chance(3)
	return " @" + name + "(if: " + o.Value(ast.NonNullNamedType("Boolean", nil), value) + ")"
}

// Value writes a value as a literal or as a variable.
func (o *Operation) Value(t *ast.Type, v any) string {
	if o.Chance(6) {
		name := o.Name("v")
		o.Variables[name] = v
		if (o.Nulls || !t.NonNull) && v != nil && o.Chance(4) {
			nullable := *t
			nullable.NonNull = false
			o.Definitions = append(o.Definitions, "$"+name+": "+nullable.String()+" = "+o.literal(t, v, false))
			if o.Nulls && o.Chance(2) {
				o.Sent[name] = nil
			}
			return "$" + name
		}
		o.Sent[name] = v
		o.Definitions = append(o.Definitions, "$"+name+": "+t.String())
		return "$" + name
	}
	return o.literal(t, v, true)
}

// literal writes a value as a literal. With variables, parts of it may be variables.
func (o *Operation) literal(t *ast.Type, v any, variables bool) string {
	write := o.Value
	if !variables {
		write = func(t *ast.Type, v any) string { return o.literal(t, v, false) }
	}
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		def := o.Schema.Types[t.Name()]
		for _, f := range def.Fields {
			if v, ok := v[f.Name]; ok {
				of := *f.Type
				of.NonNull = of.NonNull || def.Directives.ForName("oneOf") != nil
				parts = append(parts, f.Name+": "+write(&of, v))
			}
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		if len(v) == 1 && o.Chance(3) {
			return o.literal(t.Elem, v[0], variables) // GraphQL reads one value as a list
		}
		parts := make([]string, len(v))
		for i, v := range v {
			parts[i] = write(t.Elem, v)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case Enum:
		return string(v)
	case nil:
		return "null"
	default:
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			panic(err)
		}
		return strings.TrimSpace(b.String())
	}
}
