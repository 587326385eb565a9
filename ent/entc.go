//go:build ignore

// Command entc generates the entities from package schema, with the templates beside it.
package main

import (
	"log"
	"strings"

	"entgo.io/ent/entc"
	"entgo.io/ent/entc/gen"
)

func main() {
	gen.Funcs["fieldName"] = fieldName
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
