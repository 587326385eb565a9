// Package query reads entities. An Entity describes the rows of a table, and a Reader reads them: by their IDs, by the
// value of a column, or page by page, with filters, orders and cursors. Rows that one statement reads are siblings: if
// one of them loads an edge, the edge is loaded for all. Callers name the columns to read. The package knows neither
// ent's clients nor GraphQL. Package statement writes the statements.
package query

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"

	"roster/internal/budget"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// An Entity describes how the rows of a table become values of T. Entities are generated and never change.
type Entity[T any] struct {
	*Kind

	// Scan returns destinations for the values of columns. Assign gives an entity the scanned values.
	Scan   func(columns []string) ([]any, error)
	Assign func(n *T, columns []string, values []any) error
	// Value returns the value of an entity in a column: a typeid.ID, string, time.Time or int; nil for NULL.
	Value func(n *T, column string) any
	// Node points to the fields of an entity that every entity has.
	Node func(n *T) NodeFields
	// Compare orders entities for inserts, which lock in this order: the rows that they refer to, then their unique
	// values.
	Compare func(a, b *T) int
	// ID returns the ID of an entity. Siblings returns its group, or nil if no Reader has read the entity.
	ID       func(n *T) typeid.ID
	Siblings func(n *T) *Group[*T]
}

// NodeFields point to the fields that every entity has.
type NodeFields struct {
	ID                   *typeid.ID
	CreatedAt, UpdatedAt *time.Time
	Version              *int
}

// A Reader reads entities through a driver. Each of its methods finds only the rows that the caller in ctx may read. It
// returns a *rules.ForbiddenError if the caller may read no rows of the type. Other errors are the driver's.
type Reader[T any] struct {
	Entity *Entity[T]
	Driver dialect.Driver
	Root   *Root
	// Attach makes g the siblings of an entity, and the Driver the source of its edges.
	Attach func(n *T, g *Group[*T])
}

// Root groups the loads by ID of one client: equal loads share one statement.
type Root struct{ group Group[*Root] }

// ByIDs returns the entities with the IDs that exist, by ID. Equal calls share one statement.
func (r Reader[T]) ByIDs(ctx context.Context, columns Columns, ids ...typeid.ID) (map[typeid.ID]*T, error) {
	ids = Distinct(ids)
	key := Key{Edge: r.Entity.Type, Args: joined(ids), Columns: columns}
	return Load(ctx, &r.Root.group, r.Root, key, func(ctx context.Context, _ []*Root) (map[*Root]map[typeid.ID]*T, error) {
		entities, err := r.find(ctx, r.Entity.ByIDs(columns, ids))
		return map[*Root]map[typeid.ID]*T{r.Root: entities}, err
	})
}

// find returns the entities of a selection by ID.
func (r Reader[T]) find(ctx context.Context, s *statement.Select) (map[typeid.ID]*T, error) {
	entities := make(map[typeid.ID]*T, len(s.IDs))
	err := r.read(ctx, s, func(_ typeid.ID, n *T) { entities[r.Entity.ID(n)] = n })
	return entities, err
}

// AnyBy returns the entities that have one of the texts in a column.
func (r Reader[T]) AnyBy(ctx context.Context, columns Columns, column string, texts []string) ([]*T, error) {
	return r.where(ctx, r.Entity.AnyBy(columns, column, texts))
}

// Lock locks the rows with the IDs until the transaction ends, in the order of the IDs. It returns the existing rows,
// with all columns.
func (r Reader[T]) Lock(ctx context.Context, ids ...typeid.ID) (map[typeid.ID]*T, error) {
	s := r.Entity.ByIDs(All, Distinct(ids))
	s.Lock = true
	return r.find(ctx, s)
}

// LockBy locks the rows that have one of the IDs in a column until the transaction ends, in the order of their own IDs.
// Meanwhile, no transaction can insert a row that refers to a locked row.
func (r Reader[T]) LockBy(ctx context.Context, columns Columns, column string, ids []typeid.ID) ([]*T, error) {
	return r.where(ctx, &statement.Select{
		Columns: columns.Names(r.Entity.Table),
		Filter:  func(s *sql.Selector) { s.Where(statement.In(s.C(column), ids)) },
		Lock:    true,
	})
}

// Hold prevents a deadlock. Call it before an insert of many rows that refer to the rows with the IDs. Some engines
// insert a row before they lock the row that it refers to. There, another transaction could hold that lock and wait for
// the inserted row, while the insert waits for the lock. Hold takes the locks first, in the order of the IDs. The locks
// are shared: they only prevent changes. On other engines, Hold does nothing.
func (r Reader[T]) Hold(ctx context.Context, ids []typeid.ID) error {
	if !statement.Of(r.Driver.Dialect()).LocksParentsLate() {
		return nil
	}
	s := r.Entity.ByIDs(0, Distinct(ids))
	s.Lock, s.Share = true, true
	return r.read(ctx, s, func(typeid.ID, *T) {})
}

// CountBy counts the rows that have each of the IDs in a column. The keys of the result are the IDs without their
// types.
func (r Reader[T]) CountBy(ctx context.Context, column string, ids []typeid.ID) (map[typeid.ID]int, error) {
	return r.counts(ctx, &statement.Select{Table: r.Entity.Table, Count: true, Parents: &statement.Parents{IDs: Distinct(ids), Column: column}})
}

// Together makes entities siblings, as if one statement had read them.
func (r Reader[T]) Together(nodes []*T) {
	group := new(Group[*T])
	for _, n := range nodes {
		r.Attach(n, group)
		group.Add(n)
	}
}

// where returns the entities of a selection without parents.
func (r Reader[T]) where(ctx context.Context, s *statement.Select) ([]*T, error) {
	var list []*T
	s.Table = r.Entity.Table
	err := r.read(ctx, s, func(_ typeid.ID, n *T) { list = append(list, n) })
	return list, err
}

// read runs a statement and calls each for every row. parent is the ID of the row's parent if the statement has
// parents. The rows become siblings.
func (r Reader[T]) read(ctx context.Context, s *statement.Select, each func(parent typeid.ID, n *T)) error {
	// One set of destinations serves all rows, because Assign copies the values.
	values, err := r.Entity.Scan(s.Columns)
	if err != nil {
		return err
	}
	var parent typeid.ID
	dest := values
	if s.Parents != nil {
		dest = append([]any{&parent}, values...)
	}
	group := new(Group[*T])
	account := newAccount(budget.FromContext(ctx), s, values)
	return r.Entity.Read(ctx, r.Driver, s, func(rows *sql.Rows) error {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		n := new(T)
		r.Attach(n, group)
		if err := r.Entity.Assign(n, s.Columns, values); err != nil {
			return err
		}
		answered, err := account.row(parent)
		if err != nil {
			return err
		}
		if answered {
			group.Add(n)
		}
		each(parent, n)
		return nil
	})
}

// counts runs a statement that counts rows. The keys are the IDs of the parents without their types, or only the zero
// ID if the statement has no parents.
func (r Reader[T]) counts(ctx context.Context, s *statement.Select) (map[typeid.ID]int, error) {
	counts := make(map[typeid.ID]int)
	err := r.Entity.Read(ctx, r.Driver, s, func(rows *sql.Rows) error {
		var parent typeid.ID
		var n int
		dest := []any{&n}
		if s.Parents != nil {
			dest = []any{&parent, &n}
		}
		err := rows.Scan(dest...)
		counts[parent] = n
		return err
	})
	return counts, err
}

// run runs a statement, in parts where the engine needs them, and calls each for every row.
func run(ctx context.Context, driver dialect.Driver, s *statement.Select, each func(*sql.Rows) error) error {
	for part := range s.Parts(driver.Dialect()) {
		query, args, err := part.Build(driver.Dialect())
		if err != nil {
			return err
		}
		rows := new(sql.Rows)
		if err := driver.Query(ctx, query, args, rows); err != nil {
			return err
		}
		if err := walk(rows, each); err != nil {
			return err
		}
	}
	return nil
}

// walk calls each for every row. It closes the rows, also after a panic: they hold the connection of the session.
func walk(rows *sql.Rows, each func(*sql.Rows) error) (err error) {
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return nil
}

// Distinct returns the IDs sorted and without repetitions. The result is never nil: an empty list selects no rows, nil
// selects all.
func Distinct(ids []typeid.ID) []typeid.ID {
	ids = append([]typeid.ID{}, ids...)
	slices.SortFunc(ids, typeid.ID.Compare)
	return slices.Compact(ids)
}

// joined returns a text that is equal for equal lists of IDs.
func joined(ids []typeid.ID) string {
	var b strings.Builder
	for _, id := range ids {
		u := id.UUID()
		b.Write(u[:])
	}
	return b.String()
}
