package database

import (
	"context"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"entgo.io/ent/dialect"

	"roster/internal/statement"
	"roster/internal/typeid"
)

// CanCopy reports whether Copy works: on PostgreSQL, in a session that writes.
func (s *Session) CanCopy() bool { return s.Dialect() == dialect.Postgres && s.mode == Write }

// Copy inserts rows by COPY FROM STDIN, which costs the server least. It works only if CanCopy says so. Copy checks no
// rules: the caller must do so. The error is a Failure.
func (s *Session) Copy(ctx context.Context, w *statement.Write) (err error) {
	if !s.CanCopy() {
		return s.fail(errors.New("database: COPY is for transactions of PostgreSQL that write"))
	}
	if w.Rows == 0 {
		return nil
	}
	query := "COPY " + w.Table.Name + " (" + strings.Join(w.Columns, ", ") + ") FROM STDIN" //nolint:gosec // the program's own names
	r := new(running)
	ctx, err = r.start(ctx, s, query, nil)
	if err != nil {
		return s.fail(err)
	}
	defer func() {
		r.rows.Store(int64(w.Rows))
		r.failed.Store(err != nil)
		r.end()
	}()
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
	text := make([]byte, 0, copyBytes+copyBytes/8)
	for row := range w.Rows {
		if text, err = appendCopy(text, w, row); err != nil {
			return err
		}
		if len(text) < copyBytes && row < w.Rows-1 {
			continue
		}
		// The driver ends the last row.
		if _, err := stmt.ExecContext(ctx, string(text[:len(text)-1])); err != nil {
			return err
		}
		text = text[:0]
	}
	_, err = stmt.ExecContext(ctx) // ends the rows, and waits for the server's answer
	return err
}

// copyBytes is the size from which rows are sent to the server, in bytes. The server reads rows while the next ones are
// written.
const copyBytes = 32 << 10

// copyTime is the layout of a time in UTC.
const copyTime = "2006-01-02 15:04:05.999999Z"

// appendCopy appends a row in the text format of COPY.
func appendCopy(b []byte, w *statement.Write, row int) ([]byte, error) {
	for i, column := range w.Columns {
		if i > 0 {
			b = append(b, '\t')
		}
		switch value := w.Value(row, column).(type) {
		case nil:
			b = append(b, `\N`...)
		case typeid.ID:
			u := value.UUID()
			b = hex.AppendEncode(b, u[:])
		case string:
			b = appendCopyText(b, value)
		case time.Time:
			b = value.UTC().AppendFormat(b, copyTime)
		case int:
			b = strconv.AppendInt(b, int64(value), 10)
		case int64:
			b = strconv.AppendInt(b, value, 10)
		case bool:
			b = strconv.AppendBool(b, value)
		case float64:
			b = strconv.AppendFloat(b, value, 'g', -1, 64)
		default:
			return b, fmt.Errorf("database: no column has a %T", value)
		}
	}
	return append(b, '\n'), nil
}

// appendCopyText appends a text, with escapes for the characters that end a value or begin an escape.
func appendCopyText(b []byte, s string) []byte {
	start := 0
	for i := range len(s) {
		escape := byte(0)
		switch s[i] {
		case '\\':
			escape = '\\'
		case '\t':
			escape = 't'
		case '\n':
			escape = 'n'
		case '\r':
			escape = 'r'
		default:
			continue
		}
		b = append(append(b, s[start:i]...), '\\', escape)
		start = i + 1
	}
	return append(b, s[start:]...)
}

// copyIn is lib/pq's statement of a COPY.
type copyIn interface {
	driver.Stmt
	CopyData(ctx context.Context, line string) (driver.Result, error)
}

// copyStmt takes rows in the text format as one argument. The driver's own Exec takes one row at a time, and package
// database/sql adds more to the cost of each call than the row itself has.
type copyStmt struct{ copyIn }

var _ driver.StmtExecContext = copyStmt{}

// ExecContext implements driver.StmtExecContext. Without an argument, it ends the rows.
func (s copyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 {
		return s.Exec(nil)
	}
	return s.CopyData(ctx, args[0].Value.(string)) //nolint:errcheck // Copy passes a string
}
