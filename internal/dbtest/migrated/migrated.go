// Package migrated gives tests databases with Roster's schema. It opens them as Roster does. It is not part of dbtest,
// so that tests of package database can use dbtest.
package migrated

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"roster/ent/migrate/migrations"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/servers"
)

// Open returns a new database with all migrations applied. It is closed and dropped when the test ends. settings may
// change the options before it opens, such as the URL.
func Open(tb testing.TB, e dbtest.Engine, settings ...func(*database.Options)) *database.DB {
	tb.Helper()
	url := URL(tb, e)
	return open(tb, url, func(o *database.Options) bool { return o.URL == url }, settings...)
}

// At opens the database of a URL, such as one from URL. Pending migrations are applied. It is closed when the test ends.
func At(tb testing.TB, url string, settings ...func(*database.Options)) *database.DB {
	tb.Helper()
	return open(tb, url, func(*database.Options) bool { return false }, settings...)
}

// open opens a database, and applies pending migrations unless it is known to have all.
func open(tb testing.TB, url string, migrated func(*database.Options) bool, settings ...func(*database.Options)) *database.DB {
	tb.Helper()
	o := options(url)
	for _, set := range settings {
		set(&o)
	}
	db, err := database.Open(tb.Context(), o)
	if err != nil {
		tb.Fatalf("open the database of the test: %v", err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("close the database of the test: %v", err)
		}
	})
	if !migrated(&o) {
		if _, err := db.MigrateUp(tb.Context()); err != nil {
			tb.Fatalf("migrate the database of the test: %v", err)
		}
	}
	return db
}

// options are those of the databases of tests.
func options(url string) database.Options {
	return database.Options{
		URL:              url,
		MaxConnections:   8,
		PoolWait:         time.Minute,
		ConnectTimeout:   10 * time.Second,
		StatementTimeout: time.Minute,
		StatementCache:   256,
	}
}

// URL returns the URL of a new database with all migrations applied, which is dropped when the test ends. To apply them takes
// longer than most tests. So they are applied once, to a template of all databases. Each database has its own epoch of the
// change feed, as if they had been applied to it.
func URL(tb testing.TB, e dbtest.Engine) string {
	tb.Helper()
	name, err := templateName(e)
	if err != nil {
		tb.Fatal(err)
	}
	url := dbtest.Template{Name: name, Fill: fill}.New(tb, e)
	if err := setEpoch(tb.Context(), url); err != nil {
		tb.Fatalf("set the epoch of the database of the test: %v", err)
	}
	return url
}

// fill applies all migrations to a database.
func fill(ctx context.Context, url string) error {
	db, err := database.Open(ctx, options(url))
	if err != nil {
		return err
	}
	_, err = db.MigrateUp(ctx)
	return errors.Join(err, db.Close())
}

// templateName returns the name of the template for the migrations of this program.
func templateName(e dbtest.Engine) (string, error) {
	all := sha256.New()
	err := fs.WalkDir(migrations.Files, ".", func(path string, file fs.DirEntry, err error) error {
		if err != nil || file.IsDir() {
			return err
		}
		content, err := fs.ReadFile(migrations.Files, path)
		fmt.Fprintf(all, "%s %d\n%s", path, len(content), content)
		return err
	})
	return "roster_template_" + string(e) + "_" + hex.EncodeToString(all.Sum(nil)[:8]), err
}

// setEpoch gives a database an epoch of its own.
func setEpoch(ctx context.Context, url string) (err error) {
	var db *sql.DB
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		db, err = sql.Open("sqlite", path)
	} else {
		db, err = servers.Open(url)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	epoch := make([]byte, 16)
	_, _ = rand.Read(epoch) // returns no error
	_, err = db.ExecContext(ctx, fmt.Sprintf("UPDATE feed SET epoch = '%x' WHERE id = 1", epoch))
	return err
}
