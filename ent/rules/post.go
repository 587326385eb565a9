package rules

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// TitleLimit is the longest title, in code points.
const TitleLimit = 200

// Title checks a title and returns the form by which titles are compared and sorted: NFC and full case folding.
func Title(s string) (key string, fault *Fault) {
	if f := text(s, TitleLimit, separator); f != nil {
		return "", f
	}
	return FoldTitle(s), nil
}

// FoldTitle folds a title or a part of one.
func FoldTitle(s string) string { return fold(s) }

// fold returns the NFC of the full case folding of a text, of no language in particular. Package cases swaps the two cases
// of Cherokee where it should fold them; of lower-case text it folds everything right.
func fold(s string) string {
	lower := cases.Lower(language.Und, cases.HandleFinalSigma(false)).String(norm.NFC.String(s))
	return norm.NFC.String(cases.Fold().String(lower))
}

// Body checks the text of a post: any text, empty too, but for what PostgreSQL cannot store. Its length is bounded
// by that of a request.
func Body(s string) *Fault {
	if !utf8.ValidString(s) {
		return &Fault{Invalid, "must be valid UTF-8"}
	}
	if strings.IndexByte(s, 0) >= 0 {
		return &Fault{Invalid, "must not contain NUL characters"}
	}
	return nil
}
