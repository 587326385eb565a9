package database

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/sqltool"
	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"

	"roster/internal/tables"
)

// PlanMigration writes the next migration into dir, the folder of this engine: from the migrations in dir to the tables
// of package tables. It reports whether one was needed. db is an empty database that it may change.
func (db *DB) PlanMigration(ctx context.Context, dir, name string, now time.Time) (needed bool, err error) {
	files, err := sqltool.NewGooseDir(dir)
	if err != nil {
		return false, err
	}
	before, err := files.Files()
	if err != nil {
		return false, err
	}
	// Atlas needs a file of checksums. Roster keeps none: git protects the files, and a new one may be edited until its
	// release.
	sum, err := files.Checksum()
	if err != nil {
		return false, err
	}
	if err := migrate.WriteSumFile(files, sum); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.Remove(filepath.Join(dir, migrate.HashFileName))) }()
	atlas, err := schema.NewMigrate(entsql.OpenDB(db.Dialect(), db.write.db),
		schema.WithDir(files),
		schema.WithMigrationMode(schema.ModeReplay),
		schema.WithDialect(db.Dialect()),
		schema.WithFormatter(versioned(now)),
		schema.WithDropColumn(true),
		schema.WithDropIndex(true),
		schema.WithErrNoPlan(true),
	)
	if err != nil {
		return false, err
	}
	wanted, err := allTables(db.Dialect())
	if err != nil {
		return false, err
	}
	err = atlas.NamedDiff(ctx, name, wanted...)
	if errors.Is(err, migrate.ErrNoPlan) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("plan the next migration of %v after %d: %w", db, len(before), err)
	}
	return true, nil
}

// versioned returns a file in goose's form, with the same version on all engines. Atlas would take the time of writing.
func versioned(now time.Time) migrate.Formatter {
	return formatter(func(plan *migrate.Plan) ([]migrate.File, error) {
		files, err := sqltool.GooseFormatter.Format(plan)
		for i, f := range files {
			files[i] = migrate.NewLocalFile(FileName(plan.Name, now), f.Bytes())
		}
		return files, err
	})
}

// FileName returns the name of the file of a migration that is planned now.
func FileName(name string, now time.Time) string {
	return now.UTC().Format("20060102150405") + "_" + name + ".sql"
}

type formatter func(*migrate.Plan) ([]migrate.File, error)

func (f formatter) Format(plan *migrate.Plan) ([]migrate.File, error) { return f(plan) }

// allTables returns all tables for an engine. Text is in byte order: on PostgreSQL by the collation C, on other engines
// by the types of the columns.
func allTables(d string) ([]*schema.Table, error) {
	described := tables.All()
	all, err := schema.CopyTables(described) // ent completes the tables that it is given
	if err != nil {
		return nil, err
	}
	for i, t := range all {
		t.Schema, t.Comment = described[i].Schema, described[i].Comment
		if isJoin(t) {
			t.Indexes = []*schema.Index{inverse(t)}
		}
		for _, c := range t.Columns {
			if d != dialect.Postgres {
				c.Collation = ""
			}
		}
	}
	return all, nil
}

// isJoin reports whether a table joins a many-to-many edge: two foreign keys, which together are its primary key.
func isJoin(t *schema.Table) bool {
	return len(t.Columns) == 2 && len(t.PrimaryKey) == 2 && len(t.ForeignKeys) == 2
}

// inverse returns the index for the other direction of such an edge. ent makes only the primary key, for the first
// direction.
func inverse(t *schema.Table) *schema.Index {
	first, second := t.PrimaryKey[0], t.PrimaryKey[1]
	return &schema.Index{
		Name:    t.Name + "_" + second.Name + "_" + first.Name,
		Columns: []*schema.Column{second, first},
	}
}
