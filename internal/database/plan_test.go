package database_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"roster/ent/migrate/migrations"
	"roster/internal/database"
	"roster/internal/dbtest"
)

// plan plans the migration "next" after those in dir and returns whether one was needed.
func plan(t *testing.T, e dbtest.Engine, dir string) bool {
	t.Helper()
	db := open(t, options(dbtest.Empty(t, e)))
	needed, err := db.PlanMigration(t.Context(), dir, "next", time.Date(2099, 1, 2, 3, 4, 5, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	if tables := strings.Join(columns(t, e, db), "\n"); tables != "" {
		t.Errorf("the scratch database: got\n%s\nwant no tables", tables)
	}
	return needed
}

// folder copies the migrations of an engine.
func folder(t *testing.T, e dbtest.Engine) string {
	t.Helper()
	dir := t.TempDir()
	files, err := fs.Sub(migrations.Files, open(t, options(dbtest.Empty(t, e))).Dialect())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, files); err != nil {
		t.Fatal(err)
	}
	return dir
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// TestPlanNothing checks that the migrations lead to package tables. If it fails, run make migration.
func TestPlanNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		dir := folder(t, e)
		before := names(t, dir)
		if plan(t, e, dir) {
			content, err := os.ReadFile(filepath.Join(dir, "20990102030405_next.sql"))
			t.Errorf("got the next migration (%v)\n%s\nwant none: run make migration", err, content)
		}
		if after := names(t, dir); !slices.Equal(before, after) && !t.Failed() {
			t.Errorf("the folder: got %q, want %q", after, before)
		}
	})
}

// TestPlanEverything plans the migration of an empty database, and applies it.
func TestPlanEverything(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		root := t.TempDir()
		db := open(t, options(dbtest.Empty(t, e)))
		dir := filepath.Join(root, db.Dialect())
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if !plan(t, e, dir) {
			t.Error("got no migration, want one")
		}
		if got := names(t, dir); !slices.Equal(got, []string{"20990102030405_next.sql"}) {
			t.Fatalf("the folder: got %q, want 20990102030405_next.sql", got)
		}
		planned := db.WithMigrations(os.DirFS(root))
		up(t, planned, 1)
		if got, want := described(columns(t, e, planned)), expectedColumns(e); !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		down(t, planned, 0, 1)
		if got := columns(t, e, planned); len(got) > 0 {
			t.Errorf("after Down: got\n%s\nwant no columns", strings.Join(got, "\n"))
		}
		if plan(t, e, dir) {
			t.Error("after the migration: got another one, want none")
		}
	})
}

// TestSchema compares the types of the migrated columns, as the engines name them: those of IDs, of times, and of texts in
// byte order.
func TestSchema(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := open(t, options(dbtest.Empty(t, e)))
		up(t, db, len(status(t, db, 0)))
		if got, want := described(columns(t, e, db)), expectedColumns(e); !slices.Equal(got, want) {
			t.Errorf("the columns are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if got, want := described(indexes(t, e, db)), expectedIndexes(); !slices.Equal(got, want) {
			t.Errorf("the indexes are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// columns returns the columns of all tables except those of migrations, with their types and collations.
func columns(t *testing.T, e dbtest.Engine, db *database.DB) []string {
	t.Helper()
	return texts(t, db, map[dbtest.Engine]string{
		dbtest.SQLite: `SELECT t.name, c.name, c.type || iif(c."notnull", '', ' NULL') FROM sqlite_schema t, pragma_table_info(t.name) c
			WHERE t.type = 'table' AND t.name NOT LIKE 'goose%' AND t.name NOT LIKE 'sqlite%' ORDER BY t.name, c.cid`,
		dbtest.PostgreSQL: `SELECT table_name, column_name, udt_name || coalesce(' ' || collation_name, '')
			|| CASE is_nullable WHEN 'YES' THEN ' NULL' ELSE '' END
			FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%' AND table_name <> 'roster_migration'
			ORDER BY table_name, ordinal_position`,
		dbtest.MySQL: `SELECT table_name, column_name, concat(replace(column_type, '(20)', ''), coalesce(concat(' ', collation_name), ''), if(is_nullable = 'YES', ' NULL', ''))
			FROM information_schema.columns WHERE table_schema = database() AND table_name NOT LIKE 'goose%' AND table_name <> 'roster_migration'
			ORDER BY table_name, ordinal_position`,
	}[e])
}

// described removes the columns of tables that the test does not list.
func described(lines []string) []string {
	return slices.DeleteFunc(lines, func(line string) bool {
		return !strings.HasPrefix(line, "posts ") && !strings.HasPrefix(line, "users ")
	})
}

func expectedColumns(e dbtest.Engine) (lines []string) {
	type kinds struct{ id, time, version, username, usernameKey, email, emailKey, status, identity, title, titleKey, body string }
	k := map[dbtest.Engine]kinds{
		dbtest.SQLite: {
			id: "BLOB", time: "datetime", version: "INTEGER", username: "TEXT", usernameKey: "TEXT",
			email: "TEXT", emailKey: "TEXT", status: "TEXT", identity: "TEXT", title: "TEXT", titleKey: "TEXT", body: "TEXT",
		},
		dbtest.PostgreSQL: {
			id: "uuid", time: "timestamptz", version: "int8", username: "varchar", usernameKey: "varchar C",
			email: "varchar", emailKey: "varchar C", status: "varchar", identity: "varchar C", title: "varchar", titleKey: "varchar C", body: "text",
		},
		dbtest.MySQL: {
			id: "binary(16)", time: "datetime(6)", version: "bigint", username: "varchar(80) utf8mb4_bin", usernameKey: "varbinary(480)",
			email: "varchar(120) utf8mb4_bin", emailKey: "varbinary(1440)", title: "varchar(200) utf8mb4_bin", titleKey: "varbinary(2400)",
			body: "longtext utf8mb4_bin", status: "varchar(16) utf8mb4_bin", identity: "varbinary(255)",
		},
	}[e]
	table := func(name string, columns ...string) {
		columns = append([]string{"id " + k.id, "created_at " + k.time, "updated_at " + k.time, "version " + k.version}, columns...)
		for _, column := range columns {
			lines = append(lines, name+" "+column)
		}
	}
	table("posts", "title "+k.title, "title_key "+k.titleKey, "body "+k.body, "author_id "+k.id)
	table("users", "username "+k.username, "username_key "+k.usernameKey, "email "+k.email, "email_key "+k.emailKey,
		"status "+k.status, "identity_issuer "+k.identity+" NULL", "identity_subject "+k.identity+" NULL")
	return lines
}

// indexes returns all indexes except those of primary keys, with their columns in order.
func indexes(t *testing.T, e dbtest.Engine, db *database.DB) []string {
	t.Helper()
	lines := texts(t, db, map[dbtest.Engine]string{
		dbtest.SQLite: `SELECT t.name, i.name, iif(i."unique", 'unique', 'plain'), group_concat(c.name, ',' ORDER BY c.seqno)
			FROM sqlite_schema t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
			WHERE t.type = 'table' AND t.name NOT LIKE 'goose%' AND i.origin <> 'pk' GROUP BY t.name, i.name`,
		dbtest.PostgreSQL: `SELECT t.relname, i.relname, CASE WHEN x.indisunique THEN 'unique' ELSE 'plain' END,
			string_agg(a.attname, ',' ORDER BY array_position(x.indkey::int2[], a.attnum))
			FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
			JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (x.indkey)
			WHERE t.relnamespace = 'public'::regnamespace AND t.relname NOT LIKE 'goose%' AND NOT x.indisprimary
			GROUP BY t.relname, i.relname, x.indisunique`,
		dbtest.MySQL: `SELECT table_name, index_name, if(non_unique, 'plain', 'unique'), group_concat(column_name ORDER BY seq_in_index)
			FROM information_schema.statistics
			WHERE table_schema = database() AND table_name NOT LIKE 'goose%' AND table_name <> 'roster_migration' AND index_name <> 'PRIMARY'
			GROUP BY table_name, index_name, non_unique`,
	}[e])
	slices.Sort(lines)
	return lines
}

// expectedIndexes returns one index for each order, for each unique text and for the status. They are the same on all engines.
func expectedIndexes() (lines []string) {
	table := func(name, entity string, lists ...string) {
		for _, list := range lists {
			kind := "plain"
			if list == "username_key" || list == "email_key" || list == "identity_subject,identity_issuer" {
				kind = "unique"
			}
			lines = append(lines, fmt.Sprintf("%s %s_%s %s %s", name, entity, strings.ReplaceAll(list, ",", "_"), kind, list))
		}
	}
	table("users", "user", "created_at,id", "updated_at,id", "username_key", "email_key", "identity_subject,identity_issuer", "status,id")
	table("posts", "post", "created_at,id", "updated_at,id", "title_key,id",
		"author_id,id", "author_id,created_at,id", "author_id,updated_at,id", "author_id,title_key,id")
	slices.Sort(lines)
	return lines
}
