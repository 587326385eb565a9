package database_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roster/ent/migrate/migrations"
	"roster/internal/database"
	"roster/internal/dbtest"
)

// killedName is the name under which this program migrates a database and kills itself before a statement.
const killedName = "killed-migration"

// more returns migrations that change rows between changes of tables. A step that runs twice or never leaves other rows.
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
UPDATE
later SET m = n * 10;
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

// migrateUntilKilled applies these migrations, or undoes one or all. It kills itself before the n-th statement that
// writes. Before the first such statement, it prints a line, and waits for a byte or the end of its input.
func migrateUntilKilled(url, where, n string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
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
	ctx := context.Background()
	db, err := database.Open(ctx, options(url))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	db = db.WithMigrations(files).ObservingMigrations(func(query string) {
		if !writing(query) {
			return
		}
		n := writes.Add(1)
		if n == 1 { // now it has the lock
			fmt.Fprintln(stdout, "migrating")
			_, _ = stdin.Read(make([]byte, 1))
		}
		if n == last {
			_ = kill()
			select {} // until it is dead
		}
	})
	switch where {
	case "up":
		_, err = db.MigrateUp(ctx)
	case "one":
		_, err = db.MigrateDown(ctx, -1)
	case "fold": // Roster's migrations alone
		_, err = db.WithMigrations(migrations.Files).MigrateUp(ctx)
	case "unfold":
		_, err = db.WithMigrations(migrations.Files).MigrateDown(ctx, beforeFold)
	default:
		_, err = db.MigrateDown(ctx, 0)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// kill ends this process by SIGKILL.
func kill() error {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	return self.Kill()
}

// writing reports whether a statement can write.
func writing(query string) bool {
	for _, reads := range []string{"SELECT", "SHOW", "PRAGMA", "START", "ROLLBACK"} {
		if strings.HasPrefix(strings.TrimSpace(query), reads) {
			return false
		}
	}
	return true
}

// killing returns the command of a process that kills itself.
func killing(t *testing.T, url, where string, n int) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), self(t), url, where, strconv.Itoa(n))
	cmd.Args[0] = killedName
	return cmd
}

// killed runs a process that kills itself, and reports whether it did so before its end.
func killed(t *testing.T, url, where string, n int) bool {
	t.Helper()
	cmd := killing(t, url, where, n)
	var output bytes.Buffer
	cmd.Stderr = &output
	err := cmd.Run()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && (!ok || exit.ExitCode() != -1) {
		t.Fatalf("%s, killed before statement %d: got %v, want the end by the kill: %s", where, n, err, &output)
	}
	return err != nil
}

// made returns the columns and indexes of a database.
func made(t *testing.T, e dbtest.Engine, db *database.DB) []string {
	t.Helper()
	return append(columns(t, e, db), indexes(t, e, db)...)
}

// goal checks that interrupted migrations lead to the same database as others.
type goal struct {
	engine dbtest.Engine
	files  fs.FS
	top    []string
}

func newGoal(t *testing.T, e dbtest.Engine) *goal {
	t.Helper()
	g := &goal{engine: e, files: later(t, more())}
	db := g.open(t, dbtest.Empty(t, e))
	up(t, db, len(status(t, db, 0)))
	g.top = made(t, e, db)
	return g
}

func (g *goal) open(t *testing.T, url string) *database.DB {
	t.Helper()
	return open(t, options(url)).WithMigrations(g.files)
}

// up and down continue after an interruption before or in statement n.
func (g *goal) up(t *testing.T, db *database.DB, n int) {
	t.Helper()
	if _, err := db.MigrateUp(t.Context()); err != nil {
		t.Fatalf("up, after statement %d: got %v, want no error", n, err)
	}
	if err := db.CheckVersion(t.Context()); err != nil {
		t.Errorf("up, after statement %d: got %v, want no error", n, err)
	}
	if got := made(t, g.engine, db); !slices.Equal(got, g.top) {
		t.Errorf("up, after statement %d: got\n%s\nwant\n%s", n, strings.Join(got, "\n"), strings.Join(g.top, "\n"))
	}
	if got := texts(t, db, "SELECT id, k, m FROM later"); !slices.Equal(got, []string{"1 3 20"}) {
		t.Errorf("rows of later, up, after statement %d: got %q, want 1 3 20", n, got)
	}
	if got := texts(t, db, "SELECT count(*) FROM feed"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("rows of feed, up, after statement %d: got %q, want 1", n, got)
	}
}

func (g *goal) down(t *testing.T, db *database.DB, n int) {
	t.Helper()
	if _, err := db.MigrateDown(t.Context(), 0); err != nil {
		t.Fatalf("down, after statement %d: got %v, want no error", n, err)
	}
	status(t, db, 0)
	if got := made(t, g.engine, db); len(got) > 0 {
		t.Errorf("down, after statement %d: got\n%s\nwant no tables", n, strings.Join(got, "\n"))
	}
}

// TestMigrateKilled kills migrations before each of their statements. Then it continues in the same direction or in the
// other one.
func TestMigrateKilled(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		g := newGoal(t, e)
		ways := map[string]func(t *testing.T, db *database.DB, url string, n int) bool{
			"and on": func(t *testing.T, db *database.DB, url string, n int) bool {
				inUp := killed(t, url, "up", n)
				g.up(t, db, n)
				inDown := killed(t, url, "all", n)
				g.down(t, db, n)
				return inUp || inDown
			},
			"up and back": func(t *testing.T, db *database.DB, url string, n int) bool {
				inUp := killed(t, url, "up", n)
				g.down(t, db, n)
				return inUp
			},
			"down and back": func(t *testing.T, db *database.DB, url string, n int) bool {
				g.up(t, db, n)
				return killed(t, url, "all", n)
			},
			"in one": func(t *testing.T, db *database.DB, url string, n int) bool {
				g.up(t, db, n)
				inOne := killed(t, url, "one", n)
				if _, err := db.MigrateDown(t.Context(), beforeLater); err != nil {
					t.Fatalf("down, after statement %d: got %v, want no error", n, err)
				}
				if got := texts(t, db, "SELECT n FROM log"); !slices.Equal(got, []string{"3"}) {
					t.Errorf("rows of log, down, after statement %d: got %q, want 3", n, got)
				}
				g.down(t, db, n)
				return inOne
			},
		}
		for name, way := range ways {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				url := dbtest.Empty(t, e)
				db := g.open(t, url)
				n := 1
				for way(t, db, url, n) && !t.Failed() {
					n++
				}
				if n < 3 {
					t.Errorf("got kills before %d statements, want at least 2", n-1)
				}
				t.Logf("killed before each of %d statements", n-1)
			})
		}
	})
}

// TestMigrateKilledFirst kills the first migration of a database, which has no table of versions yet.
func TestMigrateKilledFirst(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		g := newGoal(t, e)
		for n := 1; n <= 5; n++ {
			url := dbtest.Empty(t, e)
			if !killed(t, url, "up", n) {
				t.Errorf("got the end of the migration before statement %d, want a kill", n)
			}
			g.up(t, g.open(t, url), n)
		}
	})
}

// TestMigrateKilledOfNewer runs an older program on an interrupted migration of a newer one. The older one changes nothing.
func TestMigrateKilledOfNewer(t *testing.T) {
	t.Parallel()
	const newer = 20990101000001
	url := dbtest.Empty(t, dbtest.MySQL)
	older := open(t, options(url))
	known := status(t, older, 0)
	up(t, older, len(known))
	g := newGoal(t, dbtest.MySQL)
	n := 1
	for ; len(texts(t, older, fmt.Sprintf("SELECT version FROM roster_migration WHERE version = %d AND step > 0", newer))) == 0; n++ {
		if !killed(t, url, "up", n) {
			t.Fatalf("got the end of the migration before statement %d, want a kill", n)
		}
	}
	_, upErr := older.MigrateUp(t.Context())
	_, downErr := older.MigrateDown(t.Context(), -1)
	for what, err := range map[string]error{"up": upErr, "down": downErr, "check": older.CheckVersion(t.Context())} {
		want := fmt.Sprintf("%v: the schema has version %d, newer than this program's %d: ", older, newer, known[len(known)-1].Version)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", what, err, want)
		}
	}
	db := g.open(t, url)
	all, err := db.MigrateStatus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Interrupted != (m.Version == newer) || m.Applied != (m.Version < newer) {
			t.Errorf("status: got %+v, want only version %d interrupted, and older ones applied", m, newer)
		}
	}
	if err := db.CheckVersion(t.Context()); err == nil || !strings.Contains(err.Error(), "a migration was interrupted") {
		t.Errorf("got %v, want an interrupted migration", err)
	}
	g.up(t, db, n)
}

// TestMigrateKilledBesideAnother starts two servers at once. The one that migrates is killed while the other one waits.
func TestMigrateKilledBesideAnother(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		g := newGoal(t, e)
		for n := 2; n <= 30; n += 4 {
			url := dbtest.Empty(t, e)
			other := g.open(t, url)
			cmd := killing(t, url, "up", n)
			input, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			output, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if said, err := bufio.NewReader(output).ReadString('\n'); said != "migrating\n" {
				t.Fatalf("got the output %q, %v, want migrating", said, err)
			}
			var waiting sync.WaitGroup
			waiting.Go(func() {
				if _, err := other.MigrateUp(t.Context()); err != nil {
					t.Errorf("the other server, after a kill before statement %d: got %v, want no error", n, err)
				}
			})
			if err := input.Close(); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Errorf("got the end of the migration before statement %d, want a kill", n)
			}
			waiting.Wait()
			g.up(t, other, n)
		}
	})
}

// TestMigrateStatementOutlivesClient breaks the connection while its statement waits on the server for a lock. The
// server runs the statement later. Until then, no other program migrates.
func TestMigrateStatementOutlivesClient(t *testing.T) {
	t.Parallel()
	waits := map[dbtest.Engine]struct{ statement, lock string }{
		dbtest.PostgreSQL: {
			"SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
			"SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
		},
		dbtest.MySQL: {
			"SELECT count(*) FROM " + dbtest.Processes(t) + " WHERE db = database() AND state LIKE 'Waiting for table metadata lock%'",
			"SELECT count(*) FROM " + dbtest.Processes(t) + " WHERE db = database() AND state = 'User lock'",
		},
	}
	for e, queries := range waits {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			url := dbtest.Empty(t, e)
			behind, proxy := dbtest.ProxyURL(t, url)
			db := open(t, options(url))
			up(t, db, len(status(t, db, 0)))
			files := later(t, map[string]string{"20990101000000_later.sql": `-- +goose Up
ALTER TABLE users ADD COLUMN later int;
UPDATE users SET later = 1;

-- +goose Down
ALTER TABLE users DROP COLUMN later;
`})
			one, other := open(t, options(behind)).WithMigrations(files), db.WithMigrations(files)

			reader := db.Session(database.Snapshot)
			defer reader.Rollback()
			if rows, err := query(t.Context(), reader, "SELECT id FROM users"); err != nil {
				t.Fatal(err)
			} else if err := rows.Close(); err != nil {
				t.Fatal(err)
			}
			var both sync.WaitGroup
			both.Go(func() {
				if _, err := one.MigrateUp(t.Context()); err == nil {
					t.Error("a broken connection: got no error, want one")
				}
			})
			until(t, db, queries.statement)
			proxy.Cut()
			both.Wait()
			both.Go(func() {
				if applied, err := other.MigrateUp(t.Context()); err != nil || len(applied) != 1 {
					t.Errorf("the other server: got %v, %v, want one migration", applied, err)
				}
			})
			until(t, db, queries.lock)
			reader.Rollback()
			both.Wait()
			if err := other.CheckVersion(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// until repeats a query until its result is 1.
func until(t *testing.T, db *database.DB, question string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !slices.Equal(texts(t, db, question), []string{"1"}) {
		if ctx.Err() != nil {
			t.Fatalf("%s: got no 1 within a minute, want 1", question)
		}
	}
}

// TestMigrateAnswerLost breaks the connection after each change, before its answer.
func TestMigrateAnswerLost(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} { // SQLite has no connection
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			g := newGoal(t, e)
			url := dbtest.Empty(t, e)
			behind, proxy := dbtest.ProxyURL(t, url)
			db := g.open(t, url)
			// losing runs f, which loses the answer to the n-th of its statements, and reports whether there are as many.
			losing := func(n int, f func(*database.DB) error) bool {
				through := g.open(t, behind)
				var seen atomic.Int64
				changes := changing(e)
				proxy.LoseAnswers(func(request []byte) bool { return changes(request) && seen.Add(1) == int64(n) })
				defer proxy.LoseAnswers(nil)
				err := f(through)
				lost := seen.Load() >= int64(n)
				if lost != (err != nil) {
					t.Errorf("the answer to statement %d was lost: %t: got %v, want an error only then", n, lost, err)
				}
				return lost
			}
			n := 1
			for ; !t.Failed(); n++ {
				inUp := losing(n, func(db *database.DB) error { _, err := db.MigrateUp(t.Context()); return err })
				g.up(t, db, n)
				inDown := losing(n, func(db *database.DB) error { _, err := db.MigrateDown(t.Context(), 0); return err })
				g.down(t, db, n)
				if !inUp && !inDown {
					break
				}
			}
			t.Logf("lost the answer to each of %d statements", n-1)
		})
	}
}

// changing returns a function that reports whether a request changes something. It is for one connection.
func changing(e dbtest.Engine) func(request []byte) bool {
	const prepare, execute = 0x16, 0x17 // of MySQL and MariaDB
	words := regexp.MustCompile(`\b(CREATE|ALTER|RENAME|DROP|INSERT|UPDATE|DELETE|REPLACE|COMMIT)\b`)
	prepared := false
	return func(request []byte) bool {
		changes := words.Match(request)
		if e != dbtest.MySQL || len(request) < 5 {
			return changes
		}
		switch request[4] {
		case prepare:
			prepared = changes
			return false
		case execute:
			return prepared
		}
		return changes
	}
}

// TestMigrateKilledOfEarlierRelease continues after an earlier release was killed, which kept no record. After an
// interrupted undo, somebody must run the undo again.
func TestMigrateKilledOfEarlierRelease(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			whole := open(t, options(dbtest.Empty(t, e)))
			up(t, whole, len(status(t, whole, 0)))
			want := made(t, e, whole)
			for n := 1; !t.Failed(); n++ {
				url := dbtest.Empty(t, e)
				behind, proxy := dbtest.ProxyURL(t, url)
				db := open(t, options(url))
				var seen atomic.Int64
				changes := changing(e)
				lose := func(request []byte) bool { return changes(request) && seen.Add(1) == int64(n) }
				through := open(t, options(behind)).Released(folding(t)) // the releases without a record knew no later migration
				proxy.LoseAnswers(lose)
				_ = through.MigrateAsReleased(t.Context(), true)
				proxy.LoseAnswers(nil)
				inUp := seen.Swap(0) >= int64(n)
				if _, err := db.MigrateUp(t.Context()); err != nil {
					t.Errorf("up, after statement %d: got %v, want no error", n, err)
				}
				if got := made(t, e, db); !slices.Equal(got, want) {
					t.Errorf("up, after statement %d: got\n%s\nwant\n%s", n, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				if got := texts(t, db, "SELECT count(*) FROM feed"); !slices.Equal(got, []string{"1"}) {
					t.Errorf("rows of feed, up, after statement %d: got %q, want 1", n, got)
				}

				if _, err := db.MigrateDown(t.Context(), beforeAuthentication); err != nil {
					t.Errorf("down to the earlier release, after statement %d: got %v, want no error", n, err)
				}
				proxy.LoseAnswers(lose)
				_ = through.MigrateAsReleased(t.Context(), false)
				proxy.LoseAnswers(nil)
				inDown := seen.Load() >= int64(n)
				if _, err := db.MigrateDown(t.Context(), 0); err != nil {
					t.Errorf("down, after statement %d: got %v, want no error", n, err)
				}
				if got := made(t, e, db); len(got) > 0 {
					t.Errorf("down, after statement %d: got\n%s\nwant no tables", n, strings.Join(got, "\n"))
				}
				if _, err := db.MigrateUp(t.Context()); err != nil {
					t.Errorf("up and down, after statement %d: got %v, want no error", n, err)
				}
				if !inUp && !inDown {
					t.Logf("lost the answer to each of %d statements", n-1)
					break
				}
			}
		})
	}
}
