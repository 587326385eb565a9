package database_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"roster/ent/migrate/migrations"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/fixture"
	"roster/internal/directory"
	"roster/internal/typeid"
)

const (
	// starters is how many servers start at once in these tests.
	starters = 8
	// everything is more migrations than there will ever be.
	everything = 1 << 20
)

// fill creates users with posts.
func fill(t *testing.T, db *database.DB) {
	t.Helper()
	const users, posts = 3, 4
	ids := typeid.NewSource(time.Now, rand.Reader)
	at := fixture.At(time.Now().UTC().Truncate(time.Microsecond))
	var records []*directory.Record
	for i := range users {
		id := ids.New("user")
		records = append(records, fixture.User(t, id, fmt.Sprintf("user%d", i), at))
		for range posts {
			records = append(records, fixture.Post(t, ids.New("post"), id, "Title", "Body", at))
		}
	}
	fixture.Write(t, db, records...)
	filled(t, db)
}

// filled checks that the rows of fill exist.
func filled(t *testing.T, db *database.DB) {
	t.Helper()
	got := texts(t, db, "SELECT count(*), count(DISTINCT author_id) FROM posts JOIN users ON users.id = posts.author_id")
	if len(got) != 1 || got[0] != "12 3" {
		t.Errorf("posts and authors: got %q, want 12 3", got)
	}
}

// up applies and down undoes migrations. Both check the number.
func up(t *testing.T, db *database.DB, want int) {
	t.Helper()
	applied, err := db.MigrateUp(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(applied) != want {
		t.Errorf("applied %v, want %d migrations", applied, want)
	}
	if err := db.CheckVersion(t.Context()); err != nil {
		t.Error(err)
	}
	if s, err := db.Schema(t.Context()); err != nil || s.Pending != 0 || s.Interrupted {
		t.Errorf("got the schema %+v, %v, want no pending migration", s, err)
	}
}

func down(t *testing.T, db *database.DB, to int64, want int) {
	t.Helper()
	undone, err := db.MigrateDown(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	if len(undone) != want {
		t.Errorf("got %v undone, want %d migrations", undone, want)
	}
	if s, err := db.Schema(t.Context()); err != nil || s.Pending < want {
		t.Errorf("got the schema %+v, %v, want those pending that are undone", s, err)
	}
}

// status returns all migrations, and checks that only the first ones are applied.
func status(t *testing.T, db *database.DB, applied int) []database.Migration {
	t.Helper()
	all, err := db.MigrateStatus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range all {
		if m.Applied != (i < applied) || m.AppliedAt.IsZero() == m.Applied || m.Version < 2026e10 || m.Name == "" {
			t.Errorf("migration %d: got %+v, want the first %d applied", i, m, applied)
		}
		// In the server's time zone it would be hours ago or ahead.
		if ago := time.Since(m.AppliedAt); m.Applied && ago.Abs() > time.Hour {
			t.Errorf("migration %d: got a time of %v ago, want less than an hour", i, ago)
		}
	}
	return all
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := open(t, options(dbtest.Empty(t, e)))
		all := status(t, db, 0)
		n := len(all)
		up(t, db, n)
		status(t, db, n)
		up(t, db, 0)
		fill(t, db)

		// Each migration but the first one is undone and done again under the rows.
		for i := n - 1; i > 0; i-- {
			down(t, db, all[i-1].Version, n-i)
			status(t, db, i)
			filled(t, db)
			up(t, db, n-i)
			filled(t, db)
		}

		// One after the other, until nothing is left.
		for i := range n {
			down(t, db, -1, 1)
			status(t, db, n-1-i)
		}
		down(t, db, -1, 0)
		up(t, db, n)
		fill(t, db)

		// All at once.
		down(t, db, all[n-1].Version, 0)
		down(t, db, 0, n)
		down(t, db, 0, 0)
		up(t, db, n)
		fill(t, db)
	})
}

// later returns Roster's migrations and those of a newer version, by their names. Their SQL works on all engines.
func later(t *testing.T, more map[string]string) fs.FS {
	t.Helper()
	files, err := with(more)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func with(more map[string]string) (fs.FS, error) {
	files := fstest.MapFS{}
	err := fs.WalkDir(migrations.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(migrations.Files, name)
		files[name] = &fstest.MapFile{Data: data}
		return err
	})
	for _, folder := range []string{"sqlite3", "postgres", "mysql"} {
		for name, sql := range more {
			files[path.Join(folder, name)] = &fstest.MapFile{Data: []byte(sql)}
		}
	}
	return files, err
}

const (
	makeLater = "-- +goose Up\nCREATE TABLE later (id int);\n\n-- +goose Down\nDROP TABLE later;\n"
	failLater = "-- +goose Up\nCREATE TABLE later (id int);\n\n-- +goose Down\nDROP TABLE nowhere;\n"
)

func TestMigrateNewerSchema(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		older := open(t, options(dbtest.Empty(t, e)))
		newer := older.WithMigrations(later(t, map[string]string{"20990101000000_later.sql": makeLater}))
		all := status(t, older, 0)
		n := len(all)
		known := all[n-1].Version
		up(t, older, n)
		if err := newer.CheckVersion(t.Context()); err == nil || !strings.Contains(err.Error(), "run roster migrate up") {
			t.Errorf("got %v, want run roster migrate up", err)
		}
		up(t, newer, 1)

		_, upErr := older.MigrateUp(t.Context())
		_, downErr := older.MigrateDown(t.Context(), -1)
		for what, err := range map[string]error{
			"up": upErr, "down": downErr, "check": older.CheckVersion(t.Context()),
		} {
			want := fmt.Sprintf("%v: the schema has version 20990101000000, newer than this program's %d: "+
				"run a newer roster, or undo it with the newer one's migrate down --to %d", older, known, known)
			if err == nil || err.Error() != want {
				t.Errorf("%s: got %v, want %s", what, err, want)
			}
		}
		if status(t, newer, n+1); t.Failed() {
			t.Error("got a changed schema, want the same")
		}
		status(t, older, n)

		down(t, newer, known, 1)
		up(t, older, 0)
	})
}

func TestMigrateFails(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := open(t, options(dbtest.Empty(t, e)))
		n := len(status(t, db, 0))
		bad := db.WithMigrations(later(t, map[string]string{
			"20990101000000_good.sql": failLater,
			"20990101000001_bad.sql":  makeLater, // the table is there
		}))
		applied, err := bad.MigrateUp(t.Context())
		if err == nil || !strings.Contains(err.Error(), "20990101000001") || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want one line with the version 20990101000001", err)
		}
		if len(applied) != n+1 || applied[n].Version != 20990101000000 || applied[n].Name != "good" {
			t.Errorf("got %v applied before the error, want %d, the last one named good", applied, n+1)
		}
		status(t, bad, n+1)
		if err := bad.CheckVersion(t.Context()); err == nil {
			t.Error("the check of an incomplete schema: got no error, want one")
		}
		undone, err := bad.MigrateDown(t.Context(), 0)
		if err == nil || len(undone) != 0 || !strings.Contains(err.Error(), "20990101000000") {
			t.Errorf("got %v undone and the error %v, want none undone and the version 20990101000000", undone, err)
		}
		status(t, bad, n+1)
	})
}

func TestCheckVersionOfEmptyDatabase(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := open(t, options(dbtest.Empty(t, e)))
		want := db.String() + ": the schema is older than this program's: run roster migrate up"
		if err := db.CheckVersion(t.Context()); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := dbtest.Empty(t, e)
		var applied [starters][]database.Migration
		var failures [starters]error
		var all sync.WaitGroup
		for i := range starters {
			all.Go(func() {
				db, err := database.Open(t.Context(), options(url))
				if err != nil {
					failures[i] = err
					return
				}
				applied[i], failures[i] = db.MigrateUp(t.Context())
				failures[i] = errors.Join(failures[i], db.CheckVersion(t.Context()), db.Close())
			})
		}
		all.Wait()
		if err := errors.Join(failures[:]...); err != nil {
			t.Error(err)
		}
		db := open(t, options(url))
		n := len(status(t, db, everything))
		for _, a := range applied {
			if len(a) != 0 && len(a) != n {
				t.Errorf("got %v applied by one server, want all or none", a)
			}
			n -= len(a)
		}
		if n != 0 {
			t.Errorf("got %v applied, want each migration once", applied)
		}
		fill(t, db)
	})
}

func TestMigrateProcessesAtOnce(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := dbtest.Empty(t, e)
		var outputs [starters]string
		var all sync.WaitGroup
		for i := range starters {
			all.Go(func() {
				output, err := process(t, self(t), url).CombinedOutput()
				if err != nil {
					t.Errorf("got %v, want no error: %s", err, output)
				}
				outputs[i] = string(output)
			})
		}
		all.Wait()
		db := open(t, options(url))
		n := fmt.Sprintln(len(status(t, db, everything)))
		workers := 0
		for _, output := range outputs {
			if output == n {
				workers++
			} else if output != "0\n" {
				t.Errorf("got the output %q, want %q or 0", output, n)
			}
		}
		if workers != 1 {
			t.Errorf("processes that applied the migrations: got %d, want 1", workers)
		}
		fill(t, db)
	})
}

// TestMigrateWaitEnds cancels the wait for another server that migrates.
func TestMigrateWaitEnds(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := dbtest.Empty(t, e)
		one, other := open(t, options(url)), open(t, options(url))
		err := one.Locked(t.Context(), func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			applied, err := other.MigrateUp(ctx)
			if !errors.Is(err, context.DeadlineExceeded) || len(applied) > 0 || !strings.Contains(err.Error(), "wait for the server that migrates") {
				t.Errorf("got %v, %v, want none applied, and an end of the wait", applied, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		up(t, other, len(status(t, other, 0)))
	})
}

// TestMigrateLockIsOfOneDatabase migrates a database while another on the same server is migrated.
func TestMigrateLockIsOfOneDatabase(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		one, other := open(t, options(dbtest.Empty(t, e))), open(t, options(dbtest.Empty(t, e)))
		err := one.Locked(t.Context(), func() error {
			up(t, other, len(status(t, other, 0)))
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestMigrateNothing applies a migration without statements.
func TestMigrateNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := open(t, options(dbtest.Empty(t, e))).WithMigrations(later(t, map[string]string{
			"20990101000000_nothing.sql": "-- +goose Up\n-- nothing to do on this engine\n\n-- +goose Down\n",
			"20990101000001_later.sql":   makeLater,
		}))
		n := len(status(t, db, 0))
		up(t, db, n)
		status(t, db, n)
		down(t, db, -1, 1)
		down(t, db, -1, 1)
		up(t, db, 2)
	})
}

// TestMigrateDownForgetsCounts undoes a migration that may have dropped rows. Nobody knows the number of rows then.
func TestMigrateDownForgetsCounts(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := open(t, options(dbtest.Empty(t, e))).WithMigrations(later(t, map[string]string{"20990101000000_later.sql": makeLater}))
		all := len(status(t, db, 0))
		up(t, db, all)
		const counted = "SELECT count(*) FROM feed WHERE counted IS NOT NULL"
		if got := texts(t, db, counted); !slices.Equal(got, []string{"1"}) {
			t.Errorf("a new database: got %q feeds with counts, want 1", got)
		}
		down(t, db, -1, 1)
		if got := texts(t, db, counted); !slices.Equal(got, []string{"0"}) {
			t.Errorf("after an undo: got %q feeds with counts, want 0", got)
		}
		down(t, db, 0, all-1)
		up(t, db, all)
		if got := texts(t, db, counted); !slices.Equal(got, []string{"1"}) {
			t.Errorf("after all undone: got %q feeds with counts, want 1", got)
		}
	})
}

// TestMigrateInPieces refuses statements that a kill could leave half done.
func TestMigrateInPieces(t *testing.T) {
	t.Parallel()
	const downs = "\n-- +goose Down\nDROP TABLE later;\n"
	refused := map[string]struct {
		sql     string
		engines []dbtest.Engine
	}{
		`"-- +goose NO TRANSACTION" is not understood: each way is one transaction`: {
			"-- +goose Up\n-- +goose NO TRANSACTION\nCREATE TABLE later (id int);\n" + downs, dbtest.Engines(),
		},
		`"-- +goose StatementBegin" is not understood`: {
			"-- +goose Up\n-- +goose StatementBegin\nCREATE TABLE later (id int);\n-- +goose StatementEnd\n" + downs, dbtest.Engines(),
		},
		"it does not consist of an Up and a Down": {"-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE later (id int);\n" + downs, dbtest.Engines()},
		"does not consist of an Up and a Down":    {"-- +goose Up\nCREATE TABLE later (id int);\n", dbtest.Engines()},
		"statement 2 of 2: it names several tables": {
			"-- +goose Up\nCREATE TABLE later (id int);\nDROP TABLE feed, changes;\n" + downs, []dbtest.Engine{dbtest.MySQL},
		},
		"statement 2 of 2: it makes a table with rows": {
			"-- +goose Up\nUPDATE feed SET last = 1;\nCREATE TABLE later AS SELECT * FROM users;\n" + downs, []dbtest.Engine{dbtest.MySQL},
		},
		"statement 1 of 1: it cannot be taken up again after a kill": {
			"-- +goose Up\nSET foreign_key_checks = 0;\n" + downs, []dbtest.Engine{dbtest.MySQL},
		},
	}
	for want, r := range refused {
		for _, e := range r.engines {
			t.Run(want+" "+string(e), func(t *testing.T) {
				t.Parallel()
				db := open(t, options(dbtest.Empty(t, e)))
				n := len(status(t, db, 0))
				up(t, db, n)
				before := columns(t, e, db)
				_, err := db.WithMigrations(later(t, map[string]string{"20990101000000_later.sql": r.sql})).MigrateUp(t.Context())
				if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "20990101000000") {
					t.Errorf("got %v, want %s and the version", err, want)
				}
				status(t, db, n)
				if got := columns(t, e, db); !slices.Equal(got, before) {
					t.Errorf("columns: got %q, want %q", got, before)
				}
				up(t, db, 0)
			})
		}
	}
}

// TestMigrateForeignTables migrates the database of another program twice. Nothing changes.
func TestMigrateForeignTables(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := open(t, options(dbtest.Empty(t, e)))
		write(t, db, "CREATE TABLE users (id int PRIMARY KEY, username int)")
		before := columns(t, e, db)
		for range 2 {
			applied, err := db.MigrateUp(t.Context())
			want, foreign := "no migration of this program has run, but the table users already exists: take another database, or restore a whole backup", []string{"users"}
			if e == dbtest.MySQL {
				want, foreign = "already exists", nil
			}
			if err == nil || !strings.Contains(err.Error(), want) || len(applied) > 0 {
				t.Errorf("got %v, %v, want none applied, and %s", applied, err, want)
			}
			if e == dbtest.MySQL && !strings.Contains(err.Error(), "is not Roster's, it lacks the column users.created_at, ") {
				t.Errorf("got %v, want what the table lacks", err)
			}
			if s, err := db.Schema(t.Context()); err != nil || !slices.Equal(s.Foreign, foreign) {
				t.Errorf("got %+v, %v, want the foreign tables %q", s, err, foreign)
			}
		}
		if got := columns(t, e, db); !slices.Equal(got, before) {
			t.Errorf("columns: got %q, want %q", got, before)
		}
	})
}

// TestMigrateRebuildsTable replaces a table of SQLite that other tables refer to. They lose no rows, and no row may refer
// to a row that does not exist.
func TestMigrateRebuildsTable(t *testing.T) {
	t.Parallel()
	rebuild := func(rows string) string {
		return `-- +goose Up
CREATE TABLE new_users (id blob NOT NULL PRIMARY KEY, created_at datetime NOT NULL, updated_at datetime NOT NULL, version integer NOT NULL,
	username text NOT NULL, username_key text NOT NULL, email text NOT NULL, email_key text NOT NULL,
	status text NOT NULL DEFAULT 'ACTIVE', identity_issuer text, identity_subject text, later text);
INSERT INTO new_users SELECT *, NULL FROM users` + rows + `;
DROP TABLE users;
ALTER TABLE new_users RENAME TO users;
CREATE INDEX user_created_at_id ON users (created_at, id);
CREATE INDEX user_updated_at_id ON users (updated_at, id);
CREATE UNIQUE INDEX user_username_key ON users (username_key);
CREATE UNIQUE INDEX user_email_key ON users (email_key);
CREATE UNIQUE INDEX user_identity_subject_identity_issuer ON users (identity_subject, identity_issuer);
CREATE INDEX user_status_id ON users (status, id);

-- +goose Down
ALTER TABLE users DROP COLUMN later;
`
	}
	db := open(t, options(dbtest.Empty(t, dbtest.SQLite)))
	n := len(status(t, db, 0))
	up(t, db, n)
	fill(t, db)
	bad := db.WithMigrations(later(t, map[string]string{"20990101000000_bad.sql": rebuild(" LIMIT 2")}))
	if _, err := bad.MigrateUp(t.Context()); err == nil || !strings.Contains(err.Error(), "rows of posts would refer to rows of users that do not exist") {
		t.Errorf("got %v, want the tables whose rows would refer to nothing", err)
	}
	status(t, bad, n)
	filled(t, db)
	good := db.WithMigrations(later(t, map[string]string{"20990101000000_good.sql": rebuild("")}))
	up(t, good, 1)
	filled(t, db)
	down(t, good, -1, 1)
	filled(t, db)
	s := db.Session(database.Write)
	defer s.Rollback()
	if err := run(t.Context(), s, "DELETE FROM users"); database.AsFailure(err) == nil || database.AsFailure(err).Kind != database.ForeignKey {
		t.Errorf("got %v, want a broken foreign key", err)
	}
}
