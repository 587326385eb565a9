package cli

import (
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// The settings of the garbage collector, where GOGC and GOMEMLIMIT leave Go's defaults. Most memory is garbage soon. So
// collecting less often costs little memory, and saves a third of the CPU of a large answer. The limit bounds the cost: near
// it, the collector works harder, and nothing fails.
const (
	gcPercent       = 400
	defaultPercent  = 100
	defaultNoLimit  = math.MaxInt64
	readMemoryLimit = -1
)

// The part of a limit that Go's memory may take.
const (
	ofContainer = 0.9
	// The limit of a process (RLIMIT_DATA) also counts memory that Go and SQLite have mapped but do not use.
	ofProcess = 0.4
	// A machine runs other programs too.
	ofMachine = 0.5
)

// besideGo is about the memory of SQLite, in bytes, which is not Go's. A container leaves room for it, but at most half of
// its limit.
const besideGo = 160 << 20

// The default memory for answers: half of the limit, at most a gibibyte.
const (
	ofAnswers  = 0.5
	mostMemory = 1 << 30
)

// tuneMemory sets up the garbage collector for a server of small requests, within the memory limit of the process. It
// returns the limit, in bytes. stop undoes the setting that changes while the server runs.
func tuneMemory() (limit int64, stop func()) {
	if before := debug.SetGCPercent(gcPercent); before != defaultPercent {
		debug.SetGCPercent(before)
	}
	if limit = debug.SetMemoryLimit(readMemoryLimit); limit != defaultNoLimit {
		return limit, func() {}
	}
	limit = memoryLimit(
		container(memlimit.FromCgroup),
		memlimit.ApplyRatio(processLimit, ofProcess),
		memlimit.ApplyRatio(memlimit.FromSystem, ofMachine),
	)
	debug.SetMemoryLimit(limit)
	return limit, startPacer(limit)
}

// container returns the part of a container's limit that is for Go.
func container(limit memlimit.Provider) memlimit.Provider {
	return func() (uint64, error) {
		n, err := limit()
		if err != nil {
			return 0, err
		}
		return max(n/2, min(uint64(float64(n)*ofContainer), n-min(n, besideGo))), nil
	}
}

// memoryLimit returns the lowest limit.
func memoryLimit(from ...memlimit.Provider) int64 {
	lowest := int64(defaultNoLimit)
	for _, provider := range from {
		if limit, err := provider(); err == nil && limit > 0 && limit < uint64(lowest) {
			lowest = int64(limit) //nolint:gosec // G115: lower than an int64
		}
	}
	return lowest
}

// answerMemory returns the memory for all answers, in bytes. If 0 is configured, it is a part of the memory limit.
func answerMemory(configured, limit int64) int64 {
	if configured > 0 {
		return configured
	}
	return min(int64(float64(limit)*ofAnswers), mostMemory)
}
