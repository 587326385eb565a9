package idempotency

import (
	"bytes"
	"context"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
)

const table = "idempotency_keys"

// statements are the SQL of one engine.
type statements struct{ claim, prune string }

// statementsOf returns the statements of an engine. A claim waits for a transaction that has claimed the same key. If
// that one commits, the claim does nothing.
func statementsOf(engine string) statements {
	const insert, values = " INTO " + table + " (id, request, data, at, authority) VALUES ", " ON CONFLICT DO NOTHING"
	const oldest = "DELETE FROM " + table + " WHERE id IN (SELECT id FROM " + table + " WHERE at < "
	switch engine {
	case dialect.Postgres:
		return statements{"INSERT" + insert + "($1, $2, '', $3, $4)" + values, oldest + "$1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)"}
	case dialect.MySQL: // IGNORE ignores other errors too, but none can happen: all values fit
		return statements{"INSERT IGNORE" + insert + "(?, ?, '', ?, ?)", "DELETE FROM " + table + " WHERE at < ? ORDER BY at LIMIT ?"}
	default: // SQLite
		return statements{"INSERT" + insert + "(?, ?, x'', ?, ?)" + values, oldest + "? ORDER BY at LIMIT ?)"}
	}
}

// Claim claims the key for the transaction. It must be the first statement of the transaction. If the request is new, it
// returns nil: execute the mutation, then call Store. If the request was executed before, it returns the data of its
// answer: write nothing. The error is ErrAuthority if the answer was stored for other permissions, ErrReused if the key
// has another request, ErrErased if the answer was erased, or the session's.
func (e *Entry) Claim(ctx context.Context, session dialect.Driver, now time.Time) (data []byte, err error) {
	for {
		claimed, err := database.Affected(ctx, session, statementsOf(session.Dialect()).claim, e.id[:], e.request[:], now.UnixMicro(), e.authority)
		if err != nil || claimed == 1 {
			return nil, err
		}
		var request []byte
		var authority entsql.NullString // servers of the previous release do not write it
		query, args := entsql.Dialect(session.Dialect()).Select("request", "data", "authority").From(entsql.Table(table)).Where(entsql.EQ("id", e.id[:])).Query()
		err = database.Each(ctx, session, query, args, func(rows *entsql.Rows) error { return rows.Scan(&request, &data, &authority) })
		switch {
		case err != nil:
			return nil, err
		case request == nil: // pruned since the claim
		case authority.Valid && authority.String != e.authority && !e.admin:
			return nil, ErrAuthority
		case !bytes.Equal(request, e.request[:]):
			return nil, ErrReused
		case isErased(data):
			return nil, ErrErased
		default:
			return data, nil
		}
	}
}

// Store stores the data of the answer under the claimed key. The error is ErrTooLarge, or the session's.
func (e *Entry) Store(ctx context.Context, session dialect.Driver, data []byte) error {
	if len(data) > MaxDataBytes {
		return ErrTooLarge
	}
	query, args := entsql.Dialect(session.Dialect()).Update(table).Set("data", data).Where(entsql.EQ("id", e.id[:])).Query()
	_, err := database.Affected(ctx, session, query, args...)
	return err
}

// Prune deletes at most limit keys that were claimed before a time, the oldest first. It returns their number. Several
// servers may prune at the same time. The error is the session's.
func Prune(ctx context.Context, session dialect.Driver, before time.Time, limit int) (int, error) {
	deleted, err := database.Affected(ctx, session, statementsOf(session.Dialect()).prune, before.UnixMicro(), limit)
	return int(deleted), err
}
