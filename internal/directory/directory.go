// Package directory writes users and posts. It is the domain of Roster: it validates, asks who may, locks, hands over
// unique values, writes many rows by one statement, cascades, and records every change for the feed. Mutations, imports
// and seeds write through it, and nothing else does. It knows no GraphQL, no HTTP and no file format.
package directory

import (
	"context"
	"time"

	"roster/ent"
	"roster/internal/database"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// Options are what a Transaction needs from outside.
type Options struct {
	// Clock gives the times that are written.
	Clock func() time.Time
	// IDs gives the IDs of what is created.
	IDs *typeid.Source
	// Careful looks for taken values and missing authors before it writes. It is for the attempt after one that broke
	// a constraint: engines name only one of several broken constraints, each engine another one.
	Careful bool
}

// A Transaction writes users and posts in one transaction of the database. Its methods return rules.Faults for inputs
// that break a rule: a path begins with the index of the input and goes on with the names of fields that clients know.
// Then the method has written nothing. Other errors are a *rules.ForbiddenError, or the database's: roll back. One
// goroutine at a time may use a Transaction.
type Transaction struct {
	options Options
	session *database.Session
	client  *ent.Client
	changes []feed.Change // that are not written yet
	changed bool
}

// New returns a Transaction of a session that writes. Only the Transaction may commit the session: it writes the
// changes first.
func New(session *database.Session, o Options) *Transaction {
	return &Transaction{options: o, session: session, client: ent.NewClient(ent.Driver(session))}
}

// Client returns the client that reads in the transaction.
func (tx *Transaction) Client() *ent.Client { return tx.client }

// Changed reports whether anything was created, updated or deleted.
func (tx *Transaction) Changed() bool { return tx.changed }

// Commit writes the changes and commits. Before it commits, it calls last, unless that is nil, for a statement that has
// to be the very last; its error is returned, and nothing is committed.
func (tx *Transaction) Commit(ctx context.Context, last func(context.Context) error) error {
	if err := tx.writeChanges(ctx); err != nil {
		return err
	}
	if last != nil {
		if err := last(ctx); err != nil {
			return err
		}
	}
	return tx.session.Commit()
}

// Rollback takes everything back that is not committed.
func (tx *Transaction) Rollback() { tx.session.Rollback() }

// writeChanges writes the changes that are not written yet, by one statement.
func (tx *Transaction) writeChanges(ctx context.Context) error {
	if err := feed.Write(ctx, tx.session, tx.changes); err != nil {
		return err
	}
	tx.changes = nil
	return nil
}

// now returns the time to write: in UTC, with the microseconds that every database keeps, so that what is returned is
// what a query reads later.
func (tx *Transaction) now() time.Time { return tx.options.Clock().UTC().Truncate(time.Microsecond) }
