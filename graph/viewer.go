package graph

import (
	"context"

	"roster/ent"
	"roster/ent/rules"
	"roster/graph/generated"
	"roster/graph/model"
	"roster/internal/typeid"
)

type viewerResolver struct{}

// Viewer implements generated.ResolverRoot.
func (*resolver) Viewer() generated.ViewerResolver { return viewerResolver{} }

// Viewer implements generated.QueryResolver.
func (queryResolver) Viewer(ctx context.Context) (*model.Viewer, error) {
	return viewer(ctx), nil
}

// viewer returns the caller in ctx, or nil.
func viewer(ctx context.Context) *model.Viewer {
	c := rules.CallerFrom(ctx)
	if c.Subject == "" { // nobody, or everyone on a server without authentication
		return nil
	}
	return &model.Viewer{Subject: c.Name, Roles: append([]rules.Role{}, c.Roles...)}
}

// User implements generated.ViewerResolver.
func (viewerResolver) User(ctx context.Context, _ *model.Viewer) (*ent.User, error) {
	id := rules.CallerFrom(ctx).User
	if id == (typeid.ID{}) {
		return nil, nil
	}
	users, err := attemptFrom(ctx).ent.User.Reader().ByIDs(ctx, nodeColumns(ctx, ent.UserTable), id)
	return users[id], err
}
