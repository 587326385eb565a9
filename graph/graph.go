// Package graph answers GraphQL operations: it maps queries and mutations onto ent, each operation onto one
// transaction, and errors onto the codes of the contract. It knows no net/http and no driver. Fields of entities need
// no resolver here: gqlgen binds them to the fields and to the generated methods of package ent.
package graph

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent"
	"roster/graph/generated"
	"roster/internal/database"
	"roster/internal/typeid"
)

// Options are what operations stand on.
type Options struct {
	Database *database.DB
	// Clock gives the times that are written.
	Clock func() time.Time
	// IDs gives the IDs of what is created.
	IDs *typeid.Source
	// Jitter gives a number from 0 to 1, to spread retries.
	Jitter func() float64
	Logger *slog.Logger
	// RequestTimeout bounds one operation, its retries included.
	RequestTimeout time.Duration
	// Introspection answers __schema and __type.
	Introspection bool
}

// Bounds of what is read and kept of a document; the limits of cost come with the cost.
const (
	maxTokens         = 20_000
	cachedDocuments   = 512
	maxCachedDocument = 32 << 10 // bytes
)

// NewExecutor returns what executes operations on the schema. Its responses are final: what they say is committed.
func NewExecutor(o Options) *executor.Executor {
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	resolver := &resolver{clock: o.Clock, ids: o.IDs}
	exec := executor.New(generated.NewExecutableSchema(generated.Config{Schema: served(), Resolvers: resolver}))
	exec.SetQueryCache(documents{lru.New[*ast.QueryDocument](cachedDocuments)})
	exec.SetParserTokenLimit(maxTokens)
	exec.SetErrorPresenter(present)
	exec.SetRecoverFunc(func(_ context.Context, panicked any) error {
		return &panicError{value: panicked, stack: debug.Stack()}
	})
	exec.Use(&operations{Options: o})
	if o.Introspection {
		exec.Use(extension.Introspection{})
	}
	return exec
}

// SDL returns the served schema, as it is written in schema.graphqls.
func SDL() string { return source().Input }

func source() *ast.Source {
	return generated.NewExecutableSchema(generated.Config{}).Schema().Query.Position.Src
}

// served is the schema without @defer, which gqlparser adds and over which a plain POST would lose data.
func served() *ast.Schema {
	schema := gqlparser.MustLoadSchema(source())
	delete(schema.Directives, "defer")
	return schema
}

// documents keeps parsed documents, but for very long ones, of which a few would fill the memory.
type documents struct {
	*lru.LRU[*ast.QueryDocument]
}

func (d documents) Add(ctx context.Context, query string, doc *ast.QueryDocument) {
	if len(query) <= maxCachedDocument {
		d.LRU.Add(ctx, query, doc)
	}
}

var _ graphql.Cache[*ast.QueryDocument] = documents{}

// resolver resolves the root fields; the entities resolve themselves.
type resolver struct {
	clock func() time.Time
	ids   *typeid.Source
}

// now is the time to write: in UTC with the microseconds that every database keeps, so that what a mutation returns
// is what a query reads later.
func (r *resolver) now() time.Time { return r.clock().UTC().Truncate(time.Microsecond) }

// queryResolver adds to the generated reads of all entities what is special.
type queryResolver struct {
	ent.Reads
	*resolver
}

type (
	mutationResolver          struct{ *resolver }
	deletePostPayloadResolver struct{ *resolver }
)

var _ generated.ResolverRoot = (*resolver)(nil)

// Query implements generated.ResolverRoot.
func (r *resolver) Query() generated.QueryResolver {
	return queryResolver{ent.Reads{Client: client}, r}
}

func client(ctx context.Context) *ent.Client { return attemptFrom(ctx).ent }

// Mutation implements generated.ResolverRoot.
func (r *resolver) Mutation() generated.MutationResolver { return mutationResolver{r} }

// DeletePostPayload implements generated.ResolverRoot.
func (r *resolver) DeletePostPayload() generated.DeletePostPayloadResolver {
	return deletePostPayloadResolver{r}
}

// isNode reports whether a type is an entity.
func isNode(t *ast.Definition) bool {
	return t.Name == "Node" || slices.Contains(t.Interfaces, "Node")
}
