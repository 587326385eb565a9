package graph

import (
	"context"

	"roster/ent"
	"roster/graph/model"
	"roster/internal/directory"
)

// CreatePost implements generated.MutationResolver.
func (r mutationResolver) CreatePost(ctx context.Context, input model.CreatePostInput) (*model.CreatePostPayload, error) {
	p, err := one(ctx, input, createPosts(false))
	return &model.CreatePostPayload{Post: p}, err
}

// CreatePosts implements generated.MutationResolver.
func (r mutationResolver) CreatePosts(ctx context.Context, list []model.CreatePostInput) (*model.CreatePostsPayload, error) {
	posts, err := each(ctx, list, createPosts(true))
	return &model.CreatePostsPayload{Posts: posts}, err
}

func createPosts(hold bool) func(context.Context, []model.CreatePostInput) ([]*ent.Post, error) {
	return func(ctx context.Context, list []model.CreatePostInput) ([]*ent.Post, error) {
		inputs := translated(list, func(input model.CreatePostInput) directory.CreatePost { return directory.CreatePost(input) })
		return attemptFrom(ctx).directory.CreatePosts(ctx, inputs, hold)
	}
}

// UpdatePost implements generated.MutationResolver.
func (r mutationResolver) UpdatePost(ctx context.Context, input model.UpdatePostInput) (*model.UpdatePostPayload, error) {
	p, err := one(ctx, input, func(ctx context.Context, list []model.UpdatePostInput) ([]*ent.Post, error) {
		return attemptFrom(ctx).directory.UpdatePosts(ctx, translated(list, func(input model.UpdatePostInput) directory.UpdatePost {
			return directory.UpdatePost{
				Target: target(input.ID, input.ExpectedVersion),
				Title:  optional(input.Title), Body: optional(input.Body), AuthorID: optional(input.AuthorID),
			}
		}))
	})
	return &model.UpdatePostPayload{Post: p}, err
}

// DeletePost implements generated.MutationResolver.
func (r mutationResolver) DeletePost(ctx context.Context, input model.DeletePostInput) (*model.DeletePostPayload, error) {
	p, err := one(ctx, input, func(ctx context.Context, list []model.DeletePostInput) ([]*ent.Post, error) {
		return attemptFrom(ctx).directory.DeletePosts(ctx, translated(list, func(input model.DeletePostInput) directory.Target {
			return target(input.ID, input.ExpectedVersion)
		}))
	})
	if err != nil {
		return nil, err
	}
	return &model.DeletePostPayload{DeletedID: p.ID, Post: p}, nil
}

// Author implements generated.DeletePostPayloadResolver.
func (r deletePostPayloadResolver) Author(ctx context.Context, payload *model.DeletePostPayload) (*ent.User, error) {
	return payload.Post.LoadAuthor(ctx, nodeColumns(ctx, ent.UserTable))
}
