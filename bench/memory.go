package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"roster/graph"
)

// forgetPeak lets the kernel measure the peak memory of a process from now on. Where that is not possible, the peak is that
// since the start of the process.
func forgetPeak(pid int) {
	_ = os.WriteFile(filepath.Join("/proc", strconv.Itoa(pid), "clear_refs"), []byte("5"), 0) // see proc(5)
}

// peakMemory returns the greatest resident memory of a process, in bytes, or 0 if it is unknown.
func peakMemory(pid int) int64 {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kibibytes int64
	if _, err := fmt.Sscan(string(after), &kibibytes); err != nil {
		return 0
	}
	return kibibytes << 10
}

// allocations are those of one request in Go's heap, without HTTP.
type allocations struct{ objects, bytes uint64 }

// allocated makes some of the requests of a workload in this process, one after the other, and returns the allocations of
// one.
func (b *bench) allocated(ctx context.Context, executor *graph.Executor, w workload) (allocations, error) {
	const part, least, most = 100, 2, 20
	requests := max(least, min(b.requests/w.part/part, most))
	for i := range requests { // the caches and pools are filled by then
		if err := ask(ctx, executor, w, i); err != nil {
			return allocations{}, err
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range requests {
		if err := ask(ctx, executor, w, requests+i); err != nil {
			return allocations{}, err
		}
	}
	runtime.ReadMemStats(&after)
	n := uint64(requests)
	return allocations{(after.Mallocs - before.Mallocs) / n, (after.TotalAlloc - before.TotalAlloc) / n}, nil
}
