package graph

import (
	"context"
	"errors"
	"fmt"

	"roster/ent"
	"roster/ent/rules"
	"roster/internal/paging"
	"roster/internal/typeid"
)

// Node implements generated.QueryResolver.
func (r queryResolver) Node(ctx context.Context, id typeid.ID) (ent.Node, error) {
	nodes, err := attemptFrom(ctx).ent.Nodes(ctx, []typeid.ID{id})
	if errors.As(err, new(rules.Faults)) { // which speak of a list
		return nil, fault(rules.MalformedID(""), "id")
	}
	if err != nil {
		return nil, err
	}
	return nodes[0], nil
}

// Nodes implements generated.QueryResolver.
func (r queryResolver) Nodes(ctx context.Context, ids []typeid.ID) ([]ent.Node, error) {
	if len(ids) > paging.MaxSize {
		return nil, fault(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("must be at most %d IDs", paging.MaxSize)}, "ids")
	}
	return attemptFrom(ctx).ent.Nodes(ctx, ids)
}

// fault is an error with one fault.
func fault(f *rules.Fault, path ...any) error {
	var faults rules.Faults
	faults.Add(f, path...)
	return faults.Err()
}

// orNull makes what is not there null, which is no error in a query.
func orNull[T any](v *T, err error) (*T, error) {
	if ent.IsNotFound(err) {
		return nil, nil //nolint:nilnil // GraphQL's null
	}
	return v, err
}
