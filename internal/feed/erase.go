package feed

import (
	"context"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
	"roster/internal/statement"
	"roster/internal/tables"
)

// scanAtOnce is the greatest number of changes that one step of Scan, CountActor or EraseActor reads.
const scanAtOnce = 1_000

// Scan calls each with all changes, at most 1,000 at a time, in the order of their IDs. It includes changes without a
// number. The changes have no cursors. The error is that of each or the database's.
func Scan(ctx context.Context, d dialect.Driver, each func([]Change) error) error {
	for after := int64(0); ; {
		var page []Change
		query, args := entsql.Dialect(d.Dialect()).Select("id", "type", "node_id", "kind", "version", "fields", "at", "actor").
			From(entsql.Table(changesTable)).Where(entsql.GT("id", after)).OrderBy("id").Limit(scanAtOnce).Query()
		err := database.Each(ctx, d, query, args, func(rows *entsql.Rows) error {
			c, err := scan(rows, epoch{})
			after, c.Cursor = c.Cursor.number, Cursor{}
			page = append(page, c)
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		if err := each(page); err != nil {
			return err
		}
	}
}

// CountActor returns the number of changes of an actor.
func CountActor(ctx context.Context, d dialect.Driver, actor string) (n int64, err error) {
	err = windowsOf(ctx, d, actor, func(ids []int64) error {
		n += int64(len(ids))
		return nil
	})
	return n, err
}

// EraseActor removes an actor from its changes, and returns their number. The changes stay. Each transaction erases at
// most 1,000. A change that is committed while EraseActor runs can keep its actor: call EraseActorSince with end
// afterwards. The number is correct with an error too.
func EraseActor(ctx context.Context, db *database.DB, actor string) (n int64, end Cursor, err error) {
	if err := Number(ctx, db); err != nil { // so that few changes come after end
		return 0, Cursor{}, err
	}
	state, err := ReadState(ctx, db.Session(database.Single))
	if err != nil {
		return 0, Cursor{}, err
	}
	err = windowsOf(ctx, db.Session(database.Single), actor, func(ids []int64) error {
		if len(ids) == 0 {
			return nil
		}
		tx := db.Session(database.Write)
		defer tx.Rollback()
		if err := eraseActors(ctx, tx, ids); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		n += int64(len(ids))
		return nil
	})
	return n, state.End(), err
}

// EraseActorSince removes an actor from its changes after a cursor, as part of a transaction, and returns their number.
// Changes without a number come after every cursor. It locks the feed's row: lock users and posts before.
func EraseActorSince(ctx context.Context, tx dialect.Driver, actor string, after Cursor) (int64, error) {
	var ids []int64
	for _, later := range []*entsql.Predicate{entsql.GT("number", after.number), entsql.IsNull("number")} { // each has the index of numbers
		some, err := idsOf(ctx, tx, actor, later)
		if err != nil {
			return 0, err
		}
		ids = append(ids, some...)
	}
	if len(ids) == 0 {
		return 0, nil
	}
	return int64(len(ids)), eraseActors(ctx, tx, ids)
}

// windowsOf calls each with the IDs of the changes of an actor, for one window of the table after the other. No statement
// reads the whole table.
func windowsOf(ctx context.Context, d dialect.Driver, actor string, each func(ids []int64) error) error {
	for after := int64(0); ; {
		var last entsql.NullInt64
		b := entsql.Dialect(d.Dialect())
		query, args := b.Select(entsql.Max("id")).From(
			b.Select("id").From(entsql.Table(changesTable)).Where(entsql.GT("id", after)).OrderBy("id").Limit(scanAtOnce).As("w")).Query()
		if err := one(ctx, d, query, args, &last); err != nil || !last.Valid {
			return err
		}
		ids, err := idsOf(ctx, d, actor, entsql.And(entsql.GT("id", after), entsql.LTE("id", last.Int64)))
		if err != nil {
			return err
		}
		if err := each(ids); err != nil {
			return err
		}
		after = last.Int64
	}
}

// idsOf returns the IDs of the changes of an actor that meet a condition. It takes no locks: an UPDATE that searched for
// the changes would wait for those of open transactions on MySQL.
func idsOf(ctx context.Context, d dialect.Driver, actor string, where *entsql.Predicate) (ids []int64, err error) {
	query, args := entsql.Dialect(d.Dialect()).Select("id").From(entsql.Table(changesTable)).Where(entsql.And(where, by(actor))).Query()
	err = database.Each(ctx, d, query, args, func(rows *entsql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// eraseActors removes the actors of changes. The lock of the feed's row keeps others from numbering and pruning the same
// changes in another order.
func eraseActors(ctx context.Context, tx dialect.Driver, ids []int64) error {
	if _, err := lock(ctx, tx); err != nil {
		return err
	}
	return database.WriteRows(ctx, tx, (*statement.Write).Update, &statement.Write{
		Table: &statement.Table{Name: changesTable, ID: "id", Columns: []statement.Column{
			{Name: "id", Kind: statement.Int}, {Name: "actor", Kind: statement.Text, Size: tables.ActorSize},
		}},
		Columns: []string{"actor"}, Rows: len(ids),
		Value: func(row int, column string) any {
			if column == "id" {
				return ids[row]
			}
			return nil
		},
	})
}
