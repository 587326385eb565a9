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

// size is how many characters a text has at most, where MySQL's type tells; a byte for a byte, it may be fewer.
func size(f *gen.Field) (n int) {
	for _, format := range []string{"varchar(%d)", "varbinary(%d)"} {
		if _, err := fmt.Sscanf(f.Column().SchemaType[dialect.MySQL], format, &n); err == nil {
			return n
		}
	}
	return 0
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
