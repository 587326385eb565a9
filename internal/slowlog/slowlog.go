// Package slowlog logs slow operations and slow statements, with their texts and without values. It can keep snapshots of
// what the whole program did during a slow operation.
package slowlog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"roster/graph"
	"roster/internal/documents"
	"roster/internal/record"
)

// Options are the bounds of what is slow, and the dependencies.
type Options struct {
	// Operation and Statement are the times from which an operation and a statement are slow. 0: none is.
	Operation, Statement time.Duration
	// Snapshots keeps snapshots of slow operations. nil: none.
	Snapshots *Snapshots
	Logger    *slog.Logger
}

// A Log logs what is slow. When everything is slow, it logs only a part of it, and counts the rest.
type Log struct {
	options               Options
	operations, statement lines
}

var _ graph.Observer = (*Log)(nil)

// The bounds of lines: their number in a second, and at once.
const (
	perSecond = 5
	burst     = 20
)

// The maximum sizes of texts in a line, in bytes.
const (
	maxText = 2 << 10
	maxName = 256
)

// New returns a Log.
func New(o Options) *Log {
	return &Log{
		options:    o,
		operations: lines{bound: rate.NewLimiter(perSecond, burst)},
		statement:  lines{bound: rate.NewLimiter(perSecond, burst)},
	}
}

// lines bounds the number of lines of one kind.
type lines struct {
	bound *rate.Limiter
	left  atomic.Int64 // lines that were left out since the last one
}

// next reports whether a line may be written, and how many were left out before it.
func (l *lines) next() (left int64, ok bool) {
	if !l.bound.Allow() {
		l.left.Add(1)
		return 0, false
	}
	return l.left.Swap(0), true
}

// Begin implements graph.Observer.
func (*Log) Begin(ctx context.Context, _ *documents.Operation) context.Context { return ctx }

// End implements graph.Observer. It logs the operation if it is slow.
func (l *Log) End(ctx context.Context, o *documents.Operation, e graph.Ended) {
	if l.options.Operation == 0 || e.Took < l.options.Operation {
		return
	}
	left, ok := l.operations.next()
	if !ok {
		return
	}
	hash, totals := sha256.Sum256([]byte(o.Text)), e.Record.Totals()
	attributes := []any{
		"type", string(o.Definition.Operation), "name", record.Short(o.Definition.Name, maxName), "hash", hex.EncodeToString(hash[:]),
		"duration", e.Took, "cost", o.Cost, "way", string(e.Way), "statements", totals.Statements, "databaseTime", totals.Took,
		"rows", totals.Rows, "retries", e.Record.Retries(),
	}
	if errs := e.Response.Errors; len(errs) > 0 {
		attributes = append(attributes, "code", fmt.Sprint(errs[0].Extensions["code"]))
	}
	if left > 0 {
		attributes = append(attributes, "leftOut", left)
	}
	attributes = append(attributes, "document", record.Short(o.Redacted(), maxText))
	log := func(more ...any) {
		l.options.Logger.WarnContext(ctx, "slow operation", append(attributes, more...)...)
	}
	if s := l.options.Snapshots; s == nil || !s.take(log) {
		log()
	}
}

// Sent logs a statement if it is slow.
func (l *Log) Sent(ctx context.Context, s record.Statement) {
	if l.options.Statement == 0 || s.Took < l.options.Statement {
		return
	}
	left, ok := l.statement.next()
	if !ok {
		return
	}
	attributes := []any{"duration", s.Took, "rows", s.Rows, "failed", s.Failed}
	if left > 0 {
		attributes = append(attributes, "leftOut", left)
	}
	l.options.Logger.WarnContext(ctx, "slow statement", append(attributes, "statement", record.Short(s.Text, maxText))...)
}
