package graph

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"reflect"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/internal/budget"
	"roster/internal/typeid"
)

// How many bytes of memory the executor takes for what it makes of rows, about.
const (
	bytesPerField  = 40  // of an object that is built
	bytesPerObject = 256 // beside its fields
	// bytesPerCost is for what one point of an operation's cost allows: an object, or ten fields.
	bytesPerCost = bytesPerObject + 10*bytesPerField
)

// longText is the length in bytes from which the meter counts a text by itself. Shorter texts are small compared with
// their object.
const longText = 256

// A meter counts what an operation answers while it is resolved, on the account of its answer. Once that is overdrawn
// nothing more is resolved, and no field fails by itself: the operation ends with the account's error.
type meter struct {
	answer *budget.Answer

	mu        sync.Mutex // guards what follows
	widths    map[subtree]int64
	fragments map[*ast.FragmentDefinition]int64
}

// subtree is a field with all that is selected below it.
type subtree struct {
	field *ast.Field
	parts int // fields of one name in one place are one field
}

// newMeter returns the meter of an operation, by its cost.
func newMeter(answer *budget.Answer, cost int64) *meter {
	answer.Expect(cost * bytesPerCost)
	return &meter{answer: answer, widths: map[subtree]int64{}, fragments: map[*ast.FragmentDefinition]int64{}}
}

// resolve resolves a field.
func (m *meter) resolve(ctx context.Context, next graphql.Resolver) (any, error) {
	if m.answer.Err() != nil {
		return graphql.Null, nil //nolint:nilerr // it is the operation's error, not the field's
	}
	value, err := next(ctx)
	m.count(ctx, value)
	if m.answer.Err() != nil { // which is the operation's error
		value, err = graphql.Null, nil
	}
	return value, err
}

// count counts the value of a field. The account keeps the error.
func (m *meter) count(ctx context.Context, value any) {
	switch v := value.(type) {
	case nil, int, bool, time.Time, typeid.ID:
	case string:
		if len(v) >= longText {
			_ = m.answer.Value(jsonSize(v))
		}
	default:
		if n := elements(value); n > 0 {
			_ = m.answer.Hold(n * m.width(ctx))
		}
	}
}

// elements is how many objects a value has.
func elements(value any) int64 {
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Slice:
		return int64(v.Len())
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return 0
		}
	default:
	}
	return 1
}

// width is how many bytes an object takes, at most, of those that the current field answers.
func (m *meter) width(ctx context.Context) int64 {
	field := graphql.GetFieldContext(ctx).Field
	if len(field.Selections) == 0 {
		return bytesPerField
	}
	key := subtree{field.Field, len(field.Selections)}
	m.mu.Lock()
	defer m.mu.Unlock()
	width, ok := m.widths[key]
	if !ok {
		width = bytesPerObject + m.fields(field.Selections)
		m.widths[key] = width
	}
	return width
}

// fields is how many bytes the fields of a selection set take, fragments in their places. The caller holds mu.
func (m *meter) fields(set ast.SelectionSet) int64 {
	n := int64(0)
	for _, part := range set {
		switch s := part.(type) {
		case *ast.Field:
			n += bytesPerField + int64(len(s.Alias))
		case *ast.InlineFragment:
			n += m.fields(s.SelectionSet)
		case *ast.FragmentSpread:
			of, ok := m.fragments[s.Definition]
			if !ok {
				of = m.fields(s.Definition.SelectionSet)
				m.fragments[s.Definition] = of
			}
			n += of
		}
	}
	return n
}

// jsonSize is how many bytes a text has as JSON.
func jsonSize(s string) int64 {
	n := len(s) + len(`""`)
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\', c == '\n', c == '\r', c == '\t':
			n++
		case c < 0x20:
			n += len(`\u0000`) - 1
		}
	}
	return int64(n)
}

// rootJSON is the JSON of a root field. It is written as soon as the field is resolved: then what it was made of can be
// let go, and JSON that gets too long is cut off.
type rootJSON struct {
	budget.Buffer
	total *budget.Answer
}

// overdraft is the panic that stops a marshaler, which returns no error.
type overdraft struct{}

// writeRoot marshals the value of a root field. It is graphql.Null when the answer is too large.
func writeRoot(answer *budget.Answer, m graphql.Marshaler) (out graphql.Marshaler) {
	if answer == nil || m == graphql.Null {
		return m
	}
	w := &rootJSON{total: answer}
	defer func() {
		if value := recover(); value != nil {
			if _, ok := value.(overdraft); !ok {
				panic(value)
			}
			out = graphql.Null
		}
	}()
	c := &countingWriter{answer: answer, buffer: &w.Buffer}
	m.MarshalGQL(c)
	c.settle()
	return w
}

// countingWriter counts what is written, and panics with an overdraft when that is too much.
type countingWriter struct {
	answer *budget.Answer
	buffer *budget.Buffer
	since  int // bytes that the account does not have yet
}

// countEvery is how many bytes are counted at a time: gqlgen writes single characters.
const countEvery = 4 << 10

var _ io.StringWriter = (*countingWriter)(nil)

func (c *countingWriter) count(n int) {
	if c.since += n; c.since >= countEvery {
		c.settle()
	}
}

func (c *countingWriter) settle() {
	n := int64(c.since)
	c.since = 0
	if c.answer.Write(n) != nil {
		panic(overdraft{})
	}
}

func (c *countingWriter) Write(p []byte) (int, error) {
	c.count(len(p))
	return c.buffer.Write(p)
}

func (c *countingWriter) WriteString(s string) (int, error) {
	c.count(len(s))
	return c.buffer.WriteString(s)
}

// MarshalGQL implements graphql.Marshaler.
func (w *rootJSON) MarshalGQL(to io.Writer) {
	if b, ok := to.(*bytes.Buffer); ok && b.Len() < w.Len() {
		b.Grow(int(w.total.Written()) + 1<<10) // all root fields together, and their names
	}
	_, _ = w.WriteTo(to) // gqlgen's writer is a buffer
}

// tooLarge is the message of an answer that is too large.
func tooLarge(e *budget.TooLargeError) string {
	if e.Memory {
		return fmt.Sprintf("the answer takes more memory than the %d bytes that there are for all answers (--answer-memory-bytes): ask for fewer nodes or fields", e.Limit)
	}
	return fmt.Sprintf("the data of the answer has more than %d bytes (--max-answer-bytes): ask for fewer nodes or fields", e.Limit)
}
