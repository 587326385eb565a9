package query

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/vikstrous/dataloadgen"

	"roster/internal/record"
)

// A Key identifies a load in a group: loads with the same edge, arguments and columns share one fetch.
type Key struct {
	// Of is the type whose edge is loaded, such as User. The record of the operation gets these fetches. It is empty for
	// loads that follow no edge.
	Of      string
	Edge    string
	Args    string // equal for equal arguments
	Columns Columns
}

// A Group has siblings: the entities that one statement has read, in the order of the rows. It lives for one operation.
type Group[N comparable] struct {
	nodes   []N
	mu      sync.Mutex
	loaders map[Key]any            // a *dataloadgen.Loader[*Group[N], map[N]V]
	fields  map[Key]*record.Fields // that call the loaders, if the record of the operation asks for them
}

// Add adds an entity to the group. Add all entities before the first call of Load.
func (g *Group[N]) Add(n N) { g.nodes = append(g.nodes, n) }

// A PanicError is a recovered panic with its stack. A fetch runs in its own goroutine, where a panic would end the
// program.
type PanicError struct {
	Value any
	Stack []byte
}

// Recovered returns the error for a value from recover. Call it in the deferred function: there the stack is still
// whole.
func Recovered(value any) *PanicError { return &PanicError{Value: value, Stack: debug.Stack()} }

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Load returns the target of an edge of self. fetch loads the edge for all siblings, in one statement. A sibling
// without an entry in the map gets the zero value. If fetch fails, all siblings get its error; a panic is a
// [*PanicError]. A nil group means that self has no siblings.
func Load[N comparable, V any](ctx context.Context, g *Group[N], self N, key Key, fetch func(context.Context, []N) (map[N]V, error)) (V, error) {
	if g == nil {
		found, err := try(ctx, key, []N{self}, fetch)
		return found[self], err
	}
	fields := record.FieldsFrom(ctx)
	g.mu.Lock()
	if fields != nil {
		ctx = record.WithFields(ctx, g.share(key, fields))
	}
	loader, ok := g.loaders[key].(*dataloadgen.Loader[*Group[N], map[N]V])
	if !ok {
		// The only key of the batch is the group, so the batch is full at once and does not wait for its timer. A batch
		// of nodes would wait if the group has a node twice.
		loader = dataloadgen.NewMappedLoader(func(ctx context.Context, _ []*Group[N]) (map[*Group[N]]map[N]V, error) {
			found, err := try(ctx, key, g.nodes, fetch)
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

// share returns the fields that call the loader of a key, with more of them.
func (g *Group[N]) share(key Key, fields *record.Fields) *record.Fields {
	if g.fields == nil {
		g.fields = map[Key]*record.Fields{}
	}
	shared := g.fields[key]
	if shared == nil {
		shared = new(record.Fields)
		g.fields[key] = shared
	}
	shared.Add(fields)
	return shared
}

// try calls fetch, and writes it down in the record of the operation. It turns a panic into an error with the stack. The
// loader would lose the stack.
func try[N comparable, V any](ctx context.Context, key Key, nodes []N, fetch func(context.Context, []N) (map[N]V, error)) (found map[N]V, err error) {
	if key.Of != "" {
		defer Recorded(ctx, key.Of, key.Edge, len(nodes))()
	}
	defer func() {
		if value := recover(); value != nil {
			err = Recovered(value)
		}
	}()
	return fetch(ctx, nodes)
}

// Recorded starts the fetch of an edge for a number of entities of a type. ended writes it down in the record of the operation
// in ctx, if there is one.
func Recorded(ctx context.Context, of, edge string, entities int) (ended func()) {
	r := record.FromContext(ctx)
	if r == nil {
		return func() {}
	}
	began := time.Now()
	return func() {
		r.Loaded(record.Batch{Name: of + "." + edge, Size: entities, Began: began, Took: time.Since(began)})
	}
}
