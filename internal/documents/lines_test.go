package documents

import (
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/gqlerror"
)

func TestWholeCharacters(t *testing.T) {
	t.Parallel()
	for _, document := range []string{
		`{ a(s: "\uD83D\uDE00 \ud83d\ude00 \u{1F600} \\uD83D \\\\uDE00 \u00e9") }`,
		`{ a(s: """ \uD83D \""" \uD83D """, t: "") } # "\uD83D"`,
		"# \"\n{ a(s: \"\\u0041\") } # \"\\uD83D\"",
		`{ a(s: "", t: "\"\\", u: "\u0041") }`,
		`\uD83D`, `"\uD83D`, `"\u`, `"\uD8`, `"""\uD83D`,
	} {
		if err := wholeCharacters(document); err != nil {
			t.Errorf("%s: got %v, want no error", document, err)
		}
	}
	for _, document := range []string{
		`{ a(s: "^\uD83D") }`, `{ a(s: "^\uDE00\uD83D") }`, `{ a(s: "\uD83D\uDE00^\ud83d") }`,
		`{ a(s: "^\uD83D\u0041") }`, `{ a(s: "\\^\uDE00") }`, `{ a(s: "", t: """" """, u: "é\"^\uD83D\uD83D\uDE00") }`,
		"# \"\"\"\n{ a(s: \"^\\uDFFF\") }",
	} {
		before, after, _ := strings.Cut(document, "^")
		err, want := wholeCharacters(before+after), []gqlerror.Location{locationAfter(before)}
		if err == nil || !slices.Equal(err.Locations, want) {
			t.Errorf("%s: got %v, want an error at %v", document, err, want)
		}
	}
}
