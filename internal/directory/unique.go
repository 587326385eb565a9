package directory

import (
	"context"
	"maps"
	"slices"
	"strings"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/typeid"
)

// A UserKey is a unique key of users.
type UserKey string

// The unique keys of users, named after their fields.
const (
	ByUsername UserKey = "username"
	ByEmail    UserKey = "email"
)

// uniqueKey is a unique column of users.
type uniqueKey struct {
	field, column string
	of            func(*ent.User) string                 // reads the key; "" for none
	rule          func(*ent.User) (string, *rules.Fault) // computes the key
	former        func(*ent.User) string                 // computes the key of the previous release, which may still run
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

// identityKey is the key of two columns. Its text is the subject, which alone nearly always finds one user, and the issuer.
func identityKey() uniqueKey {
	of := func(u *ent.User) string {
		if i := IdentityOf(u); i != nil {
			return i.Subject + "\x00" + i.Issuer // neither has NUL
		}
		return ""
	}
	return uniqueKey{
		"identity", user.FieldIdentitySubject, of,
		func(u *ent.User) (string, *rules.Fault) { return of(u), nil }, of,
	}
}

func (k UserKey) unique() uniqueKey {
	if k == ByEmail {
		return emailKey()
	}
	return usernameKey()
}

// current computes the key of a user by the rules. The column may have a key of an older rule.
func (k uniqueKey) current(u *ent.User) string {
	if key, fault := k.rule(u); fault == nil {
		return key
	}
	return k.of(u)
}

// EmailKeys returns the keys that the database may have for an address: key, by the rules, and the key of the previous
// release.
func EmailKeys(email, key string) []string {
	return slices.Compact([]string{key, rules.FormerEmailKey(email)})
}

// UserByEmail returns the user with an address, or nil. The users are those that have one of EmailKeys. Two addresses
// can be equal by the rules of this release and not by those of the previous one: then each finds its own user.
func UserByEmail(users []*ent.User, email, key string) (owner *ent.User) {
	for _, u := range users {
		if emailKey().current(u) == key && (owner == nil || u.EmailKey == rules.FormerEmailKey(email)) {
			owner = u
		}
	}
	return owner
}

// owners returns the owners of keys, by key.
func (k uniqueKey) owners(ctx context.Context, tx *Transaction, keys []string) (map[string]typeid.ID, error) {
	texts, wanted := make([]string, len(keys)), make(map[string]bool, len(keys))
	for i, key := range keys {
		wanted[key] = true
		texts[i], _, _ = strings.Cut(key, "\x00") // the text in the column
	}
	columns := query.ColumnsOf(ent.UserTable, k.column)
	if k.column == user.FieldIdentitySubject {
		columns |= query.ColumnsOf(ent.UserTable, user.FieldIdentityIssuer)
	}
	users, err := tx.usersBy(ctx, k.column, texts, columns)
	owners := make(map[string]typeid.ID, len(users))
	for _, u := range users {
		if wanted[k.of(u)] { // another issuer may have the same subject
			owners[k.of(u)] = u.ID
		}
	}
	return owners, err
}

// formerOwners returns, by key, the owners of the keys of users whose column has the key of the previous release. A
// server of that release wrote it, or another user has the key by the rules. It costs a statement only if the two keys
// of a text differ.
func (k uniqueKey) formerOwners(ctx context.Context, tx *Transaction, users []*ent.User) (map[string]typeid.ID, error) {
	var formers []string
	keys := map[string]bool{}
	for _, u := range users {
		if former := k.former(u); k.of(u) != "" && former != k.of(u) {
			formers, keys[k.of(u)] = append(formers, former), true
		}
	}
	users, err := tx.usersBy(ctx, k.column, formers, query.ColumnsOf(ent.UserTable, user.FieldUsername, user.FieldEmail, k.column))
	owners := make(map[string]typeid.ID, len(users))
	for _, u := range users {
		if key := k.current(u); keys[key] && k.of(u) != key {
			owners[key] = u.ID
		}
	}
	return owners, err
}

// claims are the values of a unique key that users take over when each becomes its element of next; a new user is nil
// in users. All users change at the same moment: a value that one user releases is free for another.
type claims struct {
	uniqueKey

	in          *inputs
	users, next []*ent.User
	open        map[string]int // the index of the user that takes each new value
}

// claims adds a fault to each input that takes a value that another input keeps or an earlier input takes.
func (k uniqueKey) claims(in *inputs, users, next []*ent.User) *claims {
	c := &claims{uniqueKey: k, in: in, users: users, next: next}
	changed, kept := 0, map[string]bool{}
	for i, u := range next {
		switch {
		case k.of(u) == "":
		case c.changes(i):
			changed++
		default:
			kept[k.of(u)] = true
		}
	}
	c.open = make(map[string]int, changed)
	for i, u := range next {
		wants := k.of(u)
		if _, again := c.open[wants]; wants == "" || !c.changes(i) || in.all[i].wrong(k.field) {
			continue
		} else if again || kept[wants] {
			in.all[i].Add(taken(), k.field)
			continue
		}
		c.open[wants] = i
	}
	return c
}

// changes reports whether the value of a user changes.
func (c *claims) changes(i int) bool {
	return c.users[i] == nil || c.of(c.users[i]) != c.of(c.next[i])
}

// refuse adds a fault to each input that takes a value that its owner keeps.
func (c *claims) refuse(owners map[string]typeid.ID) {
	if len(owners) == 0 {
		return
	}
	gives := make(map[typeid.ID]bool, len(c.users))
	for i, u := range c.users {
		if u != nil {
			gives[u.ID] = c.changes(i)
		}
	}
	for value, owner := range owners {
		i := c.open[value]
		if own := c.users[i] != nil && c.users[i].ID == owner; !own && !gives[owner] && !c.in.all[i].Has(c.field) {
			c.in.all[i].Add(taken(), c.field)
		}
	}
}

// uniqueUsers adds a fault for each value of next that another user keeps.
func (in *inputs) uniqueUsers(ctx context.Context, tx *Transaction, users, next []*ent.User) error {
	all := []*claims{usernameKey().claims(in, users, next), emailKey().claims(in, users, next), identityKey().claims(in, users, next)}
	for _, c := range all {
		open := make([]*ent.User, 0, len(c.open))
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
