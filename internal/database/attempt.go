package database

import (
	"cmp"
	"context"
	"errors"

	"entgo.io/ent/dialect"
)

// maxAttempts is the greatest number of savepoints of a transaction on PostgreSQL. Each becomes a subtransaction that writes.
// PostgreSQL keeps 64 of a connection in shared memory. With more, all other connections look up the parents of transactions in
// a cache that a long import can exceed.
const maxAttempts = 60

// CanAttempt reports whether the session may call Attempt once more.
func (s *Session) CanAttempt() bool {
	return s.mode == Write && (s.Dialect() != dialect.Postgres || s.attempts < maxAttempts)
}

// Attempt runs f, which runs statements of the session. If a unique or foreign key constraint breaks, Attempt undoes these
// statements and returns ok = false, and the session can go on. After any other error, the session can only roll back; then the
// error is that of f, or a Failure. Only one goroutine at a time may use the session. Call Attempt only if CanAttempt says so.
func (s *Session) Attempt(ctx context.Context, f func() error) (ok bool, err error) {
	if !s.CanAttempt() {
		return false, s.fail(errors.New("database: the session has no savepoint left"))
	}
	s.attempts++
	if err := s.run(ctx, "SAVEPOINT attempt"); err != nil {
		return false, err
	}
	err = f()
	failure := s.Failure()
	switch {
	case err == nil && failure == nil:
		return true, s.run(ctx, "RELEASE SAVEPOINT attempt")
	case failure == nil || failure.Kind != Unique && failure.Kind != ForeignKey:
		return false, cmp.Or(err, error(failure))
	}
	s.failure.Store(nil)
	if err := s.run(ctx, "ROLLBACK TO SAVEPOINT attempt"); err != nil {
		return false, err
	}
	return false, s.run(ctx, "RELEASE SAVEPOINT attempt")
}

func (s *Session) run(ctx context.Context, query string) error {
	return s.Exec(ctx, query, []any{}, nil)
}
