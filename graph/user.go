package graph

import (
	"context"
	"fmt"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/graph/model"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// Bounds of what one mutation of a user takes along.
const (
	maxUserPosts = 1000   // created with it
	maxCascade   = 10_000 // deleted with it
)

// User implements generated.QueryResolver.
func (r queryResolver) User(ctx context.Context, by model.UserBy) (*ent.User, error) {
	users := attemptFrom(ctx).ent.User
	id, username, email := by.ID.Value(), by.Username.Value(), by.Email.Value()
	switch {
	case id != nil && username == nil && email == nil:
		if id.Type() != user.Label {
			return nil, fault(rules.MalformedID(user.Label), "by", "id")
		}
		found, err := users.ByIDs(ctx, []typeid.ID{*id})
		return found[*id], err
	case username != nil && id == nil && email == nil:
		key, f := rules.Username(*username)
		if f != nil {
			return nil, fault(f, "by", "username")
		}
		return orNull(users.By(ctx, user.FieldUsernameKey, key))
	case email != nil && id == nil && username == nil:
		key, f := rules.Email(*email)
		if f != nil {
			return nil, fault(f, "by", "email")
		}
		return orNull(users.By(ctx, user.FieldEmailKey, key))
	}
	return nil, fault(&rules.Fault{Code: rules.Invalid, Message: "must have exactly one field, which is not null"}, "by")
}

// CreateUser implements generated.MutationResolver.
func (r mutationResolver) CreateUser(ctx context.Context, input model.CreateUserInput) (*model.CreateUserPayload, error) {
	in := newInput(ctx, "username", "email", "posts")
	username := in.text(rules.Username, input.Username, "username")
	email := in.text(rules.Email, input.Email, "email")
	posts := input.Posts.Value()
	if len(posts) > maxUserPosts {
		in.add(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("must be at most %d", maxUserPosts)}, "posts")
		posts = nil
	}
	for i, p := range posts {
		in.text(rules.Title, p.Title, "posts", i, "title")
		in.add(rules.Body(p.Body), "posts", i, "body")
	}
	db := in.attempt.ent
	if in.careful() {
		if err := in.takenUser(ctx, typeid.ID{}, username, email); err != nil {
			return nil, err
		}
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	now := r.now()
	u, err := db.User.Create().SetID(r.ids.New(user.Label)).SetUsername(input.Username).SetEmail(input.Email).
		SetCreatedAt(now).SetUpdatedAt(now).SetVersion(1).Save(ctx)
	if err != nil {
		return nil, err
	}
	in.attempt.record(ctx, feed.Created, u.ID, u.Version, now)
	if len(posts) > 0 {
		create := make([]*ent.PostCreate, len(posts))
		for i, p := range posts {
			id := r.ids.New(post.Label)
			create[i] = newPost(db, id, u.ID, p.Title, p.Body).SetCreatedAt(now).SetUpdatedAt(now)
			in.attempt.record(ctx, feed.Created, id, 1, now)
		}
		if err := db.Post.CreateBulk(create...).Exec(ctx); err != nil {
			return nil, err
		}
	}
	return &model.CreateUserPayload{User: u}, nil
}

// UpdateUser implements generated.MutationResolver.
func (r mutationResolver) UpdateUser(ctx context.Context, input model.UpdateUserInput) (*model.UpdateUserPayload, error) {
	in := newInput(ctx, "id", "username", "email", "expectedVersion")
	u, err := in.lockUser(ctx, input.ID)
	if err != nil {
		return nil, err
	}
	if u != nil {
		in.version(input.ExpectedVersion, u.Version)
	}
	var usernameKey, emailKey string
	username := set(in, input.Username, "username")
	if username != nil {
		usernameKey = in.text(rules.Username, *username, "username")
	}
	email := set(in, input.Email, "email")
	if email != nil {
		emailKey = in.text(rules.Email, *email, "email")
	}
	if in.careful() {
		if err := in.takenUser(ctx, input.ID, usernameKey, emailKey); err != nil {
			return nil, err
		}
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	change := in.attempt.ent.User.Update().Where(user.ID(u.ID))
	var changed []string
	if username != nil && *username != u.Username {
		u.Username, u.UsernameKey, changed = *username, usernameKey, append(changed, "username")
		change.SetUsername(u.Username)
	}
	if email != nil && *email != u.Email {
		u.Email, u.EmailKey, changed = *email, emailKey, append(changed, "email")
		change.SetEmail(u.Email)
	}
	if changed == nil {
		return &model.UpdateUserPayload{User: u}, nil
	}
	u.Version, u.UpdatedAt = u.Version+1, r.now()
	if err := change.SetVersion(u.Version).SetUpdatedAt(u.UpdatedAt).Exec(ctx); err != nil {
		return nil, err
	}
	in.attempt.record(ctx, feed.Updated, u.ID, u.Version, u.UpdatedAt, changed...)
	return &model.UpdateUserPayload{User: u}, nil
}

// DeleteUser implements generated.MutationResolver.
func (r mutationResolver) DeleteUser(ctx context.Context, input model.DeleteUserInput) (*model.DeleteUserPayload, error) {
	in := newInput(ctx, "id", "expectedVersion")
	u, err := in.lockUser(ctx, input.ID)
	if err != nil {
		return nil, err
	}
	db := in.attempt.ent
	var dependents []*ent.Post
	if u != nil {
		in.version(input.ExpectedVersion, u.Version)
		// Nobody adds a post now: the foreign key has to wait for the lock of the user.
		limit, message := 0, "has posts: delete them first, or send dependents: CASCADE"
		if input.Dependents == model.DependentsCascade {
			limit, message = maxCascade, fmt.Sprintf("has more than %d posts: delete some first", maxCascade)
		}
		counts, err := db.Post.CountBy(ctx, post.FieldAuthorID, []typeid.ID{u.ID})
		if err != nil {
			return nil, err
		}
		switch n := counts[u.ID.As("")]; {
		case n > limit:
			in.add(&rules.Fault{Code: rules.HasDependents, Message: message}, "id")
		case n > 0:
			if dependents, err = db.Post.LockBy(ctx, post.FieldAuthorID, []typeid.ID{u.ID}); err != nil {
				return nil, err
			}
		}
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	now := r.now()
	if len(dependents) > 0 {
		for _, p := range dependents {
			in.attempt.record(ctx, feed.Deleted, p.ID, p.Version, now)
		}
		if _, err := db.Post.Delete().Where(post.AuthorID(u.ID)).Exec(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := db.User.Delete().Where(user.ID(u.ID)).Exec(ctx); err != nil {
		return nil, err
	}
	in.attempt.record(ctx, feed.Deleted, u.ID, u.Version, now)
	return &model.DeleteUserPayload{DeletedID: u.ID}, nil
}

// lockUser locks the user that the input names and returns it; nil with a fault when there is none.
func (in *input) lockUser(ctx context.Context, id typeid.ID) (*ent.User, error) {
	if !in.id(id, user.Label, "id") {
		return nil, nil //nolint:nilnil // the fault says why
	}
	locked, err := in.attempt.ent.User.Lock(ctx, id)
	if err == nil && locked[id] == nil {
		in.missing(user.Label, "id")
	}
	return locked[id], err
}

// takenUser adds a fault for each value that a user other than self has; an empty value is none.
func (in *input) takenUser(ctx context.Context, self typeid.ID, username, email string) error {
	for _, c := range []struct{ path, column, key string }{
		{"username", user.FieldUsernameKey, username},
		{"email", user.FieldEmailKey, email},
	} {
		if c.key == "" {
			continue
		}
		err := in.taken(c.path, func() (bool, error) {
			return in.attempt.ent.User.Query().Where(has(c.column, c.key), user.IDNEQ(self)).Exist(ctx)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
