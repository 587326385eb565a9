package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// calmHeap is the heap, in bytes, below which the collector runs as seldom as gcPercent says. A few large requests at the
// same time can have tens of mebibytes, and gcPercent would keep four times as much garbage. So above calmHeap, the collector
// runs as often as Go's default needs.
const calmHeap = 72 << 20

// pace returns the percentage for the next cycle of the collector, after a cycle that found so many bytes in use.
func pace(live int64) int {
	if live <= 0 {
		return gcPercent
	}
	return int(min(max((calmHeap-live)*100/live, defaultPercent), gcPercent))
}

// A pacer sets the percentage after each cycle of the collector.
type pacer struct {
	mu      sync.Mutex // guards what follows
	percent int        // that of the collector
	ended   bool
}

// startPacer starts a pacer. stop ends it, and restores Go's default.
func startPacer() (stop func()) {
	p := &pacer{percent: gcPercent}
	p.await()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended = true
		debug.SetGCPercent(defaultPercent)
	}
}

// await makes the next cycle of the collector call set: the cycle finds that nothing uses the object.
func (p *pacer) await() { runtime.AddCleanup(new(*pacer), (*pacer).set, p) }

func (p *pacer) set() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	if percent := pace(int64(live[0].Value.Uint64())); percent != p.percent { //nolint:gosec // no heap has 8 EiB
		p.percent = percent
		debug.SetGCPercent(percent)
	}
	p.await()
}
