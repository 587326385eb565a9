package documents

import (
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"
)

// Places in documents are lines and columns, which begin at 1. A line ends with LF, CR or CRLF; a column is a code point.

// withLineFeeds returns a document whose lines all end with LF. That changes no token and no value: strings have no line
// ends, and those of block strings are LF in the value. gqlparser counts the LF of CRLF as a column of the next line.
func withLineFeeds(document string) string {
	if !strings.Contains(document, "\r") {
		return document
	}
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(document)
}

// correctPlaces sets the places of strings in errors to their first quote, and returns the errors. gqlparser has them
// behind it, and for a block string counts from its last line.
func correctPlaces(document string, errs ...*gqlerror.Error) gqlerror.List {
	if !strings.Contains(document, `"`) {
		return errs
	}
	starts := map[gqlerror.Location]int{} // of strings, in code points, by the places that gqlparser gives
	l := lexer.New(&ast.Source{Input: document})
	for {
		token, err := l.ReadToken()
		if err != nil || token.Kind == lexer.EOF {
			break
		}
		if token.Kind == lexer.String || token.Kind == lexer.BlockString {
			starts[gqlerror.Location{Line: token.Pos.Line, Column: token.Pos.Column}] = token.Pos.Start
		}
	}
	for _, err := range errs {
		for i, location := range err.Locations {
			if start, ok := starts[location]; ok {
				err.Locations[i] = placeBehind(before(document, start))
			}
		}
	}
	return errs
}

// before is the beginning of a text, so many code points long.
func before(text string, length int) string {
	for i := range text {
		if length == 0 {
			return text[:i]
		}
		length--
	}
	return text
}

// placeBehind is the place that follows a text.
func placeBehind(text string) gqlerror.Location {
	return gqlerror.Location{
		Line:   strings.Count(text, "\n") + 1,
		Column: utf8.RuneCountInString(text[strings.LastIndexByte(text, '\n')+1:]) + 1,
	}
}
