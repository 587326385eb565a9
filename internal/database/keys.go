package database

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/typeid"
)

// foldAddresses is the version of the migration that computes the keys of addresses again. SQL cannot compute them. So
// the files of the migration are empty, and the program computes the keys before it records or removes the version.
//
// Short transactions change a few rows each, and lock them in the order of their IDs. After a kill, the next run does
// the remaining rows. Until then, and while servers of the previous release write, the column has keys of both rules.
// So every MigrateUp looks for keys of the previous rule, also long after the migration. Clients do not see keys: no
// version rises, and the feed has no change.
const foldAddresses = 20261128090000

// Bounds: the rows that one statement returns, the rows that one transaction locks, the attempts at a transaction that loses
// races, and the rows that the log names.
const (
	rowsRead   = 10_000
	rowsLocked = 100
	tries      = 10
	rowsNamed  = 100
)

// A rule returns the key of a text, or why the text is refused.
type rule func(text string) (key string, fault *rules.Fault)

// formerEmail is the rule of the previous release. It needs no checks: that release accepts every text that this one
// accepts. The rule of usernames is the same in both releases.
func formerEmail(text string) (string, *rules.Fault) { return rules.FormerEmailKey(text), nil }

// userRow has the texts and keys of a user.
type userRow struct {
	id                                    typeid.ID
	username, usernameKey, email, mailKey string
}

// wrong is a text of a user whose key differs from the rules.
type wrong struct {
	id            typeid.ID
	field, column string
	key           string       // the key by the rules
	fault         *rules.Fault // if the rules refuse the text
}

// wrongKeys returns the texts of a user with wrong keys.
func (r *rekeying) wrongKeys(u userRow) (found []wrong) {
	if key, fault := rules.Username(u.username); fault != nil || key != u.usernameKey {
		found = append(found, wrong{u.id, user.FieldUsername, user.FieldUsernameKey, key, fault})
	}
	if key, fault := r.email(u.email); fault != nil || key != u.mailKey {
		found = append(found, wrong{u.id, user.FieldEmail, user.FieldEmailKey, key, fault})
	}
	return found
}

// rekeying is one run over all users.
type rekeying struct {
	*migrator

	email   rule
	changed int
	left    []wrong
}

// rekey gives users the keys by the rules of usernames and of addresses, and logs the users that keep another key.
// During a run, a key of another user may become free. So it repeats the run until nothing changes.
func (m *migrator) rekey(ctx context.Context, email rule, logger *slog.Logger) error {
	for {
		r := &rekeying{migrator: m, email: email}
		if err := r.run(ctx); err != nil {
			return fmt.Errorf("compute the keys of users again: %w", err)
		}
		if r.changed > 0 && len(r.left) > 0 {
			continue
		}
		slices.SortStableFunc(r.left, func(a, b wrong) int { return a.id.Compare(b.id) })
		for _, w := range r.left[:min(len(r.left), rowsNamed)] {
			reason, todo := "another user has it by the rules of this version", "change one of the two, or leave it: everything else of the user can be changed"
			if w.fault != nil {
				reason, todo = "by the rules of this version it "+w.fault.Message, "change it: everything else of the user can be changed without that"
			}
			logger.WarnContext(ctx, "a text keeps its old key", "id", w.id.String(), "field", w.field, "reason", reason, "todo", todo)
		}
		if more := len(r.left) - rowsNamed; more > 0 {
			logger.WarnContext(ctx, "more texts keep their old keys", "count", more, "todo", "mend those above, and run roster migrate up for the others")
		}
		return nil
	}
}

// run goes over all users once, in the order of their IDs.
func (r *rekeying) run(ctx context.Context) error {
	var after typeid.ID
	for {
		rows, err := r.read(ctx, r.pool, r.users().Where(entsql.And(entsql.GT(user.FieldID, after), entsql.ExprP(r.suspect()))).Limit(rowsRead))
		if err != nil || len(rows) == 0 {
			return err
		}
		var ids []any
		for _, row := range rows {
			found := r.wrongKeys(row)
			for _, w := range found {
				if w.fault != nil {
					r.left = append(r.left, w)
				}
			}
			if slices.ContainsFunc(found, func(w wrong) bool { return w.fault == nil }) {
				ids = append(ids, row.id)
			}
		}
		for some := range slices.Chunk(ids, rowsLocked) {
			if err := r.write(ctx, some); err != nil {
				return err
			}
		}
		after = rows[len(rows)-1].id
	}
}

// suspect is the condition for texts whose keys may differ between rules: text beyond ASCII, and domains with A-labels.
func (r *rekeying) suspect() string {
	characters, bytes := "length(%s)", "octet_length(%s)"
	switch r.engine.dialect() {
	case dialect.SQLite:
		bytes = "length(CAST(%s AS blob))"
	case dialect.MySQL:
		characters = "char_length(%s)"
	}
	differ := func(column string) string {
		return fmt.Sprintf(characters+" <> "+bytes, column, column)
	}
	return "(" + differ("username") + " OR " + differ("email") + " OR lower(email) LIKE '%xn--%')"
}

// write gives users their keys in one transaction. If another user has one of the keys, each user gets a transaction of
// its own.
func (r *rekeying) write(ctx context.Context, ids []any) error {
	var changed int
	var failed wrong
	err := r.transact(ctx, func(tx *sql.Tx) (err error) {
		changed, failed, err = r.writeOnce(ctx, tx, ids)
		return err
	})
	m, _ := r.engine.classify(err)
	switch {
	case err == nil:
		r.changed += changed
	case m.kind == Unique && len(ids) > 1:
		for id := range slices.Chunk(ids, 1) {
			if err := r.write(ctx, id); err != nil {
				return err
			}
		}
	case m.kind == Unique:
		r.left = append(r.left, failed)
	default:
		return err
	}
	return nil
}

// writeOnce tries to give users their keys. If another user has a key, it returns the user that wanted it, with the
// error.
func (r *rekeying) writeOnce(ctx context.Context, tx *sql.Tx, ids []any) (changed int, failed wrong, err error) {
	locked := r.users().Where(entsql.In(user.FieldID, ids...))
	if r.engine.dialect() != dialect.SQLite { // SQLite has one writer at a time
		locked.ForUpdate()
	}
	rows, err := r.read(ctx, tx, locked)
	if err != nil {
		return 0, failed, err
	}
	for _, row := range rows {
		for _, w := range r.wrongKeys(row) {
			if w.fault != nil {
				continue
			}
			query, args := entsql.Dialect(r.engine.dialect()).Update(user.Table).Set(w.column, w.key).Where(entsql.EQ(user.FieldID, w.id)).Query()
			if _, err := tx.ExecContext(ctx, query, args...); err != nil {
				return 0, w, err
			}
			changed++
		}
	}
	return changed, failed, nil
}

// users selects all users, in the order of their IDs.
func (r *rekeying) users() *entsql.Selector {
	return entsql.Dialect(r.engine.dialect()).
		Select(user.FieldID, user.FieldUsername, user.FieldUsernameKey, user.FieldEmail, user.FieldEmailKey).
		From(entsql.Table(user.Table)).OrderBy(user.FieldID)
}

// read returns the users that a query selects.
func (r *rekeying) read(ctx context.Context, db entsql.ExecQuerier, selected *entsql.Selector) (users []userRow, err error) {
	query, args := selected.Query()
	err = Each(ctx, entsql.Conn{ExecQuerier: db}, query, args, func(rows *entsql.Rows) error {
		var u userRow
		err := rows.Scan(&u.id, &u.username, &u.usernameKey, &u.email, &u.mailKey)
		u.id = u.id.As(user.Label)
		users = append(users, u)
		return err
	})
	return users, err
}
