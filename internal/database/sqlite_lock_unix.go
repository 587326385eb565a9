//go:build unix

package database

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// The bytes of an SQLite file that its programs lock, https://sqlite.org/fileformat2.html#the_lock_byte_page. Each program
// that has the file open in the journal mode WAL holds a shared lock on some of them, also while it does nothing.
const (
	lockStart  = 1 << 30
	lockLength = 512
)

// lockFile locks an SQLite file against all other processes, until the file is closed. This process may not have it open
// otherwise: the lock would not see that, and closing the file would release the locks of SQLite. The error is ErrInUse.
func lockFile(f *os.File) error {
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: lockStart, Len: lockLength}
	err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &lock)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return ErrInUse
	}
	return err
}

// SyncDir writes the names of the files of a directory to the disk.
func SyncDir(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // the operator names the directory
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
