package graph

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent/query"
	"roster/ent/rules"
	"roster/graph/compiled"
	"roster/graph/generated"
	"roster/internal/budget"
	"roster/internal/codes"
	"roster/internal/documents"
	"roster/internal/limits"
	"roster/internal/profile"
	"roster/internal/record"
)

// An Executor executes operations. Each operation is one transaction. It is committed before its response is written. It
// is rolled back when any field of a mutation fails, and tried again as a whole after a lost race.
//
// The Executor calls the code that gqlgen generates. It does not use gqlgen's own executor, which would parse, validate
// and coerce again what package documents has done.
type Executor struct {
	Options
	library     *documents.Library
	schema      *ast.Schema
	resolver    *resolver
	executable  graphql.ExecutableSchema // for queries and mutations; each subscription has its own
	declared    map[string]declaration   // fields()
	permissions map[string]permission    // permissions()
	reads       *compiled.Options        // compiledOptions()
}

// NewExecutor returns an executor. The error names a trusted document that is not valid.
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
	r, declared := new(resolver), fields()
	return &Executor{
		Options: o, library: library, schema: schema, resolver: r, executable: executable(schema, r),
		declared: declared, permissions: permissions(), reads: compiledOptions(schema, declared),
	}, nil
}

// Prepare returns the operation of a request. If it cannot be executed, Prepare returns the response instead, which has at
// most ten errors and no data. If the schema is secret for the caller in ctx, the response is the same for a request that
// is wrong and for one that the caller may not make.
func (e *Executor) Prepare(ctx context.Context, r documents.Request) (*documents.Operation, *graphql.Response) {
	caller := rules.CallerFrom(ctx)
	r.Unkept = stranger(caller) // the documents of strangers must not push out those of others
	o, errs := e.library.Operation(r)
	if e.secretFor(caller) && (len(errs) > 0 || e.authorize(e.withOperation(ctx, o), "") != nil) {
		return nil, refuse(ctx, codes.Unauthenticated, credentials)
	}
	if len(errs) == 0 {
		return o, nil
	}
	response := &graphql.Response{Errors: errs}
	if o.Cost > 0 {
		e.addCost(o, response)
	}
	return nil, response
}

// secretFor reports whether a caller may learn nothing of the schema. Otherwise nobody could find it with a list of words:
// the errors of documents say which fields exist.
func (e *Executor) secretFor(c rules.Caller) bool { return !e.Introspection && stranger(c) }

// stranger reports whether a caller has no credentials, and may read nothing without them.
func stranger(c rules.Caller) bool { return c.Nobody() && !c.Reader }

// Execute executes a query or a mutation, if the caller in ctx may select its fields. The transaction has ended when
// Execute returns. A mutation with an idempotency key runs once.
func (e *Executor) Execute(ctx context.Context, o *documents.Operation, t documents.Terms) (*graphql.Response, documents.Receipt) {
	ctx, cancel := context.WithTimeout(ctx, e.RequestTimeout)
	defer cancel()
	return e.observe(ctx, o, func(ctx context.Context, started time.Time) (*graphql.Response, Way, documents.Receipt) {
		return e.execute(ctx, o, t, started)
	})
}

// observe runs an operation, tells the observer of it, and adds its profile if the request asks for it.
func (e *Executor) observe(ctx context.Context, o *documents.Operation,
	run func(ctx context.Context, started time.Time) (*graphql.Response, Way, documents.Receipt),
) (*graphql.Response, documents.Receipt) {
	started := e.Clock()
	request := profile.FromContext(ctx)
	if e.Observer == nil && request == nil {
		response, _, receipt := run(ctx, started)
		return response, receipt
	}
	if e.Observer != nil {
		ctx = e.Observer.Begin(ctx, o)
	}
	r := record.FromContext(ctx)
	if r == nil {
		r = record.New()
		ctx = record.WithOperation(ctx, r)
	}
	if request != nil {
		r.Fields, r.Arguments = true, request.Plans
	}
	began := time.Now() // Clock gives the times of rows, and need not run like a watch
	response, way, receipt := run(ctx, started)
	ended := Ended{Response: response, Record: r, Way: way, Took: time.Since(began), Replayed: receipt.Replayed}
	if e.Observer != nil {
		e.Observer.End(ctx, o, ended)
	}
	if request != nil {
		e.addProfile(ctx, o, request, ended)
	}
	return response, receipt
}

// execute is Execute for an operation that started at a time. It also returns the way of the answer.
func (e *Executor) execute(
	ctx context.Context, o *documents.Operation, t documents.Terms, started time.Time,
) (response *graphql.Response, way Way, receipt documents.Receipt) {
	way = ByResolvers
	if t.Key == "" && o.Definition.Operation == ast.Query {
		if response, way = e.read(ctx, o, t.After, started); response != nil {
			e.addCost(o, response)
			return response, way, receipt
		}
	}
	ctx = e.withOperation(ctx, o)
	if response = e.authorize(ctx, t.Key); response == nil {
		response, receipt = e.run(ctx, t, started, func(ctx context.Context) *graphql.Response {
			return answer(ctx, e.executable.Exec(ctx))
		})
		refuseWhole(response)
	}
	e.tidyErrors(ctx, response)
	e.addCost(o, response)
	return response, way, receipt
}

// executable returns the generated code with its resolvers.
func executable(schema *ast.Schema, r *resolver) graphql.ExecutableSchema {
	return generated.NewExecutableSchema(generated.Config{Schema: schema, Resolvers: r})
}

// withOperation returns a context with an operation for the generated code: the document, the variables, and the
// functions around root fields and around all fields.
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
	operation.ResolverMiddleware = withFields(ctx, operation.ResolverMiddleware)
	introspected(operation)
	return graphql.WithOperationContext(ctx, operation)
}

// answer returns the next response of the generated code, with the errors of the fields.
func answer(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	if ctx.Err() != nil {
		return failed(ctx, context.Cause(ctx))
	}
	ctx = graphql.WithResponseContext(ctx, publicError, recovered)
	response := next(ctx)
	if response == nil { // the context of a subscription has ended
		return failed(ctx, context.Cause(ctx))
	}
	response.Errors = append(response.Errors, graphql.GetErrors(ctx)...)
	return response
}

func recovered(_ context.Context, panicked any) error { return query.Recovered(panicked) }

// cost is an extension of a response, if the request has the extension "cost": true.
type cost struct {
	Cost  int64 `json:"cost"`
	Limit int   `json:"limit,omitempty"`
}

// addCost adds the cost of an operation to a response, if the request asks for it.
func (e *Executor) addCost(o *documents.Operation, response *graphql.Response) {
	const name = "cost"
	if o.Request.Extensions[name] == true {
		extend(response, name, cost{Cost: o.Cost, Limit: e.Limits.MaxCost})
	}
}
