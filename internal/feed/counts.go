package feed

import (
	"context"
	"slices"
	"strconv"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
	"roster/internal/statement"
	"roster/internal/typeid"
)

const (
	// countFrom is the number of uncounted changes from which they are counted. Fewer are left to the statements that read
	// a count.
	countFrom = 100
	// countAtOnce is the greatest number of changes that one statement counts.
	countAtOnce = 10_000
	// recountWait is the wait before rows are counted again after an error.
	recountWait = time.Minute
)

// known reports whether the database knows the number of rows: they were counted, and no later change is deleted.
func (s *State) known() bool { return s.counted.Valid && s.counted.Int64 >= s.pruned }

// due reports whether changes must be counted.
func (s *State) due() bool { return s.known() && s.last-s.counted.Int64 >= countFrom }

// count adds the first changes that are not counted to the counts. The transaction must hold the lock of the feed's row,
// and save the state. A server of the release before numbers without counting, so this can be any number of changes.
func (s *State) count(ctx context.Context, tx dialect.Driver) error {
	to := min(s.counted.Int64+countAtOnce, s.last)
	_, err := database.Affected(ctx, tx, "INSERT INTO "+countsTable+" (type, count) SELECT type, "+statement.Net+" FROM "+changesTable+
		between(s.counted.Int64, to)+" GROUP BY type"+onConflict(tx.Dialect(), countsTable+".count + "))
	s.counted.Int64 = to
	return err
}

// between returns the condition of the changes after a number, up to another. It has no arguments: PostgreSQL must plan the
// statement each time. A SELECT needs statement.PlanAnew for that too.
func between(after, to int64) string {
	return " WHERE number > " + strconv.FormatInt(after, 10) + " AND number <= " + strconv.FormatInt(to, 10)
}

// onConflict returns the end of an INSERT into counts that changes existing rows: to prefix, then the inserted count.
func onConflict(d, prefix string) string {
	if d == dialect.MySQL {
		return " ON DUPLICATE KEY UPDATE count = " + prefix + "VALUES(count)"
	}
	return " ON CONFLICT (type) DO UPDATE SET count = " + prefix + "excluded.count"
}

// A Recount has the number of rows of each type in one snapshot.
type Recount struct {
	Types []TypeCount
	// Known reports whether the database knew counts. Otherwise, Kept is the number of rows.
	Known bool
	epoch string           // of the snapshot
	last  int64            // of the snapshot
	base  map[string]int64 // the number of rows as of last, by type
}

// A TypeCount is the number of entities of a type.
type TypeCount struct {
	Type string // such as user
	Kept int64  // by the counts and the changes, as clients get it
	Rows int64  // in the table
}

// rowsAtOnce is the number of rows that one statement of Count reads.
const rowsAtOnce = 100_000

// Count counts the rows of tables in a snapshot. No statement reads more than 100,000. The error is a Failure.
func Count(ctx context.Context, db *database.DB, tables []*statement.Table) (*Recount, error) {
	tx := db.Session(database.Snapshot)
	defer tx.Rollback() // it changes nothing
	state, err := ReadState(ctx, tx)
	if err != nil {
		return nil, err
	}
	pending, err := netOf(ctx, tx, " WHERE number IS NULL")
	if err != nil {
		return nil, err
	}
	r := &Recount{Known: state.known(), epoch: state.epoch, last: state.last, base: map[string]int64{}}
	for _, t := range tables {
		rows, err := countRows(ctx, tx, t)
		if err != nil {
			return nil, err
		}
		c := TypeCount{Type: t.Type, Kept: rows, Rows: rows}
		if r.Known {
			query, args, err := (&statement.Select{Table: t, Count: true}).Build(tx.Dialect())
			if err != nil {
				return nil, err
			}
			if err := one(ctx, tx, query, args, &c.Kept); err != nil {
				return nil, err
			}
		}
		r.base[t.Type] = rows - pending[t.Type]
		r.Types = append(r.Types, c)
	}
	return r, nil
}

// Differ reports whether a count differs from the rows.
func (r *Recount) Differ() bool {
	return slices.ContainsFunc(r.Types, func(c TypeCount) bool { return c.Kept != c.Rows })
}

// countRows counts the rows of a table in the order of their IDs.
func countRows(ctx context.Context, tx dialect.Driver, t *statement.Table) (rows int64, err error) {
	after := entsql.P(func(b *entsql.Builder) { b.WriteString("1 = 1") })
	for {
		var last typeid.ID
		query, args := entsql.Dialect(tx.Dialect()).Select(t.ID).From(entsql.Table(t.Name)).Where(after).OrderBy(t.ID).Offset(rowsAtOnce - 1).Limit(1).Query()
		exists, err := some(ctx, tx, query, args, &last)
		if err != nil {
			return 0, err
		}
		if !exists {
			var n int64
			query, args := entsql.Dialect(tx.Dialect()).Select(entsql.Count("*")).From(entsql.Table(t.Name)).Where(after).Query()
			err := one(ctx, tx, query, args, &n)
			return rows + n, err
		}
		rows, after = rows+rowsAtOnce, entsql.GT(t.ID, last)
	}
}

// netOf returns the number of rows by which changes raise the count of each type.
func netOf(ctx context.Context, tx dialect.Driver, where string) (map[string]int64, error) {
	net := map[string]int64{}
	query := "SELECT type, " + statement.Net + " FROM " + changesTable + where + " GROUP BY type" + statement.PlanAnew
	err := database.Each(ctx, tx, query, nil, func(rows *entsql.Rows) error {
		var label string
		var n int64
		err := rows.Scan(&label, &n)
		net[label] = n
		return err
	})
	return net, err
}

// Store makes the counts those of the Recount, and counts the changes since. Unless replace is set, it does nothing if the
// database knows counts by now. Store reports whether it did anything: it cannot if changes since the Recount are deleted,
// or if the feed was reset. Then count again. The error is a Failure.
func (r *Recount) Store(ctx context.Context, db *database.DB, replace bool) (stored bool, err error) {
	tx := db.Session(database.Write)
	defer tx.Rollback()
	state, err := lock(ctx, tx)
	other := err == nil && (state.epoch != r.epoch || state.last < r.last || state.pruned > r.last)
	if err != nil || other || !replace && state.known() {
		return false, err
	}
	for state.known() && state.counted.Int64 < state.last { // for types that this release does not know
		if err := state.count(ctx, tx); err != nil {
			return false, err
		}
	}
	since, err := netOf(ctx, tx, between(r.last, state.last))
	if err != nil {
		return false, err
	}
	insert := entsql.Dialect(tx.Dialect()).Insert(countsTable).Columns("type", "count")
	for label, n := range r.base {
		insert.Values(label, n+since[label])
	}
	query, args := insert.Query()
	if _, err := database.Affected(ctx, tx, query+onConflict(tx.Dialect(), ""), args...); err != nil {
		return false, err
	}
	state.counted = entsql.NullInt64{Int64: state.last, Valid: true}
	if err := state.save(ctx, tx, ""); err != nil {
		return false, err
	}
	return true, tx.Commit()
}

// recount counts the rows when a look finds that the database does not know the counts. Subscribers do not wait for it. It
// logs a failure once, until it succeeds.
func (f *Feed[N]) recount(ctx context.Context) {
	for failed := false; ; {
		select {
		case <-f.uncounted:
		case <-ctx.Done():
			return
		}
		err := f.countRows(ctx)
		if err == nil {
			failed = false
			continue
		}
		if failure := database.AsFailure(err); ctx.Err() == nil && !failed && (failure == nil || failure.Kind != database.ReadOnly) {
			f.Logger.WarnContext(ctx, "the rows cannot be counted: totalCount reads all rows", "error", err)
		}
		failed = true
		select {
		case <-f.After(recountWait):
		case <-ctx.Done():
			return
		}
	}
}

// countRows counts the rows if the database still does not know the counts.
func (f *Feed[N]) countRows(ctx context.Context) error {
	state, err := ReadState(ctx, f.Database.Session(database.Single))
	if err != nil || state.known() {
		return err
	}
	r, err := Count(ctx, f.Database, f.Tables)
	if err == nil {
		_, err = r.Store(ctx, f.Database, false)
	}
	return err
}

// count counts changes that have numbers, when a look finds enough of them: those of SQLite, and of a server of the release
// before. Subscribers do not wait for it: on SQLite, another program may write for a long time. After a failure, the next
// look asks again.
func (f *Feed[N]) count(ctx context.Context) {
	for {
		select {
		case <-f.due:
		case <-ctx.Done():
			return
		}
		for more := true; more; {
			var err error
			if _, more, err = batch(ctx, f.Database, nobody); err != nil { // this server hears of what it numbers
				if ctx.Err() == nil {
					f.Logger.DebugContext(ctx, "the changes are not counted", "error", err)
				}
				break
			}
		}
	}
}
