package rules

import "testing"

// Texts in ASCII have the same keys by the short way as by the one for all texts.
func TestFoldASCII(t *testing.T) {
	t.Parallel()
	for first := range rune(0x80) {
		for second := range rune(0x80) {
			text := "aZ" + string(first) + string(second)
			if got, want := fold(text), foldUnicode(text); got != want {
				t.Errorf("%q: got %q, want %q", text, got, want)
			}
		}
	}
}

func BenchmarkEmail(b *testing.B) {
	for b.Loop() {
		_, _ = Email("Ada.Lovelace1815@Example.com")
	}
}
