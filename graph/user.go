package graph

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/99designs/gqlgen/graphql"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/graph/model"
	"roster/internal/feed"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// Bounds of what a mutation of users takes along.
const (
	maxUserPosts = 1000   // created with a user
	maxPosts     = 10_000 // created with all users
	maxCascade   = 10_000 // deleted with a user
	maxCascades  = 20_000 // deleted with all users
)

// User implements generated.QueryResolver.
func (r queryResolver) User(ctx context.Context, by model.UserBy) (*ent.User, error) {
	users, columns := attemptFrom(ctx).ent.User.Reader(), nodeColumns(ctx, ent.UserTable)
	id, username, email := by.ID.Value(), by.Username.Value(), by.Email.Value()
	switch {
	case id != nil && username == nil && email == nil:
		return byID(ctx, users, *id, "by", "id")
	case username != nil && id == nil && email == nil:
		key, f := rules.Username(*username)
		if f != nil {
			return nil, fault(f, "by", "username")
		}
		return orNull(users.By(ctx, columns, user.FieldUsernameKey, key))
	case email != nil && id == nil && username == nil:
		key, f := rules.Email(*email)
		if f != nil {
			return nil, fault(f, "by", "email")
		}
		return r.userByEmail(ctx, *email, key)
	}
	return nil, fault(&rules.Fault{Code: rules.Invalid, Message: "must have exactly one field, which is not null"}, "by")
}

// userByEmail finds the user with an address, whose key by the rules is given; nil when there is none. The column may have
// the key of the version before: what counts is the address.
func (queryResolver) userByEmail(ctx context.Context, email, key string) (found *ent.User, err error) {
	by, former := emailKey(), rules.FormerEmailKey(email)
	columns := nodeColumns(ctx, ent.UserTable) | query.ColumnsOf(ent.UserTable, user.FieldEmail, by.column)
	users, err := attemptFrom(ctx).ent.User.Reader().AnyBy(ctx, columns, by.column, slices.Compact([]string{key, former}))
	for _, u := range users {
		// Two are the same by the rules of this version alone: each is found as it was before.
		if by.of(u) == key && (found == nil || u.EmailKey == former) {
			found = u
		}
	}
	return found, err
}

// CreateUser implements generated.MutationResolver.
func (r mutationResolver) CreateUser(ctx context.Context, input model.CreateUserInput) (*model.CreateUserPayload, error) {
	u, err := only(r.createUsers(ctx, oneInput, []model.CreateUserInput{input}))
	return &model.CreateUserPayload{User: u}, err
}

// CreateUsers implements generated.MutationResolver.
func (r mutationResolver) CreateUsers(ctx context.Context, list []model.CreateUserInput) (*model.CreateUsersPayload, error) {
	users, err := r.createUsers(ctx, manyInputs, list)
	return &model.CreateUsersPayload{Users: users}, err
}

func (r mutationResolver) createUsers(ctx context.Context, argument string, list []model.CreateUserInput) ([]*ent.User, error) {
	in, err := newInputs(ctx, argument, len(list), "username", "email", "posts")
	if err != nil {
		return nil, err
	}
	users, posts := make([]*ent.User, len(list)), make([][]*ent.Post, len(list))
	total := 0
	for i := range list {
		users[i] = in.all[i].user(new(ent.User), &list[i].Username, &list[i].Email)
		posts[i] = in.all[i].posts(list[i].Posts.Value(), &total)
	}
	if err := in.uniqueUsers(ctx, make([]ent.User, len(list)), users); err != nil {
		return nil, err
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	now := r.now()
	for i, u := range users {
		r.create(ctx, in.attempt, u, now)
		for _, p := range posts[i] {
			p.ID, p.AuthorID, p.CreatedAt, p.UpdatedAt, p.Version = r.ids.New(post.Label), u.ID, now, now, 1
			in.attempt.record(ctx, feed.Created, p.ID, p.Version, now)
		}
	}
	db := in.attempt.ent
	if err := db.User.InsertAll(ctx, users); err != nil {
		return nil, err
	}
	return users, db.Post.InsertAll(ctx, slices.Concat(posts...))
}

// create completes a user that is new, and records it.
func (r mutationResolver) create(ctx context.Context, a *attempt, u *ent.User, now time.Time) {
	u.ID, u.CreatedAt, u.UpdatedAt, u.Version = r.ids.New(user.Label), now, now, 1
	a.record(ctx, feed.Created, u.ID, u.Version, now)
}

// UpdateUser implements generated.MutationResolver.
func (r mutationResolver) UpdateUser(ctx context.Context, input model.UpdateUserInput) (*model.UpdateUserPayload, error) {
	u, err := only(r.updateUsers(ctx, oneInput, []model.UpdateUserInput{input}))
	return &model.UpdateUserPayload{User: u}, err
}

// UpdateUsers implements generated.MutationResolver.
func (r mutationResolver) UpdateUsers(ctx context.Context, list []model.UpdateUserInput) (*model.UpdateUsersPayload, error) {
	users, err := r.updateUsers(ctx, manyInputs, list)
	return &model.UpdateUsersPayload{Users: users}, err
}

func (r mutationResolver) updateUsers(ctx context.Context, argument string, list []model.UpdateUserInput) ([]*ent.User, error) {
	in, err := newInputs(ctx, argument, len(list), "id", "username", "email", "expectedVersion")
	if err != nil {
		return nil, err
	}
	users, err := in.lockUsers(ctx, func(i int) (typeid.ID, graphql.Omittable[*int]) { return list[i].ID, list[i].ExpectedVersion })
	if err != nil {
		return nil, err
	}
	before := make([]ent.User, len(list))
	for i, u := range users {
		before[i] = *u
		username, email := set(in.all[i], list[i].Username, "username"), set(in.all[i], list[i].Email, "email")
		in.all[i].user(u, unless(u.Username, username), unless(u.Email, email))
	}
	if err := in.uniqueUsers(ctx, before, users); err != nil {
		return nil, err
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	_, _, err = r.save(ctx, in, before, users, "id")
	return users, err
}

// UpsertUsers implements generated.MutationResolver.
func (r mutationResolver) UpsertUsers(ctx context.Context, list []model.UpsertUserInput, key model.UserKey) (*model.UpsertUsersPayload, error) {
	in, err := newInputs(ctx, manyInputs, len(list), "username", "email")
	if err != nil {
		return nil, err
	}
	users, before := make([]*ent.User, len(list)), make([]ent.User, len(list))
	for i := range list {
		users[i] = in.all[i].user(new(ent.User), &list[i].Username, &list[i].Email)
	}
	by := usernameKey()
	if key == model.UserKeyEmail {
		by = emailKey()
	}
	there, err := in.lockUsersBy(ctx, by, users)
	if err != nil {
		return nil, err
	}
	for i, wanted := range users {
		if u := there[*by.in(wanted)]; u != nil && in.all[i].clean(by.field) {
			before[i] = *u
			in.all[i].keep(u, wanted)
			u.Username, u.UsernameKey, u.Email, u.EmailKey = wanted.Username, wanted.UsernameKey, wanted.Email, wanted.EmailKey
			users[i] = u
		}
	}
	if err := in.uniqueUsers(ctx, before, users); err != nil {
		return nil, err
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	created, updated, err := r.save(ctx, in, before, users, by.field)
	in.attempt.ent.User.Reader().Together(users)
	return &model.UpsertUsersPayload{Users: users, Created: created, Updated: updated, Unchanged: len(users) - created - updated}, err
}

// save writes users: those that were not there before, which have no version then, and those that are not what they were.
// field is what an input finds its user by: it has the fault of a user that cannot be changed.
func (r mutationResolver) save(ctx context.Context, in *inputs, before []ent.User, users []*ent.User, field string) (created, updated int, err error) {
	var news, changed []*ent.User
	columns := map[string]bool{}
	now := sync.OnceValue(r.now)
	for i, u := range users {
		was := &before[i]
		if was.Version == 0 {
			r.create(ctx, in.attempt, u, now())
			news = append(news, u)
			continue
		}
		var fields []string
		if u.Username != was.Username {
			fields, columns[user.FieldUsername], columns[user.FieldUsernameKey] = append(fields, "username"), true, true
		}
		if u.Email != was.Email {
			fields, columns[user.FieldEmail], columns[user.FieldEmailKey] = append(fields, "email"), true, true
		}
		if fields == nil {
			continue
		}
		in.all[i].add(rules.Updatable(u.Version), field)
		u.Version, u.UpdatedAt = u.Version+1, rules.UpdatedAt(now(), u.CreatedAt, u.UpdatedAt)
		in.attempt.record(ctx, feed.Updated, u.ID, u.Version, now(), fields...)
		changed = append(changed, u)
	}
	if err := in.err(); err != nil {
		return 0, 0, err
	}
	db := in.attempt.ent.User
	// What is given up is free before it is taken, and all of it before anything new comes.
	if err := db.UpdateAll(ctx, vacate(before, users), user.FieldUsernameKey, user.FieldEmailKey); err != nil {
		return 0, 0, err
	}
	if err := db.UpdateAll(ctx, changed, append(slices.Sorted(maps.Keys(columns)), user.FieldVersion, user.FieldUpdatedAt)...); err != nil {
		return 0, 0, err
	}
	return len(news), len(changed), db.InsertAll(ctx, news)
}

// vacate returns those users who have what another one of them is to have, without that: engines look at each row by
// itself, in any order.
func vacate(before []ent.User, users []*ent.User) (from []*ent.User) {
	moved := make([]ent.User, len(users))
	for _, key := range []userKey{usernameKey(), emailKey()} {
		for _, i := range key.claims(before, users).moves() {
			if moved[i].Version == 0 {
				moved[i] = before[i]
				from = append(from, &moved[i])
			}
			*key.in(&moved[i]) = vacant(users[i].ID)
		}
	}
	return from
}

// DeleteUser implements generated.MutationResolver.
func (r mutationResolver) DeleteUser(ctx context.Context, input model.DeleteUserInput) (*model.DeleteUserPayload, error) {
	id, err := only(r.deleteUsers(ctx, oneInput, []model.DeleteUserInput{input}))
	return &model.DeleteUserPayload{DeletedID: id}, err
}

// DeleteUsers implements generated.MutationResolver.
func (r mutationResolver) DeleteUsers(ctx context.Context, list []model.DeleteUserInput) (*model.DeleteUsersPayload, error) {
	ids, err := r.deleteUsers(ctx, manyInputs, list)
	return &model.DeleteUsersPayload{DeletedIds: ids}, err
}

func (r mutationResolver) deleteUsers(ctx context.Context, argument string, list []model.DeleteUserInput) ([]typeid.ID, error) {
	in, err := newInputs(ctx, argument, len(list), "id", "expectedVersion")
	if err != nil {
		return nil, err
	}
	users, err := in.lockUsers(ctx, func(i int) (typeid.ID, graphql.Omittable[*int]) { return list[i].ID, list[i].ExpectedVersion })
	if err != nil {
		return nil, err
	}
	posts, err := in.dependents(ctx, users, list)
	if err != nil {
		return nil, err
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	db, now, ids := in.attempt.ent, r.now(), make([]typeid.ID, len(users))
	for i, u := range users {
		for _, p := range posts[u.ID] {
			in.attempt.record(ctx, feed.Deleted, p.ID, p.Version, now)
		}
		in.attempt.record(ctx, feed.Deleted, u.ID, u.Version, now)
		ids[i] = u.ID
	}
	if len(posts) > 0 {
		if err := db.Post.DeleteBy(ctx, post.FieldAuthorID, ids); err != nil {
			return nil, err
		}
	}
	return ids, db.User.DeleteBy(ctx, user.FieldID, ids)
}

// dependents locks the posts that go with users who are locked, by their authors; an input has a fault whose user has more
// than may go. Nobody adds a post meanwhile: the foreign key has to wait for the lock of the user.
func (in *inputs) dependents(ctx context.Context, users []*ent.User, list []model.DeleteUserInput) (map[typeid.ID][]*ent.Post, error) {
	var ids []typeid.ID
	for i, u := range users {
		if in.all[i].clean("id") {
			ids = append(ids, u.ID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	db := in.attempt.ent.Post
	counts, err := db.Reader().CountBy(ctx, post.FieldAuthorID, ids)
	if err != nil || len(counts) == 0 {
		return nil, err
	}
	total := 0
	for i, u := range users {
		n, message := counts[u.ID.As("")], ""
		switch total += n; {
		case n == 0 || !in.all[i].clean("id"):
			continue
		case list[i].Dependents != model.DependentsCascade:
			message = "has posts: delete them first, or send dependents: CASCADE"
		case n > maxCascade:
			message = fmt.Sprintf("has more than %d posts: delete some first", maxCascade)
		case total > maxCascades && total-n <= maxCascades:
			message = fmt.Sprintf("and the users before it have more than %d posts: delete fewer at once", maxCascades)
		default:
			continue
		}
		in.all[i].add(&rules.Fault{Code: rules.HasDependents, Message: message}, "id")
	}
	if in.faulty() { // nothing will go
		return nil, nil
	}
	posts := make(map[typeid.ID][]*ent.Post, len(counts))
	locked, err := db.Reader().LockBy(ctx, query.ColumnsOf(ent.PostTable, post.FieldVersion, post.FieldAuthorID), post.FieldAuthorID, ids)
	for _, p := range locked {
		posts[p.AuthorID] = append(posts[p.AuthorID], p)
	}
	return posts, err
}

// lockUsers locks the users that the inputs name, and checks the versions that the client has read. An input that names
// none that exists, or one again, has a fault, and an empty user with its ID or a copy.
func (in *inputs) lockUsers(ctx context.Context, named func(i int) (typeid.ID, graphql.Omittable[*int])) ([]*ent.User, error) {
	ids := make([]typeid.ID, len(in.all))
	var valid []typeid.ID
	for i, one := range in.all {
		if ids[i], _ = named(i); one.id(ids[i], user.Label, "id") {
			valid = append(valid, ids[i])
		}
	}
	in.distinct(ids)
	var locked map[typeid.ID]*ent.User
	if len(valid) > 0 {
		var err error
		if locked, err = in.attempt.ent.User.Reader().Lock(ctx, valid...); err != nil {
			return nil, err
		}
	}
	users := make([]*ent.User, len(in.all))
	for i, one := range in.all {
		u := locked[ids[i]]
		switch {
		case u == nil:
			if ids[i].Type() == user.Label {
				one.missing(user.Label, "id")
			}
			users[i] = &ent.User{ID: ids[i]}
			continue
		case one.clean("id"):
			users[i] = u
		default:
			again := *u
			users[i] = &again
		}
		_, version := named(i)
		one.version(version, u.Version)
	}
	return users, nil
}

// lockUsersBy locks the users that have the keys of the wanted ones, and returns them by these. Two inputs with one key are a
// fault of the later one.
func (in *inputs) lockUsersBy(ctx context.Context, key userKey, wanted []*ent.User) (map[string]*ent.User, error) {
	first := make(map[string]int, len(wanted))
	for i, u := range wanted {
		value := *key.in(u)
		if at, again := first[value]; again && value != "" {
			in.all[i].add(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("is that of %s.%d too: one input for each", manyInputs, at)}, key.field)
			continue
		}
		first[value] = i
	}
	delete(first, "")
	there := make(map[string]*ent.User, len(first))
	if len(first) == 0 {
		return there, nil
	}
	db := in.attempt.ent
	owners, err := key.owners(ctx, db, slices.Sorted(maps.Keys(first)))
	if err != nil {
		return nil, err
	}
	former, err := key.formerOwners(ctx, db, wanted)
	if err != nil {
		return nil, err
	}
	maps.Copy(owners, former)
	if len(owners) == 0 {
		return there, nil
	}
	locked, err := db.User.Reader().Lock(ctx, slices.Collect(maps.Values(owners))...)
	for _, u := range locked {
		there[key.of(u)] = u // which may be another key now
	}
	return there, err
}

// userKey is a column of users that is unique.
type userKey struct {
	field, column string
	in            func(*ent.User) *string
	rule          func(*ent.User) (string, *rules.Fault) // computes it
	former        func(*ent.User) string                 // computes it as the version before did, which may be writing now
}

func usernameKey() userKey {
	return userKey{
		"username", user.FieldUsernameKey, func(u *ent.User) *string { return &u.UsernameKey },
		func(u *ent.User) (string, *rules.Fault) { return rules.Username(u.Username) },
		func(u *ent.User) string { return u.UsernameKey },
	}
}

func emailKey() userKey {
	return userKey{
		"email", user.FieldEmailKey, func(u *ent.User) *string { return &u.EmailKey },
		func(u *ent.User) (string, *rules.Fault) { return rules.Email(u.Email) },
		func(u *ent.User) string { return rules.FormerEmailKey(u.Email) },
	}
}

// of is the key of a user by the rules: what the column has may be older.
func (k userKey) of(u *ent.User) string {
	if key, fault := k.rule(u); fault == nil {
		return key
	}
	return *k.in(u)
}

// formerOwners finds who has the texts of some users by the rules, but in the column a key of the version before. A server
// of that version wrote it, or it is that of someone else. It costs a statement only for texts whose two keys differ.
func (k userKey) formerOwners(ctx context.Context, db *ent.Client, users []*ent.User) (map[string]typeid.ID, error) {
	var formers []string
	keys := map[string]bool{}
	for _, u := range users {
		if former := k.former(u); *k.in(u) != "" && former != *k.in(u) {
			formers, keys[*k.in(u)] = append(formers, former), true
		}
	}
	if len(formers) == 0 {
		return nil, nil
	}
	found, err := db.User.Query().Where(func(s *sql.Selector) { s.Where(statement.InTexts(s.C(k.column), formers)) }).
		Select(user.FieldID, user.FieldUsername, user.FieldEmail, k.column).All(ctx)
	owners := make(map[string]typeid.ID, len(found))
	for _, u := range found {
		if key := k.of(u); keys[key] && *k.in(u) != key {
			owners[key] = u.ID
		}
	}
	return owners, err
}

// claims are what users are to have who had something else before.
func (k userKey) claims(before []ent.User, users []*ent.User) *claims {
	c := &claims{field: k.field, list: make([]claim, len(users))}
	for i, u := range users {
		c.list[i] = claim{who: u.ID, had: *k.in(&before[i]), wants: *k.in(u)}
	}
	return c
}

// owners finds who has one of some values.
func (k userKey) owners(ctx context.Context, db *ent.Client, values []string) (map[string]typeid.ID, error) {
	found, err := db.User.Query().Where(func(s *sql.Selector) { s.Where(statement.InTexts(s.C(k.column), values)) }).
		Select(user.FieldID, k.column).All(ctx)
	owners := make(map[string]typeid.ID, len(found))
	for _, u := range found {
		owners[*k.in(u)] = u.ID
	}
	return owners, err
}

// uniqueUsers adds a fault for each value that somebody else has.
func (in *inputs) uniqueUsers(ctx context.Context, before []ent.User, users []*ent.User) error {
	keys := []userKey{usernameKey(), emailKey()}
	wanted := make([]*claims, len(keys))
	for i, key := range keys {
		wanted[i] = key.claims(before, users)
		wanted[i].settle(in)
	}
	for i, key := range keys {
		var open []*ent.User
		for _, at := range wanted[i].open {
			open = append(open, users[at])
		}
		owners, err := key.formerOwners(ctx, in.attempt.ent, open)
		if err != nil {
			return err
		}
		wanted[i].refuse(in, owners)
	}
	if !in.careful() {
		return nil
	}
	for i, key := range keys {
		if len(wanted[i].open) == 0 {
			continue
		}
		owners, err := key.owners(ctx, in.attempt.ent, slices.Sorted(maps.Keys(wanted[i].open)))
		if err != nil {
			return err
		}
		wanted[i].refuse(in, owners)
	}
	return nil
}

// user gives a user the values of an input; one that is nil or breaks a rule leaves the key as it is.
func (in *input) user(u *ent.User, username, email *string) *ent.User {
	if username != nil {
		u.Username = *username
		if key := in.text(rules.Username, u.Username, "username"); key != "" {
			u.UsernameKey = key
		}
	}
	if email != nil {
		u.Email = *email
		if key := in.text(rules.Email, u.Email, "email"); key != "" {
			u.EmailKey = key
		}
	}
	return u
}

// unless returns a new value; nil when it is what a user has. That may be older than a rule, and stays as it is.
func unless(has string, value *string) *string {
	if value != nil && *value == has {
		return nil
	}
	return value
}

// keep leaves the texts of a user that an input does not change as they are, whatever the rules say of them now.
func (in *input) keep(u, wanted *ent.User) {
	if u.Username == wanted.Username {
		wanted.UsernameKey = u.UsernameKey
		in.drop("username")
	}
	if u.Email == wanted.Email {
		wanted.EmailKey = u.EmailKey
		in.drop("email")
	}
}

// posts are the posts that are created with a user, of which there are so many before.
func (in *input) posts(list []model.UserPostInput, total *int) []*ent.Post {
	tooMany := func(limit int, of string) []*ent.Post {
		in.add(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("must be at most %d%s", limit, of)}, "posts")
		return nil
	}
	if len(list) > maxUserPosts {
		return tooMany(maxUserPosts, "")
	}
	if *total += len(list); *total > maxPosts {
		return tooMany(maxPosts, " of all users together")
	}
	posts := make([]*ent.Post, len(list))
	for i, p := range list {
		posts[i] = &ent.Post{Title: p.Title, TitleKey: in.text(rules.Title, p.Title, "posts", i, "title"), Body: p.Body}
		in.add(rules.Body(p.Body), "posts", i, "body")
	}
	return posts
}
