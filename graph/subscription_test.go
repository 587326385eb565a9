package graph

import (
	"context"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// TestSubscriptionsPass lets a subscription through as it is: it has many responses, no transaction and no time limit.
func TestSubscriptionsPass(t *testing.T) {
	t.Parallel()
	ctx := graphql.WithOperationContext(t.Context(), &graphql.OperationContext{
		Operation: &ast.OperationDefinition{Operation: ast.Subscription},
	})
	events := 3
	next := (&operations{}).InterceptOperation(ctx, func(ctx context.Context) graphql.ResponseHandler {
		if _, bounded := ctx.Deadline(); bounded || ctx.Value(attemptKey{}) != nil {
			t.Error("it has a time limit or an attempt")
		}
		return func(context.Context) *graphql.Response {
			if events == 0 {
				return nil
			}
			events--
			return &graphql.Response{}
		}
	})
	for range 3 {
		if next(ctx) == nil {
			t.Fatal("it has ended early")
		}
	}
	if next(ctx) != nil {
		t.Error("it does not end")
	}
}
