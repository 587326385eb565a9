package directory_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"roster/ent"
	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// TestDeletePostsOf deletes the posts of one author in parts, with their changes.
func TestDeletePostsOf(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		list := newUsers("ada", "bob")
		for len(list[0].Posts) < 5 {
			list[0].Posts = append(list[0].Posts, directory.UserPost{Title: "More"})
		}
		users := s.createAccounts(list...)
		_, cursor := s.changes(nil)
		_, before := s.rows()
		var deleted []typeid.ID
		for _, want := range []int{2, 2, 1, 0} {
			s.do(func(ctx context.Context, tx *directory.Transaction) error {
				some, err := tx.DeletePostsOf(ctx, users[0].ID, 2)
				if len(some) != want {
					s.Errorf("got %d posts deleted, want %d", len(some), want)
				}
				deleted = append(deleted, some...)
				return err
			})
		}
		var want []typeid.ID
		for _, p := range before {
			if p.AuthorID == users[0].ID {
				want = append(want, p.ID)
			}
		}
		if !slices.Equal(deleted, want) {
			s.Errorf("got %v, want the posts %v in the order of their IDs", deleted, want)
		}
		if usersLeft, posts := s.rows(); len(posts) != 2 || posts[0].AuthorID != users[1].ID || len(usersLeft) != 2 {
			s.Errorf("got %v left, want the two posts of the other user", posts)
		}
		changes, _ := s.changes(cursor)
		for i, c := range changes {
			if len(changes) != 5 || c.Kind != feed.Deleted || c.NodeID != deleted[i] || c.Version != 1 || c.Actor != "ada" {
				s.Errorf("got %+v, want that the posts were deleted", changes)
			}
		}
		tx := s.begin()
		member := rules.WithCaller(s.Context(), rules.Caller{Subject: "m", Roles: []rules.Role{rules.Member}, User: users[1].ID})
		if _, err := tx.DeletePostsOf(member, users[1].ID, 2); !forbidden(err) {
			s.Errorf("a MEMBER: got %v, want a refusal", err)
		}
	})
}

func forbidden(err error) bool {
	_, ok := errors.AsType[*rules.ForbiddenError](err)
	return ok
}

// TestPostsOf tells the posts of an author from others.
func TestPostsOf(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		users := s.createAccounts(newUsers("ada", "bob")...)
		_, posts := s.rows()
		ids := []typeid.ID{s.ids.New("post")}
		for _, p := range posts {
			ids = append(ids, p.ID)
		}
		session := s.db.Session(database.Single)
		of, err := directory.PostsOf(s.Context(), session, users[1].ID, ids)
		s.must(err)
		for _, p := range posts {
			if of[p.ID] != (p.AuthorID == users[1].ID) || len(of) != 2 {
				s.Errorf("got %v, want the posts of %v", of, users[1].ID)
			}
		}
		for range 40_000 { // more than MySQL takes in one statement
			ids = append(ids, s.ids.New("post"))
		}
		of, err = directory.PostsOf(s.Context(), session, users[1].ID, ids)
		if err != nil || len(of) != 2 {
			s.Errorf("of many IDs: got %d posts, %v, want 2", len(of), err)
		}
		none, err := directory.PostsOf(s.Context(), session, users[1].ID, nil)
		if err != nil || len(none) != 0 {
			s.Errorf("without IDs: got %v, %v, want nothing", none, err)
		}
	})
}

// TestFormer looks for the hashes of users.
func TestFormer(t *testing.T) {
	t.Parallel()
	each(t, func(s *tester) {
		identity := rules.Identity{Issuer: "i", Subject: "a"}
		users := s.createAccounts(account("ada", rules.Active, &identity), account("bob", rules.Active, nil))
		wants := func(what string, ada, bob directory.FormerIdentities) {
			s.Helper()
			all, _ := s.rows()
			tx := directory.New(s.db.Session(database.Snapshot), directory.Options{})
			defer tx.Rollback()
			for i, want := range []directory.FormerIdentities{ada, bob} {
				if got, err := tx.Former(s.Context(), all[i]); err != nil || got != want {
					s.Errorf("%s: user %d: got %+v, %v, want %+v", what, i, got, err, want)
				}
			}
		}
		update := func(u *ent.User, identity directory.Optional[rules.Identity]) {
			s.Helper()
			s.do(func(ctx context.Context, tx *directory.Transaction) error {
				_, err := tx.UpdateUsers(ctx, []directory.UpdateUser{{Target: ofUser(u), Identity: identity}})
				return err
			})
		}
		wants("new users", directory.FormerIdentities{}, directory.FormerIdentities{})
		update(users[0], none[rules.Identity]())
		wants("a lost identity", directory.FormerIdentities{User: true}, directory.FormerIdentities{})
		update(users[1], to(identity))
		wants("the identity of another user", directory.FormerIdentities{User: true}, directory.FormerIdentities{Identity: true})
	})
}
