package access

import (
	"context"
	"sync"
	"time"

	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/typeid"
)

// uses are the last uses of API keys that wait to be written. Their number is bounded by the number of keys.
type uses struct {
	wake chan struct{} // a use waits

	mu      sync.Mutex
	waiting map[typeid.ID]time.Time
	// tried has the keys whose last use this server has tried to write within useInterval. A database that takes no writes
	// is not tried more often.
	tried map[typeid.ID]time.Time
}

func newUses() uses {
	return uses{wake: make(chan struct{}, 1), waiting: map[typeid.ID]time.Time{}, tried: map[typeid.ID]time.Time{}}
}

// use notes a use of an API key. It does not wait for the database.
func (a *Access) use(k *apiKey) {
	now := a.Clock()
	if k.lastUsed != nil && now.Sub(*k.lastUsed) < useInterval {
		return
	}
	u := &a.uses
	u.mu.Lock()
	defer u.mu.Unlock()
	if tried, ok := u.tried[k.id]; ok && now.Sub(tried) < useInterval {
		return
	}
	u.waiting[k.id], u.tried[k.id] = now, now
	poke(u.wake)
}

// take returns the waiting uses. It forgets attempts that are older than useInterval.
func (u *uses) take(now time.Time) map[typeid.ID]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	waiting := u.waiting
	u.waiting = map[typeid.ID]time.Time{}
	for id, tried := range u.tried {
		if now.Sub(tried) >= useInterval {
			delete(u.tried, id)
		}
	}
	return waiting
}

// writeUses writes last uses until ctx ends.
func (a *Access) writeUses(ctx context.Context) {
	for {
		select {
		case <-a.uses.wake:
			a.writeWaiting(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// writeWaiting writes the waiting uses. No request depends on them.
func (a *Access) writeWaiting(ctx context.Context) {
	for id, at := range a.uses.take(a.Clock()) {
		if err := a.writeUse(ctx, id, at); err != nil {
			a.Logger.DebugContext(ctx, "the last use of an API key cannot be written", "key", id, "error", err)
		}
	}
}

// writeUse writes a last use in a transaction of its own: it never holds two locks, so it takes part in no deadlock.
func (a *Access) writeUse(ctx context.Context, id typeid.ID, at time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	session := a.Database.Session(database.Write)
	defer session.Rollback()
	if err := directory.UseAPIKey(ctx, session, id, at, useInterval); err != nil {
		return err
	}
	return session.Commit()
}
