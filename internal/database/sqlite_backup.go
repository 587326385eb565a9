package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"modernc.org/sqlite"

	"roster/ent/migrate/migrations"
)

const (
	// pagesAtOnce is the number of pages that are copied at once: 4 MiB of pages of the usual size. Between two times, the copy
	// can be interrupted.
	pagesAtOnce = 1024
	// syncBytes is the number of bytes after which the copy is written to the disk. If all of a large copy were written at the
	// end, the commits of a server would wait for it.
	syncBytes = 64 << 20
)

// copier is a connection of the driver.
type copier interface {
	NewBackup(to string) (*sqlite.Backup, error)
}

// copy copies the database into an empty file. The transaction of the reading connection keeps the copy at one moment:
// without it, SQLite would begin again after each commit of another program, and never end beside a busy server.
func (e *sqliteEngine) copy(ctx context.Context, to *os.File, progress func(done, total int64)) (at time.Time, err error) {
	_, read, err := e.connectors(Options{MustExist: true})
	if err != nil {
		return at, err
	}
	pool := sql.OpenDB(read)
	defer pool.Close() //nolint:errcheck // it has changed nothing
	conn, err := pool.Conn(ctx)
	if err != nil {
		return at, err
	}
	defer conn.Close() //nolint:errcheck // as above
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return at, err
	}
	defer tx.Rollback() //nolint:errcheck // as above
	at = time.Now().UTC().Truncate(time.Microsecond)
	var tables, pageSize int64
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil { // the moment of the copy
		return at, err
	}
	if err := tx.QueryRowContext(ctx, "PRAGMA page_size").Scan(&pageSize); err != nil {
		return at, err
	}
	return at, conn.Raw(func(c any) error {
		source, ok := c.(copier)
		if !ok {
			return fmt.Errorf("the driver has no backups: %T", c)
		}
		// If the copy fails, the file is deleted. So it needs no journal, and the caller of Backup makes it durable.
		b, err := source.NewBackup(uri(to.Name()) + "?mode=rw&_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)&_pragma=locking_mode(EXCLUSIVE)")
		if err != nil {
			return err
		}
		synced := int64(0)
		for more := true; more; {
			if err := ctx.Err(); err != nil {
				return errors.Join(err, b.Finish())
			}
			if more, err = b.Step(pagesAtOnce); err != nil {
				return errors.Join(err, b.Finish())
			}
			done := int64(b.PageCount()-b.Remaining()) * pageSize
			progress(done, int64(b.PageCount())*pageSize)
			if done-synced >= syncBytes {
				synced = done
				if err := to.Sync(); err != nil {
					return errors.Join(err, b.Finish())
				}
			}
		}
		return b.Finish()
	})
}

// seal completes a copy. It lets the file stand alone, without a -wal file, and records the copy in it. A database of an earlier
// release has no table for that.
func seal(ctx context.Context, to *os.File, at time.Time) (err error) {
	path := to.Name()
	pool := sql.OpenDB(&file{path, uri(path) + "?mode=rw&_pragma=locking_mode(EXCLUSIVE)&_pragma=journal_mode(DELETE)&_pragma=synchronous(OFF)", &sqliteFiles{}, false})
	defer func() { err = errors.Join(err, pool.Close(), to.Sync()) }()
	pool.SetMaxOpenConns(1)
	var exists bool
	if err := pool.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?)", backupsTable).Scan(&exists); err != nil || !exists {
		return err
	}
	return recordBackup(ctx, entsql.OpenDB(dialect.SQLite, pool), at)
}

// A BackupInfo describes a backup of an SQLite database.
type BackupInfo struct {
	// Version is that of the schema.
	Version int64
	// At is the time of the backup. It is zero in a backup of an earlier release, or one that another program has made.
	At time.Time
}

// The errors of a file that cannot be restored.
var (
	errForeign = errors.New("this is an SQLite database of another program, not of Roster: choose another file")
	errNoFile  = errors.New("this is not an SQLite database: choose a file that roster backup has made")
	errDamaged = errors.New("the file is damaged or incomplete: choose another backup")
)

// CheckBackup reads all of a backup. It returns an error if the file is damaged or incomplete, if it is not a database of
// Roster, or if its schema is newer than this program's. Nothing else may have the file open.
func CheckBackup(ctx context.Context, path string) (info BackupInfo, err error) {
	if err := checkMagic(path); err != nil {
		return info, err
	}
	pool := sql.OpenDB(&file{path, uri(path) + "?mode=rw&_pragma=query_only(1)&_pragma=cache_size(-65536)", &sqliteFiles{}, false})
	defer func() { err = errors.Join(err, pool.Close()) }()
	pool.SetMaxOpenConns(1)
	var fault string
	if err := pool.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&fault); err != nil || fault != "ok" {
		if ctx.Err() != nil {
			return info, ctx.Err()
		}
		return info, fmt.Errorf("%w (%s)", errDamaged, orText(err, fault))
	}
	dir, err := fs.Sub(migrations.Files, dialect.SQLite)
	if err != nil {
		return info, err
	}
	files, err := readMigrations(dir)
	if err != nil {
		return info, err
	}
	var first int
	err = pool.QueryRowContext(ctx, "SELECT max(version_id), count(*) FILTER (WHERE version_id = ?) FROM goose_db_version", files[0].version).Scan(&info.Version, &first)
	if err != nil || first == 0 {
		return info, errForeign
	}
	if known := files[len(files)-1].version; info.Version > known {
		return info, fmt.Errorf("its schema has version %d, newer than this program's %d: restore it with a newer roster", info.Version, known)
	}
	var at sql.NullInt64
	if err := pool.QueryRowContext(ctx, "SELECT max(at) FROM "+backupsTable).Scan(&at); err == nil && at.Valid {
		info.At = time.UnixMicro(at.Int64).UTC()
	}
	return info, nil
}

// orText returns the text of an error or, without one, another text.
func orText(err error, text string) string {
	if err != nil {
		return err.Error()
	}
	return text
}

// checkMagic reads the first bytes of a file, by which SQLite knows its databases.
func checkMagic(path string) error {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was read only
	const magic = "SQLite format 3\x00"
	start := make([]byte, len(magic))
	if n, err := io.ReadFull(f, start); string(start[:n]) != magic {
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		return errNoFile
	}
	return nil
}
