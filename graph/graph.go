// Package graph executes GraphQL operations, each in one transaction, and turns errors into the codes of the contract.
// It knows no net/http and no driver. gqlgen binds the fields of entities to those of package ent. Edges have resolvers,
// which find the columns that the client selected.
package graph

//go:generate go -C .. tool gqlgen generate

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/graph/generated"
	"roster/internal/database"
	"roster/internal/documents"
	"roster/internal/limits"
	"roster/internal/record"
	"roster/internal/typeid"
)

// Options are the dependencies and bounds of an Executor.
type Options struct {
	Database *database.DB
	// Clock returns the time of a write.
	Clock func() time.Time
	// IDs creates the IDs of new entities.
	IDs *typeid.Source
	// Feed has the changes for subscriptions. It may be nil if no subscription is executed.
	Feed *Feed
	// Committed is called after each commit of changes. It may be nil.
	Committed func()
	// Jitter returns a number from 0 to 1. It spreads retries. Default: rand.Float64.
	Jitter func() float64
	// Logger gets unforeseen errors. Default: none are logged.
	Logger *slog.Logger
	// RequestTimeout bounds one operation and its retries together.
	RequestTimeout time.Duration
	// Introspection answers __schema and __type. Without it, errors do not reveal the schema either.
	Introspection bool
	// CompiledReads answers queries by package compiled where it can.
	CompiledReads bool
	// Observer is told of each operation. It may be nil.
	Observer Observer
	// Limits bound a document and its variables.
	Limits limits.Limits
	// DocumentCacheBytes bounds the memory of the cached documents, in bytes.
	DocumentCacheBytes int64
	// TrustedDocuments has the documents that may be executed, by their keys. With nil, clients may send any document.
	TrustedDocuments map[string]string
}

// An Observer is told of operations: of queries, mutations, and events of subscriptions. Its methods must be safe for
// concurrent use.
type Observer interface {
	// Begin is called before an operation runs. It runs in the context that Begin returns.
	Begin(ctx context.Context, o *documents.Operation) context.Context
	// End is called when the operation has ended, in the context from Begin.
	End(ctx context.Context, o *documents.Operation, e Ended)
}

// Ended says how an operation has ended.
type Ended struct {
	// Response is the response before it is written. It must not be changed.
	Response *graphql.Response
	// Record has the statements of the operation.
	Record *record.Operation
	Way    Way
	Took   time.Duration
	// Replayed reports that the response is that of an earlier request with the idempotency key.
	Replayed bool
}

// SDL returns the text of schema.graphqls.
func SDL() string { return source().Input }

func source() *ast.Source {
	return generated.NewExecutableSchema(generated.Config{}).Schema().Query.Position.Src
}

// served returns the schema without two additions of gqlparser: @defer, with which a plain POST would lose data, and
// scalars that no field uses, which introspection must not list.
func served() *ast.Schema {
	schema := gqlparser.MustLoadSchema(source())
	delete(schema.Directives, "defer")
	used := usedTypes(schema)
	maps.DeleteFunc(schema.Types, func(name string, t *ast.Definition) bool {
		return t.Kind == ast.Scalar && t.BuiltIn && !used[name]
	})
	return schema
}

// usedTypes returns the types of all fields and arguments.
func usedTypes(schema *ast.Schema) map[string]bool {
	used := map[string]bool{}
	arguments := func(list ast.ArgumentDefinitionList) {
		for _, a := range list {
			used[a.Type.Name()] = true
		}
	}
	for _, t := range schema.Types {
		for _, f := range t.Fields {
			used[f.Type.Name()] = true
			arguments(f.Arguments)
		}
	}
	for _, d := range schema.Directives {
		arguments(d.Arguments)
	}
	return used
}

// resolver resolves the root fields and the edges.
type resolver struct {
	// subscription is nil for queries and mutations.
	subscription *subscription
}

type (
	queryResolver             struct{}
	mutationResolver          struct{}
	changeResolver            struct{}
	deletePostPayloadResolver struct{}
)

var _ generated.ResolverRoot = (*resolver)(nil)

// Query implements generated.ResolverRoot.
func (*resolver) Query() generated.QueryResolver { return queryResolver{} }

// Mutation implements generated.ResolverRoot.
func (*resolver) Mutation() generated.MutationResolver { return mutationResolver{} }

// Subscription implements generated.ResolverRoot.
func (r *resolver) Subscription() generated.SubscriptionResolver { return r.subscription }

// Change implements generated.ResolverRoot.
func (*resolver) Change() generated.ChangeResolver { return changeResolver{} }

// DeletePostPayload implements generated.ResolverRoot.
func (*resolver) DeletePostPayload() generated.DeletePostPayloadResolver {
	return deletePostPayloadResolver{}
}
