package documents

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// The codes of errors: extensions.code, as the contract names them.
const (
	ParseFailed            = "GRAPHQL_PARSE_FAILED"
	ValidationFailed       = "GRAPHQL_VALIDATION_FAILED"
	BadRequest             = "BAD_REQUEST"
	CostLimit              = "COST_LIMIT"
	Forbidden              = "FORBIDDEN"
	PersistedQueryNotFound = "PERSISTED_QUERY_NOT_FOUND"
)

// MaxErrors is how many errors are found in one document: who has read ten does not read the next.
const MaxErrors = 10

// How much of what a client sent an error repeats.
const (
	maxMessage = 500 // bytes
	maxKey     = 100 // bytes
)

func refuse(code, message string) *gqlerror.Error {
	return &gqlerror.Error{Message: message, Extensions: map[string]any{"code": code}}
}

func notParsed(err error) *gqlerror.Error {
	e, ok := errors.AsType[*gqlerror.Error](err)
	if !ok {
		e = &gqlerror.Error{Message: err.Error()}
	}
	e.Extensions = map[string]any{"code": ParseFailed}
	return Tidy(e)
}

// Tidy cuts what an error repeats of a request to a length that people read, and returns the error.
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
