package query

import (
	"context"

	"roster/internal/statement"
	"roster/internal/typeid"
)

// ReadPage returns a page of all entities that match. connection is the name of the field. The error is rules.Faults
// for invalid arguments.
func ReadPage[T any, W Where[W]](ctx context.Context, r Reader[T], connection string, columns Columns, args Args, where *W, orderBy []Order[T]) (*Connection[T], error) {
	page, err := newPage(ctx, connection, r.Entity.Table, args, where, orderBy)
	if err != nil {
		return nil, err
	}
	rows, err := r.where(ctx, page.rows(columns))
	if err != nil {
		return nil, err
	}
	return newConnection(r.Entity, page, rows, func(ctx context.Context) (int, error) {
		counts, err := r.counts(ctx, page.count())
		return counts[typeid.ID{}], err
	}), nil
}

// LoadOne returns the entity to which an edge of n leads, or nil. It loads the entities of all siblings of n at once. edge
// is the name of the edge.
func LoadOne[T, E any](ctx context.Context, from *Entity[T], n *T, edge string, to func() Reader[E], columns Columns) (*E, error) {
	e := from.Edge(edge)
	return Load(ctx, from.Siblings(n), n, Key{Of: from.GraphQL, Edge: edge, Columns: columns}, func(ctx context.Context, nodes []*T) (map[*T]*E, error) {
		if e.Column == "" {
			return loadChild(ctx, from, nodes, e, to(), columns)
		}
		ids := make([]typeid.ID, len(nodes))
		for i, n := range nodes {
			ids[i], _ = from.Value(n, e.Column).(typeid.ID) // NULL becomes the zero ID, which no entity has
		}
		reader := to()
		entities, err := reader.find(ctx, reader.Entity.ByIDs(columns, Distinct(ids)))
		found := make(map[*T]*E, len(nodes))
		for i, n := range nodes {
			if e := entities[ids[i]]; e != nil {
				found[n] = e
			}
		}
		return found, err
	})
}

// loadChild is the statement of LoadOne for an edge whose other entity has the ID of n.
func loadChild[T, E any](ctx context.Context, from *Entity[T], nodes []*T, edge KindEdge, reader Reader[E], columns Columns) (map[*T]*E, error) {
	s := reader.Entity.Children(columns, *parentsOf(from, nodes, edge.Parents))
	entities := make(map[typeid.ID]*E, len(nodes))
	err := reader.read(ctx, s, func(parent typeid.ID, e *E) { entities[parent] = e })
	return ofParents(from, nodes, entities), err
}

// CountEdge follows the name of an edge in the names of the loads that count its entities.
const CountEdge = ".totalCount"

// LoadMany returns a page of the entities of an edge of n. It loads the pages of all siblings of n at once. edge is the name
// of the edge. The error is rules.Faults for invalid arguments.
func LoadMany[T, E any, W Where[W]](ctx context.Context, from *Entity[T], n *T, edge string, to func() Reader[E],
	columns Columns, args Args, where *W, orderBy []Order[E],
) (*Connection[E], error) {
	reader, parents := to(), from.Edge(edge).Parents
	page, err := newPage(ctx, from.GraphQL+"."+edge, reader.Entity.Table, args, where, orderBy)
	if err != nil {
		return nil, err
	}
	key := Key{Of: from.GraphQL, Edge: edge, Args: page.key(), Columns: columns}
	rows, err := Load(ctx, from.Siblings(n), n, key, func(ctx context.Context, nodes []*T) (map[*T][]*E, error) {
		s := page.rows(columns)
		s.Parents = parentsOf(from, nodes, parents)
		entities := make(map[typeid.ID][]*E, len(nodes))
		err := reader.read(ctx, s, func(parent typeid.ID, e *E) { entities[parent] = append(entities[parent], e) })
		return ofParents(from, nodes, entities), err
	})
	if err != nil {
		return nil, err
	}
	return newConnection(reader.Entity, page, rows, func(ctx context.Context) (int, error) {
		key := Key{Of: from.GraphQL, Edge: edge + CountEdge, Args: page.filterKey}
		return Load(ctx, from.Siblings(n), n, key, func(ctx context.Context, nodes []*T) (map[*T]int, error) {
			s := page.count()
			s.Parents = parentsOf(from, nodes, parents)
			counts, err := reader.counts(ctx, s)
			return ofParents(from, nodes, counts), err
		})
	}), nil
}

// parentsOf returns the parents with the IDs of entities.
func parentsOf[T any](from *Entity[T], nodes []*T, p statement.Parents) *statement.Parents {
	ids := make([]typeid.ID, len(nodes))
	for i, n := range nodes {
		ids[i] = from.ID(n)
	}
	p.IDs = Distinct(ids)
	return &p
}

// ofParents returns the values by entity. found has them by the IDs of the entities without their types.
func ofParents[T, V any](from *Entity[T], nodes []*T, found map[typeid.ID]V) map[*T]V {
	out := make(map[*T]V, len(nodes))
	for _, n := range nodes {
		if v, ok := found[from.ID(n).As("")]; ok {
			out[n] = v
		}
	}
	return out
}
