package cli

import (
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// What serve sets where GOGC and GOMEMLIMIT leave Go's defaults. What lives is small and what is thrown away is most of
// it, so collecting less often costs little memory and saves a third of the CPU of a large answer; the limit bounds what
// it may cost. Above the limit the collector works harder, and nothing fails.
const (
	gcPercent       = 400
	defaultPercent  = 100
	defaultNoLimit  = math.MaxInt64
	readMemoryLimit = -1
)

// What part of a limit Go's memory may have.
const (
	ofContainer = 0.9
	// The limit of a process (RLIMIT_DATA) also counts what Go and SQLite have mapped and do not use.
	ofProcess = 0.4
	// A machine has other programs.
	ofMachine = 0.5
)

// besideGo is what SQLite takes, about, whose memory is not Go's: a container leaves room for it, but never more than
// half of its limit.
const besideGo = 160 << 20

// The memory for answers, as long as nothing else is said, is half of the limit and at most a gigabyte.
const (
	ofAnswers  = 0.5
	mostMemory = 1 << 30
)

// tuneMemory makes the garbage collector fit a server of small requests, within the memory that the process may have.
// It returns the limit, in bytes.
func tuneMemory() int64 {
	if before := debug.SetGCPercent(gcPercent); before != defaultPercent {
		debug.SetGCPercent(before)
	}
	if limit := debug.SetMemoryLimit(readMemoryLimit); limit != defaultNoLimit {
		return limit
	}
	limit := memoryLimit(
		container(memlimit.FromCgroup),
		memlimit.ApplyRatio(processLimit, ofProcess),
		memlimit.ApplyRatio(memlimit.FromSystem, ofMachine),
	)
	debug.SetMemoryLimit(limit)
	return limit
}

// container is the part of a container's limit that is for Go.
func container(limit memlimit.Provider) memlimit.Provider {
	return func() (uint64, error) {
		n, err := limit()
		if err != nil {
			return 0, err
		}
		return max(n/2, min(uint64(float64(n)*ofContainer), n-min(n, besideGo))), nil
	}
}

// memoryLimit is the lowest of the limits that there are.
func memoryLimit(from ...memlimit.Provider) int64 {
	lowest := int64(defaultNoLimit)
	for _, provider := range from {
		if limit, err := provider(); err == nil && limit > 0 && limit < uint64(lowest) {
			lowest = int64(limit) //nolint:gosec // G115: lower than an int64
		}
	}
	return lowest
}

// answerMemory is how many bytes all answers may take: as configured, or a part of the memory limit where that is 0.
func answerMemory(configured, limit int64) int64 {
	if configured > 0 {
		return configured
	}
	return min(int64(float64(limit)*ofAnswers), mostMemory)
}
