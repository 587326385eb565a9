package access

import (
	"context"
	"time"

	"roster/ent"
	"roster/ent/apikey"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/auth"
	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/typeid"
)

// An owner is the user that has an identity. The zero owner is none.
type owner struct {
	id        typeid.ID
	suspended bool
}

func ownerOf(u *ent.User) owner { return owner{u.ID, u.Status == rules.Suspended} }

// readOwners returns the owners of identities.
func (a *Access) readOwners(ctx context.Context, identities []rules.Identity) (map[rules.Identity]owner, error) {
	subjects := make([]string, len(identities))
	for i := range identities {
		subjects[i] = identities[i].Subject
	}
	owners := make(map[rules.Identity]owner, len(identities))
	columns := query.ColumnsOf(ent.UserTable, user.FieldStatus, user.FieldIdentityIssuer, user.FieldIdentitySubject)
	err := a.reading(ctx, func(ctx context.Context, client *ent.Client) error {
		users, err := client.User.Reader().AnyBy(ctx, columns, user.FieldIdentitySubject, subjects)
		for _, u := range users {
			if i := directory.IdentityOf(u); i != nil { // those of other issuers too; nobody asks for them
				owners[*i] = ownerOf(u)
			}
		}
		return err
	})
	return owners, err
}

// An apiKey is an API key in the database, or nil.
type apiKey struct {
	id                         typeid.ID
	subject, name              string
	roles                      []rules.Role
	expires, revoked, lastUsed *time.Time
}

// readKeys returns the API keys with the hashes.
func (a *Access) readKeys(ctx context.Context, hashes []hash) (map[hash]*apiKey, error) {
	texts, byText := make([]string, len(hashes)), make(map[string]hash, len(hashes))
	for i, h := range hashes {
		texts[i] = h.String()
		byText[texts[i]] = h
	}
	keys := make(map[hash]*apiKey, len(hashes))
	columns := query.ColumnsOf(ent.ApiKeyTable, apikey.FieldName, apikey.FieldRoles, apikey.FieldSecretHash,
		apikey.FieldExpiresAt, apikey.FieldRevokedAt, apikey.FieldLastUsedAt)
	err := a.reading(ctx, func(ctx context.Context, client *ent.Client) error {
		list, err := client.ApiKey.Reader().AnyBy(ctx, columns, apikey.FieldSecretHash, texts)
		for _, k := range list {
			keys[byText[k.SecretHash]] = &apiKey{
				id: k.ID, subject: k.ID.String(), name: k.Name, roles: k.Roles.Roles(),
				expires: k.ExpiresAt, revoked: k.RevokedAt, lastUsed: k.LastUsedAt,
			}
		}
		return err
	})
	return keys, err
}

// refusal returns the *auth.InvalidError of a key that is not valid at a time, or nil.
func (k *apiKey) refusal(now time.Time) error {
	switch {
	case k == nil:
		return &auth.InvalidError{Description: "the API key is unknown"}
	case k.revoked != nil:
		return &auth.InvalidError{Description: "the API key is revoked", Detail: k.subject}
	case k.expires != nil && !now.Before(*k.expires):
		return &auth.InvalidError{Description: "the API key has expired", Detail: k.subject}
	default:
		return nil
	}
}

// reading calls read with a client that may read everything, outside of any transaction. If the connection is lost, it
// calls read once more: the connection may be older than a restart of the database.
func (a *Access) reading(ctx context.Context, read func(context.Context, *ent.Client) error) error {
	ctx = rules.WithCaller(ctx, rules.Everyone())
	err := read(ctx, ent.NewClient(ent.Driver(a.Database.Session(database.Single))))
	if f := database.AsFailure(err); f != nil && (f.Kind == database.Lost || f.Kind == database.Retry) {
		err = read(ctx, ent.NewClient(ent.Driver(a.Database.Session(database.Single))))
	}
	return err
}
