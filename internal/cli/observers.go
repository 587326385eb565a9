package cli

import (
	"context"

	"roster/graph"
	"roster/internal/documents"
)

// observers are told of each operation, one after the other.
type observers []graph.Observer

// Begin implements graph.Observer.
func (l observers) Begin(ctx context.Context, o *documents.Operation) context.Context {
	for _, observer := range l {
		ctx = observer.Begin(ctx, o)
	}
	return ctx
}

// End implements graph.Observer.
func (l observers) End(ctx context.Context, o *documents.Operation, e graph.Ended) {
	for _, observer := range l {
		observer.End(ctx, o, e)
	}
}

// observer returns one observer for all, or nil.
func (l observers) observer() graph.Observer {
	if len(l) == 0 {
		return nil
	}
	return l
}
