package directory

import (
	"context"
	"slices"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// DeletePostsOf deletes the posts of an author with the lowest IDs, at most limit, and returns their IDs. If it returns
// fewer than limit, and the transaction has locked the author, no post is left. The caller in ctx must be allowed to delete
// all posts.
func (tx *Transaction) DeletePostsOf(ctx context.Context, author typeid.ID, limit int) (deleted []typeid.ID, err error) {
	if err := permitAll(ctx, ent.PostTable, rules.Delete); err != nil {
		return nil, err
	}
	rows := tx.begin().posts()
	for after := (typeid.ID{}); len(deleted) < limit; {
		ids, err := tx.firstPosts(ctx, author, after, limit-len(deleted))
		if err != nil {
			return nil, err
		}
		if len(ids) == 0 {
			break
		}
		after = ids[len(ids)-1]
		posts, err := rows.LockBy(ctx, query.ColumnsOf(ent.PostTable, post.FieldAuthorID, post.FieldVersion), post.FieldID, ids)
		if err != nil {
			return nil, err
		}
		for _, p := range posts {
			if p.AuthorID == author { // another transaction may have moved or deleted a post before the lock
				rows.remove(ctx, p, post.FieldID, p.ID)
				deleted = append(deleted, p.ID)
			}
		}
	}
	return deleted, rows.unit.flush(ctx)
}

// PostsOf returns the posts among ids that exist and have an author.
func PostsOf(ctx context.Context, d dialect.Driver, author typeid.ID, ids []typeid.ID) (map[typeid.ID]bool, error) {
	posts := map[typeid.ID]bool{}
	for some := range slices.Chunk(query.Distinct(ids), idsAtOnce) {
		// Without a condition on the author: an engine could read all posts of the author then.
		query, args := sql.Dialect(d.Dialect()).Select(post.FieldID, post.FieldAuthorID).From(sql.Table(post.Table)).
			Where(statement.In(post.FieldID, some)).Query()
		err := database.Each(ctx, d, query, args, func(rows *sql.Rows) error {
			var id, of typeid.ID
			err := rows.Scan(&id, &of)
			if of.Compare(author) == 0 {
				posts[id.As(post.Label)] = true
			}
			return err
		})
		if err != nil {
			return posts, err
		}
	}
	return posts, nil
}

// idsAtOnce is the greatest number of IDs in one statement of PostsOf. MySQL and MariaDB take 65,535 arguments.
const idsAtOnce = 10_000

// firstPosts returns the IDs of the posts of an author after an ID, at most limit, in their order.
func (tx *Transaction) firstPosts(ctx context.Context, author, after typeid.ID, limit int) (ids []typeid.ID, err error) {
	query, args := sql.Dialect(tx.session.Dialect()).Select(post.FieldID).From(sql.Table(post.Table)).
		Where(sql.And(sql.EQ(post.FieldAuthorID, author), sql.GT(post.FieldID, after))).OrderBy(post.FieldID).Limit(limit).Query()
	err = database.Each(ctx, tx.session, query, args, func(rows *sql.Rows) error {
		var id typeid.ID
		err := rows.Scan(&id)
		ids = append(ids, id.As(post.Label))
		return err
	})
	return ids, err
}

// FormerIdentities says which hashes of a user are in the table of identities that are not linked again.
type FormerIdentities struct {
	Identity bool // a user had the user's identity and lost it
	User     bool // the user had an identity and lost it
}

// Former looks for the hashes of a user.
func (tx *Transaction) Former(ctx context.Context, u *ent.User) (f FormerIdentities, err error) {
	known, err := tx.retired(ctx, []string{hashOf(u.ID.String())})
	if f.User = len(known) > 0; err != nil {
		return f, err
	}
	if i := IdentityOf(u); i != nil {
		known, err = tx.retired(ctx, []string{hashOf(i.Issuer, i.Subject)})
		f.Identity = len(known) > 0
	}
	return f, err
}
