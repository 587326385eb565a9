package documents

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/gqlerror"
)

// wholeCharacters refuses half a surrogate pair that a string of the document escapes. gqlparser reads it as U+FFFD, and
// nobody would notice that the text is another one.
func wholeCharacters(document string) *gqlerror.Error {
	at := halfSurrogate(document)
	if at < 0 {
		return nil
	}
	err := refuse(ParseFailed, "Half a surrogate pair is no character.")
	err.Locations = []gqlerror.Location{placeBehind(document[:at])}
	return err
}

// halfSurrogate is where a string of a document escapes half a surrogate pair; -1 when none does, or when the document
// cannot be parsed up to there.
func halfSurrogate(document string) int {
	if !strings.Contains(document, `\u`) {
		return -1
	}
	for i := 0; i < len(document); {
		rest := document[i:]
		switch {
		case rest[0] == '#':
			end := strings.IndexAny(rest, "\r\n")
			if end < 0 {
				return -1
			}
			i += end
		case strings.HasPrefix(rest, `"""`):
			end := blockString(rest)
			if end < 0 {
				return -1
			}
			i += end
		case rest[0] == '"':
			half, end := quotedString(rest)
			if end < 0 {
				return -1
			}
			if half >= 0 {
				return i + half
			}
			i += end
		default:
			i++
		}
	}
	return -1
}

// blockString is where the block string at the start of a text ends; -1 when it does not.
func blockString(text string) int {
	const quotes, escaped = `"""`, `\"""`
	for i := len(quotes); i < len(text); {
		switch {
		case strings.HasPrefix(text[i:], escaped):
			i += len(escaped)
		case strings.HasPrefix(text[i:], quotes):
			return i + len(quotes)
		default:
			i++
		}
	}
	return -1
}

// quotedString is where the string at the start of a text has the first half pair, -1 when there is none, and where it
// ends, -1 when it does not.
func quotedString(text string) (half, end int) {
	half = -1
	for i := 1; i < len(text); {
		switch text[i] {
		case '"':
			return half, i + 1
		case '\r', '\n':
			return half, -1
		case '\\':
			first := unit(text[i:])
			switch {
			case !utf16.IsSurrogate(first):
				i += 2
			case utf16.DecodeRune(first, unit(text[i+escapedUnit:])) != utf8.RuneError:
				i += 2 * escapedUnit
			default:
				if half < 0 {
					half = i
				}
				i += escapedUnit
			}
		default:
			i++
		}
	}
	return half, -1
}

// escapedUnit is how long the escape of a UTF-16 code unit is.
const escapedUnit = len(`\uXXXX`)

// unit is the UTF-16 code unit that the start of a text escapes; 0 when it escapes none.
func unit(text string) rune {
	if len(text) < escapedUnit || text[:2] != `\u` {
		return 0
	}
	n, err := strconv.ParseUint(text[2:escapedUnit], 16, 16)
	if err != nil {
		return 0
	}
	return rune(n)
}
