package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
)

// A Kind says what a failure means for the operation that saw it.
type Kind int

// The kinds of failures.
const (
	// Other is an error that nobody foresaw.
	Other Kind = iota
	// Unique and ForeignKey are broken constraints; Failure.Constraint names the constraint where the engine does.
	Unique
	ForeignKey
	// Retry is a deadlock, a serialisation failure or a lock that was not to be had: the same again may succeed.
	Retry
	// Lost is a connection that could not be made or that broke.
	Lost
	// Busy is a pool without a free connection for as long as an operation waits for one, or a server without memory.
	Busy
	// Timeout is a statement that took too long, or whose caller gave up.
	Timeout
	// Unknown is a commit whose answer was lost: it may have happened.
	Unknown
	// ReadOnly is a database that takes no changes now, but can be read: a standby, a full disk, a revoked grant.
	ReadOnly
	// Unusable is a database that cannot be read either until somebody repairs it: a table is missing, a file is damaged
	// or was replaced.
	Unusable
	// TooLarge is a statement with more bytes than the database takes.
	TooLarge
)

// A meaning is what an error of an engine says: a row of the engine's table.
type meaning struct {
	kind Kind
	// role says that the server, or the open file, is one to read from: other open connections lead there too, and a new
	// one may lead elsewhere.
	role bool
	// advice is what the operator has to do; empty when there is nothing to do.
	advice string
}

// A Failure is an error of the database. Its text is for logs, never for clients.
type Failure struct {
	Kind Kind
	// Advice says what is wrong and what the operator has to do about it; empty when there is nothing to do.
	Advice string
	// Constraint is the name of the broken constraint; on SQLite table.column of the first column of a unique index,
	// and empty for foreign keys, which SQLite does not name.
	Constraint string
	role       bool // as in meaning
	err        error
}

func (f *Failure) Error() string { return f.err.Error() }

// Unwrap returns the driver's error.
func (f *Failure) Unwrap() error { return f.err }

// reading corrects a failure that a read had and not a change: it was a change that the program sent where it must not,
// or a right to read is missing.
func (f *Failure) reading() {
	if f.role {
		f.Kind, f.Advice, f.role = Other, "", false
		return
	}
	f.Kind = Unusable
}

// fail makes an error of a driver a Failure.
func (db *DB) fail(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	f = &Failure{err: err}
	m, constraint := db.engine.classify(err)
	f.Kind, f.Constraint, f.Advice, f.role = m.kind, constraint, m.advice, m.role
	var connect *connectError
	if f.Kind != Retry && f.Kind != Unusable && errors.As(err, &connect) {
		f.Kind = Lost // whatever the server had against it
	}
	if f.Kind != Other {
		return f
	}
	var network net.Error
	var argument *ArgumentError
	switch {
	case errors.As(err, &argument):
		f.Kind, f.Advice = TooLarge, myPacket
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		f.Kind = Timeout
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network):
		f.Kind = Lost
	}
	return f
}

// AsFailure returns the Failure in an error's chain; nil when there is none.
func AsFailure(err error) *Failure {
	var f *Failure
	errors.As(err, &f)
	return f
}
