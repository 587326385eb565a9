package rules

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// TitleLimit is the longest title, in code points.
const TitleLimit = 200

// Title checks a title and returns the key by which titles are compared and sorted: NFC and full case folding.
func Title(s string) (key string, fault *Fault) {
	if f := text(s, TitleLimit); f != nil {
		return "", f
	}
	return FoldTitle(s), nil
}

// FoldTitle folds a title or a part of one.
func FoldTitle(s string) string { return fold(s) }

// fold returns the NFC of the full case folding of a text, independent of any language. Package cases swaps the two
// cases of Cherokee instead of folding them, but it folds lower-case text correctly.
func fold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s) // most texts, and much faster
	}
	lower := cases.Lower(language.Und, cases.HandleFinalSigma(false)).String(norm.NFC.String(s))
	return norm.NFC.String(cases.Fold().String(lower))
}

// BodyLimit is the longest body of a post, in bytes of UTF-8. It holds for the API, imports and seeds.
const BodyLimit = 4 << 20

// Body checks the body of a post: any text of at most BodyLimit bytes, also an empty one. It refuses NUL, which
// PostgreSQL cannot store.
func Body(s string) *Fault {
	switch {
	case len(s) > BodyLimit:
		return &Fault{TooLong, "must have at most " + strconv.Itoa(BodyLimit) + " bytes of UTF-8"}
	case !utf8.ValidString(s):
		return &Fault{Invalid, "must be valid UTF-8"}
	case strings.IndexByte(s, 0) >= 0:
		return &Fault{Invalid, "must not contain NUL characters"}
	}
	return nil
}
