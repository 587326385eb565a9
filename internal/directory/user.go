package directory

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/typeid"
)

// Bounds of the posts that an operation on users creates or deletes.
const (
	maxUserPosts = 1000   // created with a user
	maxPosts     = 10_000 // created with all users
	maxCascade   = 10_000 // deleted with a user
	maxCascades  = 20_000 // deleted with all users
)

// CreateUser is the input for a new user with posts. A nil Identity is none.
type CreateUser struct {
	Username, Email string
	Status          rules.Status
	Identity        *rules.Identity
	Posts           []UserPost
}

// UserPost is the input for a post that is created together with its user.
type UserPost struct{ Title, Body string }

// UpdateUser is the input for new values of a user. An Identity that is set to nil removes the identity.
type UpdateUser struct {
	Target

	Username, Email Optional[string]
	Status          Optional[rules.Status]
	Identity        Optional[rules.Identity]
}

// UpsertUser is the input for a user to create, or to update if a user with its key exists.
type UpsertUser struct{ Username, Email string }

// DeleteUser names a user to delete. With Cascade, the posts of the user are deleted too; without, posts are a fault.
type DeleteUser struct {
	Target

	Cascade bool
}

func (u UpdateUser) fields() []string {
	return given(map[string]bool{"username": u.Username.Set, "email": u.Email.Set, "status": u.Status.Set, "identity": u.Identity.Set})
}

func (u *unit) users() *rows[ent.User] {
	r := add(u, u.client.User.Reader(), "username", "email", "status", "identity")
	r.released = u.release
	return r
}

// CreateUsers creates users and their posts.
func (tx *Transaction) CreateUsers(ctx context.Context, list []CreateUser) ([]*ent.User, error) {
	if err := permitAll(ctx, ent.UserTable, rules.Create); err != nil {
		return nil, err
	}
	in := tx.inputs(len(list), "username", "email", "identity", "posts")
	users, posts := make([]*ent.User, len(list)), make([][]*ent.Post, len(list))
	total := 0
	for i, input := range list {
		users[i] = in.all[i].newUser(input.Username, input.Email)
		users[i].Status = input.Status
		in.all[i].newIdentity(users[i], input.Identity)
		posts[i] = in.all[i].posts(input.Posts, &total)
	}
	if err := in.uniqueUsers(ctx, tx, make([]*ent.User, len(list)), users); err != nil {
		return nil, err
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	w := tx.begin()
	w.expect(len(list) + total)
	userRows, postRows := w.users(), w.posts()
	for i, u := range users {
		userRows.create(ctx, u)
		for _, p := range posts[i] {
			p.AuthorID = u.ID
			postRows.create(ctx, p)
		}
	}
	userRows.Together(users)
	return users, w.flush(ctx)
}

// newUser returns a user with the texts of an input.
func (in *input) newUser(username, email string) *ent.User {
	u := &ent.User{Status: rules.Active}
	in.Add(setUsername(u, username), "username")
	in.Add(setEmail(u, email), "email")
	return u
}

// newTexts gives a user new texts; nil keeps a text. It does not check a text that equals the current one: the text may
// be older than its rule, and keeps its key.
func (in *input) newTexts(u *ent.User, username, email *string) {
	if username != nil && *username != u.Username {
		in.Add(setUsername(u, *username), "username")
	}
	if email != nil && *email != u.Email {
		in.Add(setEmail(u, *email), "email")
	}
}

// newIdentity gives a user another identity, or none.
func (in *input) newIdentity(u *ent.User, identity *rules.Identity) {
	in.Faults = append(in.Faults, checkIdentity(identity)...)
	setIdentity(u, identity)
}

// checkIdentity returns the faults of an identity; nil has none.
func checkIdentity(identity *rules.Identity) (faults rules.Faults) {
	if identity != nil {
		faults.Add(rules.IdentityPart(identity.Issuer), "identity", "issuer")
		faults.Add(rules.IdentityPart(identity.Subject), "identity", "subject")
	}
	return faults
}

// posts returns the posts to create with a user. It adds their number to total, the number for all users so far.
func (in *input) posts(list []UserPost, total *int) []*ent.Post {
	tooMany := func(limit int, of string) []*ent.Post {
		in.Add(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("must be at most %d%s", limit, of)}, "posts")
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
		posts[i] = new(ent.Post)
		in.Add(setTitle(posts[i], p.Title), "posts", i, "title")
		in.Add(setBody(posts[i], p.Body), "posts", i, "body")
	}
	return posts
}

// UpdateUsers updates users.
func (tx *Transaction) UpdateUsers(ctx context.Context, list []UpdateUser) ([]*ent.User, error) {
	in, rows := tx.inputs(len(list), "id", "username", "email", "status", "identity", "expectedVersion"), tx.begin().users()
	users, err := lock(ctx, in, rows, rules.Update, list)
	if err != nil {
		return nil, err
	}
	next := copies(users)
	for i := range list {
		one := &in.all[i]
		one.newTexts(next[i], value(one, list[i].Username, "username"), value(one, list[i].Email, "email"))
		if status := value(one, list[i].Status, "status"); status != nil {
			next[i].Status = *status
		}
		if list[i].Identity.Set {
			one.newIdentity(next[i], list[i].Identity.Value)
		}
	}
	if err := in.uniqueUsers(ctx, tx, users, next); err != nil {
		return nil, err
	}
	_, _, err = save(ctx, in, rows, users, next, "id")
	return users, err
}

// UpsertUsers updates the users that have the key of an input, and creates the others. It returns all of them with
// their new values, and how many it created and updated.
func (tx *Transaction) UpsertUsers(ctx context.Context, list []UpsertUser, by UserKey) (users []*ent.User, created, updated int, err error) {
	if err := permitAll(ctx, ent.UserTable, rules.Create, rules.Update); err != nil {
		return nil, 0, 0, err
	}
	in, rows, key := tx.inputs(len(list), "username", "email"), tx.begin().users(), by.unique()
	next := make([]*ent.User, len(list))
	for i, input := range list {
		next[i] = in.all[i].newUser(input.Username, input.Email)
	}
	there, err := in.lockUsersBy(ctx, tx, key, next)
	if err != nil {
		return nil, 0, 0, err
	}
	users = make([]*ent.User, len(list))
	for i, input := range list {
		u := there[key.of(next[i])]
		if u == nil || in.all[i].Has(key.field) {
			continue
		}
		users[i], in.all[i].Faults = u, nil
		*next[i] = *u
		in.all[i].newTexts(next[i], &input.Username, &input.Email)
	}
	if err := in.uniqueUsers(ctx, tx, users, next); err != nil {
		return nil, 0, 0, err
	}
	if created, updated, err = save(ctx, in, rows, users, next, key.field); err != nil {
		return nil, 0, 0, err
	}
	rows.Together(users)
	return users, created, updated, nil
}

// lockUsersBy locks the users that have the keys of wanted users, and returns them by key. If two inputs have the same
// key, the later one gets a fault.
func (in *inputs) lockUsersBy(ctx context.Context, tx *Transaction, key uniqueKey, wanted []*ent.User) (map[string]*ent.User, error) {
	keys := make([]string, len(wanted))
	for i, u := range wanted {
		keys[i] = key.of(u)
	}
	owners, err := key.owners(ctx, tx, slices.Sorted(maps.Keys(unique(in, key.field, keys))))
	if err != nil {
		return nil, err
	}
	former, err := key.formerOwners(ctx, tx, wanted)
	if err != nil {
		return nil, err
	}
	maps.Copy(owners, former)
	if len(owners) == 0 {
		return nil, nil
	}
	locked, err := tx.client.User.Reader().Lock(ctx, slices.Collect(maps.Values(owners))...)
	there := make(map[string]*ent.User, len(locked))
	for _, u := range locked {
		there[key.current(u)] = u // the key may have changed before the lock
	}
	return there, err
}

// DeleteUsers deletes users, and returns them as they were before.
func (tx *Transaction) DeleteUsers(ctx context.Context, list []DeleteUser) ([]*ent.User, error) {
	in, w := tx.inputs(len(list), "id", "expectedVersion"), tx.begin()
	userRows, postRows := w.users(), w.posts()
	users, err := lock(ctx, in, userRows, rules.Delete, list)
	if err != nil {
		return nil, err
	}
	posts, err := in.lockPostsOf(ctx, tx, users, list)
	if err != nil {
		return nil, err
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	for _, u := range users {
		for _, p := range posts[u.ID] {
			postRows.remove(ctx, p, post.FieldAuthorID, u.ID)
		}
		userRows.remove(ctx, u, user.FieldID, u.ID)
	}
	return users, w.flush(ctx)
}

// lockPostsOf locks the posts of locked users, and returns them by their authors. It reads only their IDs and versions. An
// input gets a fault when its user has more posts than it may delete. No transaction can add a post meanwhile: the
// foreign key waits for the lock of the user.
func (in *inputs) lockPostsOf(ctx context.Context, tx *Transaction, users []*ent.User, list []DeleteUser) (map[typeid.ID][]*ent.Post, error) {
	var ids []typeid.ID
	for i, u := range users {
		if u != nil && !in.all[i].Has("id") {
			ids = append(ids, u.ID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	reader := tx.client.Post.Reader()
	counts, err := reader.CountBy(ctx, post.FieldAuthorID, ids)
	if err != nil || len(counts) == 0 {
		return nil, err
	}
	total := 0
	for i, u := range users {
		if u != nil && !in.all[i].Has("id") {
			n := counts[u.ID.As("")]
			total += n
			in.all[i].Add(cascade(n, total, list[i].Cascade), "id")
		}
	}
	if in.faulty() { // nothing will be deleted
		return nil, nil
	}
	posts := make(map[typeid.ID][]*ent.Post, len(counts))
	columns := query.ColumnsOf(ent.PostTable, post.FieldAuthorID, post.FieldVersion)
	locked, err := reader.LockBy(ctx, columns, post.FieldAuthorID, ids)
	for _, p := range locked {
		posts[p.AuthorID] = append(posts[p.AuthorID], p)
	}
	return posts, err
}

// cascade checks that n posts may be deleted with a user. total is n plus the posts of the earlier users.
func cascade(n, total int, allowed bool) *rules.Fault {
	message := ""
	switch {
	case n == 0:
		return nil
	case !allowed:
		message = "has posts: delete them first, or send dependents: CASCADE"
	case n > maxCascade:
		message = fmt.Sprintf("has more than %d posts: delete some first", maxCascade)
	case total > maxCascades && total-n <= maxCascades:
		message = fmt.Sprintf("and the users before it have more than %d posts: delete fewer at once", maxCascades)
	default:
		return nil
	}
	return &rules.Fault{Code: rules.HasDependents, Message: message}
}
