package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
)

// sqliteFiles are the open files of an SQLite database. A deleted or replaced file stays open, and takes commits that
// nobody will read.
type sqliteFiles struct{ opened atomic.Pointer[openedFiles] }

type openedFiles struct {
	// holder is a connection that stays open. Without it, SQLite would delete the -wal file, and create another one
	// later.
	holder *sql.DB
	files  map[string]fs.FileInfo // by path
}

var errReplaced = errors.New("the file that is open is not the one at its path")

// keep records the files, until close.
func (s *sqliteFiles) keep(ctx context.Context, path string, c driver.Connector) (err error) {
	o := &openedFiles{holder: sql.OpenDB(c), files: map[string]fs.FileInfo{}}
	o.holder.SetMaxOpenConns(1)
	defer func() {
		if err != nil {
			err = errors.Join(err, o.holder.Close())
		}
	}()
	var tables int
	if err := o.holder.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	// SQLite puts its files beside the file, not beside a link to it.
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for _, name := range []string{path, target + "-wal", target + "-shm"} {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) && name != path {
			continue // SQLite does not need it on this disk
		}
		if err != nil {
			return err
		}
		o.files[name] = info
	}
	s.opened.Store(o)
	return nil
}

func (s *sqliteFiles) known() bool { return s.opened.Load() != nil }

// attached returns errReplaced when one of the files was deleted or replaced.
func (s *sqliteFiles) attached() error {
	o := s.opened.Load()
	if o == nil {
		return nil
	}
	for name, info := range o.files {
		now, err := os.Stat(name)
		if err != nil {
			return errors.Join(errReplaced, err)
		}
		if !os.SameFile(info, now) {
			return errors.Join(errReplaced, &fs.PathError{Op: "open", Path: name, Err: errors.New("is another file")})
		}
	}
	return nil
}

func (s *sqliteFiles) close() error {
	if o := s.opened.Load(); o != nil {
		return o.holder.Close()
	}
	return nil
}
