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
	"slices"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql/schema"
	"golang.org/x/sync/singleflight"

	"roster/ent/migrate/migrations"
	_ "roster/ent/runtime" // registers the hook of the ent schema that refuses to write past package directory
	"roster/internal/record"
)

// Options have the database to open and its limits.
type Options struct {
	// URL is sqlite:PATH, postgres://USER:PASSWORD@HOST:PORT/NAME or mysql://USER:PASSWORD@HOST:PORT/NAME.
	URL string
	// MustExist refuses a missing SQLite file. Otherwise it is created.
	MustExist bool
	// MaxConnections bounds the pool. SQLite has one connection more, which writes.
	MaxConnections int
	// PoolWait is the maximum wait for a free connection.
	PoolWait time.Duration
	// ConnectTimeout is the maximum time to open a connection.
	ConnectTimeout time.Duration
	// ConnectionLifetime is the maximum age of a connection to a server. Each connection ends after 75 to 100 % of it, before its
	// next use. So a name that has moved to another server is followed, and not by all connections at once. 0 is no limit.
	ConnectionLifetime time.Duration
	// StatementTimeout is the maximum time of one statement and its rows. SQLite's driver stops before the first row
	// and between rows, but not while it searches for the next one.
	StatementTimeout time.Duration
	// StatementCache is the number of prepared statements that each connection keeps. 0 prepares none.
	StatementCache int
	// Observe, if set, gets the text of each statement, except BEGIN, COMMIT and migrations. It must be fast and safe
	// for concurrent use.
	Observe func(query string)
	// Sent, if set, gets each statement of a session when it has ended, with the context of its caller. It must be fast and
	// safe for concurrent use.
	Sent func(ctx context.Context, s record.Statement)
	// Comment, if set, returns a comment that is added to the text of a statement with this context, or "". The statement is
	// not prepared then. Observe and Sent get the text without it. It must be fast and safe for concurrent use.
	Comment func(ctx context.Context) string
	// Logger gets messages for the operator. They contain no passwords and no values.
	Logger *slog.Logger

	lines *lines // those to a replica; nil for the primary
}

// engine has the differences between the databases.
type engine interface {
	// dialect is ent's name of the engine.
	dialect() string
	// connectors open connections that write and connections that read. They differ only on SQLite.
	connectors(o Options) (write, read driver.Connector, err error)
	// classify returns the meaning of a statement's error, from a table.
	classify(err error) (m meaning, constraint string)
	// explain says which part of the URL makes a first connection fail, and what to do. Empty: unknown.
	explain(err error) string
	// explainMigration says what to grant the user, or what to set, when an error stops a migration. Empty: unknown. db
	// has one connection.
	explainMigration(ctx context.Context, db *sql.DB, err error) string
	// argumentLimit returns the maximum size of an argument of a statement, in bytes. 0 is no limit.
	argumentLimit() int
	// txOptions returns the options of a transaction that writes, or that reads a snapshot.
	txOptions(write bool) *sql.TxOptions
	// identify returns the product of the server.
	identify(ctx context.Context, db *sql.DB) (Product, error)
	// check refuses a database that opens but that Roster cannot use.
	check(ctx context.Context, db *sql.DB) error
	// ready returns an error while a server answers, but should not serve now. The error is a Failure or the driver's.
	ready(ctx context.Context, db *sql.DB) error
	// cluster returns the cluster that the server is a node of, if each node takes changes. nil: none.
	cluster() cluster
	// attached returns an error when the open files are no longer those of the database.
	attached() error
	// close releases the resources of check.
	close() error
	// locked runs f while no other server migrates the database. db has one connection, which gets the lock.
	locked(ctx context.Context, db *sql.DB, o Options, f func() error) error
	// hold returns an error if another program may migrate the database now. Call it in locked, at the end of a transaction: until
	// its commit, no other program gets the right.
	hold(ctx context.Context, tx *sql.Tx) error
	// apply runs a migration in the transaction that then records it.
	apply(ctx context.Context, tx *sql.Tx, w way) error
	// unfinished returns the interrupted migration and its direction. Version 0: none.
	unfinished(ctx context.Context, db *sql.DB) (way, error)
	// signal returns a statement with two parameters, the channel and the text. Empty: the engine has no signals.
	signal() string
	// listen calls heard until ctx ends, like Listen.
	listen(ctx context.Context, o Options, channel string, heard func(text string))
	// explaining returns the statement that explains another one, and the mode of its session. planLine returns a row of its
	// answer as a line. withoutValues removes the values of the statement from all lines.
	explaining(query string) (string, Mode)
	planLine(names []string, values []sql.NullString) string
	withoutValues(plan string) string
	// clock returns a statement that selects the time of the server, in microseconds since 1970. Empty: the engine has the
	// clock of this machine.
	clock() string
	// replication returns how the servers of the engine tell their positions, or nil.
	replication() replication
	// String names the database for people, without a password.
	String() string
	// address is the same for two URLs of one database, if they name its servers alike.
	address() string
}

// base is the part of an engine that most engines share.
type base struct{}

func (base) explainMigration(context.Context, *sql.DB, error) string { return "" }
func (base) argumentLimit() int                                      { return 0 }
func (base) ready(context.Context, *sql.DB) error                    { return nil }
func (base) cluster() cluster                                        { return nil }
func (base) attached() error                                         { return nil }
func (base) close() error                                            { return nil }
func (base) hold(context.Context, *sql.Tx) error                     { return nil }
func (base) address() string                                         { return "" }
func (base) apply(ctx context.Context, tx *sql.Tx, w way) error {
	return execute(ctx, tx, w.statements)
}
func (base) signal() string                                        { return "" }
func (base) clock() string                                         { return "" }
func (base) replication() replication                              { return nil }
func (base) listen(context.Context, Options, string, func(string)) {}
func (base) unfinished(context.Context, *sql.DB) (way, error)      { return way{}, nil }

// DB is an open database. Safe for concurrent use.
type DB struct {
	engine      engine
	options     Options
	write, read *pool
	health      *health
	migrations  fs.FS                                   // a folder for each dialect
	tables      func(d string) ([]*schema.Table, error) // that the migrations make
	looks       *singleflight.Group                     // shares concurrent calls of CheckTables
	replicas    *replicas                               // nil without replicas
	// observeMigrations gets the statements of migrations. It is for tests; Options.Observe does not get them.
	observeMigrations func(query string)
}

// parse reads a URL.
func parse(url string) (engine, error) {
	const form = "write sqlite:PATH, postgres://… or mysql://…"
	scheme, rest, ok := strings.Cut(url, ":")
	switch {
	case !ok || strings.ContainsFunc(scheme, func(c rune) bool { return c < 'a' || c > 'z' }): // it may be part of a password
		return nil, errors.New("database URL: no scheme: " + form)
	case scheme == "sqlite":
		return parseSQLite(rest)
	case scheme == "postgres" || scheme == "postgresql":
		return parsePostgres(url)
	case scheme == "mysql" || scheme == "mariadb":
		return parseMySQL(url)
	}
	return nil, fmt.Errorf("database URL: unknown scheme %q: "+form, scheme)
}

// Open opens a database and makes sure that it answers. The error is one line that names the wrong part of the URL and
// says what to do. It contains no password.
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
	db := &DB{engine: e, options: o, health: newHealth(), migrations: migrations.Files, tables: allTables, looks: &singleflight.Group{}}
	if e.dialect() == dialect.SQLite {
		db.write = newPool(write, o, 1)
		db.read = newPool(read, o, o.MaxConnections)
	} else {
		db.write = newPool(write, o, o.MaxConnections)
		db.read = db.write
		// A page without arguments costs PostgreSQL more to plan than to read. Prepared, its values arrive in binary form too.
		db.write.conns.reads = e.dialect() == dialect.Postgres
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

// unreachable returns the error of a first connection, for people.
func (db *DB) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%v: ended while connecting: %w", db, context.Cause(ctx))
	}
	if encoding, ok := errors.AsType[*EncodingError](err); ok {
		return fmt.Errorf("%v: %w", db, encoding)
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

// pools returns the one pool of a server, or the two of SQLite.
func (db *DB) pools() []*pool { return slices.Compact([]*pool{db.write, db.read}) }

// Close closes all connections, after the running statements.
func (db *DB) Close() error {
	db.replicas.close()
	db.health.close()
	var err error
	for _, p := range db.pools() {
		err = errors.Join(err, p.db.Close())
	}
	return errors.Join(err, db.engine.close())
}

// Product asks the server for its product and version. The error is a Failure.
func (db *DB) Product(ctx context.Context) (Product, error) {
	p, err := db.engine.identify(ctx, db.read.db)
	if err != nil {
		return Product{}, db.fail(err)
	}
	return p, nil
}

// pinging names the operation of Ping in errors.
const pinging = "ping the database: "

// Ping checks that the database answers. It may take as long as opening a connection. The error is a Failure.
func (db *DB) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, db.options.ConnectTimeout)
	defer cancel()
	for _, p := range db.pools() {
		var one int
		if err := p.db.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
			return fmt.Errorf(pinging+"%w", db.failed(p, db.fail(err)))
		}
	}
	return nil
}

// Dialect returns ent's name of the engine: dialect.SQLite, dialect.Postgres or dialect.MySQL.
func (db *DB) Dialect() string { return db.engine.dialect() }

// String names the database for people, such as PostgreSQL (db.example.com:5432/roster): never the password.
func (db *DB) String() string { return db.engine.String() }

// SystemName returns the name of a database URL's engine in the OpenTelemetry conventions, db.system.name. It is mysql for
// MariaDB too, and empty for a wrong URL.
func SystemName(url string) string {
	e, err := parse(url)
	if err != nil {
		return ""
	}
	if e.dialect() == dialect.Postgres {
		return "postgresql"
	}
	if e.dialect() == dialect.SQLite {
		return "sqlite"
	}
	return e.dialect()
}
