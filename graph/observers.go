package graph

import (
	"context"
	"slices"

	"roster/internal/documents"
)

// Observers are told of operations one after the other. Those that are first told of a beginning are last told of the end.
type Observers []Observer

var _ Observer = Observers(nil)

// Begin implements Observer.
func (all Observers) Begin(ctx context.Context, o *documents.Operation) context.Context {
	for _, one := range all {
		ctx = one.Begin(ctx, o)
	}
	return ctx
}

// End implements Observer.
func (all Observers) End(ctx context.Context, o *documents.Operation, e Ended) {
	for _, one := range slices.Backward(all) {
		one.End(ctx, o, e)
	}
}
