package idempotency

import (
	"context"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
)

// statements are the SQL of one engine.
type statements struct{ claim, read, store, prune string }

// statementsOf returns those of a dialect. A claim of a key that another transaction has claimed waits for that one's
// end; then it does nothing when that was a commit, and claims the key when it was a rollback.
func statementsOf(name string) statements {
	const table = "idempotency_keys"
	switch name {
	case dialect.Postgres:
		return statements{
			claim: "INSERT INTO " + table + " (id, request, data, at) VALUES ($1, $2, '', $3) ON CONFLICT DO NOTHING",
			read:  "SELECT request, data FROM " + table + " WHERE id = $1",
			store: "UPDATE " + table + " SET data = $1 WHERE id = $2",
			// Two servers that prune at a time take each its own.
			prune: "DELETE FROM " + table + " WHERE id IN (SELECT id FROM " + table +
				" WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)",
		}
	case dialect.MySQL:
		return statements{
			// What IGNORE ignores beside the duplicate cannot happen: all values fit.
			claim: "INSERT IGNORE INTO " + table + " (id, request, data, at) VALUES (?, ?, '', ?)",
			read:  "SELECT request, data FROM " + table + " WHERE id = ?",
			store: "UPDATE " + table + " SET data = ? WHERE id = ?",
			prune: "DELETE FROM " + table + " WHERE at < ? ORDER BY at LIMIT ?",
		}
	default: // SQLite
		return statements{
			claim: "INSERT INTO " + table + " (id, request, data, at) VALUES (?, ?, x'', ?) ON CONFLICT DO NOTHING",
			read:  "SELECT request, data FROM " + table + " WHERE id = ?",
			store: "UPDATE " + table + " SET data = ? WHERE id = ?",
			prune: "DELETE FROM " + table + " WHERE id IN (SELECT id FROM " + table + " WHERE at < ? ORDER BY at LIMIT ?)",
		}
	}
}

// Claim takes the key for the transaction, whose first statement it is: it returns nil, and the transaction goes on and
// ends with Store. Where the request has been done before, it returns the data of its answer; then there is nothing to
// write. The error is ErrReused when it was another request, or the session's.
func (e *Entry) Claim(ctx context.Context, session dialect.Driver, now time.Time) (data []byte, err error) {
	s := statementsOf(session.Dialect())
	for {
		claimed, err := database.Affected(ctx, session, s.claim, e.id[:], e.request[:], now.UnixMicro())
		if err != nil {
			return nil, err
		}
		if claimed == 1 {
			return nil, nil
		}
		request, data, err := e.read(ctx, session, s.read)
		switch {
		case err != nil:
			return nil, err
		case request == nil: // it was pruned since
			continue
		case string(request) != string(e.request[:]):
			return nil, ErrReused
		}
		return data, nil
	}
}

// read returns what is stored; no request when nothing is.
func (e *Entry) read(ctx context.Context, session dialect.Driver, query string) (request, data []byte, err error) {
	err = database.Each(ctx, session, query, []any{e.id[:]}, func(rows *entsql.Rows) error { return rows.Scan(&request, &data) })
	return request, data, err
}

// Store stores the data of the answer under the key that the transaction has claimed. The error is ErrTooLarge, or the
// session's.
func (e *Entry) Store(ctx context.Context, session dialect.Driver, data []byte) error {
	if len(data) > MaxDataBytes {
		return ErrTooLarge
	}
	return session.Exec(ctx, statementsOf(session.Dialect()).store, []any{data, e.id[:]}, nil)
}

// Prune deletes at most limit keys that were claimed before a time, the oldest first, and returns how many. The error is
// the session's.
func Prune(ctx context.Context, session dialect.Driver, before time.Time, limit int) (int, error) {
	deleted, err := database.Affected(ctx, session, statementsOf(session.Dialect()).prune, before.UnixMicro(), limit)
	return int(deleted), err
}
