//go:build !unix

package cli

import "github.com/KimMachineGun/automemlimit/memlimit"

// processLimit is no limit where processes have none of this kind.
func processLimit() (uint64, error) { return 0, memlimit.ErrNoLimit }
