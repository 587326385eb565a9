package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/documents"
)

// limited lets the executor see no document but one that is within the limits, valid, and not too expensive.
type limited struct {
	graphql.GraphExecutor

	library *documents.Library
	options Options
}

// CreateOperationContext implements graphql.GraphExecutor. The errors are at most ten.
func (l *limited) CreateOperationContext(ctx context.Context, params *graphql.RawParams) (*graphql.OperationContext, gqlerror.List) {
	request := documents.Request{
		Text: params.Query, OperationName: params.OperationName, Variables: params.Variables, Extensions: params.Extensions,
	}
	document, cost, errs := l.library.Find(request)
	if len(errs) == 0 {
		params.Variables, errs = l.library.Variables(document, request) // the executor lets more pass
	}
	if len(errs) > 0 {
		operation := &graphql.OperationContext{}
		if cost > 0 {
			l.report(operation, params, cost)
		}
		return operation, errs
	}
	params.Query = document.Text
	operation, errs := l.GraphExecutor.CreateOperationContext(context.WithValue(ctx, foundKey{}, document.Parsed), params)
	for i, err := range errs {
		err.Err = nil // the message has all of it
		errs[i] = documents.Tidy(err)
	}
	if len(errs) == 0 {
		metered(ctx, operation, cost)
		introspected(operation)
	}
	l.report(operation, params, cost)
	return operation, errs
}

type foundKey struct{}

// found is the executor's cache of documents: the one that was found for the request.
type found struct{}

var _ graphql.Cache[*ast.QueryDocument] = found{}

// Get implements graphql.Cache.
func (found) Get(ctx context.Context, _ string) (*ast.QueryDocument, bool) {
	document, ok := ctx.Value(foundKey{}).(*ast.QueryDocument)
	return document, ok
}

// Add implements graphql.Cache.
func (found) Add(context.Context, string, *ast.QueryDocument) {}

// cost is the extension of a response that a request gets which has "cost": true among its own extensions.
type cost struct {
	Cost  int64 `json:"cost"`
	Limit int   `json:"limit,omitempty"`
}

const costExtension = "cost"

// report keeps the cost for the response, when the request wants it.
func (l *limited) report(operation *graphql.OperationContext, params *graphql.RawParams, n int64) {
	if params.Extensions[costExtension] == true {
		operation.Stats.SetExtension(costExtension, cost{Cost: n, Limit: l.options.Limits.MaxCost})
	}
}

// costs puts the cost into the response.
type costs struct{}

var (
	_ graphql.HandlerExtension    = costs{}
	_ graphql.ResponseInterceptor = costs{}
)

// ExtensionName implements graphql.HandlerExtension.
func (costs) ExtensionName() string { return "Costs" }

// Validate implements graphql.HandlerExtension.
func (costs) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptResponse implements graphql.ResponseInterceptor.
func (costs) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	if graphql.HasOperationContext(ctx) {
		if n, ok := graphql.GetOperationContext(ctx).Stats.GetExtension(costExtension).(cost); ok {
			graphql.RegisterExtension(ctx, costExtension, n)
		}
	}
	return next(ctx)
}
