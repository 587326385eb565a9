package graph

import (
	"context"
	"errors"
	"fmt"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/graph/generated"
	"roster/internal/stats"
	"roster/internal/typeid"
)

type (
	userResolver struct{}
	postResolver struct{}
)

// User implements generated.ResolverRoot.
func (*resolver) User() generated.UserResolver { return userResolver{} }

// Post implements generated.ResolverRoot.
func (*resolver) Post() generated.PostResolver { return postResolver{} }

// Users implements generated.QueryResolver.
func (queryResolver) Users(ctx context.Context, first *int, after *string, last *int, before *string, where *ent.UserWhere, orderBy []ent.UserOrder) (*ent.UserConnection, error) {
	args := query.Args{First: first, After: after, Last: last, Before: before}
	return query.ReadPage(ctx, attemptFrom(ctx).ent.User.Reader(), "Users", pageColumns(ctx, ent.UserTable), args, where, orderBy)
}

// Posts implements generated.QueryResolver.
func (queryResolver) Posts(ctx context.Context, first *int, after *string, last *int, before *string, where *ent.PostWhere, orderBy []ent.PostOrder) (*ent.PostConnection, error) {
	args := query.Args{First: first, After: after, Last: last, Before: before}
	return query.ReadPage(ctx, attemptFrom(ctx).ent.Post.Reader(), "Posts", pageColumns(ctx, ent.PostTable), args, where, orderBy)
}

// Post implements generated.QueryResolver.
func (queryResolver) Post(ctx context.Context, id typeid.ID) (*ent.Post, error) {
	return byID(ctx, attemptFrom(ctx).ent.Post.Reader(), id, "id")
}

// Posts implements generated.UserResolver.
func (userResolver) Posts(ctx context.Context, u *ent.User, first *int, after *string, last *int, before *string, where *ent.PostWhere, orderBy []ent.PostOrder) (*ent.PostConnection, error) {
	args := query.Args{First: first, After: after, Last: last, Before: before}
	return u.LoadPosts(ctx, pageColumns(ctx, ent.PostTable), args, where, orderBy)
}

// Author implements generated.PostResolver.
func (postResolver) Author(ctx context.Context, p *ent.Post) (*ent.User, error) {
	return p.LoadAuthor(ctx, nodeColumns(ctx, ent.UserTable))
}

// Node implements generated.QueryResolver.
func (queryResolver) Node(ctx context.Context, id typeid.ID) (ent.Node, error) {
	nodes, err := attemptFrom(ctx).ent.Nodes(ctx, nodesColumns(ctx), []typeid.ID{id})
	if errors.As(err, new(rules.Faults)) { // their path leads into a list
		return nil, fault(rules.MalformedID(""), "id")
	}
	if err != nil {
		return nil, err
	}
	return nodes[0], nil
}

// Nodes implements generated.QueryResolver.
func (queryResolver) Nodes(ctx context.Context, ids []typeid.ID) ([]ent.Node, error) {
	if len(ids) > query.MaxSize {
		return nil, fault(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("must be at most %d IDs", query.MaxSize)}, "ids")
	}
	return attemptFrom(ctx).ent.Nodes(ctx, nodesColumns(ctx), ids)
}

// Stats implements generated.QueryResolver. Each field sends its own statement.
func (queryResolver) Stats(ctx context.Context) (*stats.Stats, error) {
	return stats.New(ctx, attemptFrom(ctx).session)
}

// byID returns the entity with an ID, or nil if none has it. path leads to the ID in the arguments.
func byID[T any](ctx context.Context, r query.Reader[T], id typeid.ID, path ...any) (*T, error) {
	if id.Type() != r.Entity.Type {
		return nil, fault(rules.MalformedID(r.Entity.Type), path...)
	}
	entities, err := r.ByIDs(ctx, nodeColumns(ctx, r.Entity.Table), id)
	return entities[id], err
}

// fault returns an error with one fault.
func fault(f *rules.Fault, path ...any) error {
	var faults rules.Faults
	faults.Add(f, path...)
	return faults.Err()
}
