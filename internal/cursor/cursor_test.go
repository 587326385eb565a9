package cursor_test

import (
	"bytes"
	"strings"
	"testing"

	"roster/internal/cursor"
)

// Clients keep cursors: their texts never change.
func TestText(t *testing.T) {
	t.Parallel()
	const want = "AfqlelphYmM"
	if got := cursor.NewScope("Users", "id").Encode([]byte("abc")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestScope(t *testing.T) {
	t.Parallel()
	own := cursor.NewScope("Users", "id")
	text := own.Encode([]byte("abc"))
	if values, ok := own.Decode(text); !ok || string(values) != "abc" {
		t.Errorf("got %q, %t, want abc, true", values, ok)
	}
	for _, other := range []cursor.Scope{cursor.NewScope(), cursor.NewScope("Usersid"), cursor.NewScope("id", "Users"), cursor.NewScope("Users", "id", "desc")} {
		if values, ok := other.Decode(text); ok {
			t.Errorf("scope %d: got %q, want none", other, values)
		}
	}
	for _, text := range []string{"", "AQ", text + "\n", text + "=", text[:len(text)-1], strings.Repeat("A", 5000)} {
		if values, ok := own.Decode(text); ok {
			t.Errorf("%.20q: got %q, want none", text, values)
		}
	}
}

// A text that is a cursor is the only one of its values.
func FuzzDecode(f *testing.F) {
	scope := cursor.NewScope("Users", "id")
	f.Add(scope.Encode(nil), []byte(nil))
	f.Add(scope.Encode([]byte("abc")), []byte("abc"))
	f.Add("AQ", []byte{0xff})
	f.Fuzz(func(t *testing.T, text string, values []byte) {
		if got, ok := scope.Decode(text); ok && scope.Encode(got) != text {
			t.Errorf("%q: got the values %q, whose text is %q, want the same text", text, got, scope.Encode(got))
		}
		if len(values) > 1000 {
			return
		}
		if got, ok := scope.Decode(scope.Encode(values)); !ok || !bytes.Equal(got, values) {
			t.Errorf("got %q, %t, want %q, true", got, ok, values)
		}
	})
}
