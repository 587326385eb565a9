package documents

import (
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"

	"roster/internal/codes"
	"roster/internal/strictjson"
)

// A location in a document is a line and a column. Both start at 1. A line ends with LF, CR or CRLF. A column is a code
// point.

// withLineFeeds returns a document whose lines all end with LF. This changes no value: a string has no line ends, and a
// block string has LF in its value anyway. It is needed because gqlparser counts the LF of a CRLF as a column of the
// next line.
func withLineFeeds(document string) string {
	if !strings.Contains(document, "\r") {
		return document
	}
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(document)
}

// tokens yields the tokens of a document. It ends after the first error.
func tokens(document string) iter.Seq2[lexer.Token, error] {
	return func(yield func(lexer.Token, error) bool) {
		for l := lexer.New(&ast.Source{Input: document}); ; {
			token, err := l.ReadToken()
			if token.Kind == lexer.EOF || !yield(token, err) || err != nil {
				return
			}
		}
	}
}

// wholeCharacters refuses a string that escapes only one half of a surrogate pair. gqlparser reads it as U+FFFD, so the
// text would change without an error.
func wholeCharacters(document string) *gqlerror.Error {
	if !strings.Contains(document, `\u`) {
		return nil
	}
	characters := []rune(document)
	for token, err := range tokens(document) {
		if err != nil || token.Kind != lexer.String {
			continue // the parser reports the error
		}
		text := string(characters[token.Pos.Start:token.Pos.End])
		if at := strictjson.HalfSurrogate(text); at >= 0 {
			err := refuse(codes.ParseFailed, "Half a surrogate pair is no character.")
			err.Locations = []gqlerror.Location{locationAfter(string(characters[:token.Pos.Start]) + text[:at])}
			return err
		}
	}
	return nil
}

// correctLocations moves the location of each string in errors to its first quote, and returns the errors. gqlparser
// gives the location after the string, and counts the columns of a block string from its last line.
func correctLocations(document string, errs ...*gqlerror.Error) gqlerror.List {
	if !strings.Contains(document, `"`) {
		return errs
	}
	starts := map[gqlerror.Location]int{} // the start of each string in code points, by the location of gqlparser
	for token, err := range tokens(document) {
		if err == nil && (token.Kind == lexer.String || token.Kind == lexer.BlockString) {
			starts[gqlerror.Location{Line: token.Pos.Line, Column: token.Pos.Column}] = token.Pos.Start
		}
	}
	for _, err := range errs {
		for i, location := range err.Locations {
			if start, ok := starts[location]; ok {
				err.Locations[i] = locationAfter(prefix(document, start))
			}
		}
	}
	return errs
}

// prefix returns the first code points of a text.
func prefix(text string, length int) string {
	for i := range text {
		if length == 0 {
			return text[:i]
		}
		length--
	}
	return text
}

// locationAfter returns the location of the code point that follows a text.
func locationAfter(text string) gqlerror.Location {
	return gqlerror.Location{
		Line:   strings.Count(text, "\n") + 1,
		Column: utf8.RuneCountInString(text[strings.LastIndexByte(text, '\n')+1:]) + 1,
	}
}
