package access

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxEntries is the maximum number of lookups in a cache, and of lookups that wait.
const maxEntries = 10_000

// errBusy says that too many lookups wait for the database.
var errBusy = errors.New("too many requests wait for the database to find their callers")

// A cache looks keys up, and remembers the values for a moment: a value counts for lookups that begin within keep after its
// read was sent. Absent values are remembered too. Concurrent lookups of one key share a read. Lookups that wait share a
// statement, so that they cannot take all connections.
type cache[K comparable, V any] struct {
	clock func() time.Time
	batch int // the maximum number of keys of a read
	// read returns the values of keys. A key without a value gets the zero value.
	read func(context.Context, []K) (map[K]V, error)
	wake chan struct{} // lookups wait

	mu      sync.Mutex
	entries *simplelru.LRU[K, *entry[K, V]]
	waiting []*entry[K, V]
}

// An entry is the lookup of a key.
type entry[K comparable, V any] struct {
	key  K
	sent time.Time     // just before the read; zero while the lookup waits. cache.mu guards it
	done chan struct{} // closed when value or err is set
	// value and err are the result.
	value V
	err   error
	// before is the last value that a lookup has found before this one.
	before V
}

func newCache[K comparable, V any](clock func() time.Time, batch int, read func(context.Context, []K) (map[K]V, error)) *cache[K, V] {
	entries, _ := simplelru.NewLRU[K, *entry[K, V]](maxEntries, nil) // the error is for sizes below 1
	return &cache[K, V]{clock: clock, batch: batch, read: read, wake: make(chan struct{}, 1), entries: entries}
}

// get returns the value of a key. The error is errBusy, that of the read, or that of ctx.
func (c *cache[K, V]) get(ctx context.Context, key K) (value V, err error) {
	e, err := c.entry(key)
	if err != nil {
		return value, err
	}
	select {
	case <-e.done:
		return e.value, e.err
	case <-ctx.Done():
		return value, ctx.Err()
	}
}

// last returns the value that the last lookup of a key has found, however old it is. Without one in memory, it is the zero
// value.
func (c *cache[K, V]) last(key K) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries.Peek(key)
	if !ok {
		var none V
		return none
	}
	return e.last()
}

// last returns the value of the entry, or the one before while it has none.
func (e *entry[K, V]) last() V {
	select {
	case <-e.done:
		if e.err == nil {
			return e.value
		}
	default:
	}
	return e.before
}

// entry returns the entry of a key: a recent one, or a new one that waits for a read.
func (c *cache[K, V]) entry(key K) (*entry[K, V], error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries.Get(key); ok && (e.sent.IsZero() || c.clock().Sub(e.sent) < keep) {
		return e, nil
	}
	if len(c.waiting) >= maxEntries {
		return nil, errBusy
	}
	e := &entry[K, V]{key: key, done: make(chan struct{})}
	if old, ok := c.entries.Peek(key); ok {
		e.before = old.last()
	}
	c.entries.Add(key, e)
	c.waiting = append(c.waiting, e)
	poke(c.wake)
	return e, nil
}

// run reads the values of waiting lookups until ctx ends. Each run reads one batch at a time, and rests between two.
func (c *cache[K, V]) run(ctx context.Context) {
	for {
		select {
		case <-c.wake:
			c.look(ctx, c.take())
			pause(ctx, pace)
		case <-ctx.Done():
			return
		}
	}
}

// take removes a batch from the waiting lookups.
func (c *cache[K, V]) take() []*entry[K, V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.waiting), c.batch)
	batch := c.waiting[:n:n]
	if c.waiting = c.waiting[n:]; len(c.waiting) > 0 {
		poke(c.wake)
	}
	now := c.clock()
	for _, e := range batch {
		e.sent = now
	}
	return batch
}

// look reads the values of a batch.
func (c *cache[K, V]) look(ctx context.Context, batch []*entry[K, V]) {
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	keys := make([]K, len(batch))
	for i, e := range batch {
		keys[i] = e.key
	}
	values, err := c.read(ctx, keys)
	for _, e := range batch {
		if e.value, e.err = values[e.key], err; err != nil {
			c.forget(e)
		}
		close(e.done)
	}
}

// forget removes an entry, so that the next lookup reads again.
func (c *cache[K, V]) forget(e *entry[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if current, ok := c.entries.Peek(e.key); ok && current == e {
		c.entries.Remove(e.key)
	}
}

// poke leaves a signal in a channel of size 1, unless it has one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pause waits. It reports false if ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
