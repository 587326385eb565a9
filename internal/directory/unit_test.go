package directory

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/typeid"
)

// TestUnitAsksTheRules gives rows of another user to a unit of work, as a method could that does not ask the rules: the
// unit writes nothing, not even the rows of the caller.
func TestUnitAsksTheRules(t *testing.T) {
	t.Parallel()
	sent := 0
	db := migrated.Open(t, dbtest.SQLite, func(o *database.Options) { o.Observe = func(string) { sent++ } })
	sent = 0
	self, other := typeid.New(user.Label, uuid.UUID{1}), typeid.New(user.Label, uuid.UUID{2})
	ctx := rules.WithCaller(t.Context(), rules.Caller{Subject: "ada", Roles: []rules.Role{rules.Member}, User: self})
	own := func() *ent.Post {
		return &ent.Post{ID: typeid.New(post.Label, uuid.UUID{3}), AuthorID: self, Version: 1}
	}
	foreign := func() *ent.Post {
		return &ent.Post{ID: typeid.New(post.Label, uuid.UUID{4}), AuthorID: other, Version: 1}
	}
	for what, write := range map[string]func(u *unit){
		"create a post":       func(u *unit) { u.posts().create(ctx, foreign()) },
		"change a post":       func(u *unit) { _ = u.posts().revise(ctx, foreign(), *foreign(), "title") },
		"give a post away":    func(u *unit) { _ = u.posts().revise(ctx, own(), *foreign(), "author") },
		"take a post":         func(u *unit) { _ = u.posts().revise(ctx, foreign(), *own(), "author") },
		"delete a post":       func(u *unit) { u.posts().remove(ctx, foreign(), post.FieldID, foreign().ID) },
		"change another user": func(u *unit) { _ = u.users().revise(ctx, &ent.User{ID: other}, ent.User{ID: other}, "username") },
		"change a status":     func(u *unit) { _ = u.users().revise(ctx, &ent.User{ID: self}, ent.User{ID: self}, "status") },
		"create a user":       func(u *unit) { u.users().create(ctx, &ent.User{ID: self}) },
		"create an API key":   func(u *unit) { u.apiKeys().create(ctx, &ent.ApiKey{ID: typeid.New("api_key", uuid.UUID{5})}) },
	} {
		tx := New(db.Session(database.Write), Options{Clock: time.Now})
		u := tx.begin()
		u.posts().create(ctx, own())
		write(u)
		err := u.flush(ctx)
		if _, forbidden := errors.AsType[*rules.ForbiddenError](err); !forbidden || tx.Changed() || sent > 0 {
			t.Errorf("%s: got %v after %d statements, want a ForbiddenError before any", what, err, sent)
		}
		tx.Rollback()
	}
}
