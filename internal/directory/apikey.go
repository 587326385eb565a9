package directory

import (
	"context"
	"time"

	"entgo.io/ent/dialect/sql"

	"roster/ent"
	"roster/ent/apikey"
	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/typeid"
)

// CreateAPIKey is the input for a new API key.
type CreateAPIKey struct {
	Name  string
	Roles []rules.Role
	// ExpiresAt is the time from which the key is refused; nil is never.
	ExpiresAt *time.Time
	// Prefix and SecretHash are the first characters and the SHA-256 hash of the secret, in hexadecimal digits.
	Prefix, SecretHash string
}

func (u *unit) apiKeys() *rows[ent.ApiKey] { return add(u, u.client.ApiKey.Reader(), "revokedAt") }

// CreateAPIKeys creates API keys.
func (tx *Transaction) CreateAPIKeys(ctx context.Context, list []CreateAPIKey) ([]*ent.ApiKey, error) {
	if err := permitAll(ctx, ent.ApiKeyTable, rules.Create); err != nil {
		return nil, err
	}
	in, rows := tx.inputs(len(list), "name", "roles", "expiresAt"), tx.begin().apiKeys()
	keys := make([]*ent.ApiKey, len(list))
	for i, input := range list {
		keys[i] = &ent.ApiKey{Roles: rules.NewRoleList(input.Roles), Prefix: input.Prefix, SecretHash: input.SecretHash}
		in.all[i].Add(set(&keys[i].Name, &keys[i].NameKey, input.Name, rules.KeyName), "name")
		in.all[i].Add(rules.Roles(input.Roles), "roles")
		if input.ExpiresAt != nil {
			keys[i].ExpiresAt = new(input.ExpiresAt.UTC().Truncate(time.Microsecond))
			in.all[i].Add(rules.FutureTime(*input.ExpiresAt, rows.unit.now()), "expiresAt")
		}
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	for _, k := range keys {
		rows.create(ctx, k)
	}
	rows.Together(keys)
	return keys, rows.unit.flush(ctx)
}

// RevokeAPIKeys revokes API keys, and returns them. A key that is revoked already stays as it is.
func (tx *Transaction) RevokeAPIKeys(ctx context.Context, list []Target) ([]*ent.ApiKey, error) {
	in, rows := tx.inputs(len(list), "id", "expectedVersion"), tx.begin().apiKeys()
	keys, err := lock(ctx, in, rows, rules.Update, list)
	if err != nil {
		return nil, err
	}
	next, now := copies(keys), rows.unit.now()
	for _, k := range next {
		if k.RevokedAt == nil {
			k.RevokedAt = &now
		}
	}
	_, _, err = save(ctx, in, rows, keys, next, "id")
	return keys, err
}

// UseAPIKey writes the time of the last use of an API key, unless the database has one that is less than interval older.
// The last use is no change: version, updatedAt and the feed stay as they are.
func UseAPIKey(ctx context.Context, session *database.Session, id typeid.ID, at time.Time, interval time.Duration) error {
	at = at.UTC().Truncate(time.Microsecond)
	last := apikey.FieldLastUsedAt
	query, args := sql.Dialect(session.Dialect()).Update(apikey.Table).Set(last, at).
		Where(sql.And(sql.EQ(apikey.FieldID, id), sql.Or(sql.IsNull(last), sql.LTE(last, at.Add(-interval))))).Query()
	_, err := database.Affected(ctx, session, query, args...)
	return err
}
