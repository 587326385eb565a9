package graph

import (
	"context"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/introspection"
	"github.com/vektah/gqlparser/v2/ast"
)

// kindsWith returns the kinds of types that have a field of __Type; of the others it is null, as the GraphQL specification
// says. The result is nil for fields that all kinds have, or that gqlgen knows to be null.
func kindsWith(field string) []ast.DefinitionKind {
	switch field {
	case "fields", "interfaces":
		return []ast.DefinitionKind{ast.Object, ast.Interface}
	case "possibleTypes":
		return []ast.DefinitionKind{ast.Interface, ast.Union}
	case "enumValues":
		return []ast.DefinitionKind{ast.Enum}
	case "inputFields", "isOneOf":
		return []ast.DefinitionKind{ast.InputObject}
	}
	return nil
}

// introspected makes an operation answer null where gqlgen has an empty list, or false, for what a type cannot have.
func introspected(o *graphql.OperationContext) {
	if !strings.Contains(o.RawQuery, "__schema") && !strings.Contains(o.RawQuery, "__type") {
		return
	}
	resolve := o.ResolverMiddleware
	o.ResolverMiddleware = func(ctx context.Context, next graphql.Resolver) (any, error) {
		field := graphql.GetFieldContext(ctx)
		if field.Object == "__Type" {
			of, isType := field.Parent.Result.(*introspection.Type)
			kinds := kindsWith(field.Field.Name)
			if isType && kinds != nil && !slices.Contains(kinds, ast.DefinitionKind(of.Kind())) {
				return nil, nil
			}
		}
		return resolve(ctx, next)
	}
}
