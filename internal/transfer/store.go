package transfer

import (
	"context"
	"maps"
	"slices"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/feed"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// write decides on the rows of a chunk one after the other, and writes what comes of it.
func (im *importer) write(ctx context.Context, rows []*Row) error {
	client := ent.NewClient(ent.Driver(im.session))
	now, err := im.find(ctx, client, rows)
	if err != nil {
		return err
	}
	todo := &pending{touched: map[typeid.ID]bool{}, freed: map[string]bool{}}
	for _, r := range rows {
		// Databases check row by row that keys are unique: one that an update gives up must be free before it is taken.
		if r.user != nil && (todo.freed[r.user.UsernameKey] || todo.freed[r.user.EmailKey]) {
			if err := im.flush(ctx, client, todo); err != nil {
				return err
			}
		}
		im.decide(r, now, todo)
		counts := &im.counts.Users
		if r.Kind == Posts {
			counts = &im.counts.Posts
		}
		counts.tally(r.fate)
		if r.fate == rejected {
			if err := im.Reject(r.Faults); err != nil {
				return err
			}
		}
	}
	return im.flush(ctx, client, todo)
}

// find looks up what of the database the rows of a chunk name: by their IDs, names and addresses, and the authors of
// posts. Where rows may be updated, they are locked, in the order of their IDs.
func (im *importer) find(ctx context.Context, client *ent.Client, rows []*Row) (*present, error) {
	now := &present{users: map[typeid.ID]*ent.User{}, byUsername: map[string]*ent.User{}, byEmail: map[string]*ent.User{}, posts: map[typeid.ID]*ent.Post{}}
	users := map[typeid.ID]bool{}
	var usernames, emails []string
	for _, r := range rows {
		if u := r.user; u != nil && len(r.Faults) == 0 {
			usernames, emails, users[u.ID] = append(usernames, u.UsernameKey), append(emails, u.EmailKey), true
		}
		if p := r.post; p != nil { // with faults too, since an author that is missing is another one
			users[p.AuthorID] = true
		}
	}
	delete(users, typeid.ID{})
	lock := im.OnConflict == Update
	for _, by := range []struct {
		values int
		where  *entsql.Predicate
	}{
		{len(usernames), statement.InTexts(user.FieldUsernameKey, usernames)},
		{len(emails), statement.InTexts(user.FieldEmailKey, emails)},
		{len(users), statement.In(user.FieldID, slices.Collect(maps.Keys(users)))},
	} {
		if by.values == 0 {
			continue
		}
		found, err := client.User.Query().Where(func(s *entsql.Selector) { s.Where(by.where) }).All(ctx)
		if err != nil {
			return nil, err
		}
		for _, u := range found {
			if now.users[u.ID] == nil { // what another condition has found is the same
				now.add(u)
			}
		}
	}
	if lock && len(now.users) > 0 {
		ids := slices.Collect(maps.Keys(now.users))
		clear(now.users)
		clear(now.byUsername)
		clear(now.byEmail)
		found, err := client.User.Query().Where(func(s *entsql.Selector) { forUpdate(s, user.FieldID, ids) }).All(ctx)
		if err != nil {
			return nil, err
		}
		for _, u := range found {
			now.add(u)
		}
	}
	return now, im.findPosts(ctx, rows, now)
}

// findPosts looks up the posts that rows name by their IDs. Bodies that are there may be far longer than those of the
// file: of each, the length comes first, and only one that a row may have is read.
func (im *importer) findPosts(ctx context.Context, rows []*Row, now *present) error {
	lengths := map[typeid.ID][]int{}
	for _, r := range rows {
		if p := r.post; p != nil && p.ID != (typeid.ID{}) {
			lengths[p.ID] = append(lengths[p.ID], len(p.Body))
		}
	}
	if len(lengths) == 0 {
		return nil
	}
	d, t := entsql.Dialect(im.session.Dialect()), entsql.Table(post.Table)
	q := d.Select(t.C(post.FieldID), t.C(post.FieldAuthorID), t.C(post.FieldTitle), t.C(post.FieldCreatedAt), t.C(post.FieldUpdatedAt), t.C(post.FieldVersion)).
		AppendSelectExpr(octets(t.C(post.FieldBody))).From(t)
	ids := slices.Collect(maps.Keys(lengths))
	if im.OnConflict == Update {
		forUpdate(q, t.C(post.FieldID), ids)
	} else {
		q.Where(statement.In(t.C(post.FieldID), ids))
	}
	var same []typeid.ID
	query, args := q.Query()
	err := database.Each(ctx, im.session, query, args, func(found *entsql.Rows) error {
		p, length := &ent.Post{Body: otherBody}, 0
		if err := found.Scan(&p.ID, &p.AuthorID, &p.Title, &p.CreatedAt, &p.UpdatedAt, &p.Version, &length); err != nil {
			return err
		}
		p.ID, p.AuthorID = p.ID.As(post.Label), p.AuthorID.As(user.Label)
		now.posts[p.ID] = p
		if slices.Contains(lengths[p.ID], length) {
			same = append(same, p.ID)
		}
		return nil
	})
	if err != nil || im.OnConflict != Update || len(same) == 0 {
		return err
	}
	query, args = d.Select(t.C(post.FieldID), t.C(post.FieldBody)).From(t).Where(statement.In(t.C(post.FieldID), same)).Query()
	return database.Each(ctx, im.session, query, args, func(found *entsql.Rows) error {
		var id typeid.ID
		var body string
		if err := found.Scan(&id, &body); err != nil {
			return err
		}
		now.posts[id.As(post.Label)].Body = body
		return nil
	})
}

// otherBody stands for the body of a post that is not read, since no row gives the post one of its length. No rule lets
// it through, so it is never that of a row.
const otherBody = "\x00"

// forUpdate selects the rows with the IDs, and locks them, in the order of the IDs.
func forUpdate(s *entsql.Selector, column string, ids []typeid.ID) {
	s.Where(statement.In(column, ids)).OrderBy(column)
	if s.Dialect() != dialect.SQLite { // whose writers are alone
		s.ForUpdate()
	}
}

// flush writes what is decided: users before their posts, and the changes when all is locked that they tell of.
func (im *importer) flush(ctx context.Context, client *ent.Client, todo *pending) error {
	if err := client.User.UpdateAll(ctx, todo.users,
		user.FieldUsername, user.FieldUsernameKey, user.FieldEmail, user.FieldEmailKey, user.FieldVersion, user.FieldUpdatedAt); err != nil {
		return err
	}
	if err := im.insertUsers(ctx, client, todo.newUsers); err != nil {
		return err
	}
	if err := client.Post.UpdateAll(ctx, todo.posts,
		post.FieldTitle, post.FieldTitleKey, post.FieldBody, post.FieldAuthorID, post.FieldVersion, post.FieldUpdatedAt); err != nil {
		return err
	}
	if err := im.insertPosts(ctx, client, todo.newPosts); err != nil {
		return err
	}
	if err := feed.Write(ctx, im.session, todo.changes); err != nil {
		return err
	}
	*todo = pending{touched: map[typeid.ID]bool{}, freed: map[string]bool{}}
	return nil
}

// insertUsers inserts users, whose texts were checked when they were read.
func (im *importer) insertUsers(ctx context.Context, client *ent.Client, users []*ent.User) error {
	if im.session.Dialect() != dialect.Postgres {
		return client.User.InsertAll(ctx, users)
	}
	columns := []string{
		user.FieldID, user.FieldCreatedAt, user.FieldUpdatedAt, user.FieldVersion,
		user.FieldUsername, user.FieldUsernameKey, user.FieldEmail, user.FieldEmailKey,
	}
	return im.session.Copy(ctx, user.Table, columns, len(users), func(i int, values []any) []any {
		u := users[i]
		return append(values, u.ID, u.CreatedAt, u.UpdatedAt, u.Version, u.Username, u.UsernameKey, u.Email, u.EmailKey)
	})
}

// insertPosts inserts posts, as insertUsers does users.
func (im *importer) insertPosts(ctx context.Context, client *ent.Client, posts []*ent.Post) error {
	if im.session.Dialect() != dialect.Postgres {
		return client.Post.InsertAll(ctx, posts)
	}
	columns := []string{
		post.FieldID, post.FieldCreatedAt, post.FieldUpdatedAt, post.FieldVersion,
		post.FieldTitle, post.FieldTitleKey, post.FieldBody, post.FieldAuthorID,
	}
	return im.session.Copy(ctx, post.Table, columns, len(posts), func(i int, values []any) []any {
		p := posts[i]
		return append(values, p.ID, p.CreatedAt, p.UpdatedAt, p.Version, p.Title, p.TitleKey, p.Body, p.AuthorID)
	})
}
