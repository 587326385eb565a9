package database

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrInUse is the error of the files of a database that another process has open.
var ErrInUse = errors.New("another program has the database open: stop the server, and everything else that uses the database")

// besides returns the endings of the files that SQLite keeps beside a database and that have a part of its content.
func besides() []string { return []string{"-wal", "-journal"} }

// Available returns ErrInUse if another process has an SQLite database open. A missing file is no error. This process may
// not have it open.
func Available(path string) error {
	f, err := lockExisting(path)
	if f == nil {
		return err
	}
	return errors.Join(err, f.Close())
}

// lockExisting opens and locks a file. It returns nil if the file does not exist.
func lockExisting(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // G304: the operator names the file
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Replace puts a complete SQLite database in place of another one, and gives the old one and the files beside it another
// name. fresh and path must be in one directory, and path no link. Without an old file, it only renames fresh. After a
// crash, either of the two databases is at the path, or none if the old one had a file beside it; the old one is complete
// then under its new name. The error is ErrInUse if another process has the old one open.
func Replace(path, fresh, old string) (err error) {
	held, err := lockExisting(path)
	if err != nil {
		return err
	}
	if held != nil {
		defer func() { err = errors.Join(err, held.Close()) }() // the lock ends after the renames
	}
	aside := false // a file beside the old database
	for _, suffix := range besides() {
		_, err := os.Lstat(path + suffix)
		aside = aside || err == nil
	}
	// It has no content of its own. After the renames, it could be that of a server that starts then.
	if err := os.Remove(path + "-shm"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A link leaves the path without a database at no moment. But a file beside the old database must not meet the new one.
	if held != nil && !aside && os.Link(path, old) == nil {
		if err := os.Rename(fresh, path); err != nil {
			return errors.Join(err, os.Remove(old))
		}
		return SyncDir(filepath.Dir(path))
	}
	if held != nil {
		if err := os.Rename(path, old); err != nil {
			return err
		}
	}
	for _, suffix := range besides() {
		if err := os.Rename(path+suffix, old+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the old database is now %s: %w", old, err)
		}
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("the old database is now %s: %w", old, err)
	}
	return SyncDir(filepath.Dir(path))
}
