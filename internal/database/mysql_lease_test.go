package database_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// TestLeaseLost lets another program take the lease of a migration, which then stops before its next step. The other program is
// killed at once: its lease expires, and the next one completes the migrations. Locks work as on a node of a cluster.
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	url := dbtest.EmptyMariaDB(t)
	thief := open(t, options(url))
	var stolen atomic.Bool
	var after atomic.Int64 // definitions
	db := open(t, options(url)).LikeGalera().ObservingMigrations(func(query string) {
		switch {
		case stolen.Load() && strings.HasPrefix(query, "CREATE TABLE `"):
			after.Add(1)
		case strings.HasPrefix(query, "CREATE TABLE `posts`"): // this step has begun
			s := thief.Session(database.Write)
			defer s.Rollback()
			if err := run(t.Context(), s, "UPDATE roster_lease SET owner = 'another', renewed = renewed + 1"); err != nil {
				t.Error(err)
			}
			if err := s.Commit(); err != nil {
				t.Error(err)
			}
			stolen.Store(true)
		}
	})
	done, err := db.MigrateUp(t.Context())
	if err == nil || !strings.Contains(err.Error(), "did not renew its lease in time") || !strings.Contains(err.Error(), "roster migrate up") {
		t.Errorf("after the lease was lost: got %v, want an error that says what to do", err)
	}
	if n := after.Load(); n > 0 || !stolen.Load() {
		t.Errorf("after the lease was lost: got %d tables created, want none", n)
	}
	more, err := open(t, options(url)).LikeGalera().MigrateUp(t.Context())
	if err != nil || len(more) == 0 {
		t.Errorf("the next program: got %v, %v, want the other migrations", more, err)
	}
	if len(done)+len(more) < 2 {
		t.Errorf("got %v and %v, want all migrations", done, more)
	}
	if owners := texts(t, thief, "SELECT owner FROM roster_lease"); len(owners) != 1 || owners[0] != "" {
		t.Errorf("the lease after the end: got %q, want no owner", owners)
	}
}

// TestLeaseLostBetweenKeys lets another program take the lease while a program that was frozen computes the keys of users again. It
// changes no more of them.
func TestLeaseLostBetweenKeys(t *testing.T) {
	t.Parallel()
	url := dbtest.Empty(t, dbtest.MySQL)
	thief := open(t, options(url))
	older := open(t, options(url)).LikeGalera().Released(versionBefore(t))
	up(t, older, len(status(t, older, 0)))
	const users, batch = 250, 100
	var list []account
	for i := range users {
		email := fmt.Sprintf("\u00df%d@example.com", i)
		list = append(list, account{username: fmt.Sprint("u", i), email: email, former: email, key: fmt.Sprintf("ss%d@example.com", i)})
	}
	createBefore(t, older, list)
	var changes int // of keys, begun
	db := open(t, options(url)).LikeGalera().Released(folding(t)).ObservingMigrations(func(query string) {
		if !strings.HasPrefix(query, "UPDATE `users`") {
			return
		}
		if changes++; changes == batch+1 { // in the second transaction
			write(t, thief, "UPDATE roster_lease SET owner = 'another', renewed = renewed + 1")
		}
	})
	_, err := db.MigrateUp(t.Context())
	if err == nil || !strings.Contains(err.Error(), "did not renew its lease in time") {
		t.Errorf("after the lease was lost: got %v, want an error that says so", err)
	}
	if changes != 2*batch {
		t.Errorf("got %d changes of keys begun, want the %d of two transactions", changes, 2*batch)
	}
	sameKeys(t, thief, append(newKeys(list[:batch]), formerKeys(list[batch:])...))
	write(t, thief, "UPDATE roster_lease SET owner = ''")
	if _, err := open(t, options(url)).LikeGalera().Released(folding(t)).MigrateUp(t.Context()); err != nil {
		t.Errorf("the next program: got %v, want no error", err)
	}
	sameKeys(t, thief, newKeys(list))
}

// loseOnce makes the next change of a table fail once for each connection, as after a race that another node of a cluster has won.
func loseOnce(t *testing.T, db *database.DB, name, change, table string) {
	t.Helper()
	write(t, db, "CREATE TRIGGER "+name+" BEFORE "+change+" ON "+table+" FOR EACH ROW IF @"+name+" IS NULL THEN SET @"+name+" = 1; "+
		"SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found when trying to get lock'; END IF")
}

// TestMigrateAgainstWriters lets transactions of migrations lose races: in a step that changes rows, while the lease is held, and
// when the counts of rows are forgotten.
func TestMigrateAgainstWriters(t *testing.T) {
	t.Parallel()
	const script = "-- +goose Up\n" +
		"CREATE TABLE later (id int NOT NULL PRIMARY KEY, n int NOT NULL);\n" +
		"INSERT INTO later (id, n) VALUES (1, 0), (2, 0);\n" +
		"ALTER TABLE later ADD COLUMN m int NOT NULL DEFAULT 0;\n" +
		"UPDATE later SET n = n + 1, m = n;\n\n" +
		"-- +goose Down\nDROP TABLE later;\n"
	files := later(t, map[string]string{"20990101000000_later.sql": script})
	url := dbtest.Empty(t, dbtest.MySQL)
	beside := open(t, options(url))
	all := len(status(t, beside, 0))
	up(t, beside, all)
	var inserts, updates, holds, forgets int
	db := open(t, options(url)).LikeGalera().WithMigrations(files).ObservingMigrations(func(query string) {
		switch {
		case strings.HasPrefix(query, "ALTER TABLE later"):
			loseOnce(t, beside, "updates", "UPDATE", "later")
			loseOnce(t, beside, "holds", "UPDATE", "roster_lease")
		case strings.HasPrefix(query, "INSERT INTO later"):
			if inserts++; inserts == 1 {
				loseOnce(t, beside, "inserts", "INSERT", "later")
			}
		case strings.HasPrefix(query, "UPDATE later"):
			updates++
		case strings.HasPrefix(query, "UPDATE roster_lease SET renewed"):
			holds++
		case strings.HasPrefix(query, "UPDATE feed SET counted = NULL"):
			forgets++
		}
	})
	up(t, db, 1)
	if got := texts(t, beside, "SELECT id, n, m FROM later ORDER BY id"); !slices.Equal(got, []string{"1 1 1", "2 1 1"}) {
		t.Errorf("got the rows %q, want each step once", got)
	}
	if inserts != 2 || updates != 2 || holds == 0 {
		t.Errorf("got %d inserts and %d updates, with the lease held %d times, want one repetition of each", inserts, updates, holds)
	}
	loseOnce(t, beside, "forgets", "UPDATE", "feed")
	down(t, db, -1, 1)
	if forgets != 3 { // before the migration, twice, and after it
		t.Errorf("got the counts forgotten %d times, want 3", forgets)
	}
}
