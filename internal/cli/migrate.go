package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"roster/internal/config"
	"roster/internal/database"
)

type migrateCommand struct {
	config.Database `group:"Database:"`
	config.Log      `group:"Logging:"`
	Up              migrateUp     `cmd:"" help:"Apply the pending migrations."`
	Down            migrateDown   `cmd:"" help:"Undo the newest migration and delete its data."`
	Status          migrateStatus `cmd:"" help:"List the migrations and when they were applied."`
}

// with opens the database for a subcommand.
func (c *migrateCommand) with(ctx context.Context, e *environment, prepare preparation, do func(*database.DB) error) (err error) {
	db, err := e.openDatabase(ctx, c.Database, c.Logger(e.stderr), prepare)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return do(db)
}

type migrateUp struct{}

func (migrateUp) Run(ctx context.Context, e *environment, parent *migrateCommand) error {
	return parent.with(ctx, e, creating, func(db *database.DB) error {
		done, err := db.MigrateUp(ctx)
		return errors.Join(list(e.stdout, "nothing to apply", done, err), err)
	})
}

type migrateDown struct {
	To *int64 `group:"Used most:" env:"-" placeholder:"VERSION" help:"Undo all migrations that are newer than this version. 0: all. Without the flag: only the newest one."`
}

// Validate checks the flags; kong calls it.
func (c *migrateDown) Validate() error {
	if c.To != nil && *c.To < 0 {
		return fmt.Errorf("--to must be a version that roster migrate status lists, or 0, not %d", *c.To)
	}
	return nil
}

func (c *migrateDown) Run(ctx context.Context, e *environment, parent *migrateCommand) error {
	to := int64(-1)
	if c.To != nil {
		to = *c.To
	}
	return parent.with(ctx, e, existing, func(db *database.DB) error {
		done, err := db.MigrateDown(ctx, to)
		return errors.Join(list(e.stdout, "nothing to undo", done, err), err)
	})
}

type migrateStatus struct{}

func (migrateStatus) Run(ctx context.Context, e *environment, parent *migrateCommand) error {
	return parent.with(ctx, e, existing, func(db *database.DB) error {
		migrations, err := db.MigrateStatus(ctx)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
		var rows strings.Builder
		rows.WriteString("VERSION\tNAME\tAPPLIED AT\n")
		complete := true
		for _, m := range migrations {
			complete = complete && m.Applied && !m.Interrupted
			fmt.Fprintf(&rows, "%d\t%s\t%s\n", m.Version, m.Name, state(m))
		}
		if _, err := io.WriteString(table, rows.String()); err != nil {
			return err
		}
		if err := table.Flush(); err != nil || !complete {
			return err
		}
		return db.CheckTables(ctx)
	})
}

// state returns the time when a migration was applied, or why there is none.
func state(m database.Migration) string {
	switch {
	case m.Interrupted && m.Applied:
		return "interrupted while it was undone"
	case m.Interrupted:
		return "interrupted while it was applied"
	case m.Applied:
		return m.AppliedAt.UTC().Format(time.RFC3339)
	}
	return "pending"
}

// list prints a line for each migration that was applied or undone, also before err.
func list(w io.Writer, nothing string, migrations []database.Migration, err error) error {
	if len(migrations) == 0 && err == nil {
		_, err := fmt.Fprintln(w, nothing)
		return err
	}
	for _, m := range migrations {
		if _, err := fmt.Fprintf(w, "%-7s  %d %s\n", verb(m), m.Version, m.Name); err != nil {
			return err
		}
	}
	return nil
}

// verb says whether a migration was applied or undone.
func verb(m database.Migration) string {
	if m.Applied {
		return "applied"
	}
	return "undone"
}
