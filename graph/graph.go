// Package graph answers GraphQL operations: it maps queries and mutations onto ent, each operation onto one
// transaction, and errors onto the codes of the contract. It knows no net/http and no driver. gqlgen binds the fields of
// entities to those of package ent; edges have resolvers, which find the columns that the client selected.
package graph

import (
	"log/slog"
	"maps"
	"time"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/graph/generated"
	"roster/internal/database"
	"roster/internal/limits"
	"roster/internal/typeid"
)

// Options are the dependencies and bounds of an Executor.
type Options struct {
	Database *database.DB
	// Clock gives the times that are written.
	Clock func() time.Time
	// IDs gives the IDs of what is created.
	IDs *typeid.Source
	// Feed is what subscriptions follow; without it there are none.
	Feed *Feed
	// Committed is called after each commit that changed something; nil for nothing.
	Committed func()
	// Jitter gives a number from 0 to 1, to spread retries.
	Jitter func() float64
	Logger *slog.Logger
	// RequestTimeout bounds one operation, its retries included.
	RequestTimeout time.Duration
	// Introspection answers __schema and __type. Without it, errors do not tell about the schema either.
	Introspection bool
	// Limits are the most that a document and its variables may ask for.
	Limits limits.Limits
	// DocumentCacheBytes is how much memory the documents take that are kept for the next request.
	DocumentCacheBytes int64
	// TrustedDocuments are the only documents that are executed, by their keys; nil lets clients send others.
	TrustedDocuments map[string]string
}

// SDL returns the served schema, as it is written in schema.graphqls.
func SDL() string { return source().Input }

func source() *ast.Source {
	return generated.NewExecutableSchema(generated.Config{}).Schema().Query.Position.Src
}

// served is the schema without what gqlparser adds to it: @defer, over which a plain POST would lose data, and scalars
// that the schema does not use, which introspection must not list.
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
	// subscription is the operation when it is a subscription, or nil.
	subscription *subscription
}

type (
	queryResolver             struct{ *resolver }
	mutationResolver          struct{ *resolver }
	changeResolver            struct{ *resolver }
	deletePostPayloadResolver struct{ *resolver }
)

var _ generated.ResolverRoot = (*resolver)(nil)

// Query implements generated.ResolverRoot.
func (r *resolver) Query() generated.QueryResolver { return queryResolver{r} }

// Mutation implements generated.ResolverRoot.
func (r *resolver) Mutation() generated.MutationResolver { return mutationResolver{r} }

// Subscription implements generated.ResolverRoot.
func (r *resolver) Subscription() generated.SubscriptionResolver { return r.subscription }

// Change implements generated.ResolverRoot.
func (r *resolver) Change() generated.ChangeResolver { return changeResolver{r} }

// DeletePostPayload implements generated.ResolverRoot.
func (r *resolver) DeletePostPayload() generated.DeletePostPayloadResolver {
	return deletePostPayloadResolver{r}
}
