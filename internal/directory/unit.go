package directory

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"roster/ent"
	"roster/ent/rules"
	"roster/internal/feed"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// A unit is a unit of work: the rows that one operation has decided to write, until flush writes them. Rows get into it
// by create, change and remove alone. Each of these records the change, so no row is written without one.
type unit struct {
	*Transaction

	users *rows[ent.User]
	posts *rows[ent.Post]
	done  []feed.Change
	now   func() time.Time // the same time for all rows
	copy  bool             // insert by COPY where the engine has it: for rows by the thousand
}

// rows are the rows of one entity in a unit.
type rows[E any] struct {
	ent.Rows[E]

	fields  []string // that an update can change, by their names in the feed
	pending map[*E]bool
	created []*E
	updated []update[E]
	columns map[string]bool // that any update writes
	deleted map[string][]typeid.ID
}

// update is a row that changes.
type update[E any] struct {
	row *E
	was E // in the database
}

func (tx *Transaction) begin() *unit {
	return &unit{
		Transaction: tx,
		users:       newRows(ent.UserRows(), "username", "email"),
		posts:       newRows(ent.PostRows(), "title", "body", "author"),
		now:         sync.OnceValue(tx.now),
	}
}

func newRows[E any](r ent.Rows[E], fields ...string) *rows[E] {
	return &rows[E]{Rows: r, fields: fields, pending: map[*E]bool{}, columns: map[string]bool{}, deleted: map[string][]typeid.ID{}}
}

// create decides to insert a row. Its ID, times and version are filled where they are zero.
func create[E any](ctx context.Context, u *unit, r *rows[E], e *E) {
	n, now := r.Node(e), u.now() // before the ID, which has a time too
	if *n.ID == (typeid.ID{}) {
		*n.ID = u.options.IDs.New(r.Table.Type)
	}
	if n.CreatedAt.IsZero() {
		*n.CreatedAt = *n.UpdatedAt
	}
	if n.CreatedAt.IsZero() {
		*n.CreatedAt = now
	}
	if n.UpdatedAt.IsZero() {
		*n.UpdatedAt = *n.CreatedAt
	}
	*n.Version = max(*n.Version, 1)
	r.created = append(r.created, e)
	r.pending[e] = true
	u.record(ctx, feed.Created, n)
}

// change decides that a row becomes what next is, and reports whether that is anything else. The fault says that the
// version cannot rise any more; then the row stays.
func change[E any](ctx context.Context, u *unit, r *rows[E], e *E, next E) (changed bool, fault *rules.Fault) {
	fields := r.difference(e, &next)
	if fields == nil {
		return false, nil
	}
	n := r.Node(e)
	if fault := rules.Updatable(*n.Version); fault != nil {
		return false, fault
	}
	if !r.pending[e] {
		r.pending[e] = true
		r.updated = append(r.updated, update[E]{row: e, was: *e})
	}
	*e = next
	*n.Version++
	*n.UpdatedAt = rules.UpdatedAt(u.now(), *n.CreatedAt, *n.UpdatedAt)
	for _, field := range fields {
		for _, column := range r.columnsOf(field) {
			r.columns[column] = true
		}
	}
	u.record(ctx, feed.Updated, n, fields...)
	return true, nil
}

// remove decides to delete a row, by a column that has the value in this row and in no row that stays.
func remove[E any](ctx context.Context, u *unit, r *rows[E], e *E, column string, value typeid.ID) {
	r.deleted[column] = append(r.deleted[column], value)
	u.record(ctx, feed.Deleted, r.Node(e))
}

func (u *unit) record(ctx context.Context, kind feed.Kind, n ent.NodeFields, fields ...string) {
	u.done = append(u.done, feed.Change{
		NodeID: *n.ID, Kind: kind, Version: *n.Version, Fields: fields, At: u.now(), Actor: rules.CallerFrom(ctx).Subject,
	})
}

// difference returns the fields in which two rows differ.
func (r *rows[E]) difference(a, b *E) (fields []string) {
	for _, field := range r.fields {
		if column := r.Table.Fields[field]; r.Value(a, column) != r.Value(b, column) {
			fields = append(fields, field)
		}
	}
	return fields
}

// columnsOf returns the columns of a field: a text is written with its key, always.
func (r *rows[E]) columnsOf(field string) []string {
	column := r.Table.Fields[field]
	if key := column + "_key"; slices.Contains(r.Table.Names(), key) {
		return []string{column, key}
	}
	return []string{column}
}

// flush writes all rows of the unit. What an update gives up is free before another one takes it, and all updates come
// before anything new. Users come before their posts, and go after them. The changes are those of the transaction then.
func (u *unit) flush(ctx context.Context) error {
	if err := write(ctx, u, u.users); err != nil {
		return err
	}
	if err := write(ctx, u, u.posts); err != nil {
		return err
	}
	if err := erase(ctx, u, u.posts); err != nil {
		return err
	}
	if err := erase(ctx, u, u.users); err != nil {
		return err
	}
	u.changes, u.changed = append(u.changes, u.done...), u.changed || len(u.done) > 0
	return nil
}

// write updates and inserts the rows of one entity.
func write[E any](ctx context.Context, u *unit, r *rows[E]) error {
	if len(r.updated) > 0 {
		if err := may(ctx, rules.Update, r.Table); err != nil {
			return err
		}
		if err := vacate(ctx, u, r); err != nil {
			return err
		}
		columns := append(slices.Sorted(maps.Keys(r.columns)), "version", "updated_at")
		err := updateRows(ctx, u, r.Table, columns, len(r.updated), func(row int, column string) any {
			return r.Value(r.updated[row].row, column)
		})
		if err != nil {
			return err
		}
	}
	if len(r.created) == 0 {
		return nil
	}
	if err := may(ctx, rules.Create, r.Table); err != nil {
		return err
	}
	return insertRows(ctx, u, r)
}

// erase deletes the rows of one entity.
func erase[E any](ctx context.Context, u *unit, r *rows[E]) error {
	if len(r.deleted) == 0 {
		return nil
	}
	if err := may(ctx, rules.Delete, r.Table); err != nil {
		return err
	}
	for column, values := range r.deleted {
		if err := deleteRows(ctx, u, r.Table, column, values); err != nil {
			return err
		}
	}
	return nil
}

// may returns a *rules.ForbiddenError when the caller may not do that to entities of a table.
func may(ctx context.Context, action rules.Action, table *statement.Table) error {
	if rules.May(rules.CallerFrom(ctx), action, table.GraphQL) {
		return nil
	}
	return &rules.ForbiddenError{Action: action, Type: table.GraphQL}
}

// vacate frees the unique values that change hands among the updated rows. Engines look at each row by itself, in any
// order: so whoever has a value that another row takes has a placeholder for a moment.
func vacate[E any](ctx context.Context, u *unit, r *rows[E]) error {
	var columns []string
	var vacating []int // rows of updated
	vacant := map[string]map[int]bool{}
	for _, c := range r.Table.Columns {
		if !c.Unique || c.Kind != statement.Text {
			continue
		}
		columns, vacant[c.Name] = append(columns, c.Name), map[int]bool{}
		for _, i := range r.movesOf(c.Name) {
			vacant[c.Name][i] = true
			vacating = append(vacating, i)
		}
	}
	slices.Sort(vacating)
	vacating = slices.Compact(vacating)
	return updateRows(ctx, u, r.Table, columns, len(vacating), func(row int, column string) any {
		at := vacating[row]
		if vacant[column][at] {
			return placeholder(*r.Node(r.updated[at].row).ID)
		}
		return r.Value(&r.updated[at].was, column)
	})
}

// movesOf returns the updated rows whose value of a column another updated row takes.
func (r *rows[E]) movesOf(column string) (moves []int) {
	taken := make(map[any]bool, len(r.updated))
	for i := range r.updated {
		if value := r.Value(r.updated[i].row, column); value != r.Value(&r.updated[i].was, column) {
			taken[value] = true
		}
	}
	for i := range r.updated {
		if had := r.Value(&r.updated[i].was, column); taken[had] && had != r.Value(r.updated[i].row, column) {
			moves = append(moves, i)
		}
	}
	return moves
}

// placeholder returns the key of a row that has given up one and has not got the next one. No rule lets it through.
func placeholder(id typeid.ID) string { return " " + id.UUID().String() }
