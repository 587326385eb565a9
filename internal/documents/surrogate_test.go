package documents

import (
	"strings"
	"testing"
)

func TestHalfSurrogate(t *testing.T) {
	t.Parallel()
	for _, document := range []string{
		`{ a(s: "\uD83D\uDE00 \ud83d\ude00 \u{1F600} \\uD83D \\\\uDE00 \u00e9") }`,
		`{ a(s: """ \uD83D \""" \uD83D """, t: "") } # "\uD83D"`,
		"# \"\n{ a(s: \"\\u0041\") } # \"\\uD83D\"",
		`{ a(s: "", t: "\"\\", u: "\u0041") }`,
		`\uD83D`, `"\uD83D`, `"\u`, `"\uD8`, `"""\uD83D`,
	} {
		if at := halfSurrogate(document); at >= 0 {
			t.Errorf("%s has half a pair at %d", document, at)
		}
	}
	for _, document := range []string{
		`{ a(s: "^\uD83D") }`, `{ a(s: "^\uDE00\uD83D") }`, `{ a(s: "\uD83D\uDE00^\ud83d") }`,
		`{ a(s: "^\uD83D\u0041") }`, `{ a(s: "\\^\uDE00") }`, `{ a(s: "", t: """" """, u: "é\"^\uD83D\uD83D\uDE00") }`,
		"# \"\"\"\n{ a(s: \"^\\uDFFF\") }",
	} {
		want := strings.IndexByte(document, '^')
		if at := halfSurrogate(strings.Replace(document, "^", "", 1)); at != want {
			t.Errorf("%s: got %d, want %d", document, at, want)
		}
	}
}
