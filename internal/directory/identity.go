package directory

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"

	"entgo.io/ent/dialect/sql"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// Link gives a user an identity: a person with a token of this identity is this user from now on. email is the address in
// the token, which the identity provider has verified. Link does nothing and returns nil unless the user still has this
// address and never had an identity, and no user ever had this identity. The error is ErrFormer if another transaction
// made that false meanwhile. The rules let everyone link.
func (tx *Transaction) Link(ctx context.Context, id typeid.ID, email string, identity rules.Identity) (*ent.User, error) {
	// The caller has no user yet, so the rules would let it change none.
	caller := rules.CallerFrom(ctx)
	caller.Roles = []rules.Role{rules.Admin}
	ctx = rules.WithCaller(ctx, caller)
	rows := tx.begin().users()
	locked, err := rows.Lock(ctx, id)
	u := locked[id]
	if err != nil || u == nil || IdentityOf(u) != nil || !rules.SameAddress(u.Email, email) {
		return nil, err
	}
	if former, err := tx.wasLinked(ctx, identity, id); former || err != nil {
		return nil, err
	}
	next := *u
	setIdentity(&next, &identity)
	if _, fault := rows.change(ctx, u, next); fault != nil {
		return nil, nil //nolint:nilerr // the user has the last version, and cannot change any more
	}
	if err := rows.unit.flush(ctx); err != nil {
		return nil, err
	}
	// Again: the write may have waited for a transaction in which another user lost the identity.
	if former, err := tx.wasLinked(ctx, identity, id); former || err != nil {
		return nil, cmp.Or(err, ErrFormer)
	}
	return u, nil
}

// ErrFormer is the error of a link of an identity that a user has just lost.
var ErrFormer = errors.New("a user had this identity and lost it")

// Linkable returns the user that Link gives an identity, or nil. It only reads. Another transaction can change the user
// before Link locks it. email is the address in the token.
func (tx *Transaction) Linkable(ctx context.Context, email string, identity rules.Identity) (*ent.User, error) {
	key, fault := rules.Email(email)
	if fault != nil {
		return nil, nil //nolint:nilerr // no user has such an address
	}
	columns := query.ColumnsOf(ent.UserTable, user.FieldEmail, user.FieldEmailKey, user.FieldIdentityIssuer, user.FieldIdentitySubject)
	users, err := tx.client.User.Reader().AnyBy(ctx, columns, user.FieldEmailKey, EmailKeys(email, key))
	u := UserByEmail(users, email, key)
	if err != nil || u == nil || IdentityOf(u) != nil || !rules.SameAddress(u.Email, email) {
		return nil, err
	}
	if former, err := tx.wasLinked(ctx, identity, u.ID); former || err != nil {
		return nil, err
	}
	return u, nil
}

// UserByIdentity returns the user with an identity, or nil. The user has the given columns and the identity.
func UserByIdentity(ctx context.Context, users query.Reader[ent.User], columns query.Columns, i rules.Identity) (*ent.User, error) {
	columns |= query.ColumnsOf(ent.UserTable, user.FieldIdentityIssuer, user.FieldIdentitySubject)
	list, err := users.AnyBy(ctx, columns, user.FieldIdentitySubject, []string{i.Subject})
	return WithIdentity(list, i), err
}

// WithIdentity returns the user with an identity, or nil. Users with other issuers may have the same subject.
func WithIdentity(users []*ent.User, i rules.Identity) *ent.User {
	for _, u := range users {
		if had := IdentityOf(u); had != nil && *had == i {
			return u
		}
	}
	return nil
}

// formerIdentities is the table of identities that users had and lost, and of users that had and lost one. They are not
// linked by email again: the address may belong to another person by then, or an ADMIN has removed the identity. The
// table has only hashes.
const formerIdentities = "former_identities"

// wasLinked reports whether a user had the identity and lost it, or the user had and lost an identity.
func (tx *Transaction) wasLinked(ctx context.Context, i rules.Identity, u typeid.ID) (bool, error) {
	known, err := tx.retired(ctx, []string{hashOf(i.Issuer, i.Subject), hashOf(u.String())})
	return len(known) > 0, err
}

// retired returns the hashes that are in the table.
func (tx *Transaction) retired(ctx context.Context, hashes []string) (known []string, err error) {
	query, args := sql.Dialect(tx.session.Dialect()).Select("id").From(sql.Table(formerIdentities)).Where(statement.In("id", hashes)).Query()
	err = database.Each(ctx, tx.session, query, args, func(rows *sql.Rows) error {
		var hash string
		err := rows.Scan(&hash)
		known = append(known, hash)
		return err
	})
	return known, err
}

// hashOf returns the hash of texts, in hexadecimal digits. It includes their lengths, so that different lists have
// different hashes.
func hashOf(texts ...string) string {
	var all []byte
	for _, text := range texts {
		all = append(binary.BigEndian.AppendUint64(all, uint64(len(text))), text...)
	}
	hash := sha256.Sum256(all)
	return hex.EncodeToString(hash[:])
}

// release notes what is not linked again when a user is updated to next or, with nil, deleted.
func (u *unit) release(e, next *ent.User) {
	had, has := IdentityOf(e), (*rules.Identity)(nil)
	if next != nil {
		has = IdentityOf(next)
	}
	if had == nil || has != nil && *has == *had {
		return
	}
	u.lost = append(u.lost, hashOf(had.Issuer, had.Subject))
	if next != nil && has == nil {
		u.lost = append(u.lost, hashOf(e.ID.String()))
	}
}

// retire writes what release has noted.
func (u *unit) retire(ctx context.Context) error {
	if len(u.lost) == 0 {
		return nil
	}
	slices.Sort(u.lost)
	hashes := slices.Compact(u.lost)
	known, err := u.retired(ctx, hashes)
	if err != nil {
		return err
	}
	hashes = slices.DeleteFunc(hashes, func(h string) bool { return slices.Contains(known, h) })
	return database.WriteRows(ctx, u.session, (*statement.Write).Insert, &statement.Write{
		Table:   &statement.Table{Name: formerIdentities, Columns: []statement.Column{{Name: "id", Kind: statement.Text, Size: hashSize}}},
		Columns: []string{"id"}, Rows: len(hashes),
		Value: func(row int, _ string) any { return hashes[row] },
	})
}

// hashSize is the length of a hash, in hexadecimal digits.
const hashSize = 2 * sha256.Size
