package database_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	entsql "entgo.io/ent/dialect/sql"
	"github.com/go-sql-driver/mysql"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// fake is a driver that writes each call into a journal. Statements with "bad" in them cannot be prepared, and
// those with "stuck" cannot be closed. The server has no room for the statement "fullN" the first N times.
type fake struct {
	journal
	refused map[string]int
	ending  error // of COMMIT and ROLLBACK
}

func (f *fake) Connect(context.Context) (driver.Conn, error) {
	f.note("connect")
	return &fakeConn{fake: f, valid: true}, nil
}

func (f *fake) Driver() driver.Driver { return nil }

type fakeConn struct {
	fake  *fake
	valid bool
}

var (
	_ driver.ConnBeginTx        = (*fakeConn)(nil)
	_ driver.ConnPrepareContext = (*fakeConn)(nil)
	_ driver.QueryerContext     = (*fakeConn)(nil)
	_ driver.ExecerContext      = (*fakeConn)(nil)
	_ driver.SessionResetter    = (*fakeConn)(nil)
	_ driver.Validator          = (*fakeConn)(nil)
)

func (c *fakeConn) Prepare(query string) (driver.Stmt, error) {
	c.fake.note("prepare " + query)
	if strings.Contains(query, "bad") {
		return nil, errors.New("cannot prepare " + query)
	}
	if n, ok := strings.CutPrefix(query, "full"); ok && strconv.Itoa(c.fake.refused[query]) < n {
		c.fake.refused[query]++
		return nil, &mysql.MySQLError{Number: 1461, Message: "full"}
	}
	return &fakeStmt{c, query}, nil
}

func (c *fakeConn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return c.Prepare(query)
}

func (c *fakeConn) QueryContext(_ context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.fake.note(fmt.Sprintf("query %s %d", query, len(args)))
	return noRows{}, nil
}

func (c *fakeConn) ExecContext(_ context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.fake.note(fmt.Sprintf("exec %s %d", query, len(args)))
	return driver.RowsAffected(0), nil
}

func (c *fakeConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

func (c *fakeConn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	c.fake.note("begin")
	return fakeTx{c}, nil
}

func (c *fakeConn) ResetSession(context.Context) error { return nil }

func (c *fakeConn) IsValid() bool { return c.valid }

func (c *fakeConn) Close() error {
	c.fake.note("close connection")
	return nil
}

type fakeTx struct{ conn *fakeConn }

func (t fakeTx) Commit() error   { t.conn.fake.note("commit"); return t.conn.fake.ending }
func (t fakeTx) Rollback() error { t.conn.fake.note("rollback"); return t.conn.fake.ending }

type fakeStmt struct {
	conn  *fakeConn
	query string
}

var (
	_ driver.StmtQueryContext = (*fakeStmt)(nil)
	_ driver.StmtExecContext  = (*fakeStmt)(nil)
)

func (s *fakeStmt) Close() error {
	s.conn.fake.note("close " + s.query)
	if strings.Contains(s.query, "stuck") {
		return errors.New("cannot close " + s.query)
	}
	return nil
}

func (s *fakeStmt) NumInput() int                              { return -1 }
func (s *fakeStmt) Exec([]driver.Value) (driver.Result, error) { panic("without a context") }
func (s *fakeStmt) Query([]driver.Value) (driver.Rows, error)  { panic("without a context") }

func (s *fakeStmt) QueryContext(context.Context, []driver.NamedValue) (driver.Rows, error) {
	s.conn.fake.note("run " + s.query)
	return noRows{}, nil
}

func (s *fakeStmt) ExecContext(context.Context, []driver.NamedValue) (driver.Result, error) {
	s.conn.fake.note("run " + s.query)
	if strings.Contains(s.query, "broken") {
		s.conn.valid = false
		return nil, errors.New("the connection broke")
	}
	return driver.RowsAffected(1), nil
}

type noRows struct{}

func (noRows) Columns() []string         { return []string{"n"} }
func (noRows) Close() error              { return nil }
func (noRows) Next([]driver.Value) error { return io.EOF }

// caching opens a pool of one connection over a fake driver.
func caching(t *testing.T, size int, finalize bool) (db *sql.DB, f *fake, dropIdle func()) {
	t.Helper()
	f = &fake{refused: map[string]int{}}
	connector, dropIdle := database.Caching(f, size, finalize)
	db = sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db, f, dropIdle
}

// do runs statements, each with an argument, and checks the calls of the driver.
func do(t *testing.T, db *sql.DB, f *fake, statements, want string) {
	t.Helper()
	for statement := range strings.FieldsSeq(statements) {
		if _, err := db.ExecContext(t.Context(), statement, 1); err != nil {
			t.Errorf("%s: got the error %v, want none", statement, err)
		}
	}
	if got := strings.Join(f.taken(), ", "); got != want {
		t.Errorf("after %q the driver did\n%s\nwant\n%s", statements, got, want)
	}
}

// ask runs a query with an argument.
func ask(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if rows.Next() || rows.Err() != nil {
		t.Errorf("got a row, or the error %v, want neither", rows.Err())
	}
}

func TestStatementCache(t *testing.T) {
	t.Parallel()
	db, f, _ := caching(t, 2, false)
	do(t, db, f, "a a", "connect, prepare a, run a, run a")
	do(t, db, f, "b a b a", "prepare b, run b, run a, run b, run a")
	do(t, db, f, "c", "close b, prepare c, run c")
	do(t, db, f, "a c", "run a, run c")
	do(t, db, f, "d e", "close a, prepare d, run d, close c, prepare e, run e")
	do(t, db, f, "d e", "run d, run e")

	ask(t, db, "d")
	do(t, db, f, "", "run d")

	if _, err := db.ExecContext(t.Context(), "without"); err != nil {
		t.Error(err)
	}
	do(t, db, f, "", "exec without 0")
}

func TestStatementCacheEnds(t *testing.T) {
	t.Parallel()
	for finalize, want := range map[bool]string{
		false: "connect, prepare a, run a, prepare b, run b, close connection",
		true:  "connect, prepare a, run a, prepare b, run b, close b, close a, close connection",
	} {
		db, f, _ := caching(t, 2, finalize)
		for _, statement := range []string{"a", "b"} {
			if _, err := db.ExecContext(t.Context(), statement, 1); err != nil {
				t.Error(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		do(t, db, f, "", want)
	}
}

func TestStatementCacheOff(t *testing.T) {
	t.Parallel()
	db, f, _ := caching(t, 0, false)
	do(t, db, f, "a a", "connect, exec a 1, exec a 1")
	ask(t, db, "a")
	do(t, db, f, "", "query a 1")
}

func TestStatementCacheInTransaction(t *testing.T) {
	t.Parallel()
	db, f, _ := caching(t, 1, false)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"a", "b", "b"} {
		if _, err := tx.ExecContext(t.Context(), statement, 1); err != nil {
			t.Error(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	do(t, db, f, "b", "connect, begin, prepare a, run a, close a, prepare b, run b, run b, commit, run b")
}

func TestStatementCacheFails(t *testing.T) {
	t.Parallel()
	db, f, _ := caching(t, 1, false)
	fails := func(statement, want string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement, 1); err == nil || err.Error() != want {
			t.Errorf("%s: got the error %v, want %s", statement, err, want)
		}
	}
	fails("bad", "cannot prepare bad")
	do(t, db, f, "stuck", "connect, prepare bad, prepare stuck, run stuck")
	fails("a", "cannot close stuck") // stuck is forgotten
	do(t, db, f, "a a", "close stuck, prepare a, run a, run a")
}

// TestServerKeepsNoMore runs statements that the server refuses to prepare, as often as their texts say.
func TestServerKeepsNoMore(t *testing.T) {
	t.Parallel()
	db, f, _ := caching(t, 2, false)
	do(t, db, f, "full1 full1", "connect, prepare full1, exec full1 1, prepare full1, run full1")
	do(t, db, f, "a", "prepare a, run a")
	do(t, db, f, "full2", "close full1, prepare full2, close a, prepare full2, exec full2 1")
	do(t, db, f, "full2 b", "prepare full2, run full2, prepare b, run b")
	ask(t, db, "full3")
	do(t, db, f, "", "close full2, prepare full3, close b, prepare full3, query full3 1")
}

func TestConnectionsAreDropped(t *testing.T) {
	t.Parallel()
	db, f, dropIdle := caching(t, 2, false)
	do(t, db, f, "a", "connect, prepare a, run a")
	dropIdle()
	do(t, db, f, "a", "close connection, connect, prepare a, run a")

	// One that is in use is dropped when it comes back.
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	dropIdle()
	if _, err := tx.ExecContext(t.Context(), "a", 1); err != nil {
		t.Error(err)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	do(t, db, f, "a", "begin, run a, commit, close connection, connect, prepare a, run a")

	// The driver may know better.
	if _, err := db.ExecContext(t.Context(), "broken", 1); err == nil {
		t.Error("a broken connection: got no error, want one")
	}
	do(t, db, f, "a", "prepare broken, run broken, close connection, connect, prepare a, run a")
}

// TestStatementCacheOnEngines runs more statements than the cache keeps, and each of them several times.
func TestStatementCacheOnEngines(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, e dbtest.Engine, mode database.Mode) {
		for _, size := range []int{0, 1, 2, 16} {
			db := things(t, e, func(o *database.Options) { o.StatementCache, o.MaxConnections = size, 1 })
			s := db.Session(mode)
			for range 3 {
				for i := range 5 {
					statement := fmt.Sprintf("SELECT id + %d FROM things WHERE id = ?", i)
					for range 2 {
						if n, err := number(t.Context(), s, statement, 2); n != 2+i || err != nil {
							t.Errorf("with %d statements kept, %s: got %d, %v, want %d", size, statement, n, err, 2+i)
						}
					}
					if mode == database.Write {
						if err := run(t.Context(), s, fmt.Sprintf("UPDATE things SET n = %d WHERE id > ?", i), 0); err != nil {
							t.Error(err)
						}
					}
				}
			}
			if err := s.Commit(); err != nil {
				t.Error(err)
			}
		}
	})
}

// PostgreSQL prepares a SELECT without arguments too, unless it prepares nothing.
func TestReadsWithoutArguments(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int64{0: 0, 16: 1} {
		db := things(t, dbtest.PostgreSQL, func(o *database.Options) { o.StatementCache, o.MaxConnections = size, 1 })
		s := db.Session(database.Snapshot)
		defer s.Rollback()
		for range 2 {
			all(t, s, "SELECT id FROM things ORDER BY id")
		}
		kept := all(t, s, "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE $1", "SELECT id FROM things%")
		if got := kept[0][0]; got != want {
			t.Errorf("with %d statements kept: got %v, want %d", size, got, want)
		}
	}
}

// all returns the values of all rows, as the driver gives them.
func all(t *testing.T, s *database.Session, query string, args ...any) (rows [][]any) {
	t.Helper()
	err := database.Each(t.Context(), s, query, args, func(r *entsql.Rows) error {
		names, err := r.Columns()
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		rows = append(rows, values)
		return errors.Join(err, r.Scan(into...))
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestFullMySQL runs statements on a server that prepares few of them, or none. Values are the same as with prepared
// statements.
func TestFullMySQL(t *testing.T) {
	t.Parallel()
	admin, u := ownMySQL(t, "--max-allowed-packet=1M")
	schema := "performance_schema"
	if dbtest.IsMariaDB(t) {
		schema = "information_schema"
	}
	kept := "SELECT variable_value FROM " + schema + ".global_status WHERE variable_name = 'Prepared_stmt_count'"
	var log journal
	full := func(t *testing.T, limit int) *database.DB {
		t.Helper()
		admin(fmt.Sprintf("SET GLOBAL max_prepared_stmt_count = %d", limit))
		log.taken()
		o := options(u.String())
		o.MaxConnections = 1
		o.Logger = slog.New(slog.NewTextHandler(seen(log.note), nil))
		db := open(t, o)
		eventually(t, func() error { // the server ends the connections of the test before
			n, err := number(t.Context(), db.Session(database.Single), kept)
			if n != 0 {
				err = fmt.Errorf("got %d statements on the server, want 0", n)
			}
			return err
		})
		return db
	}
	said := func(db string, want int) {
		t.Helper()
		lines := strings.Join(log.taken(), "")
		if got := strings.Count(lines, "raise its max_prepared_stmt_count"); got != want {
			t.Errorf("%s: got %d lines of the log that name the setting, want %d:\n%s", db, got, want, lines)
		}
	}

	t.Run("values", func(t *testing.T) {
		admin("CREATE TABLE d.v (i bigint, f double, s longtext, b longblob, t datetime(6))")
		binary := make([]byte, 256)
		for i := range binary {
			binary[i] = byte(i)
		}
		at := time.Date(2026, 11, 28, 23, 59, 59, 123456000, time.UTC)
		rows := [][]any{
			{nil, nil, nil, nil, nil},
			{int64(math.MinInt64), 0.1, `it's "a" \n \' ` + "\x00\x1a\n ? ä 😀", binary, at},
			{int64(math.MaxInt64), -1.7976931348623157e308, "", []byte{}, at.Add(-time.Microsecond)},
			{int64(1), 5e-324, `["\"\\"]`, []byte(`\'`), at},
		}
		var want [][]any
		for lines, limit := range []int{16382, 0} {
			t.Run(fmt.Sprint("limit=", limit), func(t *testing.T) {
				s := full(t, limit).Session(database.Write)
				defer s.Rollback()
				for _, row := range rows {
					if err := run(t.Context(), s, "INSERT INTO v VALUES (?, ?, ?, ?, ?)", row...); err != nil {
						t.Fatal(err)
					}
				}
				got := append(all(t, s, "SELECT i, f, s, b, t FROM v WHERE i > ? OR true ORDER BY i", 1),
					all(t, s, "SELECT s, hex(s), length(s) FROM JSON_TABLE(?, '$[*]' COLUMNS (s longtext PATH '$')) j", `["\u00e4\"", "ä\\'"]`)...)
				if want == nil {
					want = got
				} else if !reflect.DeepEqual(got, want) {
					t.Errorf("got %#v, want %#v", got, want)
				}
				said("values", lines)
			})
		}
	})
	t.Run("few", func(t *testing.T) {
		db := full(t, 2)
		s := db.Session(database.Single)
		for range 3 {
			for i := range 5 {
				query := fmt.Sprintf("SELECT ? + %d", i)
				if got, err := number(t.Context(), s, query, 7); got != 7+i || err != nil {
					t.Errorf("%s: got %d, %v, want %d", query, got, err, 7+i)
				}
			}
		}
		if got, err := number(t.Context(), s, kept); got != 2 || err != nil {
			t.Errorf("statements on the server: got %d, %v, want 2", got, err)
		}
		said("a limit of 2", 1)
	})
	t.Run("long", func(t *testing.T) { // escaped, the argument is longer than a packet
		long := strings.Repeat("'", 600<<10)
		for _, limit := range []int{0, 1} {
			t.Run(fmt.Sprint("limit=", limit), func(t *testing.T) {
				s := full(t, limit).Session(database.Single)
				if _, err := number(t.Context(), s, "SELECT ?", 1); err != nil {
					t.Fatal(err)
				}
				got, err := number(t.Context(), s, "SELECT length(?)", long)
				if limit == 0 {
					wantKind(t, err, database.Busy)
					said("a long argument", 2) // the second line is of the refusal
				} else if err != nil || got != len(long) {
					t.Errorf("got %d, %v, want %d", got, err, len(long))
				}
			})
		}
	})
}

// TestRefusedEnd begins a transaction after one that the server refused to end: MariaDB would commit the first one then. So it
// closes the connection of the first one. A deadlock ends a transaction.
func TestRefusedEnd(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(*sql.Tx) error{"commit": (*sql.Tx).Commit, "rollback": (*sql.Tx).Rollback} {
		for _, c := range []struct {
			refusal error
			closes  bool
		}{{nil, false}, {&mysql.MySQLError{Number: 1047}, true}, {&mysql.MySQLError{Number: 1213}, false}} {
			f := &fake{ending: c.refusal}
			caching, _ := database.Caching(f, 1, false)
			db := sql.OpenDB(caching)
			for range 2 {
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := end(tx); !errors.Is(err, c.refusal) {
					t.Errorf("%s: got %v, want %v", what, err, c.refusal)
				}
			}
			turn := "begin; " + what + "; "
			want := "connect; " + turn + turn
			if c.closes {
				want = strings.Repeat("connect; "+turn+"close connection; ", 2)
			}
			if got := strings.Join(f.taken(), "; ") + "; "; got != want {
				t.Errorf("%s with the error %v: got %s, want %s", what, c.refusal, got, want)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
