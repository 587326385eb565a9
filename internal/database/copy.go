package database

import (
	"context"
	"errors"
	"strings"

	"entgo.io/ent/dialect"
	"github.com/google/uuid"
)

// CanCopy reports whether Copy works: on PostgreSQL, in a session that writes.
func (s *Session) CanCopy() bool { return s.Dialect() == dialect.Postgres && s.mode == Write }

// Copy inserts rows by COPY FROM STDIN, which costs the server least. It works only if CanCopy says so. For each row it
// calls row, which appends the values in the order of the columns. Copy checks no rules: the caller must do so. The error
// is a Failure.
func (s *Session) Copy(ctx context.Context, table string, columns []string, rows int, row func(i int, values []any) []any) (err error) {
	if !s.CanCopy() {
		return s.fail(errors.New("database: COPY is for transactions of PostgreSQL that write"))
	}
	if rows == 0 {
		return nil
	}
	ctx, done, err := s.start(ctx, nil)
	if err != nil {
		return s.fail(err)
	}
	defer done()
	query := "COPY " + table + " (" + strings.Join(columns, ", ") + ") FROM STDIN" //nolint:gosec // the program's own names
	if observe := s.db.options.Observe; observe != nil {
		observe(query)
	}
	stmt, err := s.tx.PrepareContext(ctx, query)
	if err != nil {
		return s.fail(err)
	}
	defer func() {
		if err = errors.Join(err, stmt.Close()); err != nil {
			err = s.fail(err)
		}
	}()
	var values []any
	for i := range rows {
		values = row(i, values[:0])
		for j, v := range values {
			if id, ok := v.(interface{ UUID() uuid.UUID }); ok {
				values[j] = id.UUID().String() // COPY sends text: a UUID must not be 16 raw bytes
			}
		}
		if _, err := stmt.ExecContext(ctx, values...); err != nil {
			return err
		}
	}
	_, err = stmt.ExecContext(ctx) // ends the rows, and waits for the server's answer
	return err
}
