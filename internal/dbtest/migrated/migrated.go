// Package migrated gives tests databases with Roster's schema. It opens them as Roster does. It is not part of dbtest,
// so that tests of package database can use dbtest.
package migrated

import (
	"testing"
	"time"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// Open returns a new database with all migrations applied. It is closed and dropped when the test ends. settings may
// change the options before it opens, such as the URL.
func Open(tb testing.TB, e dbtest.Engine, settings ...func(*database.Options)) *database.DB {
	tb.Helper()
	o := database.Options{
		URL:              dbtest.Empty(tb, e),
		MaxConnections:   8,
		PoolWait:         time.Minute,
		ConnectTimeout:   10 * time.Second,
		StatementTimeout: time.Minute,
		StatementCache:   256,
	}
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
	if _, err := db.MigrateUp(tb.Context()); err != nil {
		tb.Fatalf("migrate the database of the test: %v", err)
	}
	return db
}
