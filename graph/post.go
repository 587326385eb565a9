package graph

import (
	"context"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/graph/model"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// CreatePost implements generated.MutationResolver.
func (r mutationResolver) CreatePost(ctx context.Context, input model.CreatePostInput) (*model.CreatePostPayload, error) {
	in := newInput(ctx, "authorId", "title", "body")
	in.id(input.AuthorID, user.Label, "authorId")
	in.text(rules.Title, input.Title, "title")
	in.add(rules.Body(input.Body), "body")
	if in.careful() {
		if err := in.author(ctx, input.AuthorID); err != nil {
			return nil, err
		}
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	now := r.now()
	p, err := newPost(in.attempt.ent, r.ids.New(post.Label), input.AuthorID, input.Title, input.Body).SetCreatedAt(now).SetUpdatedAt(now).Save(ctx)
	if err != nil {
		return nil, err
	}
	in.attempt.record(ctx, feed.Created, p.ID, p.Version, now)
	return &model.CreatePostPayload{Post: p}, nil
}

// newPost starts a post, without its times.
func newPost(db *ent.Client, id, author typeid.ID, title, body string) *ent.PostCreate {
	return db.Post.Create().SetID(id).SetAuthorID(author).SetTitle(title).SetBody(body).SetVersion(1)
}

// UpdatePost implements generated.MutationResolver.
func (r mutationResolver) UpdatePost(ctx context.Context, input model.UpdatePostInput) (*model.UpdatePostPayload, error) {
	in := newInput(ctx, "id", "title", "body", "authorId", "expectedVersion")
	p, err := in.lockPost(ctx, input.ID)
	if err != nil {
		return nil, err
	}
	if p != nil {
		in.version(input.ExpectedVersion, p.Version)
	}
	var titleKey string
	title := set(in, input.Title, "title")
	if title != nil {
		titleKey = in.text(rules.Title, *title, "title")
	}
	body := set(in, input.Body, "body")
	if body != nil {
		in.add(rules.Body(*body), "body")
	}
	author := set(in, input.AuthorID, "authorId")
	if author != nil {
		in.id(*author, user.Label, "authorId")
		if in.careful() {
			if err := in.author(ctx, *author); err != nil {
				return nil, err
			}
		}
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	change := in.attempt.ent.Post.Update().Where(post.ID(p.ID))
	var changed []string
	if title != nil && *title != p.Title {
		p.Title, p.TitleKey, changed = *title, titleKey, append(changed, "title")
		change.SetTitle(p.Title)
	}
	if body != nil && *body != p.Body {
		p.Body, changed = *body, append(changed, "body")
		change.SetBody(p.Body)
	}
	if author != nil && *author != p.AuthorID {
		p.AuthorID, changed = *author, append(changed, "author")
		change.SetAuthorID(p.AuthorID)
	}
	if changed == nil {
		return &model.UpdatePostPayload{Post: p}, nil
	}
	p.Version, p.UpdatedAt = p.Version+1, r.now()
	if err := change.SetVersion(p.Version).SetUpdatedAt(p.UpdatedAt).Exec(ctx); err != nil {
		return nil, err
	}
	in.attempt.record(ctx, feed.Updated, p.ID, p.Version, p.UpdatedAt, changed...)
	return &model.UpdatePostPayload{Post: p}, nil
}

// DeletePost implements generated.MutationResolver.
func (r mutationResolver) DeletePost(ctx context.Context, input model.DeletePostInput) (*model.DeletePostPayload, error) {
	in := newInput(ctx, "id", "expectedVersion")
	p, err := in.lockPost(ctx, input.ID)
	if err != nil {
		return nil, err
	}
	if p != nil {
		in.version(input.ExpectedVersion, p.Version)
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	if _, err := in.attempt.ent.Post.Delete().Where(post.ID(p.ID)).Exec(ctx); err != nil {
		return nil, err
	}
	in.attempt.record(ctx, feed.Deleted, p.ID, p.Version, r.now())
	return &model.DeletePostPayload{DeletedID: p.ID, Post: p}, nil
}

// Author implements generated.DeletePostPayloadResolver.
func (r deletePostPayloadResolver) Author(ctx context.Context, payload *model.DeletePostPayload) (*ent.User, error) {
	return payload.Post.Author(ctx)
}

// lockPost locks the post that the input names and returns it; nil with a fault when there is none.
func (in *input) lockPost(ctx context.Context, id typeid.ID) (*ent.Post, error) {
	if !in.id(id, post.Label, "id") {
		return nil, nil //nolint:nilnil // the fault says why
	}
	locked, err := in.attempt.ent.Post.Lock(ctx, id)
	if err == nil && locked[id] == nil {
		in.missing(post.Label, "id")
	}
	return locked[id], err
}

// author adds a fault when there is no user with the ID.
func (in *input) author(ctx context.Context, id typeid.ID) error {
	if !in.clean("authorId") {
		return nil
	}
	found, err := in.attempt.ent.User.Query().Where(user.ID(id)).Exist(ctx)
	if err == nil && !found {
		in.missing(user.Label, "authorId")
	}
	return err
}
