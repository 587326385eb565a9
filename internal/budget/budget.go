// Package budget bounds the memory of answers: of one answer, and of all answers that a server reads, builds and writes
// at the same time. It does not depend on GraphQL, HTTP or databases.
//
// A small answer needs no reservation, so it never waits. A larger answer reserves memory from the first of three
// pools. If it needs more, it reserves from the second pool, and then from the last. The last pool gives it all memory
// that it can ever need. So large answers wait only for large ones, and small answers for small ones.
//
// Requests have their own pool, a quarter as large as the others together. So slow requests and subscriptions take no
// memory from answers.
//
// An operation holds a connection to the database while its answer is built, so it must not wait for memory. If there
// is none, its account fails with ErrBusy. Then the operation releases the memory of its answer, waits, and starts
// again.
package budget

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// free is the memory that an answer uses without a reservation, in bytes.
	free = 64 << 10
	// small and medium are the reservations of an answer from the first and the second pool, in bytes.
	small  = 2 << 20
	medium = 16 << 20
	// requestStep is one reservation of a request, and the minimum for a subscription, in bytes.
	requestStep = 16 << 10
	// copies is the number of copies of the data in memory: rows, JSON in pieces, and JSON in one piece.
	copies = 3
)

// ErrBusy says that there is no memory for the answer now.
var ErrBusy = errors.New("budget: the running requests use all the memory for answers")

// A TooLargeError says that an answer is larger than the maximum. Trying again does not help.
type TooLargeError struct {
	// Limit is the maximum, in bytes.
	Limit int64
	// Memory says that Limit is the memory of all answers together. Otherwise it is the size of the data of one answer.
	Memory bool
}

func (e *TooLargeError) Error() string {
	if e.Memory {
		return fmt.Sprintf("budget: the answer takes more than the %d bytes of all answers", e.Limit)
	}
	return fmt.Sprintf("budget: the data of the answer has more than %d bytes", e.Limit)
}

// Options are the bounds.
type Options struct {
	// MaxAnswer is the maximum size of the data of one answer, in bytes of JSON. 0: no limit.
	MaxAnswer int64
	// Memory is the memory for all answers together, in bytes.
	Memory int64
	// Wait is the maximum time that an answer waits for memory of a pool.
	Wait time.Duration
}

// A Budget is the memory for all answers of a server. A nil Budget has no bounds.
type Budget struct {
	options  Options
	first    *pool
	requests *pool
}

// pool is memory for answers. Answers that wait for it get it in the order of their requests.
type pool struct {
	*semaphore.Weighted
	size  int64 // in bytes
	grant int64 // the reservation of each answer, in bytes; 0: all memory that it can need
	next  *pool // the pool for answers that need more; nil for the last
}

func newPool(size, grant int64, next *pool) *pool {
	size = max(size, grant)
	return &pool{semaphore.NewWeighted(size), size, grant, next}
}

// New returns a budget. Half of the memory is for the largest answers.
func New(o Options) *Budget {
	last := newPool(max(o.Memory/2, medium), 0, nil)
	return &Budget{
		options:  o,
		first:    newPool(o.Memory/4, small, newPool(o.Memory/4, medium, last)),
		requests: newPool(o.Memory/4, small, nil),
	}
}

// Open opens the account of an answer. Close releases its memory.
func (b *Budget) Open() *Answer {
	if b == nil {
		return nil
	}
	a := &Answer{budget: b, maxData: b.options.MaxAnswer}
	a.granted.Store(free)
	return a
}

// Reserve reserves bytes for memory outside answers, such as that of a subscriber. ok is false if they are not free
// now. release releases them, and may be called again.
func (b *Budget) Reserve(n int64) (release func(), ok bool) {
	if b == nil {
		return func() {}, true
	}
	if n > b.first.size || !b.first.TryAcquire(n) {
		return nil, false
	}
	return sync.OnceFunc(func() { b.first.Release(n) }), true
}

// Limited returns an account for rows outside answers, such as those that all subscribers share. text is its maximum,
// in bytes of text.
func Limited(text int64) *Answer { return &Answer{maxData: text} }

// An Answer is the account of one answer, from the first byte of its request to the last byte that is written. Its
// methods may be called at the same time. A nil Answer has no bounds.
//
// The first error stays: every later call returns it too, until Reset or Wait.
type Answer struct {
	budget  *Budget // nil: only maxData bounds the answer
	maxData int64   // in bytes of JSON; 0: no limit
	err     atomic.Pointer[error]

	// Lower bounds of the data, in bytes of JSON. rows counts what is read, values what is resolved. They have separate
	// counters, because one row can be written many times.
	rows, values, written atomic.Int64
	readRows              atomic.Int64

	used    atomic.Int64 // approximate memory, in bytes
	granted atomic.Int64 // free and the reservation, in bytes

	mu     sync.Mutex // guards what follows
	work   int64      // memory that the operation can need besides its data, in bytes
	pool   *pool      // the pool of the reservation; nil if there is none
	weight int64      // the reservation, in bytes
	closed bool
	// request is the memory of the request, and reserved its reservation, in bytes. Close releases it.
	request, reserved int64
}

// Request adds memory of the request, in bytes. It may wait for memory, because a request that is still being read
// holds nothing that others need. The error is ErrBusy, or that of ctx.
func (a *Answer) Request(ctx context.Context, n int64) error {
	if a == nil || a.budget == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.request += n
	for a.request > free+a.reserved {
		if err := a.budget.acquire(ctx, a.budget.requests, requestStep); err != nil {
			return a.fail(err)
		}
		a.reserved += requestStep
	}
	return nil
}

// acquire reserves memory from a pool, and waits if the pool has too little. The error is ErrBusy after Options.Wait,
// or that of ctx.
func (b *Budget) acquire(ctx context.Context, p *pool, n int64) error {
	if p.TryAcquire(n) {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, b.options.Wait)
	defer cancel()
	if p.Acquire(waiting, n) != nil {
		return cmp.Or(ctx.Err(), ErrBusy)
	}
	return nil
}

// Last says that the operation is a subscription. Then its request stays in memory until it ends, with half as many
// copies. The error is ErrBusy.
func (a *Answer) Last() error {
	if a == nil || a.budget == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	want := max((a.request/2+requestStep-1)/requestStep, 1) * requestStep
	switch {
	case want > a.reserved && !a.budget.requests.TryAcquire(want-a.reserved):
		return a.fail(ErrBusy)
	case want < a.reserved:
		a.budget.requests.Release(a.reserved - want)
	}
	a.reserved = want
	return nil
}

// Expect sets the memory that the operation can need besides its data, in bytes.
func (a *Answer) Expect(n int64) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.work = n
}

// Row counts a row that was read. size is its memory, and text the bytes that it adds to the data at least. The error
// is a *TooLargeError or ErrBusy.
func (a *Answer) Row(size, text int64) error {
	if a == nil {
		return nil
	}
	if text > 0 {
		a.readRows.Add(1)
		if err := a.within(a.rows.Add(text)); err != nil {
			return err
		}
	}
	return a.Hold(size)
}

// Rows returns the number of rows with text that were read.
func (a *Answer) Rows() int64 {
	if a == nil {
		return 0
	}
	return a.readRows.Load()
}

// Value counts a value that adds n bytes to the data at least. Its memory is counted already. The error is a
// *TooLargeError.
func (a *Answer) Value(n int64) error {
	if a == nil {
		return nil
	}
	return a.within(a.values.Add(n))
}

// Write counts n bytes of the data that are written into memory. The error is a *TooLargeError or ErrBusy.
func (a *Answer) Write(n int64) error {
	if a == nil {
		return nil
	}
	if err := a.within(a.written.Add(n)); err != nil {
		return err
	}
	return a.Hold(2 * n) // in pieces, and then in one piece
}

// Data checks the size of the complete data, in bytes. The error is a *TooLargeError.
func (a *Answer) Data(n int64) error {
	if a == nil {
		return nil
	}
	return a.within(n)
}

// Room returns the number of bytes that an answer with n bytes of data may still have.
func (a *Answer) Room(n int64) int64 {
	if a == nil || a.maxData == 0 {
		return math.MaxInt64
	}
	return max(a.maxData-n, 0)
}

// Written returns the number of bytes that Write has counted.
func (a *Answer) Written() int64 {
	if a == nil {
		return 0
	}
	return a.written.Load()
}

func (a *Answer) within(n int64) error {
	if a.maxData > 0 && n > a.maxData {
		return a.fail(&TooLargeError{Limit: a.maxData})
	}
	return a.Err()
}

// Hold counts approximate memory, in bytes. The error is a *TooLargeError or ErrBusy.
func (a *Answer) Hold(n int64) error {
	if a == nil {
		return nil
	}
	if a.used.Add(n) <= a.granted.Load() || a.budget == nil {
		return a.Err()
	}
	return a.reserve()
}

// Err returns the first error of the account: a *TooLargeError, ErrBusy or that of a context.
func (a *Answer) Err() error {
	if a == nil {
		return nil
	}
	if err := a.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (a *Answer) fail(err error) error {
	a.err.CompareAndSwap(nil, &err)
	return a.Err()
}

// reserve reserves memory until it covers what is used.
func (a *Answer) reserve() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.Err() == nil && a.used.Load() > a.granted.Load() {
		if err := a.enlarge(); err != nil {
			return a.fail(err)
		}
	}
	return a.Err()
}

// enlarge moves the reservation to the next pool. The caller holds mu.
func (a *Answer) enlarge() error {
	next := a.next()
	if next == nil {
		return a.stretch()
	}
	weight := a.share(next)
	if a.closed || !next.TryAcquire(weight) {
		return ErrBusy
	}
	a.release()
	a.hold(next, weight)
	return nil
}

// next returns the pool after that of the reservation, or nil after the last pool. The caller holds mu.
func (a *Answer) next() *pool {
	if a.pool == nil {
		return a.budget.first
	}
	return a.pool.next
}

// share returns the reservation of the answer from a pool, in bytes. The caller holds mu.
func (a *Answer) share(p *pool) int64 {
	switch {
	case p.grant > 0:
		return p.grant
	case a.maxData > 0:
		return min(p.size, max(copies*a.maxData+a.work, medium))
	}
	return p.size
}

// stretch enlarges the reservation from the last pool. The caller holds mu.
func (a *Answer) stretch() error {
	more := a.used.Load() - a.granted.Load()
	if a.weight+more > a.pool.size {
		return &TooLargeError{Limit: a.pool.size, Memory: true}
	}
	if !a.pool.TryAcquire(more) {
		return ErrBusy
	}
	a.hold(a.pool, a.weight+more)
	return nil
}

// hold sets the reservation. The caller holds mu.
func (a *Answer) hold(p *pool, weight int64) {
	a.pool, a.weight = p, weight
	a.granted.Store(free + weight)
}

// release releases the reservation. The caller holds mu.
func (a *Answer) release() {
	if a.pool != nil {
		a.pool.Release(a.weight)
	}
	a.pool, a.weight = nil, 0
	a.granted.Store(free)
}

// Reset releases the memory of the answer and clears its counts and its error. It keeps the memory of the request. Each
// attempt of an operation and each event of a subscription starts with it.
func (a *Answer) Reset() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reset()
}

// reset is Reset. The caller holds mu.
func (a *Answer) reset() {
	if a.budget != nil {
		a.release()
	}
	a.used.Store(0)
	a.rows.Store(0)
	a.readRows.Store(0)
	a.values.Store(0)
	a.written.Store(0)
	a.err.Store(nil)
}

// Wait resets the answer after ErrBusy. Then it waits for a reservation from the pool that had no memory. The error is
// ErrBusy after Options.Wait or if there is no such pool, or that of ctx.
func (a *Answer) Wait(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := a.next()
	if a.closed || next == nil {
		return ErrBusy
	}
	a.reset()
	weight := a.share(next)
	if err := a.budget.acquire(ctx, next, weight); err != nil {
		return a.fail(err)
	}
	a.hold(next, weight)
	return nil
}

// Settle says that the answer is complete and takes n bytes until it is written. It releases the rest of its memory.
func (a *Answer) Settle(n int64) {
	if a == nil || a.budget == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used.Store(n)
	left := max(n-free, 0)
	switch {
	case a.pool == nil:
	case left == 0:
		a.release()
	case left < a.weight:
		a.pool.Release(a.weight - left)
		a.hold(a.pool, left)
	}
}

// Close releases the memory of the answer and of its request.
func (a *Answer) Close() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.budget != nil {
		a.release()
		a.budget.requests.Release(a.reserved)
		a.reserved = 0
	}
}

type answerKey struct{}

// WithAnswer returns a context with the account of an operation.
func WithAnswer(ctx context.Context, a *Answer) context.Context {
	return context.WithValue(ctx, answerKey{}, a)
}

// FromContext returns the account of the operation, or nil, which has no bounds.
func FromContext(ctx context.Context) *Answer {
	a, _ := ctx.Value(answerKey{}).(*Answer)
	return a
}
