package database_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"roster/internal/database"
)

// A sqliteCause makes SQLite return an error, on one connection to the file a of an empty directory. {dir} in a statement
// is the directory.
type sqliteCause struct {
	setup []string
	open  string                 // a query whose rows are open meanwhile
	then  func(dir string) error // what others do to the files
	fails string
}

// error returns the error of the last statement.
func (c sqliteCause) error(ctx context.Context, dir string) error {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "a"))
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := strings.NewReplacer("{dir}", dir)
	for _, statement := range c.setup {
		if _, err := conn.ExecContext(ctx, in.Replace(statement)); err != nil {
			return errors.New(statement + ": " + err.Error()) // without the code, which is that of another statement
		}
	}
	if c.open != "" {
		rows, err := conn.QueryContext(ctx, c.open)
		if err != nil {
			return err
		}
		defer rows.Close()
		if !rows.Next() {
			return errors.Join(errors.New("there is no row"), rows.Err())
		}
	}
	if c.then != nil {
		if err := c.then(dir); err != nil {
			return err
		}
	}
	_, err = conn.ExecContext(ctx, in.Replace(c.fails))
	return err
}

func sqliteCauses() map[int]sqliteCause {
	table := []string{"CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)"}
	return map[int]sqliteCause{
		sqlite3.SQLITE_CONSTRAINT_UNIQUE:     {setup: []string{"CREATE TABLE t (n int UNIQUE)"}, fails: "INSERT INTO t VALUES (1), (1)"},
		sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: {setup: []string{"CREATE TABLE t (n int PRIMARY KEY)"}, fails: "INSERT INTO t VALUES (1), (1)"},
		sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: {
			setup: []string{"PRAGMA foreign_keys = 1", "CREATE TABLE t (n int PRIMARY KEY, m int REFERENCES t)"},
			fails: "INSERT INTO t VALUES (1, 2)",
		},
		sqlite3.SQLITE_BUSY:     {setup: append(table, "ATTACH '{dir}/a' AS other"), fails: "BEGIN IMMEDIATE"}, // it locks both
		sqlite3.SQLITE_LOCKED:   {setup: table, open: "SELECT n FROM t", fails: "DROP TABLE t"},
		sqlite3.SQLITE_CANTOPEN: {fails: "ATTACH '{dir}/absent/a' AS other"},
		sqlite3.SQLITE_FULL:     {setup: append(table, "PRAGMA max_page_count = 2"), fails: "INSERT INTO t VALUES (zeroblob(100000))"},
		sqlite3.SQLITE_READONLY: {setup: append(table, "PRAGMA query_only = 1"), fails: "DELETE FROM t"},
		sqlite3.SQLITE_TOOBIG:   {fails: "SELECT zeroblob(2000000000)"},
		sqlite3.SQLITE_NOTADB: {
			then: func(dir string) error {
				return os.WriteFile(dir+"/other", []byte(strings.Repeat("garbage ", 512)), 0o600)
			},
			fails: "ATTACH '{dir}/other' AS other",
		},
		sqlite3.SQLITE_CORRUPT: {
			setup: append(table, "ATTACH '{dir}/a' AS other"),
			then: func(dir string) error {
				f, err := os.OpenFile(dir+"/a", os.O_WRONLY, 0)
				if err != nil {
					return err
				}
				_, err = f.WriteAt([]byte(strings.Repeat("garbage ", 512)), 4096)
				return errors.Join(err, f.Close())
			},
			fails: "SELECT n FROM other.t",
		},
		sqlite3.SQLITE_READONLY_DBMOVED: {
			setup: table,
			then:  func(dir string) error { return os.Rename(dir+"/a", dir+"/b") },
			fails: "DELETE FROM t",
		},
		// Of the codes that have no row, one: the journal cannot be deleted.
		sqlite3.SQLITE_IOERR: {
			setup: append(table, "BEGIN", "DELETE FROM t"),
			then: func(dir string) error {
				return errors.Join(os.Remove(dir+"/a-journal"), os.Mkdir(dir+"/a-journal", 0o700))
			},
			fails: "COMMIT",
		},
		sqlite3.SQLITE_IOERR_READ: {fails: "ATTACH 'file:{dir}?mode=ro' AS other"}, // nobody can read a directory so
		sqlite3.SQLITE_IOERR_SHORT_READ: {
			setup: append([]string{"PRAGMA journal_mode = WAL"}, append(table, "ATTACH '{dir}/a' AS other", "SELECT 1 FROM other.sqlite_schema")...),
			then:  func(dir string) error { return os.Truncate(dir+"/a-wal", 0) },
			fails: "SELECT n FROM other.t",
		},
		// The device takes what is written, and no fsync.
		sqlite3.SQLITE_IOERR_FSYNC: {
			setup: []string{"ATTACH '/dev/null' AS other", "PRAGMA other.journal_mode = MEMORY"},
			fails: "CREATE TABLE other.t (n int)",
		},
	}
}

// limitedCauses need a process with the limits that limited sets.
func limitedCauses() map[int]sqliteCause {
	return map[int]sqliteCause{
		sqlite3.SQLITE_IOERR_WRITE:   {setup: []string{"CREATE TABLE t (n int)"}, fails: "INSERT INTO t VALUES (zeroblob(100000))"},
		sqlite3.SQLITE_IOERR_SHMSIZE: {setup: []string{"PRAGMA journal_mode = WAL"}, fails: "CREATE TABLE t (n int)"},
		sqlite3.SQLITE_NOMEM:         {fails: "SELECT length(hex(zeroblob(400000000)))"},
	}
}

// limitedName is the name under which this program runs with limits.
const limitedName = "limited"

// limited prints SQLite's error for the cause of a row. No file can be longer than 16 KiB, and there is little memory.
func limited(code, dir string, stdout, stderr io.Writer) int {
	const file = 16 << 10
	number, err := strconv.Atoi(code)
	if err := errors.Join(err, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: file, Max: file}), limitMemory()); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	fmt.Fprint(stdout, classified(limitedCauses()[number].error(context.Background(), dir)))
	return 0
}

// classified returns the code of an error of SQLite, and its meaning by the table.
func classified(err error) string {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return fmt.Sprintf("no error of SQLite: %v", err)
	}
	f := database.Classify("sqlite:x", err)
	return meant(e.Code(), f.Kind, f.Advice != "")
}

func meant(code int, kind database.Kind, advice bool) string {
	return fmt.Sprintf("code %d, kind %d, advice %t", code, kind, advice)
}

// TestSQLiteMeanings makes SQLite return the error of each row of its table.
func TestSQLiteMeanings(t *testing.T) {
	t.Parallel()
	kinds, advice := database.Meanings("sqlite3")
	causes := sqliteCauses()
	maps.Copy(causes, limitedCauses())
	for code := range causes {
		if _, ok := kinds[strconv.Itoa(code)]; !ok {
			t.Errorf("the table: got no %d, want one", code)
		}
	}
	for row, kind := range kinds {
		t.Run(row, func(t *testing.T) {
			t.Parallel()
			code, err := strconv.Atoi(row)
			if err != nil {
				t.Fatal(err)
			}
			cause, ok := causes[code]
			if !ok {
				t.Fatal("got no cause for this error, want one in sqliteCauses")
			}
			var got string
			if _, ok := limitedCauses()[code]; ok {
				cmd := exec.CommandContext(t.Context(), self(t), row, t.TempDir())
				cmd.Args[0] = limitedName
				output, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("got %v, want no error: %s", err, output)
				}
				got = string(output)
			} else {
				got = classified(cause.error(t.Context(), t.TempDir()))
			}
			if code == sqlite3.SQLITE_IOERR {
				code = sqlite3.SQLITE_IOERR_DELETE
			}
			if want := meant(code, kind, advice[row]); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}
