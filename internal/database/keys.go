package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"entgo.io/ent/dialect"

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

// The number of rows that one statement reads, that one transaction locks, of attempts after a lost race, and of rows
// that the log names.
const (
	rowsRead   = 10_000
	rowsLocked = 100
	tries      = 10
	rowsNamed  = 100
)

// keys computes a user's keys by the rules of one release.
type keys struct {
	username, email func(string) (string, *rules.Fault)
}

// current has the rules of this release.
func current() keys { return keys{rules.Username, rules.Email} }

// former has the rules of the previous release. It needs no checks: that release accepts every text that this one
// accepts.
func former() keys {
	return keys{rules.Username, func(s string) (string, *rules.Fault) { return rules.FormerEmailKey(s), nil }}
}

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

// check returns the texts of a row with wrong keys.
func (k keys) check(r userRow) (found []wrong) {
	for _, text := range []struct {
		field, column, text, key string
		rule                     func(string) (string, *rules.Fault)
	}{
		{user.FieldUsername, user.FieldUsernameKey, r.username, r.usernameKey, k.username},
		{user.FieldEmail, user.FieldEmailKey, r.email, r.mailKey, k.email},
	} {
		if key, fault := text.rule(text.text); fault != nil || key != text.key {
			found = append(found, wrong{r.id, text.field, text.column, key, fault})
		}
	}
	return found
}

// rekeying is one run over all users.
type rekeying struct {
	keys
	engine  engine
	pool    *sql.DB // has one connection
	changed int
	left    []wrong
}

// rekey gives users the keys of some rules, and logs the users that keep another key. During a run, a key of another
// user may become free. So it repeats the run until nothing changes.
func (m *migrator) rekey(ctx context.Context, k keys, logger *slog.Logger) error {
	for {
		r := &rekeying{keys: k, engine: m.engine, pool: m.pool}
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
	for after, last := (typeid.ID{}), false; !last; {
		var to typeid.ID
		err := r.pool.QueryRowContext(ctx, r.bind("SELECT id FROM users WHERE id > ? ORDER BY id LIMIT 1 OFFSET "+fmt.Sprint(rowsRead-1)), after).Scan(&to)
		if last = errors.Is(err, sql.ErrNoRows); err != nil && !last {
			return err
		}
		query, args := "SELECT id, username, username_key, email, email_key FROM users WHERE id > ? AND "+r.suspect(), []any{after}
		if !last {
			query, args = query+" AND id <= ?", append(args, to)
		}
		rows, err := r.read(ctx, r.pool, query+" ORDER BY id", args...)
		if err != nil {
			return err
		}
		var ids []typeid.ID
		for _, row := range rows {
			found := r.check(row)
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
		after = to
	}
	return nil
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
func (r *rekeying) write(ctx context.Context, ids []typeid.ID) error {
	for try := 1; ; try++ {
		changed, failed, err := r.writeOnce(ctx, ids)
		m, _ := r.engine.classify(err)
		switch {
		case err == nil:
			r.changed += changed
			return nil
		case m.kind == Retry && try < tries:
		case m.kind == Unique && len(ids) > 1:
			for _, id := range ids {
				if err := r.write(ctx, []typeid.ID{id}); err != nil {
					return err
				}
			}
			return nil
		case m.kind == Unique:
			r.left = append(r.left, failed)
			return nil
		default:
			return err
		}
	}
}

// writeOnce tries to give users their keys. If another user has a key, it returns the user that wanted it, with the
// error.
func (r *rekeying) writeOnce(ctx context.Context, ids []typeid.ID) (changed int, failed wrong, err error) {
	tx, err := r.pool.BeginTx(ctx, r.engine.txOptions(true))
	if err != nil {
		return 0, failed, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	query := "SELECT id, username, username_key, email, email_key FROM users WHERE id IN (?" + strings.Repeat(", ?", len(ids)-1) + ") ORDER BY id"
	if r.engine.dialect() != dialect.SQLite { // SQLite has one writer at a time
		query += " FOR UPDATE"
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	rows, err := r.read(ctx, tx, query, args...)
	if err != nil {
		return 0, failed, err
	}
	for _, row := range rows {
		for _, w := range r.check(row) {
			if w.fault != nil {
				continue
			}
			if _, err := tx.ExecContext(ctx, r.bind("UPDATE users SET "+w.column+" = ? WHERE id = ?"), w.key, w.id); err != nil {
				return 0, w, err
			}
			changed++
		}
	}
	return changed, failed, tx.Commit()
}

// querier is a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// read returns the users that a query selects.
func (r *rekeying) read(ctx context.Context, q querier, query string, args ...any) (users []userRow, err error) {
	rows, err := q.QueryContext(ctx, r.bind(query), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var u userRow
		if err := rows.Scan(&u.id, &u.username, &u.usernameKey, &u.email, &u.mailKey); err != nil {
			return nil, err
		}
		u.id = u.id.As(user.Label)
		users = append(users, u)
	}
	return users, rows.Err()
}

// bind numbers the placeholders of a query, if the engine needs numbers.
func (r *rekeying) bind(query string) string {
	if r.engine.dialect() != dialect.Postgres {
		return query
	}
	var b strings.Builder
	for n, part := range strings.Split(query, "?") {
		if n > 0 {
			fmt.Fprintf(&b, "$%d", n)
		}
		b.WriteString(part)
	}
	return b.String()
}
