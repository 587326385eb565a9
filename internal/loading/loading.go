// Package loading batches relation fetches without a timer. Entities that came out of one statement know each other
// as siblings; the first of them that asks for an edge loads it for all of them, and the others get their part of
// what it loaded. It stands on dataloadgen and knows neither ent nor GraphQL.
package loading

import (
	"context"
	"sync"

	"github.com/vikstrous/dataloadgen"
)

// A Key tells loads of one edge apart: two selections with the same arguments and columns share one load.
type Key struct {
	Edge    string
	Args    string // the arguments, in any form that is equal when they are
	Columns uint64 // the columns, a bit each
}

// A Group is the entities that came out of one statement, in its order. It lives for one operation.
type Group[N comparable] struct {
	nodes   []N
	mu      sync.Mutex
	loaders map[Key]any // a *dataloadgen.Loader[*Group[N], map[N]V]
}

// Add adds an entity to the group, before any of them is handed out.
func (g *Group[N]) Add(n N) { g.nodes = append(g.nodes, n) }

// Load returns what self gets of an edge. fetch loads the edge for all nodes given to it, in one statement; a node
// without an entry in its answer gets the zero value. An error of fetch is the answer to all siblings.
// A nil group is an entity without siblings.
func Load[N comparable, V any](ctx context.Context, g *Group[N], self N, key Key, fetch func(context.Context, []N) (map[N]V, error)) (V, error) {
	if g == nil {
		found, err := fetch(ctx, []N{self})
		return found[self], err
	}
	g.mu.Lock()
	loader, ok := g.loaders[key].(*dataloadgen.Loader[*Group[N], map[N]V])
	if !ok {
		// One key, the group, fills the batch: it is fetched at once, for all nodes. (A batch of the nodes would wait
		// for its timer whenever a node stands in the group twice.)
		loader = dataloadgen.NewMappedLoader(func(ctx context.Context, _ []*Group[N]) (map[*Group[N]]map[N]V, error) {
			found, err := fetch(ctx, g.nodes)
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
