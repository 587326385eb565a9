//go:build linux || darwin

package database

import (
	"math"
	"os"
	"path/filepath"
	"syscall"
)

// Space returns the number of bytes by which a file may grow: the free bytes of its disk for this user or, if it is less, the
// rest of this process's limit of the size of a file. The file need not exist.
func Space(path string) (int64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &disk); err != nil {
		return 0, err
	}
	free := int64(min(uint64(disk.Bavail)*uint64(disk.Bsize), math.MaxInt64)) //nolint:gosec,unconvert // the types differ between systems
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return 0, err
	}
	if limit.Cur > math.MaxInt64 { // no limit
		return free, nil
	}
	size := int64(0)
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	return min(free, max(0, int64(limit.Cur)-size)), nil
}
