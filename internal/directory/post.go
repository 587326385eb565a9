package directory

import (
	"context"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/typeid"
)

// CreatePost is a new post.
type CreatePost struct {
	AuthorID    typeid.ID
	Title, Body string
}

// UpdatePost is new values for a post.
type UpdatePost struct {
	Target

	Title, Body Optional[string]
	AuthorID    Optional[typeid.ID]
}

func (p UpdatePost) fields() []string {
	return given(map[string]bool{"title": p.Title.Set, "body": p.Body.Set, "author": p.AuthorID.Set})
}

func (u *unit) posts() *rows[ent.Post] {
	return add(u, u.client.Post.Reader(), "title", "body", "author")
}

// CreatePosts creates posts. hold first locks their authors against changes, which costs a statement on MySQL and
// MariaDB and nothing elsewhere: without, operations on many posts could deadlock there. One post does not need hold.
func (tx *Transaction) CreatePosts(ctx context.Context, list []CreatePost, hold bool) ([]*ent.Post, error) {
	in, rows := tx.inputs(len(list), "authorId", "title", "body"), tx.begin().posts()
	posts, authors := make([]*ent.Post, len(list)), make([]*typeid.ID, len(list))
	for i, input := range list {
		if err := rows.permit(ctx, rules.Create, nil, &ent.Post{AuthorID: input.AuthorID}); err != nil {
			return nil, err
		}
		posts[i], authors[i] = &ent.Post{AuthorID: input.AuthorID}, &input.AuthorID
		in.all[i].Add(setTitle(posts[i], input.Title), "title")
		in.all[i].Add(setBody(posts[i], input.Body), "body")
	}
	ids, err := in.authors(ctx, tx, authors)
	if err == nil && hold {
		err = tx.client.User.Reader().Hold(ctx, ids)
	}
	if err != nil {
		return nil, err
	}
	for _, p := range posts {
		rows.create(ctx, p)
	}
	rows.Together(posts)
	return posts, rows.unit.flush(ctx)
}

// authors checks the authors that the inputs give to posts, and returns their IDs; nil is an input without an author.
// It is the last check of the inputs: the error has all their faults.
func (in *inputs) authors(ctx context.Context, tx *Transaction, authors []*typeid.ID) (ids []typeid.ID, err error) {
	for i, id := range authors {
		if id != nil && in.all[i].id(*id, user.Label, "authorId") {
			ids = append(ids, *id)
		}
	}
	if in.look() {
		users, err := tx.usersByID(ctx, ids)
		if err != nil {
			return nil, err
		}
		exist := make(map[typeid.ID]bool, len(users))
		for _, u := range users {
			exist[u.ID] = true
		}
		for i, id := range authors {
			if id != nil && !in.all[i].Has("authorId") && !exist[*id] {
				in.all[i].Add(notFound(user.Label), "authorId")
			}
		}
	}
	return ids, in.err()
}

// UpdatePosts updates posts.
func (tx *Transaction) UpdatePosts(ctx context.Context, list []UpdatePost) ([]*ent.Post, error) {
	in, rows := tx.inputs(len(list), "id", "title", "body", "authorId", "expectedVersion"), tx.begin().posts()
	for _, input := range list {
		if author := input.AuthorID.Value; author != nil {
			if err := rows.permit(ctx, rules.Update, input.fields(), &ent.Post{AuthorID: *author}); err != nil {
				return nil, err
			}
		}
	}
	posts, err := lock(ctx, in, rows, rules.Update, list)
	if err != nil {
		return nil, err
	}
	next, authors := copies(posts), make([]*typeid.ID, len(list))
	for i, p := range posts {
		authors[i] = in.all[i].newPost(next[i], p == nil, list[i])
	}
	if _, err := in.authors(ctx, tx, authors); err != nil {
		return nil, err
	}
	_, _, err = save(ctx, in, rows, posts, next, "id")
	return posts, err
}

// newPost gives a post the values of an input. It returns the new author, or nil if the author stays. It does not check
// a title that equals the current one: the title may be older than its rule, and keeps its key.
func (in *input) newPost(p *ent.Post, missing bool, input UpdatePost) (author *typeid.ID) {
	if title := value(in, input.Title, "title"); title != nil && (missing || *title != p.Title) {
		in.Add(setTitle(p, *title), "title")
	}
	if body := value(in, input.Body, "body"); body != nil {
		in.Add(setBody(p, *body), "body")
	}
	if author = value(in, input.AuthorID, "authorId"); author != nil {
		p.AuthorID = *author
	}
	return author
}

// DeletePosts deletes posts, and returns them as they were before.
func (tx *Transaction) DeletePosts(ctx context.Context, list []Target) ([]*ent.Post, error) {
	in, rows := tx.inputs(len(list), "id", "expectedVersion"), tx.begin().posts()
	posts, err := lock(ctx, in, rows, rules.Delete, list)
	if err != nil {
		return nil, err
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	for _, p := range posts {
		rows.remove(ctx, p, post.FieldID, p.ID)
	}
	return posts, rows.unit.flush(ctx)
}
