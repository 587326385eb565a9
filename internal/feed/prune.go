package feed

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
	"roster/internal/statement"
)

// pruneAtOnce is the greatest number of changes that one transaction prunes.
const pruneAtOnce = 1_000

// Prune deletes some of the oldest changes in one small transaction: those before a time. It returns their number, 0
// when none is left. Cursors before them expire. The times of changes rise with their numbers, except for the duration
// of transactions. So Prune also deletes later changes whose numbers are lower than that of a change before the time.
//
// If another node of a cluster prunes at the same time and is ahead, Prune returns 0: that node goes on.
func Prune(ctx context.Context, db *database.DB, before time.Time) (int64, error) {
	// Each server prunes. Nearly always there is nothing to do, and numbering need not wait for that.
	needed := false
	pruned, _ := entsql.Dialect(db.Dialect()).Select("pruned").From(entsql.Table(feedTable)).Query()
	query := fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM (SELECT at FROM %s WHERE number > (%s) ORDER BY number LIMIT %d) AS oldest WHERE at < %d)"+statement.PlanAnew,
		changesTable, pruned, pruneAtOnce, before.UnixMicro()) // as in between
	if err := one(ctx, db.Session(database.Single), query, nil, &needed); err != nil || !needed {
		return 0, err
	}
	n, err := prune(ctx, db, before)
	if f := database.AsFailure(err); f != nil && f.Kind == database.Retry && db.InCluster() {
		return 0, nil
	}
	return n, err
}

func prune(ctx context.Context, db *database.DB, before time.Time) (int64, error) {
	tx := db.Session(database.Write)
	defer tx.Rollback()
	state, err := lock(ctx, tx)
	if err != nil {
		return 0, err
	}
	to, d := state.pruned, entsql.Dialect(db.Dialect())
	query, args := d.Select("number", "at").From(entsql.Table(changesTable)).Where(entsql.GT("number", state.pruned)).OrderBy("number").Limit(pruneAtOnce).Query()
	err = database.Each(ctx, tx, query, args, func(rows *entsql.Rows) error {
		var number, at int64
		err := rows.Scan(&number, &at)
		if at < before.UnixMicro() {
			to = number
		}
		return err
	})
	if err != nil || to == state.pruned {
		return 0, err
	}
	for state.known() && state.counted.Int64 < to { // a server of the release before does not count
		if err := state.count(ctx, tx); err != nil {
			return 0, err
		}
	}
	query, args = d.Delete(changesTable).Where(entsql.And(entsql.GT("number", state.pruned), entsql.LTE("number", to))).Query()
	n, err := database.Affected(ctx, tx, query, args...)
	if err != nil {
		return 0, err
	}
	state.pruned = to
	if err := state.save(ctx, tx, ""); err != nil {
		return 0, err
	}
	return n, tx.Commit()
}

// Reset starts a new epoch: all existing cursors expire. Call it after a backup is restored: cursors from after the
// backup would skip new changes.
func Reset(ctx context.Context, db *database.DB) error {
	fresh := make([]byte, 16)
	_, _ = rand.Read(fresh) // crypto/rand never fails
	tx := db.Session(database.Write)
	defer tx.Rollback()
	if err := setFeed(ctx, tx, map[string]any{"epoch": hex.EncodeToString(fresh)}, ""); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_ = Announce(ctx, db) // servers that do not hear it look at the feed later
	return nil
}
