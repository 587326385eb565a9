package directory

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// OnConflict says how to treat a record whose ID, username, email or identity the database or an earlier record already
// has.
type OnConflict string

// The ways to treat a conflict.
const (
	Fail   OnConflict = "fail"   // reject the record
	Skip   OnConflict = "skip"   // ignore the record
	Update OnConflict = "update" // update the existing entity
)

// An Outcome is the result of a record.
type Outcome int

// The outcomes. Outcomes is their number.
const (
	Rejected Outcome = iota
	Skipped
	Unchanged
	Updated
	Created
	Outcomes
)

// History is the times and the version of a record. A zero field has a default: updatedAt or else the present for
// createdAt, createdAt for updatedAt, 1 for the version. An update ignores the history.
type History struct {
	CreatedAt, UpdatedAt time.Time
	Version              int
}

// check checks that updatedAt is not before createdAt.
func (h History) check() (faults rules.Faults) {
	if !h.CreatedAt.IsZero() && !h.UpdatedAt.IsZero() && h.UpdatedAt.Before(h.CreatedAt) {
		faults.Add(&rules.Fault{Code: rules.Invalid, Message: "must not be before createdAt"}, "updatedAt")
	}
	return faults
}

// A Record is a user or a post to import, with its history. The zero Record stands for a record that could not be read:
// Import rejects it.
type Record struct {
	// Author is the record of the post's author. It is nil for a user, and for a post that has the ID of its author.
	Author *Record
	// Invalid rejects the record: the caller has found faults in it.
	Invalid bool
	// Faults are the faults that Import found. A path is the name of a field, or empty for the whole record.
	Faults rules.Faults
	// Outcome is the result; Import sets it.
	Outcome Outcome

	user   *ent.User // either user or post is set
	post   *ent.Post
	became *ent.User // the user that was created or already existed: the author of the record's posts

	hasStatus, hasIdentity bool // an update changes only what the record has
}

// UserRecord returns a record of a user, and its faults. A user without an ID gets one when it is created.
func UserRecord(id typeid.ID, username, email string, h History) (*Record, rules.Faults) {
	u := &ent.User{ID: id, CreatedAt: h.CreatedAt, UpdatedAt: h.UpdatedAt, Version: h.Version, Status: rules.Active}
	var faults rules.Faults
	faults.Add(setUsername(u, username), "username")
	faults.Add(setEmail(u, email), "email")
	return &Record{user: u}, append(faults, h.check()...)
}

// SetStatus sets the status of a user. Without a status, a new user is active, and an update does not change the status.
func (r *Record) SetStatus(status string) *rules.Fault {
	r.user.Status, r.hasStatus = rules.Status(status), true
	return rules.IsStatus(status)
}

// SetIdentity sets the identity of a user; nil removes it. Without SetIdentity, a new user has none, and an update does not
// change the identity. The paths of faults begin with identity.
func (r *Record) SetIdentity(identity *rules.Identity) (faults rules.Faults) {
	setIdentity(r.user, identity)
	r.hasIdentity = true
	return checkIdentity(identity)
}

// PostRecord returns a record of a post, and its faults. A post without an ID gets one when it is created. The author
// is an ID, or the record of a user; then that record must precede the post in Import.
func PostRecord(id, authorID typeid.ID, author *Record, title, body string, h History) (*Record, rules.Faults) {
	p := &ent.Post{ID: id, AuthorID: authorID, CreatedAt: h.CreatedAt, UpdatedAt: h.UpdatedAt, Version: h.Version}
	var faults rules.Faults
	faults.Add(setTitle(p, title), "title")
	faults.Add(setBody(p, body), "body")
	return &Record{post: p, Author: author}, append(faults, h.check()...)
}

// User returns the record's user, or nil for another record. Do not change it.
func (r *Record) User() *ent.User { return r.user }

// Post returns the record's post, or nil for another record. Do not change it.
func (r *Record) Post() *ent.Post { return r.post }

// recordBytes is the size of a record's IDs, times, version and status in the arguments of statements, in bytes.
const recordBytes = 256

// Size returns the greatest size of the record in the arguments of statements, in bytes. It exceeds the size in memory,
// because JSON escapes texts.
func (r *Record) Size() int {
	n := recordBytes
	if u := r.user; u != nil {
		n += statement.JSONBytes(u.Username) + statement.JSONBytes(u.UsernameKey) + statement.JSONBytes(u.Email) + statement.JSONBytes(u.EmailKey)
		if i := IdentityOf(u); i != nil {
			n += statement.JSONBytes(i.Issuer) + statement.JSONBytes(i.Subject)
		}
	}
	if p := r.post; p != nil {
		n += statement.JSONBytes(p.Title) + statement.JSONBytes(p.TitleKey) + statement.JSONBytes(p.Body)
	}
	return n
}

// Import compares each record, in order, with the database and with the effects of earlier records. Then it writes the
// rows to create and to update, and the changes. It sets the Outcome of each record, and the Faults of a rejected one.
// The error is a *rules.ForbiddenError when the caller may not create and update both users and posts. Other errors are
// the database's.
//
// Unless the transaction is careful, Import first assumes that all records are new and all authors exist, and looks up
// nothing. The constraints of the database find a conflict: then Import undoes these writes and compares the records. The
// transaction is careful after records with a conflict, until all records of a call are new again.
func (tx *Transaction) Import(ctx context.Context, records []*Record, o OnConflict) error {
	for _, table := range []*statement.Table{ent.UserTable, ent.PostTable} {
		if err := permitAll(ctx, table, rules.Create, rules.Update); err != nil {
			return err
		}
	}
	if !tx.options.Careful && tx.session.CanAttempt() {
		if done, err := tx.importNew(ctx, records, o); done || err != nil {
			return err
		}
	}
	im := tx.importing(o, len(records))
	if err := im.find(ctx, records); err != nil {
		return err
	}
	for _, r := range records {
		im.decide(ctx, r)
	}
	tx.options.Careful = slices.ContainsFunc(records, func(r *Record) bool { return r.Outcome != Created })
	return im.write(ctx)
}

// Careful reports whether the next call of Import looks for conflicts before it writes.
func (tx *Transaction) Careful() bool { return tx.options.Careful }

// importNew writes records if all of them are new. Otherwise it changes neither the database nor the records.
func (tx *Transaction) importNew(ctx context.Context, records []*Record, o OnConflict) (done bool, err error) {
	im := tx.importing(o, len(records))
	ids := make([]typeid.ID, 0, len(records)) // of the records that decide has changed
	done = true
	for _, r := range records {
		ids = append(ids, r.id())
		if im.decide(ctx, r); r.Outcome != Created {
			done = false
			break
		}
	}
	if done {
		changed, changes := tx.changed, tx.changes
		if done, err = tx.session.Attempt(ctx, func() error { return im.write(ctx) }); !done {
			tx.changed, tx.changes = changed, changes
		}
	}
	if !done {
		for i, id := range ids {
			records[i].undecide(id)
		}
	}
	return done, err
}

// id returns the ID of the record in the file, or the zero ID.
func (r *Record) id() typeid.ID {
	switch {
	case r.user != nil:
		return r.user.ID
	case r.post != nil:
		return r.post.ID
	}
	return typeid.ID{}
}

// undecide undoes decide. id is the ID of the record in the file. The defaults of times and version stay, because decide would
// set the same ones again.
func (r *Record) undecide(id typeid.ID) {
	r.Outcome, r.Faults, r.became = Rejected, nil, nil
	if r.user != nil {
		r.user.ID = id
	}
	if r.post != nil {
		if r.post.ID = id; r.Author != nil {
			r.post.AuthorID = typeid.ID{}
		}
	}
}

// importing is a unit of work for records. It holds the users and posts that the records concern: as the database has
// them, and then with the effects of each record.
type importing struct {
	*unit

	users      *rows[ent.User]
	posts      *rows[ent.Post]
	onConflict OnConflict
	found      bool // find has looked up rows
	byID       map[typeid.ID]*ent.User
	byUsername map[string]*ent.User // by the key
	byEmail    map[string]*ent.User
	byIdentity map[rules.Identity]*ent.User
	postsByID  map[typeid.ID]*ent.Post
}

// importing begins a unit of work for some records.
func (tx *Transaction) importing(o OnConflict, records int) *importing {
	w := tx.begin()
	w.copy = true
	return &importing{
		unit: w, users: w.users(), posts: w.posts(), onConflict: o,
		byID:       make(map[typeid.ID]*ent.User, records),
		byUsername: make(map[string]*ent.User, records),
		byEmail:    make(map[string]*ent.User, records),
		byIdentity: map[rules.Identity]*ent.User{},
		postsByID:  map[typeid.ID]*ent.Post{},
	}
}

// write writes the rows and their changes.
func (im *importing) write(ctx context.Context) error {
	if err := im.flush(ctx); err != nil {
		return err
	}
	return im.writeChanges(ctx)
}

func (im *importing) know(users ...*ent.User) {
	for _, u := range users {
		im.byID[u.ID], im.byUsername[u.UsernameKey], im.byEmail[u.EmailKey] = u, u, u
		if i := IdentityOf(u); i != nil {
			im.byIdentity[*i] = u
		}
	}
}

// forget undoes know for the unique values of a user.
func (im *importing) forget(u *ent.User) {
	delete(im.byUsername, u.UsernameKey)
	delete(im.byEmail, u.EmailKey)
	if i := IdentityOf(u); i != nil {
		delete(im.byIdentity, *i)
	}
}

// find reads the users that records name by a unique value or as an author, and the posts that records name by ID.
// If records may update them, find locks them, in the order of their IDs.
func (im *importing) find(ctx context.Context, records []*Record) error {
	im.found = true
	ids := map[typeid.ID]bool{}
	var usernames, emails, subjects []string
	identities := map[rules.Identity]bool{}
	for _, r := range records {
		if u := r.user; u != nil && !r.Invalid {
			usernames, emails, ids[u.ID] = append(usernames, u.UsernameKey), append(emails, u.EmailKey), true
			if i := IdentityOf(u); i != nil {
				subjects, identities[*i] = append(subjects, i.Subject), true
			}
		}
		if p := r.post; p != nil { // an invalid post too: a missing author is another fault
			ids[p.AuthorID] = true
		}
	}
	delete(ids, typeid.ID{})
	byUsername, err1 := im.usersBy(ctx, user.FieldUsernameKey, usernames, query.All)
	byEmail, err2 := im.usersBy(ctx, user.FieldEmailKey, emails, query.All)
	bySubject, err3 := im.usersBy(ctx, user.FieldIdentitySubject, subjects, query.All)
	byID, err4 := im.usersByID(ctx, slices.Collect(maps.Keys(ids)))
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	byIdentity := slices.DeleteFunc(bySubject, func(u *ent.User) bool {
		i := IdentityOf(u)
		return i == nil || !identities[*i] // another issuer may have the same subject
	})
	found := map[typeid.ID]*ent.User{}
	for _, u := range slices.Concat(byUsername, byEmail, byIdentity, byID) {
		found[u.ID] = u
	}
	if im.onConflict == Update && len(found) > 0 {
		var err error
		if found, err = im.users.Lock(ctx, slices.Collect(maps.Keys(found))...); err != nil {
			return err
		}
	}
	im.know(slices.Collect(maps.Values(found))...)
	return im.findPosts(ctx, records)
}

// otherBody stands for the body of a post that is not read, because no record of the post has a body of the same
// length. The rules refuse otherBody, so no record has it.
const otherBody = "\x00"

// findPosts reads the posts that records name by ID. Bodies in the database may be far longer than the bodies of the
// records. So findPosts reads the lengths first, and then only bodies that have the length of a record's body.
func (im *importing) findPosts(ctx context.Context, records []*Record) error {
	lengths := map[typeid.ID][]int{}
	for _, r := range records {
		if p := r.post; p != nil && p.ID != (typeid.ID{}) {
			lengths[p.ID] = append(lengths[p.ID], len(p.Body))
		}
	}
	if len(lengths) == 0 {
		return nil
	}
	var same []typeid.ID
	err := im.Transaction.postsByID(ctx, slices.Collect(maps.Keys(lengths)), im.onConflict == Update, func(p *ent.Post, length int) {
		p.Body, im.postsByID[p.ID] = otherBody, p
		if slices.Contains(lengths[p.ID], length) {
			same = append(same, p.ID)
		}
	})
	if err != nil || im.onConflict != Update || len(same) == 0 {
		return err
	}
	posts, err := im.posts.LockBy(ctx, query.ColumnsOf(ent.PostTable, post.FieldBody), post.FieldID, same)
	for _, p := range posts {
		im.postsByID[p.ID].Body = p.Body
	}
	return err
}

// decide sets the outcome of a record.
func (im *importing) decide(ctx context.Context, r *Record) {
	switch {
	case r.post != nil || r.Author != nil:
		im.decidePost(ctx, r)
	case !r.Invalid && r.user != nil:
		im.decideUser(ctx, r)
	}
	if r.Invalid || len(r.Faults) > 0 {
		r.Outcome = Rejected
	}
}

// decideUser sets the outcome of a valid user.
func (im *importing) decideUser(ctx context.Context, r *Record) {
	u := r.user
	byID, byUsername, byEmail := im.byID[u.ID], im.byUsername[u.UsernameKey], im.byEmail[u.EmailKey]
	var byIdentity *ent.User
	if i := IdentityOf(u); i != nil {
		byIdentity = im.byIdentity[*i]
	}
	switch {
	case byID == nil && byUsername == nil && byEmail == nil && byIdentity == nil:
		r.Outcome, r.became = Created, u
		im.users.create(ctx, u)
		im.know(u)
		return
	case !im.found: // not new
		return
	case im.onConflict == Skip:
		r.Outcome = Skipped
		return
	}
	there := byID
	if u.ID == (typeid.ID{}) {
		there = byUsername
	}
	if im.onConflict == Fail {
		if byID != nil {
			r.Faults.Add(taken(), "id")
		}
		there = nil
	}
	if there != nil && there.Email == u.Email { // its key may be of an older rule, and today's key another user's
		byEmail = nil
	}
	if byUsername != nil && byUsername != there {
		r.Faults.Add(taken(), "username")
	}
	if byEmail != nil && byEmail != there {
		r.Faults.Add(taken(), "email")
	}
	if byIdentity != nil && byIdentity != there {
		r.Faults.Add(taken(), "identity")
	}
	if len(r.Faults) > 0 {
		return
	}
	was, next := *there, *there
	setUser(&next, u)
	if r.hasStatus {
		next.Status = u.Status
	}
	if r.hasIdentity {
		setIdentity(&next, IdentityOf(u))
	}
	changed, fault := im.users.change(ctx, there, next)
	r.Faults.Add(fault, "id")
	if r.Outcome, r.became = Unchanged, there; changed {
		r.Outcome = Updated
		im.forget(&was)
		im.know(there)
	}
}

// decidePost sets the outcome of a post.
func (im *importing) decidePost(ctx context.Context, r *Record) {
	if im.decideAuthor(r); r.Invalid || len(r.Faults) > 0 || r.Outcome == Skipped {
		return
	}
	p := r.post
	if err := im.session.Fits(p.Body); err != nil {
		r.Faults.Add(&rules.Fault{Code: rules.TooLong, Message: err.Error()}, "body")
		return
	}
	there := im.postsByID[p.ID]
	switch {
	case there == nil:
		r.Outcome = Created
		im.posts.create(ctx, p)
		im.postsByID[p.ID] = p
		return
	case !im.found: // not new
		return
	case im.onConflict == Skip:
		r.Outcome = Skipped
		return
	case im.onConflict == Fail:
		r.Faults.Add(taken(), "id")
		return
	}
	next := *there
	setPost(&next, p)
	changed, fault := im.posts.change(ctx, there, next)
	r.Faults.Add(fault, "id")
	if r.Outcome = Unchanged; changed {
		r.Outcome = Updated
	}
}

// decideAuthor finds the author of a post.
func (im *importing) decideAuthor(r *Record) {
	author := r.Author
	switch {
	case author == nil:
		if im.found && r.post.AuthorID != (typeid.ID{}) && im.byID[r.post.AuthorID] == nil {
			r.Faults.Add(notFound(user.Label), "authorId")
		}
	case author.Outcome == Rejected:
		r.Faults.Add(&rules.Fault{Code: rules.Invalid, Message: "belongs to a user that is rejected"})
	case r.Invalid:
	case author.Outcome == Skipped, author.Outcome != Created && r.post.ID == (typeid.ID{}):
		// A post without an ID cannot be recognized. If its user existed before, the post may exist too.
		r.Outcome = Skipped
	default:
		r.post.AuthorID = author.became.ID
	}
}
