package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent/rules"
	"roster/internal/idempotency"
)

var _ graphql.ResponseInterceptor = (*operations)(nil)

// entryOf is where the answer of a mutation is stored whose request has an idempotency key; nil for all others.
func entryOf(ctx context.Context) (*idempotency.Entry, error) {
	use, operation := idempotency.UseFrom(ctx), graphql.GetOperationContext(ctx)
	if use == nil || operation.Operation.Operation != ast.Mutation {
		return nil, nil
	}
	return idempotency.NewEntry(use.Key, idempotency.Request{
		Caller:    rules.CallerFrom(ctx).Subject,
		Document:  operation.RawQuery,
		Operation: operation.Operation.Name,
		Variables: operation.Variables,
	})
}

// InterceptResponse implements graphql.ResponseInterceptor: what has been done before is answered and not done again.
// The extensions outside this one are about this request, not about the first.
func (*operations) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok || a.stored == nil {
		return next(ctx)
	}
	idempotency.UseFrom(ctx).Replayed = true
	return &graphql.Response{Data: a.stored, Extensions: graphql.GetExtensions(ctx)}
}
