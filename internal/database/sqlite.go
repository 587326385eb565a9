package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteEngine is a database in a file.
type sqliteEngine struct {
	base

	path  string
	files *sqliteFiles
}

func parseSQLite(path string) (engine, error) {
	path, host := strings.CutPrefix(path, "//") // sqlite:///srv/roster.db
	switch {
	case path == "":
		return nil, errors.New("database URL: no path after sqlite: — write sqlite:roster.db")
	case hasPassword(path, host):
		return nil, errors.New("database URL: sqlite: has a user or a password: a file has none, write sqlite:PATH with the path alone")
	case strings.HasPrefix(path, ":memory:"), strings.ContainsRune(path, 0):
		return nil, fmt.Errorf("database URL: sqlite:%q is no file: give the path of one", path)
	}
	return &sqliteEngine{path: path, files: &sqliteFiles{}}, nil
}

// hasPassword reports whether a path seems to contain a password, as user information or as a parameter: errors and
// logs must not show it. If the path begins with // and has no other slash, it means a host, perhaps with a user and a
// password.
func hasPassword(path string, host bool) bool {
	path = strings.NewReplacer("%3A", ":", "%3a", ":", "%40", "@").Replace(path[len(filepath.VolumeName(path)):])
	first, _, _ := strings.Cut(path, "/")
	if host && strings.ContainsAny(first, ":@") && first != ":memory:" {
		return true
	}
	if at := strings.LastIndex(path, "@"); at >= 0 && strings.Contains(path[:at], ":") {
		return true
	}
	_, parameters, _ := strings.Cut(strings.ToLower(path), "?")
	for parameter := range strings.FieldsFuncSeq(parameters, func(c rune) bool { return c == '&' || c == ';' }) {
		name, _, ok := strings.Cut(parameter, "=")
		if ok && (strings.Contains(name, "pass") || strings.Contains(name, "pwd") || strings.HasSuffix(name, "key") || strings.Contains(name, "secret")) {
			return true
		}
	}
	return false
}

func (*sqliteEngine) dialect() string { return dialect.SQLite }

// explaining implements engine. EXPLAIN alone would list the instructions of SQLite's virtual machine.
func (*sqliteEngine) explaining(query string) (string, Mode) {
	return explaining + "QUERY PLAN " + query, Snapshot
}

// planLine implements engine. The last column is the text of a node.
func (*sqliteEngine) planLine(_ []string, values []sql.NullString) string {
	return values[len(values)-1].String
}

func (e *sqliteEngine) String() string { return "SQLite (" + e.path + ")" }

func (e *sqliteEngine) connectors(o Options) (write, read driver.Connector, err error) {
	// synchronous=FULL: with NORMAL, a power cut loses acknowledged commits. Times are comparable as text with
	// _time_format and _timezone.
	common := url.Values{
		"_pragma":      {"busy_timeout(5000)", "foreign_keys(1)", "journal_mode(WAL)", "synchronous(FULL)"},
		"_time_format": {"sqlite"},
		"_timezone":    {"UTC"},
	}
	if o.MustExist {
		common.Set("mode", "rw")
	}
	dsn := uri(e.path) + "?" + common.Encode()
	return &file{e.path, dsn + "&_txlock=immediate", e.files, !o.MustExist}, &file{e.path, dsn + "&_pragma=query_only(1)", e.files, !o.MustExist}, nil
}

// uri returns the name of a file for SQLite, without parameters.
func uri(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() }

// file is a connector of modernc.org/sqlite.
type file struct {
	path, dsn string
	files     *sqliteFiles
	create    bool // create a missing file
}

// errMissing is the error of a missing file that must not be created.
var errMissing = errors.New("the file does not exist")

// Connect opens the file. If create is set, it creates a missing file that only its owner can read; SQLite would let
// everyone read it. SQLite's files beside it get the same permissions. Once the files are known, Connect opens no
// others.
func (f *file) Connect(ctx context.Context) (driver.Conn, error) {
	if err := f.files.attached(); err != nil {
		return nil, err
	}
	if !f.files.known() && !f.create {
		if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
			return nil, errMissing
		}
	} else if !f.files.known() {
		if created, err := os.OpenFile(f.path, os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			if err := created.Close(); err != nil {
				return nil, err
			}
		}
	}
	c, err := f.open(ctx) // SQLite reports the error of the file too
	if err != nil {
		return nil, err
	}
	if err := f.files.attached(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// open opens the file. When several programs switch a new file to the journal mode WAL at once, SQLite does not wait;
// open does.
func (f *file) open(ctx context.Context) (driver.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, openWait)
	defer cancel()
	ticker := time.NewTicker(openAgain)
	defer ticker.Stop()
	for {
		c, err := f.Driver().Open(f.dsn)
		var e *sqlite.Error
		if err == nil || !errors.As(err, &e) || e.Code()&0xff != sqlite3.SQLITE_BUSY {
			return c, err
		}
		select {
		case <-limited.Done():
			return nil, err
		case <-ticker.C:
		}
	}
}

func (*file) Driver() driver.Driver { return &sqlite.Driver{} }

// The maximum time to open a file that others lock, and the wait between two attempts.
const (
	openWait  = 5 * time.Second
	openAgain = 10 * time.Millisecond
)

// The advice for SQLite's files.
const (
	sqliteFull     = "the disk is full, or a quota or limit of files is reached: make room"
	sqliteDenied   = "the file cannot be written: check the permissions of the file and of its directory, and how the disk is mounted"
	sqliteDamaged  = "the file is damaged: stop the server and restore a backup"
	sqliteReplaced = "the database was deleted, moved or replaced under the running server: put the right files back, or restart the server to take those that are there"
	sqliteSchema   = "the schema is not the one that this program needs: run roster migrate up, or restore a backup"
	sqliteMemory   = "out of memory: give the server more"
)

// sqliteNoMemory is the driver's message, without a code, when it has no memory for a parameter or a statement.
const sqliteNoMemory = "sqlite: cannot allocate"

// sqliteMeanings is the table of SQLite's errors, by extended code, or by the primary code in the lowest byte.
func sqliteMeanings() map[int]meaning {
	return map[int]meaning{
		sqlite3.SQLITE_CONSTRAINT_UNIQUE:     {kind: Unique},
		sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: {kind: Unique},
		sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: {kind: ForeignKey},
		sqlite3.SQLITE_BUSY:                  {kind: Retry},
		sqlite3.SQLITE_LOCKED:                {kind: Retry},
		sqlite3.SQLITE_CANTOPEN:              {kind: Lost},
		sqlite3.SQLITE_IOERR:                 {kind: Lost},
		sqlite3.SQLITE_FULL:                  {kind: ReadOnly, advice: sqliteFull},
		sqlite3.SQLITE_IOERR_WRITE:           {kind: ReadOnly, advice: sqliteFull}, // a quota, a limit of the process
		sqlite3.SQLITE_IOERR_FSYNC:           {kind: ReadOnly, advice: sqliteFull},
		sqlite3.SQLITE_IOERR_SHMSIZE:         {kind: ReadOnly, advice: sqliteFull},
		sqlite3.SQLITE_READONLY:              {kind: ReadOnly, role: true, advice: sqliteDenied},
		sqlite3.SQLITE_READONLY_DBMOVED:      {kind: Unusable, advice: sqliteReplaced},
		sqlite3.SQLITE_CORRUPT:               {kind: Unusable, advice: sqliteDamaged},
		sqlite3.SQLITE_NOTADB:                {kind: Unusable, advice: sqliteDamaged},
		sqlite3.SQLITE_IOERR_READ:            {kind: Unusable, advice: sqliteDamaged},
		sqlite3.SQLITE_IOERR_SHORT_READ:      {kind: Unusable, advice: sqliteDamaged},
		sqlite3.SQLITE_NOMEM:                 {kind: Busy, advice: sqliteMemory},
		sqlite3.SQLITE_TOOBIG:                {kind: TooLarge, advice: "a value is larger than SQLite takes: send less at a time"},
	}
}

func (*sqliteEngine) classify(err error) (m meaning, constraint string) {
	var e *sqlite.Error
	switch {
	case errors.Is(err, errReplaced):
		return meaning{kind: Unusable, advice: sqliteReplaced}, ""
	case !errors.As(err, &e) && err != nil && strings.Contains(err.Error(), sqliteNoMemory):
		return meaning{kind: Busy, advice: sqliteMemory}, ""
	case e == nil:
		return meaning{}, ""
	}
	table := sqliteMeanings()
	m, ok := table[e.Code()]
	if !ok {
		m = table[e.Code()&0xff]
	}
	switch {
	case m.kind == Unique: // "constraint failed: UNIQUE constraint failed: users.username_key (2067)"
		_, constraint, _ = strings.Cut(e.Error(), "UNIQUE constraint failed: ")
		constraint, _, _ = strings.Cut(constraint, " ")
		constraint = strings.TrimSuffix(constraint, ",")
	case e.Code() == sqlite3.SQLITE_ERROR && (strings.Contains(e.Error(), "no such table") || strings.Contains(e.Error(), "no such column")):
		m = meaning{kind: Unusable, advice: sqliteSchema} // it has no code of its own
	}
	return m, constraint
}

func (e *sqliteEngine) explain(err error) string {
	dir := filepath.Dir(e.path)
	if info, statErr := os.Stat(dir); statErr == nil && !info.IsDir() || statErr != nil && !errors.Is(statErr, fs.ErrPermission) {
		return fmt.Sprintf("the directory %s does not exist: create it, or choose another path", dir)
	}
	if info, statErr := os.Stat(e.path); statErr == nil && info.IsDir() {
		return "the path is a directory: give the path of a file"
	}
	if errors.Is(err, errMissing) {
		return "there is no such file: correct the path, or create the database with roster migrate up"
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
	case sqlite3.SQLITE_CORRUPT:
		return "the file is damaged: restore it from a backup, or choose another path"
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR:
		return "the file cannot be read or written: check the disk"
	case sqlite3.SQLITE_BUSY:
		return "another program holds the file: end it, or choose another path"
	}
	return ""
}

func (*sqliteEngine) txOptions(write bool) *sql.TxOptions { return &sql.TxOptions{ReadOnly: !write} }

// check makes a change and rolls it back, since SQLite opens a read-only file without an error. It does not wait for
// another writer: that shows too that the file is writable.
func (e *sqliteEngine) check(ctx context.Context, pool *sql.DB) error {
	// The file exists, because Open has connected.
	db := sql.OpenDB(&file{e.path, uri(e.path) + "?mode=rw&_txlock=immediate", e.files, false})
	defer db.Close() //nolint:errcheck // nothing is under way
	tx, err := db.BeginTx(ctx, nil)
	if err == nil {
		_, err = tx.ExecContext(ctx, "PRAGMA user_version = 0") // any change will do
		_ = tx.Rollback()                                       // the result is err
	}
	if m, _ := e.classify(err); err != nil && m.kind != Retry {
		return err
	}
	var encoding string
	if err := pool.QueryRowContext(ctx, "PRAGMA encoding").Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF-8" { // keys would be compared in another order
		return &EncodingError{fmt.Sprintf("the database has the encoding %s: take one with UTF-8, which SQLite makes unless told otherwise", encoding)}
	}
	_, read, err := e.connectors(Options{})
	if err != nil {
		return err
	}
	return e.files.keep(ctx, e.path, read)
}

func (e *sqliteEngine) attached() error { return e.files.attached() }

func (e *sqliteEngine) close() error { return e.files.close() }

// locked locks an empty database file beside the database. SQLite has no lock that outlives a transaction, and
// migrations are several transactions. Meanwhile foreign keys are off: a migration that replaces a table would delete
// the rows that refer to it, or fail. No transaction can turn them off by itself.
func (e *sqliteEngine) locked(ctx context.Context, db *sql.DB, _ Options, f func() error) error {
	path := e.path + "-migrate"
	beside := sql.OpenDB(&file{path, uri(path) + "?_pragma=busy_timeout(60000)", &sqliteFiles{}, true})
	defer beside.Close() //nolint:errcheck // this releases the lock, and nothing is under way
	lock, err := beside.Conn(ctx)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // as above
	if _, err := lock.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
		return fmt.Errorf("wait for the server that migrates the database: %w", err)
	}
	if _, err := db.ExecContext(ctx, "PRAGMA foreign_keys = OFF"); err != nil {
		return err
	}
	return f()
}

// apply runs a migration, and checks that every foreign key still refers to a row.
func (*sqliteEngine) apply(ctx context.Context, tx *sql.Tx, w way) error {
	if err := execute(ctx, tx, w.statements); err != nil {
		return err
	}
	var table, parent string
	err := tx.QueryRowContext(ctx, `SELECT "table", parent FROM pragma_foreign_key_check LIMIT 1`).Scan(&table, &parent)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("rows of %s would refer to rows of %s that do not exist", table, parent)
	}
	return err
}
