package record_test

import (
	"testing"

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

func TestFields(t *testing.T) {
	t.Parallel()
	o := record.New()
	ctx := record.WithField(record.WithOperation(t.Context(), o), "users.nodes.posts")
	record.FromContext(ctx).Sent(record.Statement{Text: "SELECT 1", Field: record.Field(ctx), Rows: 3})
	listed, _ := o.Statements()
	if want := (record.Statement{Text: "SELECT 1", Field: "users.nodes.posts", Rows: 3}); len(listed) != 1 || listed[0] != want {
		t.Errorf("got %+v, want %+v", listed, want)
	}
}
