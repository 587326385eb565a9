// Package directory writes users and posts. It is the domain of Roster: it validates inputs, checks permissions, locks
// rows, moves unique values between rows, writes many rows by one statement, cascades deletes, and records every change
// for the feed. Mutations, imports and seeds write through it; nothing else writes users and posts. It knows no
// GraphQL, no HTTP and no file format.
package directory

import (
	"context"
	"time"

	"roster/ent"
	"roster/internal/database"
	"roster/internal/feed"
	"roster/internal/typeid"
)

// Options configure a Transaction.
type Options struct {
	// Clock returns the time to write.
	Clock func() time.Time
	// IDs creates the IDs of new entities.
	IDs *typeid.Source
	// Careful looks for taken values and missing authors before the Transaction writes. Set it when an attempt broke a
	// constraint and is repeated: an engine names only one of several broken constraints, and engines differ in which. An
	// import sets it from Transaction.Careful of the transaction before.
	Careful bool
	// Quiet leaves it to the caller to tell the servers of a commit. By default, the Transaction tells them.
	Quiet bool
}

// A Transaction writes users and posts in one transaction of the database. Its methods return rules.Faults for inputs
// that break a rule. The path of a fault is the index of the input, then the names of fields in the contract. A method
// that returns faults has written nothing. Other errors are a *rules.ForbiddenError or an error of the database: roll
// back. Only one goroutine at a time may use a Transaction.
type Transaction struct {
	options Options
	session *database.Session
	client  *ent.Client
	changes []feed.Change // not written yet
	changed bool
	sent    bool // the commit may have happened
}

// New returns a Transaction on a session that can write. Only the Transaction may commit the session, because it must
// write the changes first.
func New(session *database.Session, o Options) *Transaction {
	return &Transaction{options: o, session: session, client: ent.NewClient(ent.Driver(session))}
}

// Client returns a client that reads in the transaction.
func (tx *Transaction) Client() *ent.Client { return tx.client }

// Changed reports whether anything was created, updated or deleted.
func (tx *Transaction) Changed() bool { return tx.changed }

// Commit writes the changes, calls last unless it is nil, and commits. last runs a statement that must be the last of
// the transaction. Commit returns the error of last and then does not commit.
func (tx *Transaction) Commit(ctx context.Context, last func(context.Context) error) error {
	if err := tx.writeChanges(ctx); err != nil {
		return err
	}
	if last != nil {
		if err := last(ctx); err != nil {
			return err
		}
	}
	err := tx.session.Commit()
	failure := database.AsFailure(err)
	tx.sent = err == nil || failure != nil && failure.Kind == database.Unknown
	if tx.Committed() && !tx.options.Quiet {
		_ = feed.Announce(ctx, tx.session) // servers that do not hear it look for changes
	}
	return err
}

// Committed reports whether changes may be committed: Commit has succeeded, or its outcome is unknown. With Quiet, the
// caller then tells the servers.
func (tx *Transaction) Committed() bool { return tx.changed && tx.sent }

// Rollback undoes everything that is not committed.
func (tx *Transaction) Rollback() { tx.session.Rollback() }

// writeChanges writes the changes that are not written yet, in one statement.
func (tx *Transaction) writeChanges(ctx context.Context) error {
	if err := feed.Write(ctx, tx.session, tx.changes); err != nil {
		return err
	}
	tx.changes = nil
	return nil
}

// now returns the time to write, in UTC and truncated to microseconds: every engine stores these, so a mutation returns
// the same time as a later query.
func (tx *Transaction) now() time.Time { return tx.options.Clock().UTC().Truncate(time.Microsecond) }
