package database_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// options have long time limits: on a slow machine, no test reaches them.
func options(url string) database.Options {
	return database.Options{
		URL:              url,
		MaxConnections:   4,
		PoolWait:         time.Minute,
		ConnectTimeout:   time.Minute,
		StatementTimeout: time.Minute,
		StatementCache:   16,
	}
}

// open opens a database. It is closed when the test ends. By then, sessions must have released all connections.
func open(t *testing.T, o database.Options) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Leaked(); err != nil && !t.Failed() {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// things opens a new database with the rows 1 to 3 in the table things. settings change the options.
func things(t *testing.T, e dbtest.Engine, settings ...func(*database.Options)) *database.DB {
	t.Helper()
	o := options(dbtest.Empty(t, e))
	db, err := database.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	write(t, db,
		"CREATE TABLE things (id int NOT NULL PRIMARY KEY, n int NOT NULL)",
		"INSERT INTO things (id, n) VALUES (1, 0), (2, 0), (3, 0)")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, set := range settings {
		set(&o)
	}
	return open(t, o)
}

// write runs statements in a transaction.
func write(t *testing.T, db *database.DB, statements ...string) {
	t.Helper()
	s := db.Session(database.Write)
	defer s.Rollback()
	for _, statement := range statements {
		if err := run(t.Context(), s, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
}

// run runs a statement with ? for each argument.
func run(ctx context.Context, s *database.Session, statement string, args ...any) error {
	return s.Exec(ctx, bound(s, statement, args), append([]any{}, args...), nil)
}

// query starts a statement. The caller closes the rows.
func query(ctx context.Context, s *database.Session, statement string, args ...any) (*entsql.Rows, error) {
	rows := &entsql.Rows{}
	err := s.Query(ctx, bound(s, statement, args), append([]any{}, args...), rows)
	return rows, err
}

// number runs a query for one number.
func number(ctx context.Context, s *database.Session, statement string, args ...any) (n int, err error) {
	rows, err := query(ctx, s, statement, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, err
		}
	}
	return n, rows.Err()
}

// texts runs a query and returns its rows, each as the values of its columns with a space between them.
func texts(t *testing.T, db *database.DB, statement string) (lines []string) {
	t.Helper()
	rows, err := query(t.Context(), db.Session(database.Single), statement)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]string, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.Join(values, " "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// bound numbers the placeholders if the dialect needs numbers.
func bound(s *database.Session, statement string, args []any) string {
	if s.Dialect() != dialect.Postgres || len(args) == 0 {
		return statement
	}
	var b strings.Builder
	for i, part := range strings.Split(statement, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}
