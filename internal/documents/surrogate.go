package documents

import (
	"strings"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/codes"
	"roster/internal/strictjson"
)

// wholeCharacters refuses half a surrogate pair that a string of the document escapes. gqlparser reads it as U+FFFD, and
// nobody would notice that the text is another one.
func wholeCharacters(document string) *gqlerror.Error {
	at := halfSurrogate(document)
	if at < 0 {
		return nil
	}
	err := refuse(codes.ParseFailed, "Half a surrogate pair is no character.")
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
			end := quotedString(rest)
			if end < 0 {
				return -1
			}
			if half := strictjson.HalfSurrogate(rest[:end]); half >= 0 {
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

// quotedString is where the string at the start of a text ends; -1 when it does not.
func quotedString(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i + 1
		case '\r', '\n':
			return -1
		case '\\':
			i++
		}
	}
	return -1
}
