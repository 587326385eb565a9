package database_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// fake is a driver that keeps a journal of what it is asked. Statements with "bad" in them cannot be prepared, and
// those with "stuck" cannot be closed.
type fake struct{ journal }

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
	_ driver.Validator          = (*fakeConn)(nil)
)

func (c *fakeConn) Prepare(query string) (driver.Stmt, error) {
	c.fake.note("prepare " + query)
	if strings.Contains(query, "bad") {
		return nil, errors.New("cannot prepare " + query)
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

func (c *fakeConn) IsValid() bool { return c.valid }

func (c *fakeConn) Close() error {
	c.fake.note("close connection")
	return nil
}

type fakeTx struct{ conn *fakeConn }

func (t fakeTx) Commit() error   { t.conn.fake.note("commit"); return nil }
func (t fakeTx) Rollback() error { t.conn.fake.note("rollback"); return nil }

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
	f = &fake{}
	connector, dropIdle := database.Caching(f, size, finalize)
	db = sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db, f, dropIdle
}

// do runs statements, each with an argument, and checks what the driver was asked.
func do(t *testing.T, db *sql.DB, f *fake, statements, want string) {
	t.Helper()
	for statement := range strings.FieldsSeq(statements) {
		if _, err := db.ExecContext(t.Context(), statement, 1); err != nil {
			t.Errorf("%s: %v", statement, err)
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
		t.Error("there is a row", rows.Err())
	}
}

func TestStatementCache(t *testing.T) {
	t.Parallel()
	db, f, _ := caching(t, 2, false)
	do(t, db, f, "a a", "connect, prepare a, run a, run a")
	do(t, db, f, "b a b a", "prepare b, run b, run a, run b, run a")
	do(t, db, f, "c", "prepare c, close b, run c")
	do(t, db, f, "a c", "run a, run c")
	do(t, db, f, "d e", "prepare d, close a, run d, prepare e, close c, run e")
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
	do(t, db, f, "b", "connect, begin, prepare a, run a, prepare b, close a, run b, run b, commit, run b")
}

func TestStatementCacheFails(t *testing.T) {
	t.Parallel()
	db, f, _ := caching(t, 1, false)
	do(t, db, f, "stuck", "connect, prepare stuck, run stuck")
	if _, err := db.ExecContext(t.Context(), "bad", 1); err == nil || err.Error() != "cannot prepare bad" {
		t.Error(err)
	}
	do(t, db, f, "stuck", "prepare bad, run stuck")
	// A statement that cannot be closed is forgotten, and so is the one that was to take its place.
	if _, err := db.ExecContext(t.Context(), "a", 1); err == nil || err.Error() != "cannot close stuck" {
		t.Error(err)
	}
	do(t, db, f, "a a", "prepare a, close stuck, close a, prepare a, run a, run a")
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
		t.Error("it is not broken")
	}
	do(t, db, f, "a", "prepare broken, run broken, close connection, connect, prepare a, run a")
}

// TestStatementCacheOnEngines runs more statements than are kept, and each of them again.
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
							t.Errorf("with %d statements kept, %s gives %d, %v", size, statement, n, err)
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
