package requestid_test

import (
	"strings"
	"testing"

	"roster/internal/requestid"
)

func TestContext(t *testing.T) {
	t.Parallel()
	if got := requestid.FromContext(t.Context()); got != "" {
		t.Errorf("outside a request: got %q, want none", got)
	}
	if got := requestid.FromContext(requestid.WithContext(t.Context(), "abc")); got != "abc" {
		t.Errorf("got %q, want abc", got)
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"a":                      true,
		"3f2-A_9.z":              true,
		strings.Repeat("x", 128): true,
		strings.Repeat("x", 129): false,
		"":                       false,
		"a b":                    false,
		"a\nb":                   false,
		"a/b":                    false,
		"ä":                      false,
		"<script>":               false,
	} {
		if got := requestid.Valid(id); got != want {
			t.Errorf("Valid(%q) = %v, want %v", id, got, want)
		}
	}
}
