//go:build unix

package cli

import (
	"math"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// processLimit returns the limit of the process's data, in bytes.
func processLimit() (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &limit); err != nil {
		return 0, err
	}
	if limit.Cur > math.MaxInt64 {
		return 0, memlimit.ErrNoLimit
	}
	return limit.Cur, nil
}
