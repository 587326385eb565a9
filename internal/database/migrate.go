package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"

	"roster/ent/rules"
	"roster/internal/statement"
)

// A Migration is one versioned step of the schema.
type Migration struct {
	// Version orders migrations. It is a time, such as 20260131093000.
	Version int64
	Name    string
	Applied bool
	// AppliedAt is the time of Applied; otherwise zero.
	AppliedAt time.Time
	// Interrupted says that the program was killed while it applied the migration or, when Applied, while it undid it.
	// On MySQL and MariaDB, some of its statements have taken effect. The next MigrateUp or MigrateDown completes it.
	Interrupted bool
}

// MigrateUp applies the pending migrations and returns those that it applied, also before an error. It first completes
// an interrupted migration; if that was being undone, the result has it as undone. When several servers start together,
// one migrates and the others wait. It is an error if the schema then lacks something.
func (db *DB) MigrateUp(ctx context.Context) ([]Migration, error) {
	return db.change(ctx, func(m *migrator, _ []Migration) ([]Migration, error) { return m.up(ctx, db.options.Logger) })
}

// MigrateDown undoes migrations, the newest first: all that are newer than the version to or, if to is negative, one.
// It returns the migrations that it undid, also before an error. It first completes an interrupted migration. If that
// was an undo and to is negative, MigrateDown undoes no other.
func (db *DB) MigrateDown(ctx context.Context, to int64) ([]Migration, error) {
	return db.change(ctx, func(m *migrator, done []Migration) ([]Migration, error) {
		if to < 0 && len(done) > 0 && !done[0].Applied {
			return nil, nil
		}
		return m.down(ctx, to, db.options.Logger)
	})
}

// change completes an interrupted migration, then calls f with it. It returns all migrations that were applied or
// undone, also before an error.
func (db *DB) change(ctx context.Context, f func(m *migrator, done []Migration) ([]Migration, error)) (done []Migration, err error) {
	err = db.migrate(ctx, func(m *migrator) error {
		if err := m.refuseNewer(ctx); err != nil {
			return err
		}
		if done, err = m.complete(ctx); err != nil {
			return err
		}
		more, err := f(m, done)
		done = append(done, more...)
		return err
	})
	return done, err
}

// up applies the pending migrations, and replaces the keys of earlier releases.
func (m *migrator) up(ctx context.Context, logger *slog.Logger) (done []Migration, err error) {
	version, err := m.GetDBVersion(ctx)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		if err := m.refuseForeign(ctx); err != nil {
			return nil, err
		}
	}
	_, folds := m.names[foldAddresses]
	if folds && version < foldAddresses {
		results, err := m.UpTo(ctx, foldAddresses-1)
		done = m.migrated(results, err)
		if err != nil {
			return done, err
		}
		if err := m.rekey(ctx, rules.Email, logger); err != nil {
			return done, err
		}
	}
	results, err := m.Up(ctx)
	done = append(done, m.migrated(results, err)...)
	if err != nil {
		return done, err
	}
	if err := m.check(ctx); err != nil {
		return done, err
	}
	if folds && version >= foldAddresses {
		err = m.rekey(ctx, rules.Email, logger)
	}
	return done, err
}

// down undoes all migrations that are newer than the version to or, if to is negative, one.
func (m *migrator) down(ctx context.Context, to int64, logger *slog.Logger) (done []Migration, err error) {
	version, err := m.GetDBVersion(ctx)
	if err != nil {
		return nil, err
	}
	if to < 0 {
		for _, s := range m.ListSources() { // in order
			if s.Version < version {
				to = s.Version
			}
		}
		to = max(to, 0)
	}
	if _, folds := m.names[foldAddresses]; folds && to < foldAddresses && version >= foldAddresses {
		results, err := m.DownTo(ctx, foldAddresses)
		done = m.migrated(results, err)
		if err != nil {
			return done, err
		}
		if err := m.rekey(ctx, formerEmail, logger); err != nil {
			return done, err
		}
	}
	// Undoing a migration can drop rows without changes. Forget the counts before, in case this program is killed, and
	// after, in case a server has counted meanwhile.
	if err := m.forgetCounts(ctx, min(version, to)); err != nil {
		return done, err
	}
	results, err := m.DownTo(ctx, to)
	done = append(done, m.migrated(results, err)...)
	if err != nil {
		return done, err
	}
	return done, m.forgetCounts(ctx, min(version, to))
}

// feedCounts is the version of the migration that makes the table counts.
const feedCounts = 20261129012500

// forgetCounts makes the counts of rows unknown, so that a server counts the rows again. It does nothing if a schema of the
// version has no counts.
func (m *migrator) forgetCounts(ctx context.Context, version int64) error {
	if _, counts := m.names[feedCounts]; !counts || version < feedCounts {
		return nil
	}
	err := m.transact(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE "+statement.FeedTable+" SET counted = NULL") //nolint:gosec // a constant
		return err
	})
	if err != nil {
		return fmt.Errorf("forget the counts of rows: %w", err)
	}
	return nil
}

// MigrateStatus returns all migrations of this program, in order.
func (db *DB) MigrateStatus(ctx context.Context) (all []Migration, err error) {
	err = db.migrate(ctx, func(m *migrator) error {
		status, err := m.Status(ctx)
		for _, s := range status {
			version := s.Source.Version
			all = append(all, Migration{
				Version: version, Name: m.names[version], Applied: s.State == goose.StateApplied, AppliedAt: s.AppliedAt.UTC(),
				Interrupted: version == m.unfinished.version,
			})
		}
		return err
	})
	return all, err
}

// CheckVersion returns an error when the schema is newer or older than this program, when a migration was interrupted,
// and when the schema lacks something of its version.
func (db *DB) CheckVersion(ctx context.Context) error {
	return db.migrate(ctx, func(m *migrator) error {
		if err := m.refuseNewer(ctx); err != nil {
			return err
		}
		if m.unfinished.version != 0 {
			return errors.New("a migration was interrupted: run roster migrate up, or roster migrate down again")
		}
		pending, err := m.HasPending(ctx)
		if err != nil {
			return err
		}
		if pending {
			return errors.New("the schema is older than this program's: run roster migrate up")
		}
		return m.check(ctx)
	})
}

// migrator migrates a database that is locked.
type migrator struct {
	*goose.Provider
	engine engine
	// pool has one connection.
	pool *sql.DB
	// check checks the tables after the last migration.
	check func(ctx context.Context) error
	// foreign returns the tables of Roster's names, before the first migration.
	foreign func(ctx context.Context) ([]string, error)
	// names of the migrations, by version.
	names map[int64]string
	// unfinished is the interrupted migration and its direction. Version 0: none.
	unfinished way
}

// way is a migration in one direction.
type way struct {
	version    int64
	up         bool
	statements []string
}

// refuseNewer refuses a schema of a newer program, also an incomplete one.
func (m *migrator) refuseNewer(ctx context.Context) error {
	current, known, err := m.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current = max(current, m.unfinished.version); current > known {
		return fmt.Errorf("the schema has version %d, newer than this program's %d: run a newer roster, or undo it with the newer one's migrate down --to %d", current, known, known)
	}
	return nil
}

// refuseForeign refuses a database that has tables of Roster's names and no migration.
func (m *migrator) refuseForeign(ctx context.Context) error {
	found, err := m.foreign(ctx)
	if err != nil || len(found) == 0 {
		return err
	}
	return &ForeignError{found}
}

// A ForeignError is the error of a database without migrations that has tables of Roster's names.
type ForeignError struct {
	// Tables are their names.
	Tables []string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("no migration of this program has run, but the table %s already exists: take another database, or restore a whole backup",
		strings.Join(e.Tables, ", the table "))
}

// complete completes an interrupted migration in its direction, and returns it.
func (m *migrator) complete(ctx context.Context) ([]Migration, error) {
	if m.unfinished.version == 0 {
		return nil, nil
	}
	result, err := m.ApplyVersion(ctx, m.unfinished.version, m.unfinished.up)
	if err != nil {
		return nil, fmt.Errorf("complete the migration that was interrupted: %w", err)
	}
	return m.migrated([]*goose.MigrationResult{result}, nil), nil
}

// migrate runs f with the migrations of the engine, while no other server migrates.
func (db *DB) migrate(ctx context.Context, f func(*migrator) error) error {
	dir, err := fs.Sub(db.migrations, db.Dialect())
	if err != nil {
		return err
	}
	files, err := readMigrations(dir)
	if err != nil {
		return err
	}
	why := ""
	err = db.locked(ctx, func(pool *sql.DB) (err error) {
		defer func() {
			if err != nil {
				why = db.engine.explainMigration(ctx, pool, err)
			}
		}()
		m := &migrator{engine: db.engine, pool: pool, names: map[int64]string{}}
		m.check = func(ctx context.Context) error { return db.checkTables(ctx, pool) }
		m.foreign = func(ctx context.Context) ([]string, error) { return db.foreign(ctx, pool) }
		if m.unfinished, err = db.engine.unfinished(ctx, pool); err != nil {
			return err
		}
		run := func(w way) *goose.GoFunc {
			return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error { return db.engine.apply(ctx, tx, w) }}
		}
		var all []*goose.Migration
		for _, file := range files {
			m.names[file.version] = file.name
			all = append(all, goose.NewGoMigration(file.version,
				run(way{file.version, true, file.up}), run(way{file.version, false, file.down})))
		}
		m.Provider, err = goose.NewProvider(goose.Dialect(db.Dialect()), pool, nil, goose.WithGoMigrations(all...)) // ent's names are goose's
		if err != nil {
			return err
		}
		return f(m)
	})
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err) // drivers do not name the cause
	}
	if why != "" {
		return fmt.Errorf("%v: the schema cannot be changed: %s", db, why)
	}
	if f := db.fail(err); f.Kind == ReadOnly && f.Advice != "" {
		return fmt.Errorf("%v: the schema cannot be changed: %s: %w", db, f.Advice, err)
	}
	return fmt.Errorf("%v: %w", db, err)
}

// locked runs f while no other server migrates the database. It has one connection, without a limit on the time of
// statements. This connection changes the schema and holds the lock. So nobody gets the lock while the database's
// server still runs the last statement of a killed client.
func (db *DB) locked(ctx context.Context, f func(pool *sql.DB) error) error {
	o := db.options
	o.StatementTimeout = 0
	write, _, err := db.engine.connectors(o)
	if err != nil {
		return err
	}
	pool := sql.OpenDB(&single{Connector: &connector{Connector: write, timeout: o.ConnectTimeout, observe: db.observeMigrations, logger: o.Logger}})
	defer pool.Close() //nolint:errcheck // nothing is under way
	pool.SetMaxOpenConns(1)
	return db.engine.locked(ctx, pool, o, func() error { return f(pool) })
}

// single opens one connection.
type single struct {
	driver.Connector
	opened atomic.Bool
}

// Connect implements driver.Connector.
func (s *single) Connect(ctx context.Context) (driver.Conn, error) {
	if s.opened.Load() {
		return nil, errors.New("the connection broke on which the database was locked")
	}
	c, err := s.Connector.Connect(ctx)
	s.opened.Store(err == nil)
	return c, err
}

// execute runs statements one after the other.
func execute(ctx context.Context, tx *sql.Tx, statements []string) error {
	for i, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("statement %d of %d: %w", i+1, len(statements), err)
		}
	}
	return nil
}

// transact runs f in a transaction, which is committed only while no other program migrates the database. If the transaction
// loses a race, transact runs f again.
func (m *migrator) transact(ctx context.Context, f func(tx *sql.Tx) error) error {
	once := func() error {
		tx, err := m.pool.BeginTx(ctx, m.engine.txOptions(true))
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
		if err := f(tx); err != nil {
			return err
		}
		if err := m.engine.hold(ctx, tx); err != nil {
			return err
		}
		return tx.Commit()
	}
	for try := 1; ; try++ {
		err := once()
		if lost, _ := m.engine.classify(err); lost.kind != Retry || try == tries {
			return err
		}
	}
}

// migrated returns the migrations that were applied or undone, also before err.
func (m *migrator) migrated(results []*goose.MigrationResult, err error) (done []Migration) {
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		results = partial.Applied
	}
	for _, r := range results {
		version := r.Source.Version
		done = append(done, Migration{Version: version, Name: m.names[version], Applied: r.Direction == "up"})
	}
	return done
}
