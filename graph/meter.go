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
	"roster/internal/statement"
	"roster/internal/typeid"
)

// The approximate memory of the objects that gqlgen makes of rows, in bytes.
const (
	bytesPerField  = 40
	bytesPerObject = 256 // without its fields
	// bytesPerCost is the memory for one point of an operation's cost: an object with ten fields.
	bytesPerCost = bytesPerObject + 10*bytesPerField
)

// longText is the length from which the meter counts a text, in bytes. Shorter texts are small compared with their
// object.
const longText = 256

// A meter charges the values of an operation to the budget of its answer while the fields are resolved. When the budget
// is exceeded, the other fields become null without an error: the operation fails with the error of the budget.
type meter struct {
	answer *budget.Answer

	mu     sync.Mutex // guards the other fields
	widths map[subtree]int64
	fields *fieldSum
}

// A subtree is a field with the fields selected below it.
type subtree struct {
	field *ast.Field
	parts int // GraphQL merges fields of the same name in the same place
}

// newMeter returns the meter of an operation with a cost.
func newMeter(answer *budget.Answer, cost int64) *meter {
	answer.Expect(cost * bytesPerCost)
	fields := newFieldSum(func(f *ast.Field) int64 { return bytesPerField + int64(len(f.Alias)) })
	return &meter{answer: answer, widths: map[subtree]int64{}, fields: fields}
}

// resolve resolves a field and charges its value.
func (m *meter) resolve(ctx context.Context, next graphql.Resolver) (any, error) {
	if m.answer.Err() != nil {
		return graphql.Null, nil //nolint:nilerr // the operation fails with this error, not the field
	}
	value, err := next(ctx)
	m.charge(ctx, value)
	if m.answer.Err() != nil { // the operation fails with this error
		value, err = graphql.Null, nil
	}
	return value, err
}

// charge charges the value of a field. The budget keeps the error.
func (m *meter) charge(ctx context.Context, value any) {
	switch v := value.(type) {
	case nil, int, bool, time.Time, typeid.ID:
	case string:
		if len(v) >= longText {
			_ = m.answer.Value(int64(statement.JSONBytes(v) + len(`""`)))
		}
	default:
		if n := objects(value); n > 0 {
			_ = m.answer.Hold(n * m.width(ctx))
		}
	}
}

// objects returns the number of objects in a value.
func objects(value any) int64 {
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

// width returns the greatest memory of one object of the current field, in bytes.
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
		width = bytesPerObject + m.fields.add(field.Selections)
		m.widths[key] = width
	}
	return width
}

// A fieldSum adds up a number for each field of a selection set. It adds up each fragment once, because a few fragments
// that spread each other twice stand for very many fields.
type fieldSum struct {
	of        func(*ast.Field) int64
	fragments map[*ast.FragmentDefinition]int64
}

func newFieldSum(of func(*ast.Field) int64) *fieldSum {
	return &fieldSum{of: of, fragments: map[*ast.FragmentDefinition]int64{}}
}

// maxSum is the greatest sum. It prevents an overflow.
const maxSum = 1 << 40

func (s *fieldSum) add(set ast.SelectionSet) int64 {
	n := int64(0)
	for _, selection := range set {
		switch selected := selection.(type) {
		case *ast.Field:
			n += s.of(selected)
		case *ast.InlineFragment:
			n += s.add(selected.SelectionSet)
		case *ast.FragmentSpread:
			sum, ok := s.fragments[selected.Definition]
			if !ok {
				sum = s.add(selected.Definition.SelectionSet)
				s.fragments[selected.Definition] = sum
			}
			n += sum
		}
		n = min(n, maxSum)
	}
	return n
}

// rootJSON is the JSON of a root field. It is written when the field is resolved. So the memory of the values can be
// freed early, and writing stops when the JSON is too long.
type rootJSON struct {
	budget.Buffer
	answer    *budget.Answer
	uncharged int // bytes that the budget does not have yet
}

var _ io.StringWriter = (*rootJSON)(nil)

// overdraft is the value of the panic that stops a marshaler: a marshaler returns no error.
type overdraft struct{}

// writeRoot writes the JSON of a root field. It returns graphql.Null when the answer is too large.
func writeRoot(answer *budget.Answer, m graphql.Marshaler) (out graphql.Marshaler) {
	if answer == nil || m == graphql.Null {
		return m
	}
	defer func() {
		if value := recover(); value != nil {
			if _, ok := value.(overdraft); !ok {
				panic(value)
			}
			out = graphql.Null
		}
	}()
	w := &rootJSON{answer: answer}
	m.MarshalGQL(w)
	w.charge()
	return w
}

// chargeEvery is the number of bytes that are charged at a time: gqlgen writes single characters.
const chargeEvery = 4 << 10

func (w *rootJSON) count(n int) {
	if w.uncharged += n; w.uncharged >= chargeEvery {
		w.charge()
	}
}

func (w *rootJSON) charge() {
	n := int64(w.uncharged)
	w.uncharged = 0
	if w.answer.Write(n) != nil {
		panic(overdraft{})
	}
}

// Write implements io.Writer.
func (w *rootJSON) Write(p []byte) (int, error) {
	w.count(len(p))
	return w.Buffer.Write(p)
}

// WriteString implements io.StringWriter.
func (w *rootJSON) WriteString(s string) (int, error) {
	w.count(len(s))
	return w.Buffer.WriteString(s)
}

// MarshalGQL implements graphql.Marshaler.
func (w *rootJSON) MarshalGQL(to io.Writer) {
	if b, ok := to.(*bytes.Buffer); ok && b.Len() < w.Len() {
		b.Grow(int(w.answer.Written()) + 1<<10) // for all root fields and their names
	}
	_, _ = w.WriteTo(to) // gqlgen's writer is a buffer and cannot fail
}

// tooLarge returns the message for an answer that is too large.
func tooLarge(e *budget.TooLargeError) string {
	if e.Memory {
		return fmt.Sprintf("the answer takes more memory than the %d bytes that there are for all answers (--answer-memory-bytes): ask for fewer nodes or fields", e.Limit)
	}
	return fmt.Sprintf("the data of the answer has more than %d bytes (--max-answer-bytes): ask for fewer nodes or fields", e.Limit)
}
