package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// calmMemory is the memory, in bytes, within which the collector keeps a server that has little in use. GOGC alone would let
// the garbage of a few large requests grow to four times the memory that they use.
const calmMemory = 88 << 20

// pace returns the soft limit for a server that has so many bytes in use: calmMemory while this leaves the collector enough
// room, then about three bytes for each, but at most the limit of the process. All are in bytes.
func pace(live, most int64) int64 { return min(max(calmMemory, 3*live-calmMemory), most) }

// A pacer sets the soft limit after each cycle of the collector. If it is late, the collector works harder for a while, and the
// memory stays low.
type pacer struct {
	most int64 // the limit of the process, in bytes

	mu    sync.Mutex // guards what follows
	ended bool
}

// startPacer starts a pacer for a process with a limit, in bytes. stop ends it, and restores the limit.
func startPacer(most int64) (stop func()) {
	p := &pacer{most: most}
	p.set()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended = true
		debug.SetMemoryLimit(most)
	}
}

func (p *pacer) set() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	limit := pace(int64(live[0].Value.Uint64()), p.most) //nolint:gosec // no heap has 8 EiB
	if limit != debug.SetMemoryLimit(readMemoryLimit) {
		debug.SetMemoryLimit(limit)
	}
	runtime.AddCleanup(new(*pacer), (*pacer).set, p) // nothing uses this object, so the next cycle calls set
}
