package query

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/vikstrous/dataloadgen"
)

// A Key tells loads of one edge apart: two selections with the same arguments and columns share one load.
type Key struct {
	Edge    string
	Args    string // the arguments, in any form that is equal when they are
	Columns Columns
}

// A Group is the entities that came out of one statement, in its order. It lives for one operation.
type Group[N comparable] struct {
	nodes   []N
	mu      sync.Mutex
	loaders map[Key]any // a *dataloadgen.Loader[*Group[N], map[N]V]
}

// Add adds an entity to the group, before any of them is handed out.
func (g *Group[N]) Add(n N) { g.nodes = append(g.nodes, n) }

// A PanicError is a panic, and the stack that it came from: a fetch runs in a goroutine of its own, where a panic would end
// the program.
type PanicError struct {
	Value any
	Stack []byte
}

// Recovered makes an error of what recover has returned. It is called by the function that is deferred.
func Recovered(value any) *PanicError { return &PanicError{Value: value, Stack: debug.Stack()} }

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Load returns what self gets of an edge. fetch loads the edge for all nodes given to it, in one statement; a node
// without an entry in its answer gets the zero value. An error of fetch is the answer to all siblings, and so is a panic,
// as a [*PanicError].
// A nil group is an entity without siblings.
func Load[N comparable, V any](ctx context.Context, g *Group[N], self N, key Key, fetch func(context.Context, []N) (map[N]V, error)) (V, error) {
	if g == nil {
		found, err := try(ctx, []N{self}, fetch)
		return found[self], err
	}
	g.mu.Lock()
	loader, ok := g.loaders[key].(*dataloadgen.Loader[*Group[N], map[N]V])
	if !ok {
		// One key, the group, fills the batch: it is fetched at once, for all nodes. (A batch of the nodes would wait
		// for its timer whenever a node stands in the group twice.)
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

// try calls fetch. The loader would catch a panic as well, but keep nothing of the stack.
func try[N comparable, V any](ctx context.Context, nodes []N, fetch func(context.Context, []N) (map[N]V, error)) (found map[N]V, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = Recovered(value)
		}
	}()
	return fetch(ctx, nodes)
}
