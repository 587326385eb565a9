package query

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"roster/ent/rules"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// A NodeReader reads the entities of one type as values of N, an interface of all entities.
type NodeReader[N any] struct {
	table *statement.Table
	byIDs func(ctx context.Context, columns Columns, ids []typeid.ID) (map[typeid.ID]N, error)
	// adopt returns a function that loads a copy of an entity, or nil if the entity is of another type.
	adopt func(N) func(context.Context) (N, error)
}

// NewNodeReader returns a reader of entities as values of N, which *T implements.
func NewNodeReader[N, T any](r Reader[T]) NodeReader[N] {
	node := func(n *T) N { return any(n).(N) } //nolint:errcheck // generated code calls it with an N that *T implements
	return NodeReader[N]{
		table: r.Entity.Table,
		byIDs: func(ctx context.Context, columns Columns, ids []typeid.ID) (map[typeid.ID]N, error) {
			if r.Entity.Hidden(ctx) { // as for IDs that no entity has
				return nil, nil
			}
			entities, err := r.ByIDs(ctx, columns, ids...)
			nodes := make(map[typeid.ID]N, len(entities))
			for id, n := range entities {
				nodes[id] = node(n)
			}
			return nodes, err
		},
		adopt: func(n N) func(context.Context) (N, error) {
			entity, ok := any(n).(*T)
			if !ok {
				return nil
			}
			own := *entity
			r.Together([]*T{&own})
			return func(ctx context.Context) (none N, err error) {
				if !r.Entity.readable(ctx, &own) {
					return none, nil
				}
				return node(&own), nil
			}
		},
	}
}

// ReadNodes returns the entities with the IDs, in the order of the IDs. It returns nil for an ID that no entity has, and
// for an entity that the caller in ctx may not read. It runs one statement for each type. columns returns the columns of
// a table to read. The error is rules.Faults for IDs of an unknown type.
func ReadNodes[N any](ctx context.Context, readers []NodeReader[N], columns func(*statement.Table) Columns, ids []typeid.ID) ([]N, error) {
	var faults rules.Faults
	for i, id := range ids {
		if !slices.ContainsFunc(readers, func(r NodeReader[N]) bool { return r.table.Type == id.Type() }) {
			faults.Add(rules.MalformedID(""), "ids", i)
		}
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	found, err := findNodes(ctx, readers, columns, ids)
	if err != nil {
		return nil, err
	}
	nodes := make([]N, len(ids))
	for i, id := range ids {
		nodes[i] = found[id]
	}
	return nodes, nil
}

// findNodes returns the entities with the IDs that exist, by ID. It ignores IDs of unknown types.
func findNodes[N any](ctx context.Context, readers []NodeReader[N], columns func(*statement.Table) Columns, ids []typeid.ID) (map[typeid.ID]N, error) {
	found := make(map[typeid.ID]N, len(ids))
	for _, r := range readers {
		of := slices.DeleteFunc(slices.Clone(ids), func(id typeid.ID) bool { return id.Type() != r.table.Type })
		if len(of) == 0 {
			continue
		}
		nodes, err := r.byIDs(ctx, columns(r.table), of)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, nodes)
	}
	return found, nil
}

// A NodeGroup loads the entities with some IDs, of any types, together. A server of the next release may have written a
// change of a type that this release does not know: such an entity is nil.
type NodeGroup[N any] struct {
	readers []NodeReader[N]
	ids     Group[typeid.ID]
	adopted map[typeid.ID]func(context.Context) (N, error)
}

// NewNodeGroup returns a group of the IDs.
func NewNodeGroup[N any](readers []NodeReader[N], ids []typeid.ID) *NodeGroup[N] {
	g := &NodeGroup[N]{readers: readers, adopted: make(map[typeid.ID]func(context.Context) (N, error))}
	for _, id := range Distinct(ids) {
		g.ids.Add(id)
	}
	return g
}

// Adopt gives the group a copy of an entity that another client has read with all its columns. A nil entity means that
// no entity has the ID. Load returns the copy without a statement, or nil if the caller may not read it. The
// readers of the group load its edges.
func (g *NodeGroup[N]) Adopt(id typeid.ID, n N) {
	g.adopted[id] = func(context.Context) (none N, err error) { return none, nil }
	for _, r := range g.readers {
		if load := r.adopt(n); load != nil {
			g.adopted[id] = load
		}
	}
}

// Load returns the entity with an ID of the group, or nil. It loads the entities of all IDs of the group at once.
func (g *NodeGroup[N]) Load(ctx context.Context, columns func(*statement.Table) Columns, id typeid.ID) (N, error) {
	if load, ok := g.adopted[id]; ok {
		return load(ctx)
	}
	sets := make([]Columns, len(g.readers))
	for i, r := range g.readers {
		sets[i] = columns(r.table)
	}
	return Load(ctx, &g.ids, id, Key{Args: fmt.Sprint(sets)}, func(ctx context.Context, ids []typeid.ID) (map[typeid.ID]N, error) {
		return findNodes(ctx, g.readers, columns, ids)
	})
}
