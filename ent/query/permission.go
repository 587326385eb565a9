package query

import (
	"context"

	"entgo.io/ent/dialect/sql"

	"roster/ent/rules"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// OwnerOf returns the ID of the user who owns an entity, or the zero ID. Its column Owner must have been read.
func (e *Entity[T]) OwnerOf(n *T) (owner typeid.ID) {
	if e.Owner != "" {
		owner, _ = e.Value(n, e.Owner).(typeid.ID) // NULL is no owner
	}
	return owner
}

// reach returns the rows that the caller in ctx may read.
func (k *Kind) reach(ctx context.Context) rules.Extent {
	return rules.Reach(rules.CallerFrom(ctx), rules.Read, k.GraphQL)
}

// readable reports whether the caller in ctx may read an entity.
func (e *Entity[T]) readable(ctx context.Context, n *T) bool {
	return rules.PermitRow(ctx, rules.Read, e.GraphQL, []typeid.ID{e.OwnerOf(n)}) == nil
}

// restrict restricts a statement to the rows that the caller in ctx may read. Without such rows, the error is a
// *rules.ForbiddenError.
func (k *Kind) restrict(ctx context.Context, s *statement.Select) error {
	if err := k.Readable(ctx); err != nil || k.reach(ctx) != rules.Own {
		return err
	}
	filter, user := s.Filter, []typeid.ID{rules.CallerFrom(ctx).User}
	s.Filter = func(q *sql.Selector) {
		if filter != nil {
			filter(q)
		}
		q.Where(statement.In(q.C(k.Owner), user))
	}
	return nil
}
