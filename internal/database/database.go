// Package database opens Roster's databases and runs statements on them: SQLite, PostgreSQL, MySQL and MariaDB behind
// one interface. It is the only importer of drivers. It knows nothing of GraphQL.
package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	"golang.org/x/sync/singleflight"

	"roster/ent/migrate/migrations"
	_ "roster/ent/runtime" // registers the hook of the ent schema that refuses to write past package directory
)

// Options say which database to open and how much of it to use.
type Options struct {
	// URL is sqlite:PATH, postgres://USER:PASSWORD@HOST:PORT/NAME or mysql://USER:PASSWORD@HOST:PORT/NAME.
	URL string
	// MustExist refuses an SQLite file that is not there, instead of making it.
	MustExist bool
	// MaxConnections bounds the pool; SQLite has one connection more, which writes.
	MaxConnections int
	// PoolWait is how long an operation waits for a free connection.
	PoolWait time.Duration
	// ConnectTimeout is how long opening a connection may take.
	ConnectTimeout time.Duration
	// StatementTimeout is how long one statement may take, reading its rows included. SQLite's driver can be stopped on
	// the way to the first row, and between rows, but not while it looks for another one.
	StatementTimeout time.Duration
	// StatementCache is how many prepared statements each connection keeps; 0 prepares none.
	StatementCache int
	// Observe, when set, is called with the text of each statement that is sent, BEGIN, COMMIT and migrations left out.
	// It must be fast and safe for concurrent use.
	Observe func(query string)
	// Logger gets what concerns the operator. Never a password, nor values.
	Logger *slog.Logger
}

// engine is what differs between the databases.
type engine interface {
	// dialect is ent's name of the engine.
	dialect() string
	// connectors open connections that write and that read; they are the same but for SQLite.
	connectors(o Options) (write, read driver.Connector, err error)
	// classify says what an error of a statement means, from a table.
	classify(err error) (m meaning, constraint string)
	// explain says what of the URL is wrong when a first connection fails, and what to do; empty when it can't tell.
	explain(err error) string
	// explainMigration says what to grant the user, or what to set, when an error stops a migration; empty when it can't
	// tell. db has one connection.
	explainMigration(ctx context.Context, db *sql.DB, err error) string
	// txOptions of a transaction that writes or that reads a snapshot.
	txOptions(write bool) *sql.TxOptions
	// check makes sure that the database is one that Roster can use, when a connection can be opened even if it is not.
	check(ctx context.Context, db *sql.DB) error
	// attached returns an error when the connections have something open that is the database no more.
	attached() error
	// close gives back what check has taken.
	close() error
	// locked runs f while no other server migrates the same database. db has one connection, which gets the lock.
	locked(ctx context.Context, db *sql.DB, f func() error) error
	// apply goes a way in the transaction that records it then.
	apply(ctx context.Context, tx *sql.Tx, w way) error
	// unfinished is the way on which a migration was interrupted; of version 0 when none was.
	unfinished(ctx context.Context, db *sql.DB) (way, error)
	// String names the database for people, without a password.
	String() string
}

// DB is an open database. Safe for concurrent use.
type DB struct {
	engine      engine
	options     Options
	write, read *pool
	health      *health
	migrations  fs.FS               // a folder for each dialect
	looks       *singleflight.Group // of CheckTables
	// observeMigrations gets the statements of migrations, which Options.Observe does not; for tests.
	observeMigrations func(query string)
}

// parse reads a URL.
func parse(url string) (engine, error) {
	scheme, rest, ok := strings.Cut(url, ":")
	switch {
	case !ok:
		return nil, errors.New("database URL: no scheme: write sqlite:PATH, postgres://… or mysql://…")
	case scheme == "sqlite":
		return parseSQLite(rest)
	case scheme == "postgres" || scheme == "postgresql":
		return parsePostgres(url)
	case scheme == "mysql" || scheme == "mariadb":
		return parseMySQL(url)
	}
	if strings.ContainsFunc(scheme, func(c rune) bool { return c < 'a' || c > 'z' }) { // it may be a part of a password
		return nil, errors.New("database URL: no scheme: write sqlite:PATH, postgres://… or mysql://…")
	}
	return nil, fmt.Errorf("database URL: unknown scheme %q: write sqlite:PATH, postgres://… or mysql://…", scheme)
}

// Open opens a database and makes sure that it answers. The error is one line that names the part of the URL at fault
// and what to do, never the password.
func Open(ctx context.Context, o Options) (*DB, error) {
	e, err := parse(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	write, read, err := e.connectors(o)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	db := &DB{engine: e, options: o, health: newHealth(), migrations: migrations.Files, looks: &singleflight.Group{}}
	if e.dialect() == dialect.SQLite {
		db.write = newPool(write, o, 1)
		db.read = newPool(read, o, o.MaxConnections)
	} else {
		db.write = newPool(write, o, o.MaxConnections)
		db.read = db.write
	}
	err = db.Ping(ctx)
	if err == nil {
		err = e.check(ctx, db.write.db)
	}
	if err != nil {
		_ = db.Close() // the reason is err
		return nil, db.unreachable(ctx, err)
	}
	return db, nil
}

// unreachable is the error of a first connection, for people.
func (db *DB) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%v: ended while connecting: %w", db, context.Cause(ctx))
	}
	if why := db.engine.explain(err); why != "" {
		return fmt.Errorf("%v: %s", db, why)
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return fmt.Errorf("%v: no answer within %v: check host and port, and that the database runs", db, db.options.ConnectTimeout)
	}
	return fmt.Errorf("%v: %s", db, strings.ReplaceAll(strings.TrimPrefix(err.Error(), pinging), "\n", "; "))
}

// Close closes all connections, after the statements that are under way.
func (db *DB) Close() error {
	db.health.close()
	err := db.write.db.Close()
	if db.read != db.write {
		err = errors.Join(err, db.read.db.Close())
	}
	return errors.Join(err, db.engine.close())
}

// pinging is what Ping was doing when it failed.
const pinging = "ping the database: "

// Ping asks the database for an answer, which may take as long as opening a connection. The error is a Failure.
func (db *DB) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, db.options.ConnectTimeout)
	defer cancel()
	pools := []*pool{db.write}
	if db.read != db.write {
		pools = append(pools, db.read)
	}
	for _, p := range pools {
		var one int
		if err := p.db.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
			return fmt.Errorf(pinging+"%w", db.failed(p, db.fail(err)))
		}
	}
	return nil
}

// Dialect is ent's name of the engine: dialect.SQLite, dialect.Postgres or dialect.MySQL.
func (db *DB) Dialect() string { return db.engine.dialect() }

// String names the database for people, such as PostgreSQL (db.example.com:5432/roster): never the password.
func (db *DB) String() string { return db.engine.String() }
