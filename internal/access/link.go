package access

import (
	"context"
	"errors"
	"time"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/directory"
)

// maxAttempts is the maximum number of attempts to link a user, and attemptPause the time before the second one. Each
// further pause is twice as long.
const (
	maxAttempts  = 4
	attemptPause = 10 * time.Millisecond
)

// A link is an identity without a user, and the verified address of its bearer.
type link struct {
	identity rules.Identity
	email    string
}

// linkOwners gives each identity the user with its address, and returns the users.
func (a *Access) linkOwners(ctx context.Context, links []link) (map[link]owner, error) {
	owners := make(map[link]owner, len(links))
	for _, l := range links {
		u, err := a.linkOwner(ctx, l)
		if err != nil {
			return nil, err
		}
		owners[l] = u
	}
	return owners, nil
}

// linkOwner makes attempts until the identity has a user, or no user can have it. An attempt fails when another server
// links the same identity or changes the same user. Then the next attempt finds the result.
func (a *Access) linkOwner(ctx context.Context, l link) (u owner, err error) {
	// The subject is the actor of the change.
	ctx = rules.WithCaller(ctx, rules.Caller{
		Issuer: l.identity.Issuer, Subject: l.identity.Subject, Name: l.identity.Subject, Roles: []rules.Role{rules.Admin},
	})
	for attempt := range maxAttempts {
		if attempt > 0 && !pause(ctx, attemptPause<<(attempt-1)) {
			return owner{}, ctx.Err()
		}
		var done bool
		if u, done, err = a.tryLink(ctx, l); done || err != nil && !passing(err) {
			return u, err
		}
	}
	return u, err
}

// passing reports whether another attempt may not have the error.
func passing(err error) bool {
	f := database.AsFailure(err)
	if f == nil {
		return false
	}
	switch f.Kind {
	case database.Retry, database.Unique, database.Lost, database.Unknown:
		return true
	default:
		return false
	}
}

// tryLink makes one attempt. done says that u is the result.
func (a *Access) tryLink(ctx context.Context, l link) (u owner, done bool, err error) {
	u, candidate, err := a.findCandidate(ctx, l)
	if err != nil || candidate == nil {
		return u, err == nil, err
	}
	linked, err := a.commitLink(ctx, candidate, l)
	if err != nil || linked == nil {
		return owner{}, false, err
	}
	return ownerOf(linked), true, nil
}

// findCandidate returns the owner of an identity if it has one by now, or else the user that it can be linked to, or nil.
// It only reads, since most callers without a user have no address to link by. It reads one snapshot: otherwise the
// identity could get its owner between two statements, and the candidate would seem to be taken by somebody else.
func (a *Access) findCandidate(ctx context.Context, l link) (u owner, candidate *ent.User, err error) {
	session := a.Database.Session(database.Snapshot)
	defer session.Rollback()
	tx := directory.New(session, directory.Options{})
	is, err := directory.UserByIdentity(ctx, tx.Client().User.Reader(), query.ColumnsOf(ent.UserTable, user.FieldStatus), l.identity)
	if err != nil {
		return owner{}, nil, err
	}
	if is != nil {
		return ownerOf(is), nil, nil
	}
	candidate, err = tx.Linkable(ctx, l.email, l.identity)
	return owner{}, candidate, err
}

// commitLink links a user in a transaction of its own. It returns nil if the user has changed meanwhile.
func (a *Access) commitLink(ctx context.Context, candidate *ent.User, l link) (*ent.User, error) {
	tx := directory.New(a.Database.Session(database.Write), directory.Options{Clock: a.Clock, IDs: a.IDs, Quiet: true})
	defer tx.Rollback()
	linked, err := tx.Link(ctx, candidate.ID, l.email, l.identity)
	if errors.Is(err, directory.ErrFormer) { // the next attempt finds no candidate
		return nil, nil
	}
	if err != nil || linked == nil {
		return nil, err
	}
	err = tx.Commit(ctx, nil)
	if tx.Committed() {
		a.Committed()
	}
	if err != nil {
		return nil, err
	}
	return linked, nil
}
