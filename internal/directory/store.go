package directory

import (
	"context"
	"slices"

	"entgo.io/ent/dialect/sql"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/query"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// This file has the statements that package query does not have.

// insert inserts the created rows with all columns. Without COPY, it sorts them by Entity.Compare, so that concurrent
// inserts lock in the same order.
func (r *rows[E]) insert(ctx context.Context, ends bool) error {
	list, copies := r.created, r.unit.copy && r.unit.session.CanCopy()
	if !copies {
		list = slices.SortedFunc(slices.Values(r.created), r.Entity.Compare)
	}
	w := &statement.Write{
		Table: r.Entity.Table, Columns: r.Entity.Names(), Rows: len(list),
		Value: func(row int, column string) any { return r.Entity.Value(list[row], column) },
	}
	if copies {
		return r.unit.session.Copy(ctx, w)
	}
	return r.unit.insert(ctx, w, ends)
}

// update writes columns of locked rows. value returns the new value of a row in a column, and its ID.
func (r *rows[E]) update(ctx context.Context, columns []string, list []update[E], value func(e *E, column string) any) error {
	return database.WriteRows(ctx, r.unit.session, (*statement.Write).Update, &statement.Write{
		Table: r.Entity.Table, Columns: columns, Rows: len(list),
		Value: func(row int, column string) any { return value(list[row].row, column) },
	})
}

func (tx *Transaction) exec(ctx context.Context, q sql.Querier) error {
	query, args := q.Query()
	_, err := database.Affected(ctx, tx.session, query, args...)
	return err
}

// usersBy returns the users that have one of the texts in a column.
func (tx *Transaction) usersBy(ctx context.Context, column string, texts []string, columns query.Columns) ([]*ent.User, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	return tx.client.User.Reader().AnyBy(ctx, columns, column, texts)
}

// usersByID returns the users with the IDs that exist.
func (tx *Transaction) usersByID(ctx context.Context, ids []typeid.ID) ([]*ent.User, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return tx.client.User.Query().Where(func(s *sql.Selector) { s.Where(statement.In(s.C(user.FieldID), ids)) }).All(ctx)
}

// postsByID calls each for every post that has one of the IDs, with the length of its body in bytes. It does not read
// bodies and keys. If lock is set, it locks the posts in the order of the IDs.
func (tx *Transaction) postsByID(ctx context.Context, ids []typeid.ID, lock bool, each func(p *ent.Post, length int)) error {
	d, t := tx.session.Dialect(), sql.Table(post.Table)
	q := sql.Dialect(d).Select(t.Columns(post.FieldID, post.FieldAuthorID, post.FieldTitle, post.FieldCreatedAt, post.FieldUpdatedAt, post.FieldVersion)...).
		AppendSelectExpr(database.OctetLength(t.C(post.FieldBody))).From(t).Where(statement.In(t.C(post.FieldID), ids))
	if lock {
		statement.Of(d).Lock(q.OrderBy(t.C(post.FieldID)), false)
	}
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
