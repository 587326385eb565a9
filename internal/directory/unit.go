package directory

import (
	"context"
	"slices"
	"sync"
	"time"

	"roster/ent/query"
	"roster/ent/rules"
	"roster/internal/feed"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// A unit is a unit of work: the rows that one operation has decided to write, until flush writes them.
type unit struct {
	*Transaction

	writers []writer // in the order in which rows are written; rows are deleted in the other order
	done    []feed.Change
	now     func() time.Time // the same time for all rows
	copy    bool             // insert by COPY where the engine has it: for rows by the thousand
}

// writer is the rows of one entity in a unit.
type writer interface {
	write(ctx context.Context) error
	erase(ctx context.Context) error
}

// rows are the rows of one entity in a unit. They get into it by create, revise and remove alone. Each of these records
// the change, so no row is written without one.
type rows[E any] struct {
	query.Reader[E]

	unit    *unit
	fields  []string // that an update can change, by their names in the feed
	pending map[*E]bool
	created []*E
	updated []update[E]
	deleted []typeid.ID
	by      string // the column that has these IDs
}

// update is a row that changes.
type update[E any] struct {
	row *E
	was E // in the database
}

func (tx *Transaction) begin() *unit { return &unit{Transaction: tx, now: sync.OnceValue(tx.now)} }

// add adds the rows of an entity to a unit, after those that they refer to. fields are the fields that an update can
// change, by their names in the feed.
func add[E any](u *unit, r query.Reader[E], fields ...string) *rows[E] {
	s := &rows[E]{Reader: r, unit: u, fields: fields, pending: map[*E]bool{}}
	u.writers = append(u.writers, s)
	return s
}

// create decides to insert a row. Its ID, times and version are filled where they are zero.
func (r *rows[E]) create(ctx context.Context, e *E) {
	n, now := r.Entity.Node(e), r.unit.now() // before the ID, which has a time too
	if *n.ID == (typeid.ID{}) {
		*n.ID = r.unit.options.IDs.New(r.Entity.Type)
	}
	for _, otherwise := range []time.Time{*n.UpdatedAt, now} {
		if n.CreatedAt.IsZero() {
			*n.CreatedAt = otherwise
		}
	}
	if n.UpdatedAt.IsZero() {
		*n.UpdatedAt = *n.CreatedAt
	}
	*n.Version = max(*n.Version, 1)
	r.created, r.pending[e] = append(r.created, e), true
	r.unit.record(ctx, feed.Created, n)
}

// change decides that a row becomes what next is, and reports whether that is anything else. The fault is that of revise.
func (r *rows[E]) change(ctx context.Context, e *E, next E) (changed bool, fault *rules.Fault) {
	fields := r.difference(e, &next)
	if fields == nil {
		return false, nil
	}
	fault = r.revise(ctx, e, next, fields...)
	return fault == nil, fault
}

// revise decides that a row becomes what next is, and gets the next version. fields are what changes, for the feed. The
// fault says that the version cannot rise any more; then the row stays.
func (r *rows[E]) revise(ctx context.Context, e *E, next E, fields ...string) *rules.Fault {
	n := r.Entity.Node(e)
	if fault := rules.Updatable(*n.Version); fault != nil {
		return fault
	}
	if !r.pending[e] {
		r.updated, r.pending[e] = append(r.updated, update[E]{row: e, was: *e}), true
	}
	*e = next
	*n.Version++
	*n.UpdatedAt = rules.UpdatedAt(r.unit.now(), *n.CreatedAt, *n.UpdatedAt)
	r.unit.record(ctx, feed.Updated, n, fields...)
	return nil
}

// remove decides to delete a row, by a column that has the value in this row and in no row that stays.
func (r *rows[E]) remove(ctx context.Context, e *E, column string, value typeid.ID) {
	r.by, r.deleted = column, append(r.deleted, value)
	r.unit.record(ctx, feed.Deleted, r.Entity.Node(e))
}

func (u *unit) record(ctx context.Context, kind feed.Kind, n query.NodeFields, fields ...string) {
	u.done = append(u.done, feed.Change{
		NodeID: *n.ID, Kind: kind, Version: *n.Version, Fields: fields, At: u.now(), Actor: rules.CallerFrom(ctx).Subject,
	})
}

// difference returns the fields in which two rows differ.
func (r *rows[E]) difference(a, b *E) (fields []string) {
	for _, field := range r.fields {
		if column := r.Entity.Fields[field]; r.Entity.Value(a, column) != r.Entity.Value(b, column) {
			fields = append(fields, field)
		}
	}
	return fields
}

// flush writes all rows of the unit, and gives the changes to the transaction.
func (u *unit) flush(ctx context.Context) error {
	for _, s := range u.writers {
		if err := s.write(ctx); err != nil {
			return err
		}
	}
	for _, s := range slices.Backward(u.writers) {
		if err := s.erase(ctx); err != nil {
			return err
		}
	}
	u.changes, u.changed = append(u.changes, u.done...), u.changed || len(u.done) > 0
	return nil
}

// write updates and inserts the rows, in this order: what an update gives up is free for a new row.
func (r *rows[E]) write(ctx context.Context) error {
	if len(r.updated) > 0 {
		if err := may(ctx, rules.Update, r.Entity.Table); err != nil {
			return err
		}
		columns, err := r.vacate(ctx, []string{"version", "updated_at"})
		if err != nil {
			return err
		}
		for i := range r.updated {
			for _, field := range r.difference(&r.updated[i].was, r.updated[i].row) {
				columns = append(columns, r.columnsOf(field)...)
			}
		}
		slices.Sort(columns)
		if err := r.update(ctx, slices.Compact(columns), r.updated, r.Entity.Value); err != nil {
			return err
		}
	}
	if len(r.created) == 0 {
		return nil
	}
	if err := may(ctx, rules.Create, r.Entity.Table); err != nil {
		return err
	}
	return r.insert(ctx)
}

// columnsOf returns the columns of a field: a text is written with its key, always.
func (r *rows[E]) columnsOf(field string) []string {
	column := r.Entity.Fields[field]
	if key := column + "_key"; slices.Contains(r.Entity.Names(), key) {
		return []string{column, key}
	}
	return []string{column}
}

// vacate frees the unique values that change hands among the updated rows. Engines look at each row by itself, in any
// order: so a row whose value another row takes has placeholders for a moment. It returns the columns that the update has
// to write, with those of the placeholders.
func (r *rows[E]) vacate(ctx context.Context, columns []string) ([]string, error) {
	type claim struct{ column, value any }
	var unique []string
	taken := map[claim]bool{}
	for _, c := range r.Entity.Columns {
		if !c.Unique || c.Kind != statement.Text {
			continue
		}
		unique = append(unique, c.Name)
		for i := range r.updated {
			if value := r.Entity.Value(r.updated[i].row, c.Name); value != r.Entity.Value(&r.updated[i].was, c.Name) {
				taken[claim{c.Name, value}] = true
			}
		}
	}
	var vacating []update[E]
	for _, u := range r.updated {
		if slices.ContainsFunc(unique, func(c string) bool {
			had := r.Entity.Value(&u.was, c)
			return had != r.Entity.Value(u.row, c) && taken[claim{c, had}]
		}) {
			vacating = append(vacating, u)
		}
	}
	if vacating == nil {
		return columns, nil
	}
	return append(columns, unique...), r.update(ctx, unique, vacating, func(e *E, column string) any {
		if slices.Contains(unique, column) {
			return " " + r.Entity.Node(e).ID.UUID().String() // which no rule lets through
		}
		return r.Entity.Value(e, column)
	})
}

// erase deletes rows.
func (r *rows[E]) erase(ctx context.Context) error {
	if len(r.deleted) == 0 {
		return nil
	}
	if err := may(ctx, rules.Delete, r.Entity.Table); err != nil {
		return err
	}
	return r.unit.delete(ctx, r.Entity.Table, r.by, r.deleted)
}

// may returns a *rules.ForbiddenError when the caller may not do that to entities of a table.
func may(ctx context.Context, action rules.Action, table *statement.Table) error {
	if rules.May(rules.CallerFrom(ctx), action, table.GraphQL) {
		return nil
	}
	return &rules.ForbiddenError{Action: action, Type: table.GraphQL}
}
