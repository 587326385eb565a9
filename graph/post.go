package graph

import (
	"context"

	"entgo.io/ent/dialect/sql"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/graph/model"
	"roster/internal/feed"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// CreatePost implements generated.MutationResolver.
func (r mutationResolver) CreatePost(ctx context.Context, input model.CreatePostInput) (*model.CreatePostPayload, error) {
	p, err := only(r.createPosts(ctx, oneInput, []model.CreatePostInput{input}))
	return &model.CreatePostPayload{Post: p}, err
}

// CreatePosts implements generated.MutationResolver.
func (r mutationResolver) CreatePosts(ctx context.Context, list []model.CreatePostInput) (*model.CreatePostsPayload, error) {
	posts, err := r.createPosts(ctx, manyInputs, list)
	return &model.CreatePostsPayload{Posts: posts}, err
}

func (r mutationResolver) createPosts(ctx context.Context, argument string, list []model.CreatePostInput) ([]*ent.Post, error) {
	in, err := newInputs(ctx, argument, len(list), "authorId", "title", "body")
	if err != nil {
		return nil, err
	}
	posts := make([]*ent.Post, len(list))
	for i, input := range list {
		one := in.all[i]
		one.id(input.AuthorID, user.Label, "authorId")
		posts[i] = &ent.Post{AuthorID: input.AuthorID, Title: input.Title, TitleKey: one.text(rules.Title, input.Title, "title"), Body: input.Body, Version: 1}
		one.add(rules.Body(input.Body), "body")
	}
	if in.careful() {
		if err := in.authors(ctx, posts); err != nil {
			return nil, err
		}
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	if argument == manyInputs {
		authors := make([]typeid.ID, len(posts))
		for i, p := range posts {
			authors[i] = p.AuthorID
		}
		if err := in.attempt.ent.User.Reader().Hold(ctx, authors); err != nil {
			return nil, err
		}
	}
	now := r.now()
	for _, p := range posts {
		p.ID, p.CreatedAt, p.UpdatedAt = r.ids.New(post.Label), now, now
		in.attempt.record(ctx, feed.Created, p.ID, p.Version, now)
	}
	return posts, in.attempt.ent.Post.InsertAll(ctx, posts)
}

// authors adds a fault to each input whose post has an author who does not exist.
func (in *inputs) authors(ctx context.Context, posts []*ent.Post) error {
	var ids []typeid.ID
	for i, p := range posts {
		if in.all[i].clean("authorId") {
			ids = append(ids, p.AuthorID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := in.attempt.ent.User.Query().Where(func(s *sql.Selector) { s.Where(statement.In(s.C(user.FieldID), ids)) }).IDs(ctx)
	if err != nil {
		return err
	}
	exist := make(map[typeid.ID]bool, len(found))
	for _, id := range found {
		exist[id.As(user.Label)] = true
	}
	for i, p := range posts {
		if in.all[i].clean("authorId") && !exist[p.AuthorID] {
			in.all[i].missing(user.Label, "authorId")
		}
	}
	return nil
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
	if title != nil && (p == nil || *title != p.Title) { // which may be older than a rule
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
	if in.add(rules.Updatable(p.Version), "id"); len(in.faults) > 0 {
		return nil, in.err()
	}
	now := r.now()
	p.Version, p.UpdatedAt = p.Version+1, rules.UpdatedAt(now, p.CreatedAt, p.UpdatedAt)
	if err := change.SetVersion(p.Version).SetUpdatedAt(p.UpdatedAt).Exec(ctx); err != nil {
		return nil, err
	}
	in.attempt.record(ctx, feed.Updated, p.ID, p.Version, now, changed...)
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
	return payload.Post.LoadAuthor(ctx, nodeColumns(ctx, ent.UserTable))
}

// lockPost locks the post that the input names and returns it; nil with a fault when there is none.
func (in *input) lockPost(ctx context.Context, id typeid.ID) (*ent.Post, error) {
	if !in.id(id, post.Label, "id") {
		return nil, nil //nolint:nilnil // the fault says why
	}
	locked, err := in.attempt.ent.Post.Reader().Lock(ctx, id)
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
