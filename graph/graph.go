// Package graph answers GraphQL operations: it maps queries and mutations onto ent, each operation onto one
// transaction, and errors onto the codes of the contract. It knows no net/http and no driver. gqlgen binds the fields of
// entities to those of package ent; edges have resolvers, which find the columns that the client selected.
package graph

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent/query"
	"roster/graph/generated"
	"roster/internal/database"
	"roster/internal/documents"
	"roster/internal/feed"
	"roster/internal/limits"
	"roster/internal/typeid"
)

// Options are what operations stand on.
type Options struct {
	Database *database.DB
	// Clock gives the times that are written.
	Clock func() time.Time
	// IDs gives the IDs of what is created.
	IDs *typeid.Source
	// Feed is what subscriptions follow; without it there are none.
	Feed *feed.Feed
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

// prices are what a statement costs that reads every row, or a part of them that no page bounds.
func prices() limits.Prices {
	return limits.Prices{
		Page:     query.DefaultSize,
		MaxPage:  query.MaxSize,
		MaxPages: map[string]int{"changes": maxChanges},
		List:     query.DefaultSize,
		Fields:   map[string]int64{"totalCount": 1_000, "userCount": 1_000, "postCount": 1_000, "usersWithoutPosts": 1_000, "signUps": 1_000},
		Inputs:   map[string]int64{"contains": 5_000},
	}
}

// NewExecutor returns what executes operations on the schema. Its responses are final: what they say is committed. The
// error says which of the trusted documents cannot be executed.
func NewExecutor(o Options) (graphql.GraphExecutor, error) {
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
	resolver := &resolver{feed: o.Feed}
	exec := executor.New(generated.NewExecutableSchema(generated.Config{Schema: schema, Resolvers: resolver}))
	exec.SetQueryCache(found{})
	exec.SetErrorPresenter(present)
	exec.SetRecoverFunc(func(_ context.Context, panicked any) error {
		return query.Recovered(panicked)
	})
	exec.Use(costs{})
	exec.Use(&operations{Options: o})
	if o.Introspection {
		exec.Use(extension.Introspection{})
	}
	return &limited{GraphExecutor: exec, library: library, options: o}, nil
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
type resolver struct{ feed *feed.Feed }

type (
	queryResolver             struct{ *resolver }
	mutationResolver          struct{ *resolver }
	subscriptionResolver      struct{ *resolver }
	changeResolver            struct{ *resolver }
	deletePostPayloadResolver struct{ *resolver }
)

var _ generated.ResolverRoot = (*resolver)(nil)

// Query implements generated.ResolverRoot.
func (r *resolver) Query() generated.QueryResolver { return queryResolver{r} }

// Mutation implements generated.ResolverRoot.
func (r *resolver) Mutation() generated.MutationResolver { return mutationResolver{r} }

// Subscription implements generated.ResolverRoot.
func (r *resolver) Subscription() generated.SubscriptionResolver { return subscriptionResolver{r} }

// Change implements generated.ResolverRoot.
func (r *resolver) Change() generated.ChangeResolver { return changeResolver{r} }

// DeletePostPayload implements generated.ResolverRoot.
func (r *resolver) DeletePostPayload() generated.DeletePostPayloadResolver {
	return deletePostPayloadResolver{r}
}

// isNode reports whether a type is an entity.
func isNode(t *ast.Definition) bool {
	return t.Name == "Node" || slices.Contains(t.Interfaces, "Node")
}
