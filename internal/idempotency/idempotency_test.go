package idempotency_test

import (
	"encoding/json"
	"math"
	"testing"

	"roster/internal/idempotency"
)

// TestNewEntry compares the entries of requests: each differs from all others, and none from itself.
func TestNewEntry(t *testing.T) {
	t.Parallel()
	type named struct {
		key     string
		request idempotency.Request
	}
	entries := map[idempotency.Entry]named{}
	for _, n := range []named{
		{"k", idempotency.Request{}},
		{"K", idempotency.Request{}},
		{"k", idempotency.Request{Caller: "c"}},
		{"", idempotency.Request{Caller: "ck"}},
		{"ck", idempotency.Request{}},
		{"k", idempotency.Request{Document: "ab"}},
		{"k", idempotency.Request{Document: "a", Operation: "b"}},
		{"k", idempotency.Request{Operation: "ab"}},
		{"k", idempotency.Request{Variables: map[string]any{}}},
		{"k", idempotency.Request{Variables: map[string]any{"a": nil}}},
		{"k", idempotency.Request{Variables: map[string]any{"a": "1"}}},
		{"k", idempotency.Request{Variables: map[string]any{"a": json.Number("1")}}},
		{"k", idempotency.Request{Variables: map[string]any{"a": json.Number("1"), "b": []any{map[string]any{"c": true, "d": 2}}}}},
	} {
		entry, err := idempotency.NewEntry(n.key, n.request)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := entries[*entry]; ok {
			t.Errorf("%+v: got the entry of %+v, want another", n, other)
		}
		entries[*entry] = n
		if again, err := idempotency.NewEntry(n.key, n.request); err != nil || *again != *entry {
			t.Errorf("%+v: got %v, %v the second time, want %v", n, again, err, entry)
		}
	}
	if _, err := idempotency.NewEntry("k", idempotency.Request{Variables: map[string]any{"a": math.NaN()}}); err == nil {
		t.Error("NaN: got an entry, want an error")
	}
}
