package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
)

// A Kind is the meaning of a failure for its operation.
type Kind int

// The kinds of failures.
const (
	// Other is an unexpected error.
	Other Kind = iota
	// Unique and ForeignKey are broken constraints. Failure.Constraint has the name, if the engine gives it.
	Unique
	ForeignKey
	// Retry is a deadlock, a serialisation failure or a lock that others hold. The same operation may succeed again.
	Retry
	// Lost is a connection that could not be opened or that broke.
	Lost
	// Busy is a pool without a free connection within the wait of an operation, or a server without memory.
	Busy
	// Timeout is a statement that took too long, or that its caller cancelled.
	Timeout
	// Unknown is a commit without an answer: it may have happened.
	Unknown
	// ReadOnly is a database that can be read but not changed now: a standby, a full disk, a revoked grant.
	ReadOnly
	// Unusable is a database that cannot be read until somebody repairs it: a table is missing, or a file is damaged or
	// replaced.
	Unusable
	// TooLarge is a statement with more bytes than the database accepts.
	TooLarge
)

// A meaning is a row of an engine's table of errors.
type meaning struct {
	kind Kind
	// role says that the server, or the open file, only serves reads. Other open connections lead to it too; a new one
	// may lead to another server.
	role bool
	// advice tells the operator what to do. Empty: nothing.
	advice string
}

// A Failure is an error of the database. Its text is for logs, never for clients.
type Failure struct {
	Kind Kind
	// Advice tells the operator the problem and the remedy. Empty: none.
	Advice string
	// Constraint is the name of the broken constraint. On SQLite it is table.column of the first column of a unique
	// index, and empty for foreign keys: SQLite does not name them.
	Constraint string
	role       bool // as in meaning
	err        error
}

func (f *Failure) Error() string { return f.err.Error() }

// Unwrap returns the driver's error.
func (f *Failure) Unwrap() error { return f.err }

// reading corrects the failure of a read. ReadOnly then means that the program sent a change where it must not, or that
// a right to read is missing.
func (f *Failure) reading() {
	if f.role {
		f.Kind, f.Advice, f.role = Other, "", false
		return
	}
	f.Kind = Unusable
}

// fail turns an error of a driver into a Failure.
func (db *DB) fail(err error) *Failure {
	if f := AsFailure(err); f != nil {
		return f
	}
	f := &Failure{err: err}
	m, constraint := db.engine.classify(err)
	f.Kind, f.Constraint, f.Advice, f.role = m.kind, constraint, m.advice, m.role
	var connect *connectError
	if f.Kind != Retry && f.Kind != Unusable && errors.As(err, &connect) {
		f.Kind = Lost // whatever the server's reason
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
	case errors.Is(err, errSilent), errors.Is(err, driver.ErrBadConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network):
		f.Kind = Lost
	}
	return f
}

// AsFailure returns the Failure in an error's chain, or nil.
func AsFailure(err error) *Failure {
	f, _ := errors.AsType[*Failure](err)
	return f
}
