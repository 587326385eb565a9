package directory

import (
	"context"
	"maps"
	"slices"

	"roster/ent"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/typeid"
)

// A UserKey is a unique key of users.
type UserKey string

// The unique keys of users, which have the names of their fields.
const (
	ByUsername UserKey = "username"
	ByEmail    UserKey = "email"
)

// uniqueKey is a column of users that is unique.
type uniqueKey struct {
	field, column string
	of            func(*ent.User) string                 // reads it
	rule          func(*ent.User) (string, *rules.Fault) // computes it
	former        func(*ent.User) string                 // computes it as the version before did, which may be writing now
}

func usernameKey() uniqueKey {
	return uniqueKey{
		"username", user.FieldUsernameKey, func(u *ent.User) string { return u.UsernameKey },
		func(u *ent.User) (string, *rules.Fault) { return rules.Username(u.Username) },
		func(u *ent.User) string { return u.UsernameKey },
	}
}

func emailKey() uniqueKey {
	return uniqueKey{
		"email", user.FieldEmailKey, func(u *ent.User) string { return u.EmailKey },
		func(u *ent.User) (string, *rules.Fault) { return rules.Email(u.Email) },
		func(u *ent.User) string { return rules.FormerEmailKey(u.Email) },
	}
}

func (k UserKey) unique() uniqueKey {
	if k == ByEmail {
		return emailKey()
	}
	return usernameKey()
}

// current computes the key of a user by the rules. The column may have an older one.
func (k uniqueKey) current(u *ent.User) string {
	if key, fault := k.rule(u); fault == nil {
		return key
	}
	return k.of(u)
}

// EmailKeys returns the keys that the column of a user with an address may have: the one by the rules, which is given, and
// the one of the version before.
func EmailKeys(email, key string) []string {
	return slices.Compact([]string{key, rules.FormerEmailKey(email)})
}

// UserByEmail returns the user who has an address; nil for none. The users are those that have one of EmailKeys. What
// counts is the address. Two addresses can be the same by the rules of this version alone: each finds its own user.
func UserByEmail(users []*ent.User, email, key string) (owner *ent.User) {
	for _, u := range users {
		if emailKey().current(u) == key && (owner == nil || u.EmailKey == rules.FormerEmailKey(email)) {
			owner = u
		}
	}
	return owner
}

// owners returns which user has each of some values.
func (k uniqueKey) owners(ctx context.Context, tx *Transaction, values []string) (map[string]typeid.ID, error) {
	users, err := tx.usersBy(ctx, k.column, values, user.FieldID, k.column)
	owners := make(map[string]typeid.ID, len(users))
	for _, u := range users {
		owners[k.of(u)] = u.ID
	}
	return owners, err
}

// formerOwners returns which user has each of the texts of some users by the rules, but a key of the version before in
// the column. A server of that version wrote it, or its key by the rules is that of someone else. It costs a statement
// only for texts whose two keys differ.
func (k uniqueKey) formerOwners(ctx context.Context, tx *Transaction, users []*ent.User) (map[string]typeid.ID, error) {
	var formers []string
	keys := map[string]bool{}
	for _, u := range users {
		if former := k.former(u); k.of(u) != "" && former != k.of(u) {
			formers, keys[k.of(u)] = append(formers, former), true
		}
	}
	if len(formers) == 0 {
		return nil, nil
	}
	users, err := tx.usersBy(ctx, k.column, formers, user.FieldID, user.FieldUsername, user.FieldEmail, k.column)
	owners := make(map[string]typeid.ID, len(users))
	for _, u := range users {
		if key := k.current(u); keys[key] && k.of(u) != key {
			owners[key] = u.ID
		}
	}
	return owners, err
}

// claims are the values of one unique column that the inputs of an operation want. All of them change at one moment: a
// value that one input gives up is free for another one.
type claims struct {
	field string
	list  []claim
	open  map[string]int // values that nobody among the inputs had, and the index of the input that wants each
}

// claim is the value of one user.
type claim struct {
	owner      typeid.ID // zero for a new user
	had, wants string    // empty for none
}

// claims returns the claims on a key when users, nil for new ones, become what next is.
func (k uniqueKey) claims(users, next []*ent.User) *claims {
	c := &claims{field: k.field, list: make([]claim, len(next)), open: make(map[string]int, len(next))}
	for i := range next {
		c.list[i].wants = k.of(next[i])
		if users[i] != nil {
			c.list[i].owner, c.list[i].had = users[i].ID, k.of(users[i])
		}
	}
	return c
}

// settle adds a fault to each input that wants a value that another input keeps, or one before it wants.
func (c *claims) settle(in *inputs) {
	kept := make(map[string]bool, len(c.list))
	for _, one := range c.list {
		if one.wants == one.had {
			kept[one.wants] = true
		}
	}
	for i, one := range c.list {
		if one.wants == "" || one.wants == one.had || !in.all[i].clean(c.field) {
			continue
		}
		if _, again := c.open[one.wants]; again || kept[one.wants] {
			in.all[i].add(taken(), c.field)
			continue
		}
		c.open[one.wants] = i
	}
}

// refuse adds a fault to each input that wants a value whose owner does not give it up.
func (c *claims) refuse(in *inputs, owners map[string]typeid.ID) {
	gives := make(map[typeid.ID]bool, len(c.list))
	for _, one := range c.list {
		gives[one.owner] = one.wants != one.had
	}
	for value, owner := range owners {
		if i := c.open[value]; !gives[owner] && c.list[i].owner != owner && in.all[i].clean(c.field) {
			in.all[i].add(taken(), c.field)
		}
	}
}

// uniqueUsers adds a fault for each value that somebody else has, when users become what next is.
func (in *inputs) uniqueUsers(ctx context.Context, tx *Transaction, users, next []*ent.User) error {
	keys := []uniqueKey{usernameKey(), emailKey()}
	wanted := make([]*claims, len(keys))
	for i, key := range keys {
		wanted[i] = key.claims(users, next)
		wanted[i].settle(in)
	}
	for i, key := range keys {
		var open []*ent.User
		for _, at := range wanted[i].open {
			open = append(open, next[at])
		}
		owners, err := key.formerOwners(ctx, tx, open)
		if err != nil {
			return err
		}
		wanted[i].refuse(in, owners)
	}
	if !in.look() {
		return nil
	}
	for i, key := range keys {
		if len(wanted[i].open) == 0 {
			continue
		}
		owners, err := key.owners(ctx, tx, slices.Sorted(maps.Keys(wanted[i].open)))
		if err != nil {
			return err
		}
		wanted[i].refuse(in, owners)
	}
	return nil
}
