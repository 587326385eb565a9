package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"entgo.io/ent/dialect"
	"github.com/pressly/goose/v3"
)

// A Migration is one versioned step of the schema.
type Migration struct {
	// Version orders migrations: a time, as 20260131093000.
	Version int64
	Name    string
	Applied bool
	// AppliedAt is when; zero when it is not.
	AppliedAt time.Time
}

// MigrateUp applies the migrations that are missing and returns them, those before an error too. Of several servers
// that start at once, one does it and the others wait for it.
func (db *DB) MigrateUp(ctx context.Context) (applied []Migration, err error) {
	err = db.migrate(ctx, func(p *goose.Provider) error {
		if err := db.refuseNewer(ctx, p); err != nil {
			return err
		}
		results, err := p.Up(ctx)
		applied = migrated(results, err)
		return err
	})
	return applied, err
}

// MigrateDown undoes migrations, the newest first, and returns them: all that are newer than the version to, or one
// when to is negative. With an error, it returns those that were undone before.
func (db *DB) MigrateDown(ctx context.Context, to int64) (undone []Migration, err error) {
	err = db.migrate(ctx, func(p *goose.Provider) error {
		if err := db.refuseNewer(ctx, p); err != nil {
			return err
		}
		if to >= 0 {
			results, err := p.DownTo(ctx, to)
			undone = migrated(results, err)
			return err
		}
		result, err := p.Down(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return nil
		}
		if result != nil {
			undone = migrated([]*goose.MigrationResult{result}, nil)
		}
		return err
	})
	return undone, err
}

// MigrateStatus returns all migrations that this program knows, in order.
func (db *DB) MigrateStatus(ctx context.Context) (all []Migration, err error) {
	err = db.migrate(ctx, func(p *goose.Provider) error {
		status, err := p.Status(ctx)
		for _, s := range status {
			all = append(all, Migration{
				Version: s.Source.Version, Name: name(s.Source), Applied: s.State == goose.StateApplied, AppliedAt: s.AppliedAt.UTC(),
			})
		}
		return err
	})
	return all, err
}

// CheckVersion returns an error when the schema of the database is newer or older than this program's.
func (db *DB) CheckVersion(ctx context.Context) error {
	return db.migrate(ctx, func(p *goose.Provider) error {
		if err := db.refuseNewer(ctx, p); err != nil {
			return err
		}
		pending, err := p.HasPending(ctx)
		if err == nil && pending {
			err = errors.New("the schema is older than this program's: run roster migrate up")
		}
		return err
	})
}

// refuseNewer refuses a schema that a newer program made.
func (db *DB) refuseNewer(ctx context.Context, p *goose.Provider) error {
	current, known, err := p.GetVersions(ctx)
	if err == nil && current > known {
		err = fmt.Errorf("the schema has version %d, newer than this program's %d: run a newer roster, or undo it with the newer one's migrate down --to %d", current, known, known)
	}
	return err
}

// migrate runs f with the migrations of the engine, alone.
func (db *DB) migrate(ctx context.Context, f func(*goose.Provider) error) error {
	dir, err := fs.Sub(db.migrations, db.Dialect())
	if err != nil {
		return err
	}
	// Migrations get connections of their own: a lock holds one, and they may take longer than a statement otherwise may.
	o := db.options
	o.StatementTimeout = 0
	write, _, err := db.engine.connectors(o)
	if err != nil {
		return err
	}
	pool := sql.OpenDB(&connector{Connector: write, timeout: o.ConnectTimeout})
	defer pool.Close() //nolint:errcheck // nothing is under way
	err = db.engine.locked(ctx, pool, func() error {
		d := map[string]goose.Dialect{dialect.SQLite: goose.DialectSQLite3, dialect.Postgres: goose.DialectPostgres, dialect.MySQL: goose.DialectMySQL}
		p, err := goose.NewProvider(d[db.Dialect()], pool, dir)
		if err != nil {
			return err
		}
		return f(p)
	})
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err) // drivers name what they did about it, not the reason
	}
	if f := db.fail(err); f.Kind == ReadOnly && f.Advice != "" {
		return fmt.Errorf("%v: the schema cannot be changed: %s: %w", db, f.Advice, err)
	}
	return fmt.Errorf("%v: %w", db, err)
}

// name is a migration's name, without version and ending.
func name(s *goose.Source) string {
	n := s.Path
	if len(n) > 15 {
		n = n[15:]
	}
	return n[:max(len(n)-len(".sql"), 0)]
}

// migrated is what was done, before err too.
func migrated(results []*goose.MigrationResult, err error) []Migration {
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		results = partial.Applied
	}
	var out []Migration
	for _, r := range results {
		out = append(out, Migration{Version: r.Source.Version, Name: name(r.Source), Applied: r.Direction == "up"})
	}
	return out
}
