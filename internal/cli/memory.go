package cli

import (
	"math"
	"runtime/debug"
)

// What serve sets where GOGC and GOMEMLIMIT leave Go's defaults. What lives is small and what is thrown away is most of
// it, so collecting less often costs little memory and saves a third of the CPU of a large answer; the limit bounds what
// it may cost.
const (
	gcPercent       = 400
	defaultPercent  = 100
	memoryLimit     = 1 << 30 // bytes; above it the collector works harder, nothing fails
	defaultNoLimit  = math.MaxInt64
	readMemoryLimit = -1
)

// tuneMemory makes the garbage collector fit a server of small requests.
func tuneMemory() {
	if before := debug.SetGCPercent(gcPercent); before != defaultPercent {
		debug.SetGCPercent(before)
	}
	if debug.SetMemoryLimit(readMemoryLimit) == defaultNoLimit {
		debug.SetMemoryLimit(memoryLimit)
	}
}
