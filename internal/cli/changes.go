package cli

import (
	"context"
	"errors"
	"fmt"

	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/feed"
)

type changesCommand struct {
	config.Database `group:"Database:"`
	config.Log      `group:"Logging:"`
	Reset           changesReset `cmd:"" help:"Expire all cursors of the change feed, after a restore."`
}

type changesReset struct {
	Yes bool `group:"Used most:" env:"-" help:"Confirm the reset."`
}

// Run expires all cursors.
func (c *changesReset) Run(ctx context.Context, e *environment, parent *changesCommand) (err error) {
	if !c.Yes {
		return errors.New("a reset makes every client of the change feed copy the data again: confirm it with --yes")
	}
	db, err := e.openDatabase(ctx, parent.Database, parent.Logger(e.stderr), checking)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return reset(ctx, e, db)
}

func reset(ctx context.Context, e *environment, db *database.DB) error {
	if err := feed.Reset(ctx, db); err != nil {
		return fmt.Errorf("reset the changes of %v: %w", db, err)
	}
	_, err := fmt.Fprintf(e.stdout, "All cursors of the change feed of %v are expired.\n", db)
	return err
}
