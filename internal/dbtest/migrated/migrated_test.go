package migrated_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/dbtest/servers"
)

// TestOpen compares databases that are copied with one that is migrated: they have the same tables, no pending migration, and
// different epochs.
func TestOpen(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		epochs := map[string]bool{}
		for range 2 {
			db := migrated.Open(t, e)
			if err := db.CheckTables(t.Context()); err != nil {
				t.Error(err)
			}
			if done, err := db.MigrateUp(t.Context()); err != nil || len(done) > 0 {
				t.Errorf("got the migrations %v, %v, want none", done, err)
			}
			epochs[text(t, db, "SELECT epoch FROM feed")] = true
		}
		if len(epochs) != 2 {
			t.Errorf("got the epochs %v of two databases, want two", epochs)
		}
	})
}

// TestOpenMySQL compares the text of each table. On the other engines, a copy has the bytes of the template.
func TestOpenMySQL(t *testing.T) {
	t.Parallel()
	copied, empty := migrated.URL(t, dbtest.MySQL), dbtest.Empty(t, dbtest.MySQL)
	migrated.Open(t, dbtest.MySQL, func(o *database.Options) { o.URL = empty })
	want, got := tablesOf(t, empty), tablesOf(t, copied)
	if len(want) < 5 || len(got) != len(want) {
		t.Fatalf("got %d tables, want %d", len(got), len(want))
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("got %s, want %s", got[name], want[name])
		}
	}
}

// tablesOf returns the statements that create the tables of a database, by their names.
func tablesOf(t *testing.T, url string) map[string]string {
	t.Helper()
	db, err := servers.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	names, all := list(t, db, "SHOW TABLES"), map[string]string{}
	for _, name := range names {
		var same, create string
		if err := db.QueryRowContext(t.Context(), "SHOW CREATE TABLE `"+name+"`").Scan(&same, &create); err != nil {
			t.Fatal(err)
		}
		all[name] = strings.ReplaceAll(create, " CHARACTER SET utf8mb4 COLLATE ", " COLLATE ") // MySQL repeats what a statement has said
	}
	return all
}

func list(t *testing.T, db *sql.DB, query string) (names []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

func text(t *testing.T, db *database.DB, query string) (value string) {
	t.Helper()
	err := each(t.Context(), db, query, &value)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func each(ctx context.Context, db *database.DB, query string, into *string) error {
	return database.Each(ctx, db.Session(database.Single), query, nil, func(rows *entsql.Rows) error { return rows.Scan(into) })
}
