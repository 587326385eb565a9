package graph

import (
	"context"
	"log/slog"
	"math/rand/v2"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent/query"
	"roster/graph/generated"
	"roster/internal/budget"
	"roster/internal/documents"
	"roster/internal/limits"
)

// An Executor executes the operations of requests on the schema: each is one transaction, committed before its response
// is written, rolled back when any field of a mutation fails, and tried again, whole, when it lost a race.
//
// It runs the code that gqlgen generates, and not gqlgen's own executor: that one parses, validates and coerces what
// package documents has parsed, validated and coerced already, and takes no document that is ready.
type Executor struct {
	Options
	library    *documents.Library
	schema     *ast.Schema
	resolver   *resolver
	executable graphql.ExecutableSchema // of queries and mutations; a subscription has its own
	statements map[limits.Field]int     // that each field sends itself
}

// NewExecutor returns an executor. The error says which of the trusted documents cannot be executed.
func NewExecutor(o Options) (*Executor, error) {
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Committed == nil {
		o.Committed = func() {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	schema := served()
	library, err := documents.New(documents.Options{
		Schema:        schema,
		Limits:        limits.New(schema, o.Limits, prices()),
		CacheBytes:    o.DocumentCacheBytes,
		Introspection: o.Introspection,
		Trusted:       o.TrustedDocuments,
	})
	if err != nil {
		return nil, err
	}
	r := new(resolver)
	return &Executor{
		Options: o, library: library, schema: schema, resolver: r, executable: executable(schema, r),
		statements: statementsOf(fields()),
	}, nil
}

// Prepare returns the operation of a request, or the response that says why it is not executed: it has no data, and at
// most ten errors.
func (e *Executor) Prepare(r documents.Request) (*documents.Operation, *graphql.Response) {
	o, errs := e.library.Operation(r)
	if len(errs) == 0 {
		return o, nil
	}
	response := &graphql.Response{Errors: errs}
	if o.Cost > 0 {
		e.addCost(o, response)
	}
	return nil, response
}

// Execute answers a query or a mutation. A mutation with an idempotency key, which is not empty, is done once: replayed
// says that the response is the one to an earlier request with this key. The response is final: it is committed.
func (e *Executor) Execute(ctx context.Context, o *documents.Operation, key string) (response *graphql.Response, replayed bool) {
	ctx = e.withOperation(ctx, o)
	response, replayed = e.run(ctx, key, func(ctx context.Context) *graphql.Response {
		return answer(ctx, e.executable.Exec(ctx))
	})
	e.tidyErrors(ctx, response)
	e.addCost(o, response)
	return response, replayed
}

// executable is the code that gqlgen generates, with the resolvers that it calls.
func executable(schema *ast.Schema, r *resolver) graphql.ExecutableSchema {
	return generated.NewExecutableSchema(generated.Config{Schema: schema, Resolvers: r})
}

// withOperation returns the context in which an operation is executed. The generated code reads the operation from it:
// the document, the variables, and the functions that are called around root fields and around all fields.
func (e *Executor) withOperation(ctx context.Context, o *documents.Operation) context.Context {
	operation := &graphql.OperationContext{
		RawQuery:               o.Text,
		Variables:              o.Variables,
		OperationName:          o.Request.OperationName,
		Doc:                    o.Parsed,
		Operation:              o.Definition,
		DisableIntrospection:   !e.Introspection,
		RecoverFunc:            recovered,
		ResolverMiddleware:     func(ctx context.Context, next graphql.Resolver) (any, error) { return next(ctx) },
		RootResolverMiddleware: resolveRoot,
	}
	if account := budget.FromContext(ctx); account != nil {
		operation.ResolverMiddleware = newMeter(account, o.Cost).resolve
	}
	introspected(operation)
	return graphql.WithOperationContext(ctx, operation)
}

// answer takes the next response from the generated code, with the errors of its fields.
func answer(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	if ctx.Err() != nil {
		return failed(ctx, context.Cause(ctx))
	}
	ctx = graphql.WithResponseContext(ctx, publicError, recovered)
	response := next(ctx)
	if response == nil { // a subscription whose context has ended
		return failed(ctx, context.Cause(ctx))
	}
	response.Errors = append(response.Errors, graphql.GetErrors(ctx)...)
	return response
}

func recovered(_ context.Context, panicked any) error { return query.Recovered(panicked) }

// cost is the extension of the responses to a request that has "cost": true among its own extensions.
type cost struct {
	Cost  int64 `json:"cost"`
	Limit int   `json:"limit,omitempty"`
}

// addCost adds what an operation costs to a response, when the request asks for it.
func (e *Executor) addCost(o *documents.Operation, response *graphql.Response) {
	const name = "cost"
	if o.Request.Extensions[name] == true {
		response.Extensions = map[string]any{name: cost{Cost: o.Cost, Limit: e.Limits.MaxCost}}
	}
}
