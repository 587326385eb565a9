package directory

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"entgo.io/ent/dialect/sql"

	"roster/ent/query"
	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/feed"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// A unit is a unit of work: it collects the rows of one operation until flush writes them.
type unit struct {
	*Transaction

	writers []writer // in the order of writes; deletes run in the reverse order
	done    []feed.Change
	lost    []string         // hashes of what is not linked again
	now     func() time.Time // the same time for all rows
	copy    bool             // insert by COPY on PostgreSQL: for thousands of rows
	refused error            // the first row that the caller may not write: flush returns it, and writes nothing
}

// writer is the rows of one entity in a unit.
type writer interface {
	// write updates and inserts. If it ends the unit, the insert may write the changes too.
	write(ctx context.Context, ends bool) error
	erase(ctx context.Context) error
	work() (updates, inserts, erases bool)
}

// rows are the rows of one entity in a unit. Only create, revise and remove add rows. Each of them asks the rules and
// records the change, so no row is written without permission or without a change.
type rows[E any] struct {
	query.Reader[E]

	unit    *unit
	fields  []string // the fields that an update can change, by their names in the feed
	created []*E
	updated []update[E]
	// pending has the rows in updated, and the first indexed ones of those in created.
	pending map[*E]bool
	indexed int
	deleted []typeid.ID
	by      string // the column of the IDs in deleted
	// released is called with each row before it is updated to next or, with nil, deleted. It may be nil.
	released func(e, next *E)
}

// update is a row that changes.
type update[E any] struct {
	row *E
	was E // as in the database
}

func (tx *Transaction) begin() *unit { return &unit{Transaction: tx, now: sync.OnceValue(tx.now)} }

// add adds an entity to a unit. Add an entity after the entities that its rows refer to. fields are the fields that an
// update can change, by their names in the feed.
func add[E any](u *unit, r query.Reader[E], fields ...string) *rows[E] {
	s := &rows[E]{Reader: r, unit: u, fields: fields}
	u.writers = append(u.writers, s)
	return s
}

// create schedules an insert of a row. It fills the ID, the times and the version where they are zero.
func (r *rows[E]) create(ctx context.Context, e *E) {
	n, now := r.Entity.Node(e), r.unit.now() // before the ID, because an ID has a time too
	if *n.ID == (typeid.ID{}) {
		*n.ID = r.unit.options.IDs.New(r.Entity.Type)
	}
	*n.CreatedAt = cmp.Or(*n.CreatedAt, *n.UpdatedAt, now)
	*n.UpdatedAt = cmp.Or(*n.UpdatedAt, *n.CreatedAt)
	*n.Version = max(*n.Version, 1)
	r.check(ctx, rules.Create, nil, e)
	r.created = append(r.created, e)
	r.unit.record(ctx, feed.Created, n)
}

// change schedules an update of a row to next, and reports whether they differ. The fault is that of revise.
func (r *rows[E]) change(ctx context.Context, e *E, next E) (changed bool, fault *rules.Fault) {
	fields := r.difference(e, &next)
	if fields == nil {
		return false, nil
	}
	fault = r.revise(ctx, e, next, fields...)
	return fault == nil, fault
}

// revise schedules an update of a row to next, and raises the version. fields are the changed fields, for the feed. The
// fault says that the version is at its maximum; then the row stays unchanged.
func (r *rows[E]) revise(ctx context.Context, e *E, next E, fields ...string) *rules.Fault {
	n := r.Entity.Node(e)
	if fault := rules.Updatable(*n.Version); fault != nil {
		return fault
	}
	r.check(ctx, rules.Update, fields, e, &next)
	if r.released != nil {
		r.released(e, &next)
	}
	if !r.isPending(e) {
		r.updated, r.pending[e] = append(r.updated, update[E]{row: e, was: *e}), true
	}
	*e = next
	*n.Version++
	*n.UpdatedAt = rules.UpdatedAt(r.unit.now(), *n.CreatedAt, *n.UpdatedAt)
	r.unit.record(ctx, feed.Updated, n, fields...)
	return nil
}

// isPending reports whether the row will be inserted or updated anyway.
func (r *rows[E]) isPending(e *E) bool {
	if r.pending == nil {
		r.pending = map[*E]bool{}
	}
	for ; r.indexed < len(r.created); r.indexed++ {
		r.pending[r.created[r.indexed]] = true
	}
	return r.pending[e]
}

// expect makes room for so many changes.
func (u *unit) expect(n int) { u.done = slices.Grow(u.done, n) }

// remove schedules a delete of the rows with the value in the column, and records the delete of this row. Call it for
// each of those rows.
func (r *rows[E]) remove(ctx context.Context, e *E, column string, value typeid.ID) {
	r.check(ctx, rules.Delete, nil, e)
	if r.released != nil {
		r.released(e, nil)
	}
	r.by, r.deleted = column, append(r.deleted, value)
	r.unit.record(ctx, feed.Deleted, r.Entity.Node(e))
}

// check makes the unit write nothing if permit returns an error.
func (r *rows[E]) check(ctx context.Context, action rules.Action, fields []string, versions ...*E) {
	if r.unit.refused == nil {
		r.unit.refused = r.permit(ctx, action, fields, versions...)
	}
}

// permit returns a *rules.ForbiddenError if the caller in ctx may not perform the action on a row. versions are the row
// before and after. fields are the fields that an update changes, by their names in the feed.
func (r *rows[E]) permit(ctx context.Context, action rules.Action, fields []string, versions ...*E) error {
	if rules.Permit(ctx, action, r.Entity.GraphQL) == nil {
		return nil
	}
	owners := make([]typeid.ID, len(versions))
	for i, e := range versions {
		owners[i] = r.Entity.OwnerOf(e)
	}
	return rules.PermitRow(ctx, action, r.Entity.GraphQL, owners, fields...)
}

// permitID is permit for a row that is not read yet. If the ID does not tell the owner, it only asks whether the caller
// may perform the action on any row.
func (r *rows[E]) permitID(ctx context.Context, action rules.Action, fields []string, id typeid.ID) error {
	if r.Entity.Owner != r.Entity.Table.ID {
		return rules.PermitSome(ctx, action, r.Entity.GraphQL)
	}
	e := new(E)
	*r.Entity.Node(e).ID = id
	return r.permit(ctx, action, fields, e)
}

func (u *unit) record(ctx context.Context, kind feed.Kind, n query.NodeFields, fields ...string) {
	u.done = append(u.done, feed.Change{
		NodeID: *n.ID, Kind: kind, Version: *n.Version, Fields: fields, At: u.now(), Actor: rules.CallerFrom(ctx).Subject,
	})
}

// difference returns the fields in which two rows differ.
func (r *rows[E]) difference(a, b *E) (fields []string) {
	for _, field := range r.fields {
		if slices.ContainsFunc(r.Entity.Fields[field], func(c string) bool { return r.Entity.Value(a, c) != r.Entity.Value(b, c) }) {
			fields = append(fields, field)
		}
	}
	return fields
}

// flush writes all rows of the unit, and adds the changes to the transaction.
func (u *unit) flush(ctx context.Context) error {
	if u.refused != nil {
		return u.refused
	}
	end := u.end()
	for i, s := range u.writers {
		if err := s.write(ctx, i == end); err != nil {
			return err
		}
	}
	for _, s := range slices.Backward(u.writers) {
		if err := s.erase(ctx); err != nil {
			return err
		}
	}
	if err := u.retire(ctx); err != nil {
		return err
	}
	u.add()
	return nil
}

// add adds the changes to those of the transaction.
func (u *unit) add() {
	if u.changed = u.changed || len(u.done) > 0; len(u.changes) == 0 {
		u.changes = u.done // of the only unit, usually
	} else {
		u.changes = append(u.changes, u.done...)
	}
	u.done = nil
}

// end returns the index of the writer whose insert is the last statement of the unit, or -1.
func (u *unit) end() int {
	end := -1
	for i, s := range u.writers {
		updates, inserts, erases := s.work()
		switch {
		case erases:
			return -1
		case inserts:
			end = i
		case updates:
			end = -1
		}
	}
	if len(u.lost) > 0 {
		return -1
	}
	return end
}

// insert inserts rows. If that ends the unit, it writes the changes too, if it can in the same statement.
func (u *unit) insert(ctx context.Context, w *statement.Write, ends bool) error {
	if !ends {
		return database.WriteRows(ctx, u.session, (*statement.Write).Insert, w)
	}
	u.add()
	written, err := feed.WriteWith(ctx, u.session, w, u.changes)
	if written {
		u.changes = nil
	}
	return err
}

// write updates rows, then inserts rows: a value that an update releases is free for a new row.
func (r *rows[E]) write(ctx context.Context, ends bool) error {
	if len(r.updated) > 0 {
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
	return r.insert(ctx, ends)
}

func (r *rows[E]) work() (updates, inserts, erases bool) {
	return len(r.updated) > 0, len(r.created) > 0, len(r.deleted) > 0
}

// columnsOf returns the columns of a field. A text is always written with its key.
func (r *rows[E]) columnsOf(field string) []string {
	columns := r.Entity.Fields[field]
	if key := columns[0] + "_key"; slices.Contains(r.Entity.Names(), key) {
		return []string{columns[0], key}
	}
	return columns
}

// vacate writes placeholders into rows whose unique values other updated rows take over. Engines check the constraint
// for each row by itself, in any order. vacate returns the columns that the update must write: the given ones and those
// of the placeholders.
func (r *rows[E]) vacate(ctx context.Context, columns []string) ([]string, error) {
	taken := map[string]bool{}
	for _, index := range r.Entity.Unique {
		for i := range r.updated {
			if key := r.key(index, r.updated[i].row); key != r.key(index, &r.updated[i].was) {
				taken[key] = true
			}
		}
	}
	var vacating []update[E]
	for _, u := range r.updated {
		if slices.ContainsFunc(r.Entity.Unique, func(index []string) bool {
			had := r.key(index, &u.was)
			return had != "" && had != r.key(index, u.row) && taken[had]
		}) {
			vacating = append(vacating, u)
		}
	}
	if vacating == nil {
		return columns, nil
	}
	unique := slices.Concat(r.Entity.Unique...)
	return append(columns, unique...), r.update(ctx, unique, vacating, func(e *E, column string) any {
		if slices.Contains(unique, column) {
			return " " + r.Entity.Node(e).ID.UUID().String() // no other row has it
		}
		return r.Entity.Value(e, column)
	})
}

// key returns a text that is equal for rows with equal values in a unique index. It is empty if a value is NULL: then the
// row has no value in the index.
func (r *rows[E]) key(index []string, e *E) string {
	var key []string
	for _, column := range index {
		value, is := r.Entity.Value(e, column).(string)
		if !is {
			return ""
		}
		key = append(key, column, value)
	}
	return strings.Join(key, "\x00") // no text has NUL
}

func (r *rows[E]) erase(ctx context.Context) error {
	if len(r.deleted) == 0 {
		return nil
	}
	return r.unit.exec(ctx, sql.Dialect(r.unit.session.Dialect()).Delete(r.Entity.Name).Where(statement.In(r.by, query.Distinct(r.deleted))))
}

// permitAll returns a *rules.ForbiddenError unless the caller in ctx may perform the actions on all rows of a table.
func permitAll(ctx context.Context, table *statement.Table, actions ...rules.Action) error {
	for _, action := range actions {
		if err := rules.Permit(ctx, action, table.GraphQL); err != nil {
			return err
		}
	}
	return nil
}
