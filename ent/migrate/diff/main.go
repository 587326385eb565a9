// Command diff writes the next migration of every engine from package tables: run `make migration NAME=…`, which
// starts the servers that it needs.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"entgo.io/ent/dialect"

	"roster/internal/database"
)

func main() {
	if err := run(context.Background(), "ent/migrate/migrations", os.Args[1:], os.Getenv, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "diff:", err)
		os.Exit(1)
	}
}

// A differ writes the migrations of all engines, with one name and version.
type differ struct {
	folder string // contains a folder for each engine
	name   string
	now    time.Time
	needed map[string]bool // by dialect: whether the engine needs a migration
}

// run writes the migrations into the folders below folder.
func run(ctx context.Context, folder string, args []string, getenv func(string) string, stderr io.Writer) error {
	if len(args) != 1 || !regexp.MustCompile(`^[a-z0-9_]+$`).MatchString(args[0]) {
		return errors.New("give one name of lower-case letters, digits and underscores: make migration NAME=add_bio")
	}
	scratch, err := os.MkdirTemp("", "roster-diff-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // a temporary directory
	now, err := after(folder, time.Now())
	if err != nil {
		return err
	}
	d := &differ{folder: folder, name: args[0], now: now, needed: map[string]bool{}}
	for _, variable := range []string{"TEST_POSTGRES_URL", "TEST_MYSQL_URL"} {
		if err := d.planOn(ctx, getenv(variable)); err != nil {
			return fmt.Errorf("%s: %w", variable, err)
		}
	}
	if err := d.plan(ctx, "sqlite:"+filepath.Join(scratch, "scratch.db")); err != nil {
		return err
	}
	return d.finish(stderr)
}

// after returns the time of the next migration: now, or one second after the last migration if that is later, because
// clocks of machines differ.
func after(folder string, now time.Time) (time.Time, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*", "*.sql"))
	if err != nil {
		return now, err
	}
	for _, file := range files {
		version, _, _ := strings.Cut(filepath.Base(file), "_")
		last, err := time.Parse("20060102150405", version)
		if err != nil {
			return now, fmt.Errorf("%s: the name must start with a version: %w", file, err)
		}
		if next := last.Add(time.Second); now.Before(next) {
			now = next
		}
	}
	return now, nil
}

// nothing is the migration of an engine that needs no change. All engines have the same versions.
const nothing = "-- +goose Up\n-- nothing to do on this engine\n\n-- +goose Down\n"

// finish writes an empty migration for each engine that needs no change, and prints the files.
func (d *differ) finish(stderr io.Writer) error {
	if !slices.Contains(slices.Collect(maps.Values(d.needed)), true) {
		fmt.Fprintln(stderr, "the migrations lead to package tables already")
		return nil
	}
	for _, dialect := range slices.Sorted(maps.Keys(d.needed)) {
		file := filepath.Join(d.folder, dialect, database.FileName(d.name, d.now))
		if d.needed[dialect] {
			fmt.Fprintf(stderr, "wrote %s: read it, its Down too\n", file)
			continue
		}
		if err := os.WriteFile(file, []byte(nothing), 0o644); err != nil { //nolint:gosec // source code
			return err
		}
		fmt.Fprintf(stderr, "wrote %s, which does nothing\n", file)
	}
	return nil
}

// planOn plans the migration in a new database of a server.
func (d *differ) planOn(ctx context.Context, server string) error {
	u, err := url.Parse(server)
	if err != nil || server == "" {
		return errors.New("is not set to the URL of a server: run make migration")
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/information_schema" // package database needs the name of a database
	}
	admin, err := open(ctx, u.String())
	if err != nil {
		return err
	}
	defer admin.Close() //nolint:errcheck // nothing is under way
	scratch := "roster_diff_" + strings.ToLower(rand.Text())
	create := "CREATE DATABASE " + scratch
	if admin.Dialect() == dialect.MySQL {
		create += " CHARACTER SET utf8mb4" // the default of the server may differ
	}
	if err := admin.Session(database.Single).Exec(ctx, create, []any{}, nil); err != nil {
		return err
	}
	u.Path = "/" + scratch
	err = d.plan(ctx, u.String())
	if dropErr := admin.Session(database.Single).Exec(ctx, "DROP DATABASE "+scratch, []any{}, nil); err == nil {
		err = dropErr
	}
	return err
}

func (d *differ) plan(ctx context.Context, address string) error {
	db, err := open(ctx, address)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing is under way
	d.needed[db.Dialect()], err = db.PlanMigration(ctx, filepath.Join(d.folder, db.Dialect()), d.name, d.now)
	return err
}

func open(ctx context.Context, address string) (*database.DB, error) {
	return database.Open(ctx, database.Options{
		URL: address, MaxConnections: 4, PoolWait: 5 * time.Second, ConnectTimeout: 5 * time.Second, StatementTimeout: time.Minute,
	})
}
