// Package budget bounds the memory that answers take: the bytes of one answer, and the bytes of all answers that a
// server reads, builds and writes at a time. It knows neither GraphQL, HTTP nor databases.
//
// An answer holds a little memory without asking, so small answers never wait. A larger one reserves memory from the
// first of three pools, one that outgrows this from the second, and the last pool gives an answer everything that it may
// ever need. So large answers wait for large ones, and small ones for small ones.
//
// Requests have a pool of their own, a quarter as large as all others: what is sent slowly, and what lasts, takes nothing
// from answers.
//
// Nobody waits while an answer is built, since the operation holds a connection to the database: where memory is short,
// its account fails with ErrBusy. The operation then releases the memory of its answer, waits, and begins
// again.
package budget

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// free is how many bytes an answer holds without a reservation.
	free = 64 << 10
	// small and medium are how many bytes an answer reserves from the first pool and from the second.
	small  = 2 << 20
	medium = 16 << 20
	// requestStep is how many bytes a request reserves at a time, and a subscription at least.
	requestStep = 16 << 10
	// copies is how often the data of an answer is in memory at the same time: as rows, as JSON in pieces, and as JSON in
	// one piece.
	copies = 3
)

// ErrBusy is the error of an answer for which there is no memory now.
var ErrBusy = errors.New("budget: the answers under way take all the memory that there is for answers")

// A TooLargeError is the error of an answer that is larger than any may be.
type TooLargeError struct {
	// Limit is the most bytes that it may have.
	Limit int64
	// Memory says that the limit is the memory of all answers together, not the data of one.
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
	// MaxAnswer is how many bytes of JSON the data of one answer may have; 0 is no bound.
	MaxAnswer int64
	// Memory is how many bytes all answers may take together.
	Memory int64
	// Wait is how long an answer waits for memory of a pool.
	Wait time.Duration
}

// A Budget is the memory for all answers of a server. A nil Budget has no bounds.
type Budget struct {
	options  Options
	first    *pool
	requests *pool
}

// pool is memory that is handed out in the order in which it was asked for.
type pool struct {
	*semaphore.Weighted
	size  int64
	grant int64 // what each answer gets; 0 is everything that it may need
	next  *pool // where an answer goes on for which that is not enough; nil after the last
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

// Open opens the account of an answer. Close gives back what it holds.
func (b *Budget) Open() *Answer {
	if b == nil {
		return nil
	}
	a := &Answer{budget: b, maxData: b.options.MaxAnswer}
	a.granted.Store(free)
	return a
}

// Reserve reserves bytes for something that is not an answer of its own, such as what is kept for a subscriber, when
// they can be had at once. release gives them back.
func (b *Budget) Reserve(n int64) (release func(), ok bool) {
	if b == nil {
		return func() {}, true
	}
	if n > b.first.size || !b.first.TryAcquire(n) {
		return nil, false
	}
	return sync.OnceFunc(func() { b.first.Release(n) }), true
}

// Limited returns the account of something that is read apart from any answer, such as what all subscribers share: at
// most so many bytes of text.
func Limited(text int64) *Answer { return &Answer{maxData: text} }

// An Answer is the account of one answer, from the first byte of its request to the last byte that is written. Its
// methods may be called at the same time. A nil Answer has no bounds.
//
// The first error stays: every later call returns it too, until Reset or Wait.
type Answer struct {
	budget  *Budget // nil for one that takes no part in a budget
	maxData int64   // 0 is no bound
	err     atomic.Pointer[error]

	// Lower bounds of the data, in bytes of JSON. Rows and values are counted apart: rows come first, but a row that is
	// read once may be written many times.
	rows, values, written atomic.Int64
	readRows              atomic.Int64

	used    atomic.Int64 // bytes of memory, about
	granted atomic.Int64 // bytes of memory that need no reservation, or have one

	mu     sync.Mutex // guards what follows
	work   int64      // bytes of memory that the operation may need beside its data
	pool   *pool      // what the reservation is from; nil without one
	weight int64      // of the reservation
	closed bool
	// request is how many bytes the request takes, and reserved how many of them have a reservation, until Close.
	request, reserved int64
}

// Request counts bytes of memory that the request takes. It waits for them: nothing is held up by a request that is not
// read yet. The error is ErrBusy, or that of ctx.
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

// acquire reserves memory from a pool. When the pool has too little, it waits in turn. The error is ErrBusy after
// Options.Wait, or that of ctx.
func (b *Budget) acquire(ctx context.Context, p *pool, n int64) error {
	// What is free needs no waiting, however short the wait may be.
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

// Last says that the operation is a subscription: the request stays in memory, in fewer copies, until it ends. The error is
// ErrBusy.
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

// Expect says how many bytes of memory the operation may need beside its data.
func (a *Answer) Expect(n int64) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.work = n
}

// Row counts a row that is read: the bytes that it takes in memory, and of these the bytes of text that the answer will
// have at least. The error is a *TooLargeError or ErrBusy.
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

// Rows is how many rows with text of the answer were read.
func (a *Answer) Rows() int64 {
	if a == nil {
		return 0
	}
	return a.readRows.Load()
}

// Value counts bytes that the data will have at least, of a value whose memory is counted already. The error is a
// *TooLargeError.
func (a *Answer) Value(n int64) error {
	if a == nil {
		return nil
	}
	return a.within(a.values.Add(n))
}

// Write counts bytes of the data as they are written into memory. The error is as that of Row.
func (a *Answer) Write(n int64) error {
	if a == nil {
		return nil
	}
	if err := a.within(a.written.Add(n)); err != nil {
		return err
	}
	return a.Hold(2 * n) // in pieces, and then in one
}

// Data checks the finished data. The error is a *TooLargeError.
func (a *Answer) Data(n int64) error {
	if a == nil {
		return nil
	}
	return a.within(n)
}

// Written is how many bytes Write has counted.
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

// Hold counts memory, about. The error is as that of Row.
func (a *Answer) Hold(n int64) error {
	if a == nil {
		return nil
	}
	if a.used.Add(n) <= a.granted.Load() || a.budget == nil {
		return a.Err()
	}
	return a.reserve()
}

// Err is the error that the answer has come to; nil while it is within its bounds.
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

// reserve gets memory for what is used.
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

// next is the pool after the one that the reservation is from; nil after the last. The caller holds mu.
func (a *Answer) next() *pool {
	if a.pool == nil {
		return a.budget.first
	}
	return a.pool.next
}

// share is what the answer gets from a pool. The caller holds mu.
func (a *Answer) share(p *pool) int64 {
	switch {
	case p.grant > 0:
		return p.grant
	case a.maxData > 0:
		return min(p.size, max(copies*a.maxData+a.work, medium))
	}
	return p.size
}

// stretch takes more from the last pool than was expected. The caller holds mu.
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

// hold notes a reservation. The caller holds mu.
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

// Reset releases the memory of the answer and clears the counts and the error. It keeps the memory of the
// request. Each attempt at an operation, and each event of a subscription, is an answer of its own.
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

// Wait resets the answer after ErrBusy. Then it waits in turn for a reservation from the pool that had no memory. The
// error is ErrBusy after Options.Wait or when there is no such pool, or that of ctx.
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

// Settle says that no more than so many bytes are held from now on: the answer is built, and only has to be written.
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

// WithAnswer returns a context with the account that an operation is counted on.
func WithAnswer(ctx context.Context, a *Answer) context.Context {
	return context.WithValue(ctx, answerKey{}, a)
}

// FromContext returns the account of the operation; nil, which has no bounds, when there is none.
func FromContext(ctx context.Context) *Answer {
	a, _ := ctx.Value(answerKey{}).(*Answer)
	return a
}
