//go:build ignore

// Command entc generates the entities from package schema, with the templates beside it.
package main

import (
	"log"
	"slices"
	"strings"

	"entgo.io/ent/entc"
	"entgo.io/ent/entc/gen"
)

func main() {
	gen.Funcs["fieldName"] = fieldName
	gen.Funcs["entities"] = entities
	gen.Funcs["isEntity"] = isEntity
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

// entities are the types that have schema.Node mixed in; the others are tables that no client sees.
func entities(g *gen.Graph) []*gen.Type {
	return slices.DeleteFunc(slices.Clone(g.Nodes), func(t *gen.Type) bool { return !isEntity(t) })
}

func isEntity(t *gen.Type) bool {
	_, is := t.Annotations["Entity"]
	return is
}

// fieldName is the name of a field or an edge in GraphQL, which knows no initialisms: authorId, not authorID.
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
