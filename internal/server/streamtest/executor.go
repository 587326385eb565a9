package streamtest

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/codes"
	"roster/internal/documents"
	"roster/internal/server"
)

// Executor executes operations on a schema as gqlgen's own executor does.
type Executor struct{ gqlgen *executor.Executor }

var _ server.Executor = (*Executor)(nil)

// NewExecutor returns an executor of operations on a schema.
func NewExecutor(schema graphql.ExecutableSchema) *Executor { return &Executor{executor.New(schema)} }

// Prepare implements server.Executor.
func (e *Executor) Prepare(ctx context.Context, r documents.Request) (*documents.Operation, *graphql.Response) {
	operation, response := e.operation(ctx, r)
	if response != nil {
		return nil, response
	}
	return &documents.Operation{Request: r, Definition: operation.Operation}, nil
}

func (e *Executor) operation(ctx context.Context, r documents.Request) (*graphql.OperationContext, *graphql.Response) {
	operation, errs := e.gqlgen.CreateOperationContext(graphql.StartOperationTrace(ctx), &graphql.RawParams{
		Query: r.Text, OperationName: r.OperationName, Variables: r.Variables, Extensions: r.Extensions,
	})
	if len(errs) > 0 {
		return nil, &graphql.Response{Errors: errs}
	}
	return operation, nil
}

// Execute implements server.Executor. Terms do nothing.
func (e *Executor) Execute(ctx context.Context, o *documents.Operation, _ documents.Terms) (*graphql.Response, documents.Receipt) {
	next, refused := e.Subscribe(ctx, o)
	if refused != nil {
		return refused, documents.Receipt{}
	}
	response := next()
	if response == nil { // gqlgen's answer to a context that has ended
		response = &graphql.Response{Data: []byte("null"), Errors: gqlerror.List{failure(codes.Timeout, "the operation was cancelled")}}
	}
	return response, documents.Receipt{}
}

// Subscribe implements server.Executor.
func (e *Executor) Subscribe(ctx context.Context, o *documents.Operation) (next func() *graphql.Response, refused *graphql.Response) {
	operation, refused := e.operation(ctx, o.Request)
	if refused == nil {
		refused = refuse(ctx, operation)
	}
	if refused != nil {
		return nil, refused
	}
	handler, ctx := e.gqlgen.DispatchOperation(ctx, operation)
	return func() *graphql.Response { return handler(ctx) }, nil
}

// refuse refuses an operation with the field private as a whole, unless the caller is ada.
func refuse(ctx context.Context, operation *graphql.OperationContext) *graphql.Response {
	name := CallerFrom(ctx)
	for _, field := range graphql.CollectFields(operation, operation.Operation.SelectionSet, nil) {
		if field.Name != "private" || name == "ada" {
			continue
		}
		if name == "" {
			return &graphql.Response{Errors: gqlerror.List{failure(codes.Unauthenticated, "a token is needed")}}
		}
		return &graphql.Response{Errors: gqlerror.List{failure(codes.Forbidden, "only ada may do this")}}
	}
	return nil
}
