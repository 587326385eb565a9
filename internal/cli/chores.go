package cli

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"roster/graph"
	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/feed"
	"roster/internal/idempotency"
	"roster/internal/janitor"
)

// The interval of the chores, and the number of rows that one step deletes: so few that nobody waits for it.
const (
	choreInterval = time.Minute
	choreRows     = 500
)

// startChores starts the work of a server beside its requests: it follows the feed and does the chores. It ends when stop is
// called or ctx ends. stop waits for the running step.
func startChores(ctx context.Context, c config.Retention, db *database.DB, changes *graph.Feed, logger *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ticker := time.NewTicker(choreInterval)
	var running sync.WaitGroup
	running.Go(func() { changes.Run(ctx) })
	running.Go(func() {
		janitor.Run(ctx, ticker.C, logger, writing(pruneKeys(db, c.KeepIdempotencyKeys, choreRows)), writing(pruneChanges(db, c.KeepChanges)))
	})
	return func() {
		cancel()
		ticker.Stop()
		running.Wait()
	}
}

// writing returns a chore that does nothing while the database takes no changes. The log has that already.
func writing(c janitor.Chore) janitor.Chore {
	step := c.Step
	c.Step = func(ctx context.Context, now time.Time) (more bool, err error) {
		more, err = step(ctx, now)
		if f := database.AsFailure(err); f != nil && (f.Kind == database.ReadOnly || f.Kind == database.Unusable) {
			return false, nil
		}
		return more, err
	}
	return c
}

// pruneKeys deletes idempotency keys that are older than age, at most rows in a step.
func pruneKeys(db *database.DB, age time.Duration, rows int) janitor.Chore {
	return janitor.Chore{Name: "prune idempotency keys", Step: func(ctx context.Context, now time.Time) (more bool, err error) {
		session := db.Session(database.Write)
		defer session.Rollback()
		deleted, err := idempotency.Prune(ctx, session, now.Add(-age), rows)
		if err != nil {
			return false, err
		}
		return deleted == rows, session.Commit()
	}}
}

// pruneChanges deletes changes that are older than age. feed.Prune bounds a step.
func pruneChanges(db *database.DB, age time.Duration) janitor.Chore {
	return janitor.Chore{Name: "prune changes", Step: func(ctx context.Context, now time.Time) (more bool, err error) {
		deleted, err := feed.Prune(ctx, db, now.Add(-age))
		return deleted > 0, err
	}}
}
