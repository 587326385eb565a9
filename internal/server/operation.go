package server

import (
	"context"
	"errors"
	"iter"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/budget"
	"roster/internal/codes"
	"roster/internal/documents"
	"roster/internal/requestid"
)

// An Executor executes operations. If Response.Data is nil, the operation was not executed, and the answer has no key
// data. If it is the JSON text null, the operation was executed and failed.
type Executor interface {
	// Prepare returns the operation of a request of the caller in ctx, or a response with the errors of the request.
	Prepare(ctx context.Context, r documents.Request) (*documents.Operation, *graphql.Response)
	// Execute answers a query or a mutation. A mutation with an idempotency key is executed once.
	Execute(ctx context.Context, o *documents.Operation, t documents.Terms) (*graphql.Response, documents.Receipt)
	// Subscribe starts a subscription, or returns a response with the errors that keep it from starting. next waits for
	// the next response. A response is valid until the next call. A response without data is the last one. nil says that
	// the subscription has ended.
	Subscribe(ctx context.Context, o *documents.Operation) (next func() *graphql.Response, failure *graphql.Response)
}

// execute answers a query or a mutation.
func (e endpoint) execute(ctx context.Context, o *documents.Operation, t documents.Terms) (*graphql.Response, documents.Receipt) {
	response, receipt := e.executor.Execute(ctx, o, t)
	if busy(ctx) { // the operation has changed nothing
		return &graphql.Response{Errors: refuseBusy().errors()}, documents.Receipt{}
	}
	return response, receipt
}

// busy reports whether there was no memory for the answer of an operation.
func busy(ctx context.Context) bool {
	return errors.Is(budget.FromContext(ctx).Err(), budget.ErrBusy)
}

// responses runs an operation and yields its responses: one for a query or a mutation, any number for a subscription.
// inTurn says more about them. A query or a mutation is executed on the terms t, and told gets its receipt before the response.
func (e endpoint) responses(
	ctx context.Context, o *documents.Operation, t documents.Terms, told func(documents.Receipt), events toll, copies int64,
) iter.Seq[*graphql.Response] {
	if o.Definition.Operation == ast.Subscription {
		next, _ := e.subscribe(ctx, o)
		return e.inTurn(ctx, next, true, events, copies)
	}
	return e.inTurn(ctx, func() *graphql.Response {
		response, receipt := e.execute(ctx, o, t)
		told(receipt)
		return response
	}, false, toll{}, copies)
}

// subscribe starts a subscription. failure is a response with the errors that keep it from starting, or nil. It is also
// the first response that next returns.
func (e endpoint) subscribe(ctx context.Context, o *documents.Operation) (next func() *graphql.Response, failure *graphql.Response) {
	failure = e.guard(ctx, func() (failure *graphql.Response) {
		next, failure = e.executor.Subscribe(ctx, o)
		return failure
	})
	if failure != nil {
		next = func() *graphql.Response { return failure }
	}
	return next, failure
}

// inTurn yields one response from next or, if the operation is lasting, many. A response without data is the last one. A
// response is valid until the next one is asked for. Meanwhile the account of the answer holds copies of its data. Each
// response of a subscription pays the toll of events. Without points, the last response says RATE_LIMITED instead. A panic is
// logged, and its response says INTERNAL.
func (e endpoint) inTurn(
	ctx context.Context, next func() *graphql.Response, lasting bool, events toll, copies int64,
) iter.Seq[*graphql.Response] {
	account := budget.FromContext(ctx)
	return func(yield func(*graphql.Response) bool) {
		for more := true; more; {
			response := e.guard(ctx, next)
			if response == nil {
				return
			}
			if lasting && response.Data != nil {
				if refused := events.pay(); refused != nil {
					e.observer.Refused(refused.status, refused.code())
					response = &graphql.Response{Errors: refused.errors()}
				}
			}
			account.Settle(copies * int64(len(response.Data)))
			more = yield(response) && lasting && response.Data != nil
			account.Settle(0)
		}
	}
}

// guard calls f. If f panics, guard logs the panic and returns a response that says INTERNAL.
func (e endpoint) guard(ctx context.Context, f func() *graphql.Response) (response *graphql.Response) {
	defer func() {
		if cause := recover(); cause != nil {
			logPanic(ctx, e.logger, cause)
			response = &graphql.Response{Errors: gqlerror.List{{Message: messageInternal, Extensions: internal(ctx)}}}
		}
	}()
	return f()
}

// internal returns the extensions of an unexpected error.
func internal(ctx context.Context) map[string]any {
	return map[string]any{"code": codes.Internal, "requestId": requestid.FromContext(ctx)}
}
