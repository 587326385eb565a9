package graph

import (
	"context"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/introspection"
	"github.com/vektah/gqlparser/v2/ast"
)

// introspected makes an operation answer null for the fields that a kind of type does not have, as the GraphQL
// specification says. gqlgen answers an empty list or false.
func introspected(o *graphql.OperationContext) {
	if !strings.Contains(o.RawQuery, "__schema") && !strings.Contains(o.RawQuery, "__type") {
		return
	}
	kinds := map[string][]ast.DefinitionKind{ // with the field; gqlgen is right about all other fields
		"fields":        {ast.Object, ast.Interface},
		"interfaces":    {ast.Object, ast.Interface},
		"possibleTypes": {ast.Interface, ast.Union},
		"enumValues":    {ast.Enum},
		"inputFields":   {ast.InputObject},
		"isOneOf":       {ast.InputObject},
	}
	resolve := o.ResolverMiddleware
	o.ResolverMiddleware = func(ctx context.Context, next graphql.Resolver) (any, error) {
		field := graphql.GetFieldContext(ctx)
		if with := kinds[field.Field.Name]; field.Object == "__Type" && with != nil {
			of, isType := field.Parent.Result.(*introspection.Type)
			if isType && !slices.Contains(with, ast.DefinitionKind(of.Kind())) {
				return nil, nil
			}
		}
		return resolve(ctx, next)
	}
}
