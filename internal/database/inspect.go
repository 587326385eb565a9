package database

import (
	"context"
	"database/sql"
	"io/fs"
	"time"
)

// An EncodingError is the error of a database that cannot store every text, or not in the order of its bytes.
type EncodingError struct{ text string }

func (e *EncodingError) Error() string { return e.text }

// A Schema is the state of the migrations.
type Schema struct {
	// Version is the newest applied migration, and 0 if none is applied. Known is the newest that this program has.
	Version, Known int64
	// Pending is the number of this program's migrations that are newer than Version.
	Pending int
	// Foreign are the tables of Roster's names in a database without migrations. MySQL and MariaDB have none.
	Foreign []string
	// Interrupted says that a migration was killed and must be completed.
	Interrupted bool
}

// Schema returns the state of the migrations. Unlike CheckVersion, it does not wait for a migration, and creates nothing in
// an empty database. The error is a Failure.
func (db *DB) Schema(ctx context.Context) (s Schema, err error) {
	files, err := db.knownMigrations()
	if err != nil {
		return s, err
	}
	unfinished, err := db.engine.unfinished(ctx, db.read.db)
	if err != nil {
		return s, db.fail(err)
	}
	s.Interrupted = unfinished.version != 0
	var version sql.NullInt64
	err = db.read.db.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version").Scan(&version)
	if m, _ := db.engine.classify(err); m.kind == Unusable && db.Ping(ctx) == nil {
		err = nil // there is no such table
	}
	if err != nil {
		return s, db.fail(err)
	}
	s.Version = version.Int64
	if s.Version == 0 && !s.Interrupted {
		if s.Foreign, err = db.foreign(ctx, db.read.db); err != nil {
			return s, db.fail(err)
		}
	}
	for _, file := range files {
		s.Known = file.version
		if file.version > s.Version {
			s.Pending++
		}
	}
	return s, nil
}

// knownMigrations returns the migrations of this program, in order.
func (db *DB) knownMigrations() ([]migrationFile, error) {
	dir, err := fs.Sub(db.migrations, db.Dialect())
	if err != nil {
		return nil, err
	}
	return readMigrations(dir)
}

// Clock returns the time of the database server. SQLite has the clock of this machine: then Clock returns the zero time. The
// error is a Failure.
func (db *DB) Clock(ctx context.Context) (time.Time, error) {
	query := db.engine.clock()
	if query == "" {
		return time.Time{}, nil
	}
	var micros int64
	if err := db.read.db.QueryRowContext(ctx, query).Scan(&micros); err != nil {
		return time.Time{}, db.fail(err)
	}
	return time.UnixMicro(micros).UTC(), nil
}
