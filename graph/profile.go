package graph

import (
	"context"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/internal/budget"
	"roster/internal/documents"
	"roster/internal/profile"
	"roster/internal/record"
)

// withFields adds the fields of an operation to the statements of its resolvers, if its record asks for them.
func withFields(ctx context.Context, next graphql.FieldMiddleware) graphql.FieldMiddleware {
	if r := record.FromContext(ctx); r == nil || !r.Fields {
		return next
	}
	return func(ctx context.Context, resolve graphql.Resolver) (any, error) {
		if f := graphql.GetFieldContext(ctx); f != nil && (f.IsResolver || f.IsMethod) {
			fields := record.NewFields(pathOf(f.Path()))
			inner := resolve
			resolve = func(ctx context.Context) (any, error) { return inner(record.WithFields(ctx, fields)) }
		}
		return next(ctx, resolve)
	}
}

// pathOf returns the path of a field as the client wrote its names, without indices.
func pathOf(path ast.Path) string {
	var names []string
	for _, p := range path {
		if name, ok := p.(ast.PathName); ok {
			names = append(names, string(name))
		}
	}
	return strings.Join(names, ".")
}

// addProfile adds the profile that a request asks for to the response of an operation that has ended. Compiled reads and
// resolvers name the same fields. The response stays within the limit of answers.
func (e *Executor) addProfile(ctx context.Context, o *documents.Operation, request *profile.Request, ended Ended) {
	statements, _ := ended.Record.Statements()
	statements = statements[:min(len(statements), profile.MaxStatements)]
	totals := ended.Record.Totals()
	var plans []string
	if request.Plans {
		plans = e.Database.Explain(ctx, statements)
	}
	extend(ended.Response, profile.Extension, profile.New(statements, plans, profile.Totals{
		Statements:     totals.Statements,
		Rows:           totals.Rows,
		DatabaseTimeMS: profile.Milliseconds(totals.Took),
		TimeMS:         profile.Milliseconds(ended.Took),
		Way:            string(ended.Way),
		Retries:        ended.Record.Retries(),
		Cost:           o.Cost,
	}, budget.FromContext(ctx).Room(int64(len(ended.Response.Data)))))
}

// extend adds an extension to a response.
func extend(response *graphql.Response, name string, value any) {
	if response.Extensions == nil {
		response.Extensions = map[string]any{}
	}
	response.Extensions[name] = value
}
