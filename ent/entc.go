//go:build ignore

// Command entc generates the entities from package schema, with the templates beside it.
package main

import (
	"fmt"
	"log"
	"slices"
	"strings"

	"entgo.io/ent/dialect"
	"entgo.io/ent/entc"
	"entgo.io/ent/entc/gen"
)

func main() {
	gen.Funcs["fieldName"] = fieldName
	gen.Funcs["entities"] = entities
	gen.Funcs["isEntity"] = isEntity
	gen.Funcs["size"] = size
	gen.Funcs["parts"] = parts
	err := entc.Generate("./schema", &gen.Config{
		Package: "roster/ent",
		Target:  ".",
		Features: []gen.Feature{
			gen.FeatureExecQuery,
		},
	}, entc.TemplateDir("./template"))
	if err != nil {
		log.Fatalf("generate ent: %v", err)
	}
}

// entities returns the types with the mixin schema.Node. Other types are tables that no client sees.
func entities(g *gen.Graph) []*gen.Type {
	return slices.DeleteFunc(slices.Clone(g.Nodes), func(t *gen.Type) bool { return !isEntity(t) })
}

func isEntity(t *gen.Type) bool {
	_, is := t.Annotations["Entity"]
	return is
}

// parts returns the fields of a type that are parts of a value, by the name of the value.
func parts(t *gen.Type) map[string][]*gen.Field {
	of := map[string][]*gen.Field{}
	for _, f := range t.Fields {
		if part, is := f.Annotations["Part"].(map[string]any); is {
			name := part["Of"].(string)
			of[name] = append(of[name], f)
		}
	}
	return of
}

// size returns the length in MySQL's type of a text, in characters or bytes, or 0 if the type has none. A text of so
// many bytes may have fewer characters.
func size(f *gen.Field) (n int) {
	for _, format := range []string{"varchar(%d)", "varbinary(%d)"} {
		if _, err := fmt.Sscanf(f.Column().SchemaType[dialect.MySQL], format, &n); err == nil {
			return n
		}
	}
	return 0
}

// fieldName returns the name of a field or an edge in GraphQL, without initialisms: authorId, not authorID.
func fieldName(name string) string {
	var b strings.Builder
	for i, part := range strings.Split(name, "_") {
		if i > 0 && part != "" {
			part = strings.ToUpper(part[:1]) + part[1:]
		}
		b.WriteString(part)
	}
	return b.String()
}
