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
	// Busy is a pool without a free connection for as long as an operation waits for one.
	Busy
	// Timeout is a statement that took too long, or whose caller gave up.
	Timeout
	// Unknown is a commit whose answer was lost: it may have happened.
	Unknown
)

// A Failure is an error of the database. Its text is for logs, never for clients.
type Failure struct {
	Kind Kind
	// Constraint is the name of the broken constraint; on SQLite table.column of the first column of a unique index,
	// and empty for foreign keys, which SQLite does not name.
	Constraint string
	err        error
}

func (f *Failure) Error() string { return f.err.Error() }

// Unwrap returns the driver's error.
func (f *Failure) Unwrap() error { return f.err }

// fail makes an error of a driver a Failure.
func (db *DB) fail(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	f = &Failure{err: err}
	f.Kind, f.Constraint = db.engine.classify(err)
	var connect *connectError
	if f.Kind != Retry && errors.As(err, &connect) {
		f.Kind = Lost // whatever the server had against it
	}
	if f.Kind != Other {
		return f
	}
	var network net.Error
	switch {
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
