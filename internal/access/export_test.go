package access

import (
	"context"
	"sync"
)

// Keep is the maximum age of a lookup in memory, and WatchInterval the time between two checks of the callers of open
// streams.
const (
	Keep          = keep
	WatchInterval = watchInterval
	UseInterval   = useInterval
	MaxBatch      = maxBatch
	MaxStrangers  = maxStrangers
)

// StartLookups is the part of Run that Authenticate waits for.
func (a *Access) StartLookups(ctx context.Context, running *sync.WaitGroup) {
	a.startLookups(ctx, running)
}

// Check is what Run does after each WatchInterval.
func (a *Access) Check(ctx context.Context) { a.check(ctx) }

// WriteUses is what Run does after a use of an API key.
func (a *Access) WriteUses(ctx context.Context) { a.writeWaiting(ctx) }

// Waiting returns the number of lookups of API keys that wait for a read.
func (a *Access) Waiting() int {
	a.keys.mu.Lock()
	defer a.keys.mu.Unlock()
	return len(a.keys.waiting)
}
