//go:build !unix

package cli

import "github.com/KimMachineGun/automemlimit/memlimit"

// processLimit returns an error: processes have no such limit here.
func processLimit() (uint64, error) { return 0, memlimit.ErrNoLimit }
