// Package record has what one operation did: its statements, its loader batches and its attempts. The packages that do
// these things write them down. Others read the record when the operation has ended: for metrics, traces, the log of slow
// operations and the profile of an answer. The package depends on none of them.
package record

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxListed is the greatest number of statements, and of batches, that a record lists. Further ones are only counted. A
// document within the default limits needs fewer.
const maxListed = 1_000

// A Statement is a statement that was sent to the database. BEGIN, COMMIT and ROLLBACK are none.
type Statement struct {
	// Text is the text, with placeholders for all values.
	Text string
	// Field is the path of the field that needed the statement, without indices, such as users.nodes.posts. It is empty if
	// the operation as a whole needed it, or if nobody asked for fields: see Operation.Fields.
	Field string
	Began time.Time
	// Took is the time until the last row was read.
	Took time.Duration
	// Rows is the number of rows that were read or, by a statement without rows, written.
	Rows   int64
	Failed bool
}

// A Batch is one fetch of a loader.
type Batch struct {
	// Name is the edge, such as User.posts.
	Name string
	// Size is the number of entities for which the edge was loaded.
	Size  int
	Began time.Time
	Took  time.Duration
}

// An Operation is the record of one query or mutation, or of one event of a subscription. Several goroutines may write it.
// The methods of a nil Operation do nothing.
type Operation struct {
	// Fields asks for the fields of statements. Set it before the operation runs.
	Fields bool

	mu         sync.Mutex
	statements []Statement
	sent       int
	batches    []Batch
	retries    int
	first      [4]Statement // memory for the statements of most operations
}

// New returns an empty record.
func New() *Operation {
	o := new(Operation)
	o.statements = o.first[:0]
	return o
}

// Sent adds a statement that has ended.
func (o *Operation) Sent(s Statement) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent++
	if len(o.statements) < maxListed {
		o.statements = append(o.statements, s)
	}
}

// Loaded adds a batch that has ended.
func (o *Operation) Loaded(b Batch) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.batches) < maxListed {
		o.batches = append(o.batches, b)
	}
}

// Retried counts an attempt after the first one.
func (o *Operation) Retried() {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.retries++
}

// Statements returns the first statements, in the order of their ends, and the number of all.
func (o *Operation) Statements() (listed []Statement, sent int) {
	if o == nil {
		return nil, 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.statements), o.sent
}

// Count returns the number of statements.
func (o *Operation) Count() int {
	if o == nil {
		return 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent
}

// Batches returns the first batches, in the order of their ends.
func (o *Operation) Batches() []Batch {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.batches)
}

// Retries returns the number of attempts after the first one.
func (o *Operation) Retries() int {
	if o == nil {
		return 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.retries
}

type (
	operationKey struct{}
	fieldKey     struct{}
)

// WithOperation returns a context whose statements and batches the record gets.
func WithOperation(ctx context.Context, o *Operation) context.Context {
	return context.WithValue(ctx, operationKey{}, o)
}

// FromContext returns the record of the operation that runs in ctx, or nil.
func FromContext(ctx context.Context) *Operation {
	o, _ := ctx.Value(operationKey{}).(*Operation)
	return o
}

// WithField returns a context for the statements of a field. Use it only if the record asks for Fields.
func WithField(ctx context.Context, path string) context.Context {
	return context.WithValue(ctx, fieldKey{}, path)
}

// Field returns the path of the field that runs in ctx, or "".
func Field(ctx context.Context) string {
	path, _ := ctx.Value(fieldKey{}).(string)
	return path
}
