package database_test

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
	dbservers "roster/internal/dbtest/servers"
)

// TestKindsOfEngines makes the engines return errors. The statements of setup run first; the statement of cause fails.
func TestKindsOfEngines(t *testing.T) {
	t.Parallel()
	type row struct {
		name  string
		setup []string
		cause string
		mode  database.Mode
		kind  database.Kind
	}
	missing := []row{
		{"no table", nil, "SELECT 1 FROM absent", database.Single, database.Unusable},
		{"no column", nil, "SELECT absent FROM things", database.Single, database.Unusable},
		{"no table to write", nil, "DELETE FROM absent", database.Write, database.Unusable},
	}
	for e, rows := range map[dbtest.Engine][]row{
		dbtest.SQLite: {
			{"full", []string{"PRAGMA max_page_count = 5"}, "INSERT INTO things SELECT 10, zeroblob(1000000)", database.Write, database.ReadOnly},
			{"read only", []string{"PRAGMA query_only = 1"}, "DELETE FROM things", database.Write, database.ReadOnly},
			{"too large", nil, "SELECT zeroblob(2000000000)", database.Write, database.TooLarge},
			{"changed while reading", nil, "DELETE FROM things", database.Snapshot, database.Other},
		},
		dbtest.PostgreSQL: {
			{"read only", []string{"SET TRANSACTION READ ONLY"}, "DELETE FROM things", database.Write, database.ReadOnly},
			{"no schema", nil, "CREATE TABLE nowhere.t (n int)", database.Write, database.Unusable},
			{"temporary files", []string{"SET LOCAL temp_file_limit = 64", "SET LOCAL work_mem = 64"}, "SELECT count(*) FROM (SELECT n, random() FROM generate_series(1, 200000) AS g (n) ORDER BY 2) AS s", database.Write, database.Busy},
			{"too many columns", nil, "SELECT ARRAY[" + strings.Repeat("1,", 1000) + "1]" + strings.Repeat(", 1", 1700), database.Write, database.TooLarge},
			{"changed while reading", nil, "DELETE FROM things", database.Snapshot, database.Other},
		},
		dbtest.MySQL: {
			{"table full", []string{"SET max_heap_table_size = 16384", "CREATE TEMPORARY TABLE heap (n binary(255)) ENGINE = MEMORY"}, "INSERT INTO heap SELECT repeat('x', 255) FROM information_schema.COLLATIONS", database.Write, database.ReadOnly},
			{"changed while reading", nil, "DELETE FROM things", database.Snapshot, database.Other},
		},
	} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			for _, r := range append(rows, missing...) {
				t.Run(r.name, func(t *testing.T) {
					t.Parallel()
					s := things(t, e).Session(r.mode)
					defer s.Rollback()
					for _, statement := range r.setup {
						if err := run(t.Context(), s, statement); err != nil {
							t.Fatal(err)
						}
					}
					err := run(t.Context(), s, r.cause)
					if err == nil {
						t.Fatalf("got no error, want one of kind %d", r.kind)
					}
					wantKind(t, err, r.kind)
					if f := database.AsFailure(err); r.kind != database.Other && f.Advice == "" {
						t.Error("got no advice, want some")
					}
				})
			}
		})
	}
}

// TestDamagedFile overwrites the pages of an SQLite database.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	var path string
	db := things(t, dbtest.SQLite, func(o *database.Options) { path = strings.TrimPrefix(o.URL, "sqlite:") })
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt(make([]byte, info.Size()-4096), 4096); err != nil {
		t.Fatal(err)
	}
	_, err = number(t.Context(), db.Session(database.Single), "SELECT sum(n) FROM things")
	wantKind(t, err, database.Unusable)
}

// TestEncoding opens databases that cannot store every text.
func TestEncoding(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, e dbtest.Engine, u *url.URL) {
		admin, err := dbservers.Open(u.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { admin.Close() })
		statements, want := []string{"ALTER DATABASE " + u.Path[1:] + " CHARACTER SET utf8mb3"}, "the character set utf8mb3"
		if e == dbtest.PostgreSQL {
			name := u.Path[1:] + "_latin1"
			statements, want = []string{"CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'"}, "the encoding LATIN1"
			u.Path = "/" + name
			t.Cleanup(func() {
				if _, err := admin.Exec("DROP DATABASE " + name); err != nil { //nolint:noctx // the test's context has ended
					t.Error(err)
				}
			})
		}
		for _, statement := range statements {
			if _, err := admin.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		refused(t, options(u.String()), want)
	})
}

// TestPinnedSettings opens a URL that turns constraints off, and has another character set than the one for which the
// driver escapes arguments. In TestMySQLRefuses, the server turns constraints off.
func TestPinnedSettings(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(dbtest.Empty(t, dbtest.MySQL))
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = "foreign_key_checks=0&unique_checks=0&character_set_client=latin1&character_set_results=latin1&collation_connection=latin1_bin"
	db := open(t, options(u.String()))
	const query = "SELECT @@foreign_key_checks + @@unique_checks + (@@character_set_client = 'utf8mb4') + " +
		"(@@character_set_results = 'utf8mb4') + (@@collation_connection = 'utf8mb4_bin')"
	if n, err := number(t.Context(), db.Session(database.Single), query); n != 5 || err != nil {
		t.Errorf("%s: got %d, %v, want 5", query, n, err)
	}
}

// TestParametersOfPostgres opens a URL whose parameters name another user and database than its usual places.
func TestParametersOfPostgres(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(dbtest.Empty(t, dbtest.PostgreSQL))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	query := u.Query()
	for key, value := range map[string]string{
		"user": u.User.Username(), "password": password, "dbname": strings.TrimPrefix(u.Path, "/"), "connect_timeout": "0",
	} {
		query.Set(key, value)
	}
	u.User, u.Path, u.RawQuery = url.UserPassword("zoe", "zzz"), "/zzz", query.Encode()
	db := open(t, options(u.String()))
	if n, err := number(t.Context(), db.Session(database.Single), "SELECT 1"); n != 1 || err != nil {
		t.Errorf("got %d, %v, want 1", n, err)
	}
}

// TestReadyOfNode wants that a node of a Galera cluster that is apart from the others is not ready, for reads either: nobody knows
// how old its data are. A single server says of itself what such a node says.
func TestReadyOfNode(t *testing.T) {
	t.Parallel()
	db := open(t, options(dbtest.Empty(t, dbtest.MySQL)))
	up(t, db, len(status(t, db, 0)))
	if err := db.LikeGalera().Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, ready := range map[string]func(context.Context) error{"ready": db.Ready, "ready for reads": db.ReadyForReads} {
		f := database.AsFailure(ready(t.Context()))
		if f == nil || f.Kind != database.Unusable || !strings.Contains(f.Advice, "wsrep_cluster_status") {
			t.Errorf("%s: got %v, want a failure that says what to do", name, f)
		}
	}
}
