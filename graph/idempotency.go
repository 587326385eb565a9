package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"roster/ent/rules"
	"roster/internal/idempotency"
)

// entryOf returns where the answer of the operation is stored under a key; nil without a key.
func entryOf(ctx context.Context, key string) (*idempotency.Entry, error) {
	if key == "" {
		return nil, nil
	}
	operation := graphql.GetOperationContext(ctx)
	return idempotency.NewEntry(key, idempotency.Request{
		Caller:    rules.CallerFrom(ctx).Subject,
		Document:  operation.RawQuery,
		Operation: operation.Operation.Name,
		Variables: operation.Variables,
	})
}
