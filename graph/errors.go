package graph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/ent/query"
	"roster/ent/rules"
	"roster/internal/budget"
	"roster/internal/codes"
	"roster/internal/database"
	"roster/internal/documents"
	"roster/internal/feed"
	"roster/internal/idempotency"
	"roster/internal/requestid"
)

// publicError converts an error for the client: it adds a code and hides the texts of the database and of Go. Clients do
// not get Err, which keeps the cause for tidyErrors.
func publicError(ctx context.Context, err error) *gqlerror.Error {
	var e *gqlerror.Error
	if !errors.As(err, &e) {
		e = &gqlerror.Error{Err: err, Path: graphql.GetPath(ctx)}
	}
	out := &gqlerror.Error{Err: err, Path: e.Path, Locations: e.Locations}
	if len(out.Locations) == 0 {
		out.Locations = place(ctx)
	}
	code, message := classify(err)
	out.Extensions = map[string]any{}
	if field := argumentPath(ctx, e.Path); len(field) > 0 { // a scalar or an enum refused the value
		var fault *rules.Fault
		if !errors.As(err, &fault) {
			fault = &rules.Fault{Code: rules.Invalid, Message: "must be a value of its type"}
		}
		out.Path = e.Path[:len(e.Path)-len(field)]
		code, message = fault.Code, sentence(field, fault)
		out.Extensions["field"] = field
	}
	out.Message = message
	out.Extensions["code"] = code
	if code == codes.Internal || code == codes.OutcomeUnknown {
		out.Extensions["requestId"] = requestid.FromContext(ctx)
	}
	return out
}

// classify is the table from errors to codes and messages.
func classify(err error) (codes.Code, string) {
	var failure *database.Failure
	var forbidden *rules.ForbiddenError
	var large *budget.TooLargeError
	var argument *database.ArgumentError
	switch {
	case errors.As(err, &forbidden) && forbidden.Nobody:
		return codes.Unauthenticated, credentials
	case forbidden != nil:
		return codes.Forbidden, forbidden.Error()
	case errors.As(err, &argument):
		return codes.CostLimit, "a value of the operation " + argument.Error()
	case errors.As(err, &failure):
		switch failure.Kind {
		case database.Retry, database.Unique, database.ForeignKey:
			return codes.Conflict, "other operations changed the same objects at the same time: try again"
		case database.Lost:
			return codes.Unavailable, "the database is away: try again"
		case database.Busy:
			return codes.Unavailable, "the database is busy: try again"
		case database.Timeout:
			return codes.Timeout, "the operation took too long"
		case database.Unknown:
			return codes.OutcomeUnknown, "the connection to the database broke while committing: the operation may have happened"
		case database.ReadOnly:
			return codes.Unavailable, "the database is read only now: try again later"
		case database.Unusable:
			return codes.Unavailable, "the database cannot be used now: try again later"
		case database.TooLarge:
			return codes.CostLimit, "the operation has more bytes than the database accepts: send fewer or shorter values"
		case database.Other:
		}
	case errors.As(err, &large):
		return codes.CostLimit, tooLarge(large)
	case errors.Is(err, budget.ErrBusy):
		return codes.Unavailable, "the server has no memory for this answer now: try again"
	case errors.Is(err, idempotency.ErrAuthority):
		return codes.Forbidden, "this Idempotency-Key was sent before with other permissions: take a new one"
	case errors.Is(err, idempotency.ErrReused):
		return codes.IdempotencyKeyReused, "this Idempotency-Key was sent with another request before: take a new one"
	case errors.Is(err, idempotency.ErrErased): // no other code tells a client that it must neither repeat the request nor change it
		return codes.NotFound, "the answer of this Idempotency-Key was erased with the data of a person: the request took effect then, and is not executed again"
	case errors.Is(err, idempotency.ErrTooLarge):
		return codes.CostLimit, fmt.Sprintf("the data is larger than the %d bytes that are stored for an Idempotency-Key: select fewer fields", idempotency.MaxDataBytes)
	case errors.Is(err, feed.ErrExpired):
		return codes.CursorExpired, "the changes after this cursor are not kept: " + newCopy
	case errors.Is(err, feed.ErrSlow):
		return codes.Unavailable, "too many changes wait for this subscriber: subscribe again after the last cursor"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return codes.Timeout, "the operation took too long"
	}
	return codes.Internal, "internal error"
}

// tidyErrors prepares the errors of a response for the client: one error for each fault, at most ten errors. It logs the
// first unforeseen error of the operation.
func (e *Executor) tidyErrors(ctx context.Context, r *graphql.Response) {
	var list gqlerror.List
	logged := false
	for _, err := range r.Errors {
		if faults, ok := errors.AsType[rules.Faults](err.Err); ok {
			for i := range faults {
				list = append(list, &gqlerror.Error{
					Message: sentence(faults[i].Path, &faults[i].Fault), Path: err.Path, Locations: err.Locations,
					Extensions: map[string]any{"code": faults[i].Code, "field": faults[i].Path},
				})
			}
			continue
		}
		if code := err.Extensions["code"]; !logged && (code == codes.Internal || code == codes.OutcomeUnknown) {
			logged = true
			attributes := []any{"error", err.Err, "path", err.Path.String()}
			if panicked, ok := errors.AsType[*query.PanicError](err.Err); ok {
				attributes = append(attributes, "stack", string(panicked.Stack))
			}
			e.Logger.ErrorContext(ctx, "operation failed", attributes...)
		}
		list = append(list, err)
	}
	slices.SortStableFunc(list, inDocument)
	r.Errors = list[:min(len(list), documents.MaxErrors)]
}

// inDocument orders errors by their place in the document, then by their place in the response. Fields of a query run at
// the same time, and equal requests must get equal bytes.
func inDocument(a, b *gqlerror.Error) int {
	for i := range min(len(a.Locations), len(b.Locations)) {
		x, y := a.Locations[i], b.Locations[i]
		if c := cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column)); c != 0 {
			return c
		}
	}
	return slices.CompareFunc(a.Path, b.Path, func(x, y ast.PathElement) int {
		i, isIndex := x.(ast.PathIndex)
		j, isIndexToo := y.(ast.PathIndex)
		if isIndex && isIndexToo {
			return cmp.Compare(i, j)
		}
		return strings.Compare(fmt.Sprint(x), fmt.Sprint(y))
	})
}

// sentence returns the message of a fault: the path of the field, then what is wrong.
func sentence(path []any, f *rules.Fault) string {
	parts := make([]string, len(path))
	for i, p := range path {
		parts[i] = fmt.Sprint(p)
	}
	return strings.Join(parts, ".") + " " + f.Message
}

// place returns the location of the current field in the document. gqlgen omits it from the errors of arguments.
func place(ctx context.Context) []gqlerror.Location {
	if fc := graphql.GetFieldContext(ctx); fc != nil && fc.Field.Field != nil && fc.Field.Position != nil {
		return []gqlerror.Location{{Line: fc.Field.Position.Line, Column: fc.Field.Position.Column}}
	}
	return nil
}

// argumentPath returns the part of an error's path within the arguments of the current field.
func argumentPath(ctx context.Context, path ast.Path) []any {
	parent := graphql.GetFieldContext(ctx)
	if parent == nil {
		return nil
	}
	skip := len(parent.Path())
	field := []any{}
	for _, p := range path[min(skip, len(path)):] {
		switch p := p.(type) {
		case ast.PathName:
			field = append(field, string(p))
		case ast.PathIndex:
			field = append(field, int(p))
		}
	}
	return field
}
