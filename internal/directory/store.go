package directory

import (
	"context"
	"slices"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/query"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// This file has all statements of the domain.

// insert inserts the created rows with all columns. Without COPY, it sorts them by Entity.Compare, so that concurrent
// inserts lock in the same order.
func (r *rows[E]) insert(ctx context.Context) error {
	columns := r.Entity.Names()
	if r.unit.copy && r.unit.session.Dialect() == dialect.Postgres {
		return r.unit.session.Copy(ctx, r.Entity.Name, columns, len(r.created), func(row int, values []any) []any {
			for _, c := range columns {
				values = append(values, r.Entity.Value(r.created[row], c))
			}
			return values
		})
	}
	list := slices.SortedFunc(slices.Values(r.created), r.Entity.Compare)
	return r.unit.send(ctx, (*statement.Write).Insert, &statement.Write{
		Table: r.Entity.Table, Columns: columns, Rows: len(list),
		Value: func(row int, column string) any { return r.Entity.Value(list[row], column) },
	})
}

// update writes columns of locked rows. value returns the new value of a row in a column, and its ID.
func (r *rows[E]) update(ctx context.Context, columns []string, list []update[E], value func(e *E, column string) any) error {
	return r.unit.send(ctx, (*statement.Write).Update, &statement.Write{
		Table: r.Entity.Table, Columns: columns, Rows: len(list),
		Value: func(row int, column string) any { return value(list[row].row, column) },
	})
}

// send builds and runs one statement, or several when the rows exceed the size limit of an argument.
func (tx *Transaction) send(ctx context.Context, build func(*statement.Write, string) (string, []any, error), w *statement.Write) error {
	for part := range w.Parts(statement.ListLimit(tx.session)) {
		query, args, err := build(part, tx.session.Dialect())
		if err != nil {
			return err
		}
		if _, err := database.Affected(ctx, tx.session, query, args...); err != nil {
			return err
		}
	}
	return nil
}

// delete deletes the rows that have one of the IDs in a column.
func (tx *Transaction) delete(ctx context.Context, table *statement.Table, column string, ids []typeid.ID) error {
	return tx.exec(ctx, sql.Dialect(tx.session.Dialect()).Delete(table.Name).Where(statement.In(column, query.Distinct(ids))))
}

func (tx *Transaction) exec(ctx context.Context, q sql.Querier) error {
	query, args := q.Query()
	_, err := database.Affected(ctx, tx.session, query, args...)
	return err
}

// lockUsers locks users in the order of their IDs, and returns those that exist.
func (tx *Transaction) lockUsers(ctx context.Context, ids ...typeid.ID) (map[typeid.ID]*ent.User, error) {
	return tx.client.User.Reader().Lock(ctx, ids...)
}

// lockPosts locks posts in the order of their IDs, and returns those that exist.
func (tx *Transaction) lockPosts(ctx context.Context, ids ...typeid.ID) (map[typeid.ID]*ent.Post, error) {
	return tx.client.Post.Reader().Lock(ctx, ids...)
}

// lockPostsOf locks the posts of users. It reads only their IDs, authors and versions.
func (tx *Transaction) lockPostsOf(ctx context.Context, users []typeid.ID) ([]*ent.Post, error) {
	return tx.client.Post.Reader().LockBy(ctx, query.ColumnsOf(ent.PostTable, post.FieldID, post.FieldAuthorID, post.FieldVersion), post.FieldAuthorID, users)
}

// countPostsOf returns the number of posts of each user that has posts. The IDs of the users lack their type.
func (tx *Transaction) countPostsOf(ctx context.Context, users []typeid.ID) (map[typeid.ID]int, error) {
	return tx.client.Post.Reader().CountBy(ctx, post.FieldAuthorID, users)
}

// holdUsers locks users against changes before posts that refer to them are inserted, on engines that need it.
func (tx *Transaction) holdUsers(ctx context.Context, ids []typeid.ID) error {
	return tx.client.User.Reader().Hold(ctx, ids)
}

// usersBy returns the users that have one of the texts in a column. It reads the given columns, or all if none are
// given.
func (tx *Transaction) usersBy(ctx context.Context, column string, texts []string, columns ...string) ([]*ent.User, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	q := tx.client.User.Query().Where(func(s *sql.Selector) { s.Where(statement.In(s.C(column), texts)) })
	if columns != nil {
		return q.Select(columns...).All(ctx)
	}
	return q.All(ctx)
}

// usersByID returns the users with the IDs that exist. If lock is set, it locks them in the order of the IDs.
func (tx *Transaction) usersByID(ctx context.Context, ids []typeid.ID, lock bool) ([]*ent.User, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return tx.client.User.Query().Where(func(s *sql.Selector) { selectIDs(s, user.FieldID, ids, lock) }).All(ctx)
}

// postsByID calls each for every post that has one of the IDs, with the length of its body in bytes. It does not read
// bodies and keys. If lock is set, it locks the posts in the order of the IDs.
func (tx *Transaction) postsByID(ctx context.Context, ids []typeid.ID, lock bool, each func(p *ent.Post, length int)) error {
	d, t := sql.Dialect(tx.session.Dialect()), sql.Table(post.Table)
	q := d.Select(t.C(post.FieldID), t.C(post.FieldAuthorID), t.C(post.FieldTitle), t.C(post.FieldCreatedAt), t.C(post.FieldUpdatedAt), t.C(post.FieldVersion)).
		AppendSelectExpr(database.OctetLength(t.C(post.FieldBody))).From(t)
	selectIDs(q, t.C(post.FieldID), ids, lock)
	query, args := q.Query()
	return database.Each(ctx, tx.session, query, args, func(found *sql.Rows) error {
		p, length := new(ent.Post), 0
		if err := found.Scan(&p.ID, &p.AuthorID, &p.Title, &p.CreatedAt, &p.UpdatedAt, &p.Version, &length); err != nil {
			return err
		}
		p.ID, p.AuthorID = p.ID.As(post.Label), p.AuthorID.As(user.Label)
		each(p, length)
		return nil
	})
}

func (tx *Transaction) bodies(ctx context.Context, ids []typeid.ID, each func(id typeid.ID, body string)) error {
	t := sql.Table(post.Table)
	query, args := sql.Dialect(tx.session.Dialect()).Select(t.C(post.FieldID), t.C(post.FieldBody)).From(t).Where(statement.In(t.C(post.FieldID), ids)).Query()
	return database.Each(ctx, tx.session, query, args, func(found *sql.Rows) error {
		var id typeid.ID
		var body string
		if err := found.Scan(&id, &body); err != nil {
			return err
		}
		each(id.As(post.Label), body)
		return nil
	})
}

// selectIDs selects the rows that have one of the IDs. If lock is set, the statement locks them in the order of the
// IDs.
func selectIDs(s *sql.Selector, column string, ids []typeid.ID, lock bool) {
	s.Where(statement.In(column, ids))
	if !lock {
		return
	}
	s.OrderBy(column)
	if s.Dialect() != dialect.SQLite { // SQLite has one writer at a time and no FOR UPDATE
		s.ForUpdate()
	}
}
