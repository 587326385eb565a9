package limits

import (
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"
)

// A Text has the sizes of a document before it is parsed. They end at the first part that is no token, which the parser
// reports.
type Text struct {
	Tokens  int
	Longest int // length of the longest token, in bytes
}

// Text checks the length of a document, the number of its tokens and the nesting of its brackets. The error is an
// *ExceededError. Then the sizes so far are returned too.
func (c *Checker) Text(document string) (Text, error) {
	var t Text
	if err := over("the document has %s bytes", int64(len(document)), c.limits.MaxDocumentBytes); err != nil {
		return t, err
	}
	l := lexer.New(&ast.Source{Input: document})
	nesting := 0
	for {
		token, err := l.ReadToken()
		if err != nil || token.Kind == lexer.EOF {
			return t, nil //nolint:nilerr // the parser reports it with its location
		}
		t.Tokens++
		t.Longest = max(t.Longest, len(token.Value))
		switch token.Kind {
		case lexer.BraceL, lexer.BracketL, lexer.ParenL:
			nesting++
		case lexer.BraceR, lexer.BracketR, lexer.ParenR:
			nesting--
		default:
		}
		if c.limits.MaxTokens > 0 && t.Tokens > c.limits.MaxTokens {
			return t, &ExceededError{Format: "the document has %s tokens", Allowed: int64(c.limits.MaxTokens)}
		}
		if nesting > maxNesting {
			return t, &ExceededError{Format: "the document nests its brackets %s deep", Allowed: maxNesting}
		}
	}
}
