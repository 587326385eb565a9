package cli_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// seeded returns the flag for a database with some users and posts, which are the same in every run.
func seeded(t *testing.T, flags ...string) string {
	t.Helper()
	url := "--database-url=sqlite:" + filepath.Join(t.TempDir(), "roster.db")
	if code, _, stderr := run(t, append(append([]string{"seed"}, flags...), url)...); code != 0 {
		t.Fatal(stderr)
	}
	return url
}

func TestStats(t *testing.T) {
	t.Parallel()
	url := seeded(t, "--users=1000", "--posts-per-user=1")
	for _, test := range []struct{ flags, golden string }{
		{"--by=month --from=2023-06-15T12:00:00+02:00 --to=2024-02-10", "stats-month.txt"},
		{"--by=week --to=2024-02-07", "stats-week.txt"},
		{"--to=2024-02-07T00:00:00Z", "stats-day.txt"},
		{"--by=month --to=1990-01-01", "stats-none.txt"},
	} {
		code, stdout, stderr := run(t, append([]string{"stats", url}, strings.Fields(test.flags)...)...)
		if want := golden(t, test.golden); code != 0 || stderr != "" || stdout != want {
			t.Errorf("%s: got code %d, stderr %q, stdout\n%s\nwant code 0 and\n%s", test.flags, code, stderr, stdout, want)
		}
	}
	const want = "roster: --to must be after from\n"
	if code, stdout, stderr := run(t, "stats", url, "--from=2024-01-01", "--to=2024-01-01"); code != 1 || stdout != "" || stderr != want {
		t.Errorf("got code %d, stdout %q, stderr %q, want code 1 and %q", code, stdout, stderr, want)
	}
	file := filepath.Join(t.TempDir(), "roster.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	empty := "--database-url=sqlite:" + file
	if code, stdout, stderr := run(t, "stats", empty); code != 1 || stdout != "" || !strings.HasSuffix(stderr, "): the schema is older than this program's: run roster migrate up\n") {
		t.Errorf("without tables: got code %d, stdout %q, stderr %q, want code 1 and advice to migrate", code, stdout, stderr)
	}
	if code, stdout, stderr := run(t, "stats", url); code != 0 || strings.Count(stdout, "\n") != 35 || stderr != "" {
		t.Errorf("until now: got code %d, stderr %q, stdout\n%s\nwant code 0 and 35 lines", code, stderr, stdout)
	}
}

// TestRecount corrects counts after another program has written rows, on each engine.
func TestRecount(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		address := dbtest.Empty(t, e)
		url := "--database-url=" + address
		if code, _, stderr := run(t, "seed", "--users=10", "--posts-per-user=3", url); code != 0 {
			t.Fatal(stderr)
		}
		db, err := database.Open(t.Context(), database.Options{
			URL: address, MaxConnections: 2, PoolWait: time.Minute, ConnectTimeout: time.Minute, StatementTimeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() }) // nothing is open
		exec := func(query string) {
			t.Helper()
			s := db.Session(database.Write)
			if err := errors.Join(s.Exec(t.Context(), query, []any{}, nil), s.Commit()); err != nil {
				t.Fatal(err)
			}
		}
		right, users := "All counts of "+db.String()+" are right.\n", "users                        10\n"
		for _, step := range []struct{ sql, recount, stats string }{
			{"", right, users},
			{"DELETE FROM posts", "TYPE  COUNT  ROWS  DIFFERENCE\npost  30     0     -30\nThe counts are corrected.\n", users + "posts                         0\n"},
			{"", right, users},
			{"UPDATE feed SET counted = NULL", "The rows were not counted yet. Now they are.\n", users},
			{"DELETE FROM users", "TYPE  COUNT  ROWS  DIFFERENCE\nuser  10     0     -10\nThe counts are corrected.\n", "users                         0\n"},
		} {
			if step.sql != "" {
				exec(step.sql)
			}
			code, stdout, stderr := run(t, "stats", "--recount", url)
			if code != 0 || stdout != step.recount || stderr != "" {
				t.Errorf("%s: got code %d, stdout %q, stderr %q, want code 0 and %q", step.sql, code, stdout, stderr, step.recount)
			}
			if _, stdout, _ := run(t, "stats", url); !strings.HasPrefix(stdout, step.stats) {
				t.Errorf("%s: got the statistics %q, want %q", step.sql, stdout, step.stats)
			}
		}
		if code, _, stderr := run(t, "migrate", "down", url); code != 0 {
			t.Fatal(stderr)
		}
		code, stdout, stderr := run(t, "stats", "--recount", url)
		if code != 1 || stdout != "" || !strings.HasSuffix(stderr, ": the schema is older than this program's: run roster migrate up\n") {
			t.Errorf("on the schema of the release before: got code %d, stdout %q, stderr %q, want code 1 and advice to migrate", code, stdout, stderr)
		}
	})
}

// TestRecountReadOnly cannot correct the counts of a database that takes no changes. It prints the differences and says so.
func TestRecountReadOnly(t *testing.T) {
	t.Parallel()
	address := dbtest.Empty(t, dbtest.PostgreSQL)
	url := "--database-url=" + address
	if code, _, stderr := run(t, "seed", "--users=3", url); code != 0 {
		t.Fatal(stderr)
	}
	db, err := database.Open(t.Context(), database.Options{URL: address, MaxConnections: 2, PoolWait: time.Minute, ConnectTimeout: time.Minute, StatementTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	s := db.Session(database.Write)
	for _, query := range []string{
		"DELETE FROM posts",
		"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE read_only_sql_transaction USING MESSAGE = 'cannot execute INSERT in a read-only transaction'; END $$",
		"CREATE TRIGGER refuse BEFORE INSERT ON counts EXECUTE FUNCTION refuse()",
	} {
		err = errors.Join(err, s.Exec(t.Context(), query, []any{}, nil))
	}
	if err := errors.Join(err, s.Commit(), db.Close()); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := run(t, "stats", "--recount", url)
	const differences = "TYPE  COUNT  ROWS  DIFFERENCE\npost  30     0     -30\n"
	if code != 1 || stdout != differences || !strings.Contains(stderr, "roster: correct the counts of PostgreSQL (") || !strings.Contains(stderr, "read-only") {
		t.Errorf("got code %d, stdout %q, stderr %q, want code 1, the differences and a reason", code, stdout, stderr)
	}
}
