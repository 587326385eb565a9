package record_test

import (
	"slices"
	"testing"
	"time"

	"roster/internal/record"
)

func TestNil(t *testing.T) {
	t.Parallel()
	o := record.FromContext(t.Context())
	o.Sent(record.Statement{})
	o.Loaded(record.Batch{})
	o.Retried()
	if listed, sent := o.Statements(); listed != nil || sent != 0 || o.Batches() != nil || o.Retries() != 0 {
		t.Errorf("a record that nobody keeps: got %v, %d, %v, %d", listed, sent, o.Batches(), o.Retries())
	}
}

// TestManyStatements writes more than a record lists.
func TestManyStatements(t *testing.T) {
	t.Parallel()
	o := record.New()
	const many = 5_000
	for range many {
		o.Sent(record.Statement{Text: "SELECT 1"})
		o.Loaded(record.Batch{Name: "User.posts"})
	}
	if listed, sent := o.Statements(); len(listed) >= many || sent != many {
		t.Errorf("got %d listed statements of %d, want fewer than %d of %d", len(listed), sent, many, many)
	}
	if n := len(o.Batches()); n >= many {
		t.Errorf("got %d listed batches, want fewer than %d", n, many)
	}
}

func TestTotals(t *testing.T) {
	t.Parallel()
	o := record.New()
	for range 2_000 {
		o.Sent(record.Statement{Text: "SELECT 1", Rows: 3, Took: time.Second})
	}
	if got, want := o.Totals(), (record.Totals{Statements: 2_000, Rows: 6_000, Took: 2_000 * time.Second}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestFields lets fields share a statement, before and after it is sent.
func TestFields(t *testing.T) {
	t.Parallel()
	o := record.New()
	shared := new(record.Fields)
	shared.Add(record.NewFields("users.nodes.b"))
	ctx := record.WithFields(record.WithOperation(t.Context(), o), shared)
	record.FromContext(ctx).Sent(record.Statement{Text: "SELECT 1", Fields: record.FieldsFrom(ctx)})
	inner := new(record.Fields)
	group := new(record.Fields)
	group.Add(inner)
	inner.Add(record.NewFields("users.nodes.c"))
	shared.Add(group)
	shared.Add(record.NewFields("users.nodes.a"))
	shared.Add(record.NewFields("users.nodes.b"))
	inner.Add(record.NewFields("users.nodes.d"))
	listed, _ := o.Statements()
	if want := []string{"users.nodes.a", "users.nodes.b", "users.nodes.c", "users.nodes.d"}; len(listed) != 1 || !slices.Equal(listed[0].Fields.Paths(), want) {
		t.Errorf("got %+v, want the fields %v", listed, want)
	}
	if got := record.FieldsFrom(t.Context()).Paths(); got != nil {
		t.Errorf("got %v, want no fields", got)
	}
}
