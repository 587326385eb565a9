package query

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/vikstrous/dataloadgen"
)

// A Key tells the loads of a group apart: two with the same edge, arguments and columns share one fetch.
type Key struct {
	Edge    string
	Args    string // equal for equal arguments
	Columns Columns
}

// A Group is siblings: the entities that one statement has read, in its order. It lives for one operation.
type Group[N comparable] struct {
	nodes   []N
	mu      sync.Mutex
	loaders map[Key]any // a *dataloadgen.Loader[*Group[N], map[N]V]
}

// Add adds an entity to the group. Add all of them before any calls Load.
func (g *Group[N]) Add(n N) { g.nodes = append(g.nodes, n) }

// A PanicError is a panic with its stack. A fetch runs in a goroutine of its own, where a panic would end the program.
type PanicError struct {
	Value any
	Stack []byte
}

// Recovered makes an error of the value that recover has returned. The deferred function must call it, for the stack.
func Recovered(value any) *PanicError { return &PanicError{Value: value, Stack: debug.Stack()} }

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Load returns what an edge of self leads to. fetch loads the edge for all siblings, in one statement; a sibling without an
// entry in its map gets the zero value. All siblings get an error of fetch, and a panic as a [*PanicError]. A nil group
// means that self has no siblings.
func Load[N comparable, V any](ctx context.Context, g *Group[N], self N, key Key, fetch func(context.Context, []N) (map[N]V, error)) (V, error) {
	if g == nil {
		found, err := try(ctx, []N{self}, fetch)
		return found[self], err
	}
	g.mu.Lock()
	loader, ok := g.loaders[key].(*dataloadgen.Loader[*Group[N], map[N]V])
	if !ok {
		// The batch has one key, the group, so it is full and fetched at once. (A batch of the nodes would wait for its
		// timer when a node stands in the group twice.)
		loader = dataloadgen.NewMappedLoader(func(ctx context.Context, _ []*Group[N]) (map[*Group[N]]map[N]V, error) {
			found, err := try(ctx, g.nodes, fetch)
			return map[*Group[N]]map[N]V{g: found}, err
		}, dataloadgen.WithBatchCapacity(1))
		if g.loaders == nil {
			g.loaders = make(map[Key]any)
		}
		g.loaders[key] = loader
	}
	g.mu.Unlock()
	found, err := loader.Load(ctx, g)
	return found[self], err
}

// try calls fetch and keeps the stack of a panic, which the loader would lose.
func try[N comparable, V any](ctx context.Context, nodes []N, fetch func(context.Context, []N) (map[N]V, error)) (found map[N]V, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = Recovered(value)
		}
	}()
	return fetch(ctx, nodes)
}
