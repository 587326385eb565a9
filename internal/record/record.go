// Package record has what one operation did: its statements, its loader batches and its attempts. The packages that do
// these things write them down. Others read the record when the operation has ended: for metrics, traces, the log of slow
// operations and the profile of an answer. The package depends on none of them.
package record

import (
	"context"
	"slices"
	"strings"
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
	// Fields are the fields that needed the statement. It is nil if the operation as a whole needed it, or if nobody asked
	// for fields: see Operation.Fields.
	Fields *Fields
	// Arguments are the values for the placeholders. They are nil if nobody asked for them: see Operation.Arguments.
	Arguments []any
	Began     time.Time
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

// Totals are about all statements of an operation, listed or not.
type Totals struct {
	Statements int
	Rows       int64
	// Took is the sum of the times of the statements. Some of them may have run at the same time.
	Took time.Duration
}

// An Operation is the record of one query or mutation, or of one event of a subscription. Several goroutines may write it.
// The methods of a nil Operation do nothing.
type Operation struct {
	// Fields and Arguments ask for the fields and the arguments of statements. Set them before the operation runs.
	Fields, Arguments bool

	mu         sync.Mutex
	statements []Statement
	totals     Totals
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
	o.totals.Statements++
	o.totals.Rows += s.Rows
	o.totals.Took += s.Took
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
	return slices.Clone(o.statements), o.totals.Statements
}

// Totals returns the totals of all statements.
func (o *Operation) Totals() Totals {
	if o == nil {
		return Totals{}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.totals
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

// Short returns the start of a text, of at most so many bytes before the sign that it is cut.
func Short(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

type operationKey struct{}

// WithOperation returns a context whose statements and batches the record gets.
func WithOperation(ctx context.Context, o *Operation) context.Context {
	return context.WithValue(ctx, operationKey{}, o)
}

// FromContext returns the record of the operation that runs in ctx, or nil.
func FromContext(ctx context.Context) *Operation {
	o, _ := ctx.Value(operationKey{}).(*Operation)
	return o
}
