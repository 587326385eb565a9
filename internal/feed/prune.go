package feed

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
)

// pruneAtOnce is how many changes are pruned in one transaction.
const pruneAtOnce = 1_000

// Prune forgets some of the oldest changes, of those made before a time, in one small transaction, and returns how many: 0
// when there are no more. A cursor that points before them is expired from then on. Their times rise with their numbers,
// but for what transactions took: what was made before the newest change to prune goes with it.
func Prune(ctx context.Context, db *database.DB, before time.Time) (int64, error) {
	tx := db.Session(database.Write)
	defer tx.Rollback()
	d := entsql.Dialect(tx.Dialect())
	lock := d.Select("pruned").From(entsql.Table(feedTable)).Where(entsql.EQ("id", 1))
	if tx.Dialect() != dialect.SQLite {
		lock.ForUpdate()
	}
	var pruned int64
	query, args := lock.Query()
	if err := one(ctx, tx, query, args, &pruned); err != nil {
		return 0, err
	}
	to := pruned
	query, args = d.Select("number", "at").From(entsql.Table(changesTable)).Where(entsql.GT("number", pruned)).OrderBy("number").Limit(pruneAtOnce).Query()
	err := database.Each(ctx, tx, query, args, func(rows *entsql.Rows) error {
		var number, at int64
		err := rows.Scan(&number, &at)
		if at < before.UnixMicro() {
			to = number
		}
		return err
	})
	if err != nil || to == pruned {
		return 0, err
	}
	query, args = d.Delete(changesTable).Where(entsql.And(entsql.GT("number", pruned), entsql.LTE("number", to))).Query()
	n, err := database.Affected(ctx, tx, query, args...)
	if err != nil {
		return 0, err
	}
	query, args = d.Update(feedTable).Set("pruned", to).Where(entsql.EQ("id", 1)).Query()
	if _, err := database.Affected(ctx, tx, query, args...); err != nil {
		return 0, err
	}
	return n, tx.Commit()
}

// Reset starts a new life of the database: all cursors that were given out are expired. Who restores a backup does so,
// since cursors from after the backup would skip what happens from then on.
func Reset(ctx context.Context, db *database.DB) error {
	fresh := make([]byte, 16)
	_, _ = rand.Read(fresh) // it never fails
	tx := db.Session(database.Write)
	defer tx.Rollback()
	query, args := entsql.Dialect(tx.Dialect()).Update(feedTable).Set("epoch", hex.EncodeToString(fresh)).Where(entsql.EQ("id", 1)).Query()
	if _, err := database.Affected(ctx, tx, query, args...); err != nil {
		return err
	}
	return tx.Commit()
}
