package documents

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"

	"roster/internal/codes"
)

// MaxErrors is the maximum number of errors in a response.
const MaxErrors = 10

// The maximum length of the texts in an error, which may repeat what a client sent.
const (
	maxMessage = 500 // bytes
	maxKey     = 100 // bytes
)

func refuse(code codes.Code, message string) *gqlerror.Error {
	return &gqlerror.Error{Message: message, Extensions: map[string]any{"code": code}}
}

// notParsed returns the error of a document that the parser refuses. If a part of it is no token, the error of the
// lexer says more.
func notParsed(document string, err error) *gqlerror.Error {
	e, ok := errors.AsType[*gqlerror.Error](err)
	if !ok {
		e = &gqlerror.Error{Message: err.Error()}
	}
	if strings.Contains(e.Message, lexer.Invalid.String()) {
		e = cmp.Or(noToken(document), e)
	}
	e.Extensions = map[string]any{"code": codes.ParseFailed}
	return Tidy(e)
}

// noToken returns the error of the first part of a document that is no token, or nil.
func noToken(document string) *gqlerror.Error {
	for token, err := range tokens(document) {
		e, ok := errors.AsType[*gqlerror.Error](err)
		if !ok {
			continue
		}
		if strings.HasPrefix(e.Message, "Cannot parse the unexpected character") { // the lexer names only its first byte
			character, _ := utf8.DecodeRuneInString(document[len(prefix(document, token.Pos.Start)):])
			e.Message = fmt.Sprintf("Unexpected character %q.", string(character))
		}
		return e
	}
	return nil
}

// Tidy shortens what an error repeats of a request, and returns the error.
func Tidy(err *gqlerror.Error) *gqlerror.Error {
	err.Message = cut(err.Message, maxMessage)
	for i, element := range err.Path {
		if name, ok := element.(ast.PathName); ok {
			err.Path[i] = ast.PathName(cut(string(name), maxKey))
		}
	}
	return err
}

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return strings.Clone(text[:most]) + "…"
}
