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
	users, err := tx.usersBy(ctx, k.column, formers, user.FieldID, user.FieldUsername, user.FieldEmail, k.column)
	owners := make(map[string]typeid.ID, len(users))
	for _, u := range users {
		if key := k.current(u); keys[key] && k.of(u) != key {
			owners[key] = u.ID
		}
	}
	return owners, err
}

// claims are the values of a unique key that users, nil for new ones, want when they become what next is. All of them
// change at one moment: a value that one user gives up is free for another one.
type claims struct {
	uniqueKey

	in          *inputs
	users, next []*ent.User
	open        map[string]int // values that a user wants and had not, and the index of that user
}

// claims adds a fault to each input that wants a value that another input keeps, or one before it wants.
func (k uniqueKey) claims(in *inputs, users, next []*ent.User) *claims {
	c := &claims{uniqueKey: k, in: in, users: users, next: next, open: make(map[string]int, len(next))}
	kept := make(map[string]bool, len(next))
	for i, u := range next {
		if k.of(u) != "" && !c.changes(i) {
			kept[k.of(u)] = true
		}
	}
	for i, u := range next {
		wants := k.of(u)
		if _, again := c.open[wants]; wants == "" || !c.changes(i) || !in.all[i].clean(k.field) {
			continue
		} else if again || kept[wants] {
			in.all[i].add(taken(), k.field)
			continue
		}
		c.open[wants] = i
	}
	return c
}

// changes reports whether a user is to have another value than before.
func (c *claims) changes(i int) bool {
	return c.users[i] == nil || c.of(c.users[i]) != c.of(c.next[i])
}

// refuse adds a fault to each input that wants a value whose owner does not give it up.
func (c *claims) refuse(owners map[string]typeid.ID) {
	gives := make(map[typeid.ID]bool, len(c.users))
	for i, u := range c.users {
		if u != nil {
			gives[u.ID] = c.changes(i)
		}
	}
	for value, owner := range owners {
		i := c.open[value]
		if own := c.users[i] != nil && c.users[i].ID == owner; !own && !gives[owner] && c.in.all[i].clean(c.field) {
			c.in.all[i].add(taken(), c.field)
		}
	}
}

// uniqueUsers adds a fault for each value that somebody else has, when users become what next is.
func (in *inputs) uniqueUsers(ctx context.Context, tx *Transaction, users, next []*ent.User) error {
	all := []*claims{usernameKey().claims(in, users, next), emailKey().claims(in, users, next)}
	for _, c := range all {
		var open []*ent.User
		for _, i := range c.open {
			open = append(open, next[i])
		}
		owners, err := c.formerOwners(ctx, tx, open)
		if err != nil {
			return err
		}
		c.refuse(owners)
	}
	if !in.look() {
		return nil
	}
	for _, c := range all {
		owners, err := c.owners(ctx, tx, slices.Sorted(maps.Keys(c.open)))
		if err != nil {
			return err
		}
		c.refuse(owners)
	}
	return nil
}
