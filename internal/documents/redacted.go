package documents

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"
)

// Redacted returns the document for operators: without comments, in one line, and with ? for each text and number. Their
// values can be personal data.
func (d *Document) Redacted() string {
	runes := []rune(d.Text) // tokens have positions in these
	var b strings.Builder
	tokens := lexer.New(&ast.Source{Input: d.Text})
	end := 0
	for {
		token, err := tokens.ReadToken()
		if err != nil || token.Kind == lexer.EOF { // a document has no error: it was parsed
			return b.String()
		}
		if token.Kind == lexer.Comment {
			continue
		}
		if token.Pos.Start > end && b.Len() > 0 {
			b.WriteByte(' ')
		}
		end = token.Pos.End
		switch token.Kind {
		case lexer.String, lexer.BlockString, lexer.Int, lexer.Float:
			b.WriteByte('?')
		default:
			b.WriteString(string(runes[token.Pos.Start:end]))
		}
	}
}
