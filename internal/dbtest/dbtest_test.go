package dbtest_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite" // the other drivers come with package servers

	"roster/internal/dbtest"
	"roster/internal/dbtest/servers"
)

func TestEach(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var names []string
	t.Run("each", func(t *testing.T) {
		dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
			mu.Lock()
			defer mu.Unlock()
			names = append(names, t.Name()+" "+string(e))
		})
	})
	slices.Sort(names)
	want := []string{"TestEach/each/mysql mysql", "TestEach/each/postgres postgres", "TestEach/each/sqlite sqlite"}
	if !slices.Equal(names, want) {
		t.Errorf("ran %q, want %q", names, want)
	}
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		ctx := t.Context()
		one, other := dbtest.Empty(t, e), dbtest.Empty(t, e)
		if one == other {
			t.Fatalf("got %q from two calls, want two databases", one)
		}
		a, b := open(t, one), open(t, other)
		if got := tables(t, e, a); len(got) != 0 {
			t.Errorf("a new database: got the tables %q, want none", got)
		}
		if _, err := a.ExecContext(ctx, "CREATE TABLE things (id int)"); err != nil {
			t.Fatal(err)
		}
		if got := tables(t, e, a); !slices.Equal(got, []string{"things"}) {
			t.Errorf("the database: got the tables %q, want things", got)
		}
		if got := tables(t, e, b); len(got) != 0 {
			t.Errorf("the other database: got the tables %q, want none", got)
		}
	})
}

// TestEmptyEnds leaves the worst behind that a test can: an open transaction with a lock.
func TestEmptyEnds(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(outer *testing.T, e dbtest.Engine) {
		ctx := outer.Context()
		var address string
		var tx *sql.Tx
		outer.Run("test", func(t *testing.T) {
			address = dbtest.Empty(t, e)
			db := open(outer, address)
			if _, err := db.ExecContext(ctx, "CREATE TABLE things (id int)"); err != nil {
				t.Fatal(err)
			}
			var err error
			if tx, err = db.BeginTx(ctx, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO things VALUES (1)"); err != nil {
				t.Fatal(err)
			}
		})
		if e == dbtest.SQLite {
			if _, err := os.Stat(strings.TrimPrefix(address, "sqlite:")); !errors.Is(err, fs.ErrNotExist) {
				outer.Errorf("the file: got %v, want %v", err, fs.ErrNotExist)
			}
			if err := tx.Rollback(); err != nil {
				outer.Error(err)
			}
			return
		}
		if err := tx.Commit(); err == nil {
			outer.Error("the commit after the drop: got success, want an error")
		}
		if err := open(outer, address).PingContext(ctx); err == nil {
			outer.Error("the dropped database: got an answer, want an error")
		}
	})
}

// TestEmptyWithoutServer changes the environment, so it runs alone.
func TestEmptyWithoutServer(t *testing.T) {
	for e, variable := range map[dbtest.Engine]string{
		dbtest.PostgreSQL: servers.PostgresVariable,
		dbtest.MySQL:      servers.MySQLVariable,
	} {
		t.Setenv(variable, "")
		if got := fatal(t, func(tb testing.TB) { dbtest.Empty(tb, e) }); !strings.Contains(got, variable+" is not set") ||
			!strings.Contains(got, "make test") {
			t.Errorf("%s without a server: got %q, want the variable and make test", e, got)
		}
		t.Setenv(variable, "://secret")
		if got := fatal(t, func(tb testing.TB) { dbtest.Empty(tb, e) }); !strings.Contains(got, variable) ||
			strings.Contains(got, "secret") {
			t.Errorf("%s with a malformed URL: got %q, want the variable without the password", e, got)
		}
	}
	if got := fatal(t, func(tb testing.TB) { dbtest.Empty(tb, "oracle") }); !strings.Contains(got, "oracle") {
		t.Errorf("an unknown engine: got %q, want its name", got)
	}
}

// recorder is a test that notes why it ends.
type recorder struct {
	testing.TB
	message string
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// fatal returns the message with which f ends its test, or an empty string if it does not.
func fatal(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	var wg sync.WaitGroup
	wg.Go(func() { f(r) })
	wg.Wait()
	return r.message
}

// open returns a connection to a database that Empty made, for as long as the test runs.
func open(t *testing.T, address string) *sql.DB {
	t.Helper()
	var db *sql.DB
	var err error
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		db, err = sql.Open("sqlite", path)
	} else {
		db, err = servers.Open(address)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// tables returns the names of a database's own tables.
func tables(t *testing.T, e dbtest.Engine, db *sql.DB) []string {
	t.Helper()
	query := map[dbtest.Engine]string{
		dbtest.SQLite:     "SELECT name FROM sqlite_master",
		dbtest.PostgreSQL: "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace",
		dbtest.MySQL:      "SELECT table_name FROM information_schema.tables WHERE table_schema = database()",
	}[e]
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var names []string
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
