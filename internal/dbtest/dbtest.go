// Package dbtest gives each test a database of its own on each engine, and a proxy that can cut the connections to it.
// It is independent of the schema and of the program under test.
//
// The environment has the URLs of the servers; internal/dbtest/cmd/withservers sets them. A test without its server
// fails.
package dbtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"roster/internal/dbtest/servers"
)

// Engine is one of the databases that Roster runs on.
type Engine string

// The engines.
const (
	SQLite     Engine = "sqlite"
	PostgreSQL Engine = "postgres"
	MySQL      Engine = "mysql"
)

// dropLimit bounds the removal of a database after its test.
const dropLimit = 30 * time.Second

// mysqlNoSuchThread is the number of ER_NO_SUCH_THREAD: a connection ended before it was killed.
const mysqlNoSuchThread = 1094

// Engines returns all engines, the default one first.
func Engines() []Engine { return []Engine{SQLite, PostgreSQL, MySQL} }

// Each runs f once for each engine, in parallel subtests with the engine's name.
func Each(t *testing.T, f func(t *testing.T, e Engine)) {
	t.Helper()
	for _, e := range Engines() {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			f(t, e)
		})
	}
}

// Empty returns the URL of a new database without tables, in the form of DATABASE_URL. It is dropped when the test
// ends, even if clients are still connected.
func Empty(tb testing.TB, e Engine) string {
	tb.Helper()
	name := newName()
	switch e {
	case SQLite:
		return "sqlite:" + filepath.Join(tb.TempDir(), name+".db")
	case PostgreSQL:
		server := serverOf(tb, servers.PostgresVariable)
		// template1 may have been changed, and cannot be copied while a client is connected to it.
		create(tb, server, "CREATE DATABASE "+name+" TEMPLATE template0", dropPostgres(name))
		return withDatabase(server, name)
	case MySQL:
		return emptyMySQL(tb, serverOf(tb, servers.MySQLVariable), name)
	default:
		tb.Fatalf("dbtest: no engine is called %q", e)
		return ""
	}
}

func newName() string { return "roster_test_" + strings.ToLower(rand.Text()) }

// dropPostgres returns a function that drops a database.
func dropPostgres(name string) func(context.Context, *sql.DB) error {
	return func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
		return err
	}
}

// serverOf returns the URL of the server that a variable names.
func serverOf(tb testing.TB, variable string) *url.URL {
	tb.Helper()
	value := os.Getenv(variable)
	if value == "" {
		tb.Fatalf("dbtest: %s is not set: run the tests with \"make test\", or some of them with "+
			"\"go run ./internal/dbtest/cmd/withservers -- go test -run NAME ./PACKAGE\"", variable)
	}
	server, err := url.Parse(value)
	if err != nil {
		tb.Fatalf("dbtest: %s is no URL", variable) // the error would show the password
	}
	return server
}

func withDatabase(server *url.URL, name string) string {
	database := *server
	database.Path = "/" + name
	return database.String()
}

// create runs a statement on a server now, and drop when the test ends.
func create(tb testing.TB, server *url.URL, statement string, drop func(context.Context, *sql.DB) error) {
	tb.Helper()
	err := administer(tb.Context(), server, func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, statement)
		return err
	})
	if err != nil {
		tb.Fatalf("dbtest: %s: %v", statement, err)
	}
	dropAfter(tb, server, drop)
}

// dropAfter calls drop when the test ends.
func dropAfter(tb testing.TB, server *url.URL, drop func(context.Context, *sql.DB) error) {
	tb.Helper()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), dropLimit)
		defer cancel()
		if err := administer(ctx, server, drop); err != nil {
			tb.Errorf("dbtest: drop the database of the test: %v", err)
		}
	})
}

// administer calls f with a connection to a server, and closes it after the call.
func administer(ctx context.Context, server *url.URL, f func(context.Context, *sql.DB) error) error {
	db, err := servers.Open(server.String())
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	return errors.Join(f(ctx, db), db.Close())
}

// emptyMySQL returns the URL of a new database on a server of the MySQL family. It is dropped when the test ends.
func emptyMySQL(tb testing.TB, server *url.URL, name string) string {
	tb.Helper()
	create(tb, server, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4", func(ctx context.Context, db *sql.DB) error {
		return dropMySQL(ctx, db, name)
	})
	return withDatabase(server, name)
}

// dropMySQL drops a database. It first ends the connections to it: an open transaction of a test would make the drop
// wait.
func dropMySQL(ctx context.Context, db *sql.DB, name string) error {
	connections, err := connectionsTo(ctx, db, name)
	if err != nil {
		return err
	}
	for _, id := range connections {
		_, err := db.ExecContext(ctx, "KILL "+strconv.FormatInt(id, 10))
		if gone, ok := errors.AsType[*mysql.MySQLError](err); err != nil && (!ok || gone.Number != mysqlNoSuchThread) {
			return err
		}
	}
	_, err = db.ExecContext(ctx, "DROP DATABASE "+name)
	return err
}

// IsMariaDB reports whether the server of the MySQL family is MariaDB.
func IsMariaDB(tb testing.TB) bool {
	tb.Helper()
	var is bool
	err := administer(tb.Context(), serverOf(tb, servers.MySQLVariable), func(ctx context.Context, db *sql.DB) (err error) {
		is, err = isMariaDB(ctx, db)
		return err
	})
	if err != nil {
		tb.Fatalf("dbtest: %v", err)
	}
	return is
}

// EmptyMariaDB returns the URL of an empty database of MariaDB, which is dropped when the test ends. If the server under test is
// MySQL, the database has a server of its own.
func EmptyMariaDB(tb testing.TB) string {
	tb.Helper()
	if IsMariaDB(tb) {
		return Empty(tb, MySQL)
	}
	s := Keep(tb)(servers.StartMariaDB(tb.Context()))
	server, err := url.Parse(s.URL())
	if err != nil {
		tb.Fatal("dbtest: the URL of a server is malformed")
	}
	return emptyMySQL(tb, server, newName())
}

func isMariaDB(ctx context.Context, db *sql.DB) (bool, error) {
	var version string
	err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version)
	return strings.Contains(version, "MariaDB"), err
}

// Processes returns the name of the table with the connections of the MySQL server and their statements.
func Processes(tb testing.TB) string {
	tb.Helper()
	return processesOf(IsMariaDB(tb))
}

// processesOf returns another table for MySQL: the one of MariaDB fails there when a statement has binary values.
func processesOf(mariaDB bool) string {
	if mariaDB {
		return "information_schema.processlist"
	}
	return "performance_schema.processlist"
}

func connectionsTo(ctx context.Context, db *sql.DB, name string) (ids []int64, err error) {
	mariaDB, err := isMariaDB(ctx, db)
	if err != nil {
		return nil, err
	}
	// Without an argument, so that the server need not prepare it: a test may have forbidden that.
	query := "SELECT id FROM " + processesOf(mariaDB) + " WHERE db = '" + name + "'" //nolint:gosec // Empty made the name
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
