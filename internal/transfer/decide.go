package transfer

import (
	"time"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// A fate is what became of a row of the file.
type fate int

const (
	rejected fate = iota
	skipped
	unchanged
	updated
	created
)

// tally counts a row.
func (c *Counts) tally(f fate) {
	switch f {
	case rejected:
		c.Rejected++
	case skipped:
		c.Skipped++
	case unchanged:
		c.Unchanged++
	case updated:
		c.Updated++
	case created:
		c.Created++
	}
}

// present is what of the database matters to a chunk, as it is while the rows are gone through: first as it was found,
// then with what each row has done.
type present struct {
	users      map[typeid.ID]*ent.User
	byUsername map[string]*ent.User
	byEmail    map[string]*ent.User
	posts      map[typeid.ID]*ent.Post
}

func (p *present) add(u *ent.User) {
	p.users[u.ID], p.byUsername[u.UsernameKey], p.byEmail[u.EmailKey] = u, u, u
}

// pending is what is decided and not written yet.
type pending struct {
	newUsers, users []*ent.User
	newPosts, posts []*ent.Post
	touched         map[typeid.ID]bool // what is in one of these
	changes         []feed.Change
	freed           map[string]bool // keys of names and addresses that an update gives up
}

// decide finds out what becomes of a row.
func (im *importer) decide(r *Row, now *present, todo *pending) {
	switch {
	case r.Kind == Posts:
		im.post(r, now, todo)
	case len(r.Faults) == 0:
		im.user(r, now, todo)
	}
	if len(r.Faults) > 0 {
		r.fate = rejected
	}
}

func taken() *rules.Fault { return &rules.Fault{Code: rules.Taken, Message: "is taken"} }

// user decides on a user without faults.
func (im *importer) user(r *Row, now *present, todo *pending) {
	u := r.user
	byID, byUsername, byEmail := now.users[u.ID], now.byUsername[u.UsernameKey], now.byEmail[u.EmailKey]
	switch {
	case byID == nil && byUsername == nil && byEmail == nil:
		r.fate, r.became = created, u
		u.ID, u.CreatedAt, u.UpdatedAt, u.Version = im.complete(u.ID, user.Label, u.CreatedAt, u.UpdatedAt, u.Version)
		now.add(u)
		todo.newUsers = append(todo.newUsers, u)
		im.record(todo, feed.Created, u.ID, u.Version)
		return
	case im.OnConflict == Skip:
		r.fate = skipped
		return
	}
	there := byID
	if u.ID == (typeid.ID{}) {
		there = byUsername
	}
	if im.OnConflict == Fail {
		if byID != nil {
			r.fault(idField, taken())
		}
		there = nil
	}
	if there != nil && there.Email == u.Email { // its key may be older than the rule, and the one by the rule another user's
		u.EmailKey, byEmail = there.EmailKey, nil
	}
	if byUsername != nil && byUsername != there {
		r.fault(usernameField, taken())
	}
	if byEmail != nil && byEmail != there {
		r.fault(emailField, taken())
	}
	if len(r.Faults) > 0 {
		return
	}
	r.fate, r.became = unchanged, there
	var fields []string
	if there.Username != u.Username {
		fields = append(fields, usernameField)
	}
	if there.Email != u.Email {
		fields = append(fields, emailField)
	}
	if fields == nil {
		return
	}
	if r.fault(idField, rules.Updatable(there.Version)); len(r.Faults) > 0 {
		return
	}
	r.fate = updated
	todo.freed[there.UsernameKey], todo.freed[there.EmailKey] = true, true
	delete(now.byUsername, there.UsernameKey)
	delete(now.byEmail, there.EmailKey)
	there.Username, there.UsernameKey, there.Email, there.EmailKey = u.Username, u.UsernameKey, u.Email, u.EmailKey
	delete(todo.freed, there.UsernameKey)
	delete(todo.freed, there.EmailKey)
	now.add(there)
	there.Version, there.UpdatedAt = there.Version+1, rules.UpdatedAt(im.Now, there.CreatedAt, there.UpdatedAt)
	if !todo.touched[there.ID] {
		todo.users = append(todo.users, there)
	}
	im.record(todo, feed.Updated, there.ID, there.Version, fields...)
}

// post decides on a post.
func (im *importer) post(r *Row, now *present, todo *pending) {
	if im.author(r, now); len(r.Faults) > 0 || r.fate == skipped {
		return
	}
	p := r.post
	if err := im.session.Fits(p.Body); err != nil {
		r.fault(bodyField, &rules.Fault{Code: rules.TooLong, Message: err.Error()})
		return
	}
	there := now.posts[p.ID]
	switch {
	case there == nil:
		r.fate = created
		p.ID, p.CreatedAt, p.UpdatedAt, p.Version = im.complete(p.ID, post.Label, p.CreatedAt, p.UpdatedAt, p.Version)
		now.posts[p.ID] = p
		todo.newPosts = append(todo.newPosts, p)
		im.record(todo, feed.Created, p.ID, p.Version)
		return
	case im.OnConflict == Skip:
		r.fate = skipped
		return
	case im.OnConflict == Fail:
		r.fault(idField, taken())
		return
	}
	var fields []string
	if there.Title != p.Title {
		fields = append(fields, titleField)
	}
	if there.Body != p.Body {
		fields = append(fields, bodyField)
	}
	if there.AuthorID != p.AuthorID {
		fields = append(fields, post.EdgeAuthor)
	}
	if r.fate = unchanged; fields == nil {
		return
	}
	if r.fault(idField, rules.Updatable(there.Version)); len(r.Faults) > 0 {
		return
	}
	r.fate = updated
	there.Title, there.TitleKey, there.Body, there.AuthorID = p.Title, p.TitleKey, p.Body, p.AuthorID
	there.Version, there.UpdatedAt = there.Version+1, rules.UpdatedAt(im.Now, there.CreatedAt, there.UpdatedAt)
	if !todo.touched[there.ID] {
		todo.posts = append(todo.posts, there)
	}
	im.record(todo, feed.Updated, there.ID, there.Version, fields...)
}

// author finds whose a post is.
func (im *importer) author(r *Row, now *present) {
	with := r.author
	switch {
	case with == nil:
		if r.post != nil && r.post.AuthorID != (typeid.ID{}) && now.users[r.post.AuthorID] == nil {
			r.fault(authorIDField, &rules.Fault{Code: rules.NotFound, Message: "names no user that exists"})
		}
	case with.fate == rejected:
		r.fault("", &rules.Fault{Code: rules.Invalid, Message: "stands with a user that is rejected"})
	case len(r.Faults) > 0:
	case with.fate == skipped, with.fate != created && r.post.ID == (typeid.ID{}):
		// A post without an ID cannot be found again: when its user was there before, it may have been too.
		r.fate = skipped
	default:
		r.post.AuthorID = with.became.ID
	}
}

// complete is what is new with what the file does not say.
func (im *importer) complete(id typeid.ID, label string, createdAt, updatedAt time.Time, version int) (typeid.ID, time.Time, time.Time, int) {
	if id == (typeid.ID{}) {
		id = im.IDs.New(label)
	}
	for _, otherwise := range []time.Time{updatedAt, im.Now} {
		if createdAt.IsZero() {
			createdAt = otherwise
		}
	}
	if updatedAt.IsZero() {
		updatedAt = createdAt
	}
	return id, createdAt, updatedAt, max(version, 1)
}

// record keeps a change for the feed.
func (im *importer) record(todo *pending, kind feed.Kind, id typeid.ID, version int, fields ...string) {
	todo.touched[id] = true
	todo.changes = append(todo.changes, feed.Change{NodeID: id, Kind: kind, Version: version, Fields: fields, At: im.Now})
}
