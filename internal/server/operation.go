package server

import (
	"context"
	"errors"
	"iter"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/budget"
	"roster/internal/requestid"
)

// prepare makes an operation of params. The response, if any, says why it cannot be executed.
func (e endpoint) prepare(ctx context.Context, params *graphql.RawParams) (context.Context, *graphql.OperationContext, *graphql.Response) {
	ctx = graphql.StartOperationTrace(ctx)
	operation, errs := e.executor.CreateOperationContext(ctx, params)
	if len(errs) > 0 {
		response := e.executor.DispatchError(graphql.WithOperationContext(ctx, operation), errs)
		response.Data = nil
		return ctx, operation, response
	}
	return ctx, operation, nil
}

// execute runs an operation that has one response.
func (e endpoint) execute(ctx context.Context, operation *graphql.OperationContext) *graphql.Response {
	next, ctx := e.executor.DispatchOperation(ctx, operation)
	response := next(ctx)
	if response == nil { // gqlgen's way to say that the context had ended
		response = interrupted(ctx)
	}
	if busy(ctx) { // nothing of it was done
		response = &graphql.Response{Errors: refuseBusy().errors()}
	}
	return response
}

// busy reports whether there was no memory for the answer of an operation.
func busy(ctx context.Context) bool {
	return errors.Is(budget.FromContext(ctx).Err(), budget.ErrBusy)
}

// responses runs an operation and yields each of its responses: one of a query or a mutation, any
// number of a subscription. One without data is the last. A response is valid until the next is
// asked for. A panic is logged and yields a response that says INTERNAL.
func (e endpoint) responses(ctx context.Context, operation *graphql.OperationContext) iter.Seq[*graphql.Response] {
	if operation.Operation.Operation != ast.Subscription {
		return func(yield func(*graphql.Response) bool) {
			yield(e.guard(ctx, func() *graphql.Response { return e.execute(ctx, operation) }))
		}
	}
	return func(yield func(*graphql.Response) bool) {
		var next graphql.ResponseHandler
		response := e.guard(ctx, func() *graphql.Response {
			next, ctx = e.executor.DispatchOperation(ctx, operation)
			return next(ctx)
		})
		for response != nil && yield(response) && response.Data != nil {
			response = e.guard(ctx, func() *graphql.Response { return next(ctx) })
		}
	}
}

// guard calls f. When that panics it logs the panic and returns a response that says INTERNAL.
func (e endpoint) guard(ctx context.Context, f func() *graphql.Response) (response *graphql.Response) {
	defer func() {
		if cause := recover(); cause != nil {
			logPanic(ctx, e.logger, cause)
			response = &graphql.Response{Errors: gqlerror.List{{Message: messageInternal, Extensions: internal(ctx)}}}
		}
	}()
	return f()
}

// interrupted is the response of an operation whose context ended before it had one: by its
// deadline, or because the client went away, who then does not see it.
func interrupted(ctx context.Context) *graphql.Response {
	message := "the operation was cancelled"
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		message = "the operation took too long"
	}
	return &graphql.Response{
		Data:   []byte("null"),
		Errors: gqlerror.List{{Message: message, Extensions: map[string]any{"code": codeTimeout}}},
	}
}

// internal has the extensions of an error that nobody foresaw.
func internal(ctx context.Context) map[string]any {
	return map[string]any{"code": codeInternal, "requestId": requestid.FromContext(ctx)}
}
