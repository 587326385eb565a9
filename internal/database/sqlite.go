package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"entgo.io/ent/dialect"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteEngine is a database in a file.
type sqliteEngine struct{ path string }

func parseSQLite(path string) (engine, error) {
	path = strings.TrimPrefix(path, "//") // sqlite:///srv/roster.db
	switch {
	case path == "":
		return nil, errors.New("database URL: no path after sqlite: — write sqlite:roster.db")
	case strings.HasPrefix(path, ":memory:"), strings.ContainsRune(path, 0):
		return nil, fmt.Errorf("database URL: sqlite:%q is no file: give the path of one", path)
	}
	return &sqliteEngine{path: path}, nil
}

func (*sqliteEngine) dialect() string { return dialect.SQLite }

func (e *sqliteEngine) String() string { return "SQLite (" + e.path + ")" }

func (e *sqliteEngine) connectors(Options) (write, read driver.Connector, err error) {
	// synchronous=FULL: NORMAL loses acknowledged commits with the power. _time_format keeps times comparable as
	// text, and without _timezone they are not.
	common := url.Values{
		"_pragma":      {"busy_timeout(5000)", "foreign_keys(1)", "journal_mode(WAL)", "synchronous(FULL)"},
		"_time_format": {"sqlite"},
		"_timezone":    {"UTC"},
	}
	name := func(extra ...string) string {
		q := url.Values{}
		for k, v := range common {
			q[k] = append([]string(nil), v...)
		}
		for i := 0; i < len(extra); i += 2 {
			q[extra[i]] = append(q[extra[i]], extra[i+1])
		}
		return "file:" + (&url.URL{Path: e.path}).EscapedPath() + "?" + q.Encode()
	}
	return &dsn{name("_txlock", "immediate")}, &dsn{name("_pragma", "query_only(1)")}, nil
}

// dsn is a connector of modernc.org/sqlite.
type dsn struct{ name string }

func (d *dsn) Connect(context.Context) (driver.Conn, error) { return d.Driver().Open(d.name) }
func (d *dsn) Driver() driver.Driver                        { return &sqlite.Driver{} }

func (*sqliteEngine) classify(err error) (kind Kind, constraint string) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return Other, ""
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		// "constraint failed: UNIQUE constraint failed: users.username_key (2067)"
		_, name, _ := strings.Cut(e.Error(), "UNIQUE constraint failed: ")
		name, _, _ = strings.Cut(name, " ")
		return Unique, strings.TrimSuffix(name, ",")
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return ForeignKey, ""
	case sqlite3.SQLITE_INTERRUPT:
		return Timeout, ""
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return Retry, ""
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR:
		return Lost, ""
	}
	return Other, ""
}

func (e *sqliteEngine) explain(err error) string {
	dir := filepath.Dir(e.path)
	if info, statErr := os.Stat(dir); statErr != nil || !info.IsDir() {
		return fmt.Sprintf("the directory %s does not exist: create it, or choose another path", dir)
	}
	if info, statErr := os.Stat(e.path); statErr == nil && info.IsDir() {
		return "the path is a directory: give the path of a file"
	}
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return ""
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB:
		return "the file is not an SQLite database: choose another path"
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return "the file cannot be written: check the permissions of the file and of its directory, or choose another path"
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR:
		return "the file cannot be read or written: check the disk"
	case sqlite3.SQLITE_BUSY:
		return "another program holds the file: end it, or choose another path"
	}
	return ""
}

func (*sqliteEngine) txOptions(write bool) *sql.TxOptions { return &sql.TxOptions{ReadOnly: !write} }

// locked holds a second, empty database file beside the first, since SQLite has no lock that outlives a transaction
// and migrations are several.
func (e *sqliteEngine) locked(ctx context.Context, _ *sql.DB, f func() error) (err error) {
	path := (&url.URL{Path: e.path + "-migrate"}).EscapedPath()
	lock := sql.OpenDB(&dsn{"file:" + path + "?_txlock=exclusive&_pragma=busy_timeout(60000)"})
	defer func() { err = errors.Join(err, lock.Close()) }()
	tx, err := lock.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("wait for the server that migrates %v: %w", e, err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	return f()
}
