package database

import (
	"context"
	"errors"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/statement"
)

// Each runs a statement and calls f with each row until f returns an error. The row is valid until f returns. The error
// is f's or the driver's; a session's is a Failure.
func Each(ctx context.Context, d dialect.ExecQuerier, query string, args []any, f func(*entsql.Rows) error) (err error) {
	rows := new(entsql.Rows)
	if err := d.Query(ctx, query, args, rows); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Affected runs a statement and returns the number of rows that it matched. The error is the driver's; a session's is a
// Failure.
func Affected(ctx context.Context, d dialect.ExecQuerier, query string, args ...any) (int64, error) {
	var result entsql.Result
	if err := d.Exec(ctx, query, args, &result); err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// WriteRows runs the statements that insert or update rows: one, or several when the rows exceed the size of an argument.
// build is (*statement.Write).Insert or Update. The error is the driver's; a session's is a Failure.
func WriteRows(ctx context.Context, d dialect.Driver, build func(*statement.Write, string) (string, []any, error), w *statement.Write) error {
	for part := range w.Parts(statement.ListLimit(d)) {
		query, args, err := build(part, d.Dialect())
		if err != nil {
			return err
		}
		if _, err := Affected(ctx, d, query, args...); err != nil {
			return err
		}
	}
	return nil
}

// InsertWith inserts the rows of first. If the engine takes two inserts in one statement, and they are small enough, it then
// also inserts the rows of then, and reports true. The error is the driver's; a session's is a Failure.
func InsertWith(ctx context.Context, d dialect.Driver, first, then *statement.Write) (both bool, err error) {
	if d.Dialect() != dialect.Postgres || !first.Fits(statement.ListLimit(d)) || !then.Fits(statement.ListLimit(d)) {
		return false, WriteRows(ctx, d, (*statement.Write).Insert, first)
	}
	query, args, err := then.InsertAfter(first)
	if err != nil {
		return false, err
	}
	_, err = Affected(ctx, d, query, args...)
	return err == nil, err
}

// OctetLength returns an expression for the size of a text, in bytes.
func OctetLength(column string) entsql.Querier {
	return entsql.ExprFunc(func(b *entsql.Builder) { b.WriteString("octet_length(").Ident(column).WriteByte(')') })
}
