package database_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// killedName is what this program is called when it migrates a database and kills itself before a statement.
const killedName = "killed-migration"

// more are migrations that change rows between changes of tables: whoever does a step twice, or not at all, leaves other
// rows.
func more() map[string]string {
	return map[string]string{
		"20990101000000_log.sql": `-- +goose Up
CREATE TABLE log (n int);
INSERT INTO log VALUES (0);

-- +goose Down
DROP TABLE log;
`,
		"20990101000001_later.sql": `-- +goose Up
CREATE TABLE later (id int PRIMARY KEY, n int);
INSERT INTO later VALUES (1, 1);
UPDATE later SET n = n + 1;
ALTER TABLE later ADD COLUMN m int;
UPDATE later SET m = n * 10;
UPDATE later SET n = n + 1;
ALTER TABLE later RENAME COLUMN n TO k;
CREATE INDEX later_k ON later (k, id);

-- +goose Down
UPDATE log SET n = n + 1;
ALTER TABLE later DROP COLUMN m;
UPDATE log SET n = n + 1;
DROP TABLE later;
UPDATE log SET n = n + 1;
`,
	}
}

// beforeLater is the version before the last of them.
const beforeLater = 20990101000000

// migrateUntilKilled goes up, down by one or down to nothing with these migrations, and kills itself before the n-th
// statement that writes. Before each of them is after the one before, and what that did has taken effect: nothing is
// known by then to one who is killed that one who lost the answer does not know.
func migrateUntilKilled(url, where, n string, stderr io.Writer) (code int) {
	files, err := with(more())
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	last, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	var writes atomic.Int64
	o := options(url)
	o.Observe = func(query string) {
		if writing(query) && writes.Add(1) == last {
			_ = kill()
			select {} // until it is dead
		}
	}
	ctx := context.Background()
	db, err := database.Open(ctx, o)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	db = db.WithMigrations(files)
	switch where {
	case "up":
		_, err = db.MigrateUp(ctx)
	case "one":
		_, err = db.MigrateDown(ctx, -1)
	default:
		_, err = db.MigrateDown(ctx, 0)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// kill ends this process as nobody can prevent.
func kill() error {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	return self.Kill()
}

// writing reports whether a statement can write. START TRANSACTION comes after all that came before it.
func writing(query string) bool {
	for _, reads := range []string{"SELECT", "SHOW", "PRAGMA", "START", "ROLLBACK"} {
		if strings.HasPrefix(strings.TrimSpace(query), reads) {
			return false
		}
	}
	return true
}

// killed runs such a process and reports whether it was killed before it was done.
func killed(t *testing.T, url, where string, n int) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), self(t), url, where, strconv.Itoa(n))
	cmd.Args[0] = killedName
	var output bytes.Buffer
	cmd.Stderr = &output
	err := cmd.Run()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && (!ok || exit.ExitCode() != -1) {
		t.Fatalf("%s, killed before statement %d: %v: %s", where, n, err, &output)
	}
	return err != nil
}

// made is what the migrations of these tests make.
func made(t *testing.T, e dbtest.Engine, db *database.DB) []string {
	t.Helper()
	return append(columns(t, e, db), indexes(t, e, db)...)
}

// TestMigrateKilled kills migrations before each of their statements, and then goes on, in the same direction or in the
// other one.
func TestMigrateKilled(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		files, err := with(more())
		if err != nil {
			t.Fatal(err)
		}
		whole := open(t, options(dbtest.Empty(t, e))).WithMigrations(files)
		up(t, whole, len(status(t, whole, 0)))
		want := made(t, e, whole)

		// toTop and toBottom go on, and check that what is there then is what is there without a kill.
		toTop := func(t *testing.T, db *database.DB, n int) {
			t.Helper()
			if _, err := db.MigrateUp(t.Context()); err != nil {
				t.Fatalf("up, after a kill before statement %d: %v", n, err)
			}
			if err := db.CheckVersion(t.Context()); err != nil {
				t.Errorf("up, after a kill before statement %d: %v", n, err)
			}
			if got := made(t, e, db); !slices.Equal(got, want) {
				t.Errorf("up, after a kill before statement %d, leads to\n%s\nwant\n%s", n, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if got := texts(t, db, "SELECT id, k, m FROM later"); !slices.Equal(got, []string{"1 3 20"}) {
				t.Errorf("up, after a kill before statement %d, leads to the rows %q", n, got)
			}
			if got := texts(t, db, "SELECT count(*) FROM feed"); !slices.Equal(got, []string{"1"}) {
				t.Errorf("up, after a kill before statement %d, leads to %q rows of feed", n, got)
			}
		}
		toBottom := func(t *testing.T, db *database.DB, n int) {
			t.Helper()
			if _, err := db.MigrateDown(t.Context(), 0); err != nil {
				t.Fatalf("down, after a kill before statement %d: %v", n, err)
			}
			status(t, db, 0)
			if got := made(t, e, db); len(got) > 0 {
				t.Errorf("down, after a kill before statement %d, leaves\n%s", n, strings.Join(got, "\n"))
			}
		}
		ways := map[string]func(t *testing.T, db *database.DB, url string, n int) bool{
			"and on": func(t *testing.T, db *database.DB, url string, n int) bool {
				inUp := killed(t, url, "up", n)
				toTop(t, db, n)
				inDown := killed(t, url, "all", n)
				toBottom(t, db, n)
				return inUp || inDown
			},
			"and back": func(t *testing.T, db *database.DB, url string, n int) bool {
				inUp := killed(t, url, "up", n)
				toBottom(t, db, n)
				toTop(t, db, n)
				inDown := killed(t, url, "all", n)
				toTop(t, db, n)
				toBottom(t, db, n)
				return inUp || inDown
			},
			"in one": func(t *testing.T, db *database.DB, url string, n int) bool {
				toTop(t, db, n)
				inOne := killed(t, url, "one", n)
				if _, err := db.MigrateDown(t.Context(), beforeLater); err != nil {
					t.Fatalf("down, after a kill before statement %d: %v", n, err)
				}
				if got := texts(t, db, "SELECT n FROM log"); !slices.Equal(got, []string{"3"}) {
					t.Errorf("down, after a kill before statement %d, leads to the rows %q", n, got)
				}
				toBottom(t, db, n)
				return inOne
			},
		}
		for name, way := range ways {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				url := dbtest.Empty(t, e)
				db := open(t, options(url)).WithMigrations(files)
				n := 1
				for way(t, db, url, n) && !t.Failed() {
					n++
				}
				t.Logf("killed before each of %d statements", n-1)
			})
		}
	})
}
