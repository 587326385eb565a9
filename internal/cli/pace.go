package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// calmHeap is the heap, in bytes, within which the collector keeps a server that has little in use. GOGC alone would let the
// garbage of a few large requests grow to four times the memory that they use.
const calmHeap = 72 << 20

// pace returns the soft limit for a server that has so many bytes in use, in the heap and beside it: room for calmHeap or for
// twice what is in use, but at most the limit of the process. So the collector works about as often as with GOGC 100 at most.
// All are in bytes.
func pace(heap, beside, most int64) int64 { return min(max(calmHeap, 2*heap+beside)+beside, most) }

// memoryInUse returns what the soft limit counts, in bytes: the objects in the heap that the last cycle of the collector found
// in use, and the memory beside the heap, such as stacks.
func memoryInUse() (heap, beside int64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	rest := samples[1].Value.Uint64()
	for _, part := range samples[2:] {
		rest -= part.Value.Uint64()
	}
	return int64(samples[0].Value.Uint64()), int64(rest) //nolint:gosec // no process has 8 EiB
}

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
	heap, beside := memoryInUse()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	if limit := pace(heap, beside, p.most); limit != debug.SetMemoryLimit(readMemoryLimit) {
		debug.SetMemoryLimit(limit)
	}
	runtime.AddCleanup(new(*pacer), (*pacer).set, p) // nothing uses this object, so the next cycle calls set
}
