package statement

import (
	"encoding/hex"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"entgo.io/ent/dialect/sql"

	"roster/internal/typeid"
)

// A Write inserts or updates rows of one table in one statement. For two or more rows, the text does not depend on
// their number: all values are one argument, or on PostgreSQL one argument for each column. A single row, the usual
// case, has an argument for each value.
type Write struct {
	Table *Table
	// Columns are the columns to write. For an update, they do not include the ID, which finds the row.
	Columns []string
	Rows    int
	// Value returns the value of a row in a column: a typeid.ID, string, time.Time, int, int64, bool or float64, by
	// the Kind of the column, or nil.
	Value func(row int, column string) any
}

// listBytes is the greatest size of the argument with the values of many rows, in bytes. It bounds the memory.
const listBytes = 4 << 20

// ListLimit returns the greatest size of the argument with the values of many rows, in bytes. A driver whose database
// has a lower limit has a method ArgumentLimit; 0 is no limit.
func ListLimit(driver any) int {
	if d, ok := driver.(interface{ ArgumentLimit() int }); ok && d.ArgumentLimit() > 0 {
		return min(d.ArgumentLimit(), listBytes)
	}
	return listBytes
}

// rowBytes is the greatest size of a value other than a text in that argument, in bytes: an ID in hexadecimal digits,
// or a time, with quotes and a comma.
const rowBytes = 40

// Parts divides the rows, in their order, so that the argument of each part has at most limit bytes. A single row that
// exceeds the limit is a part by itself.
func (w *Write) Parts(limit int) iter.Seq[*Write] {
	return func(yield func(*Write) bool) {
		var texts []string
		for _, name := range w.Columns {
			if c, _ := w.Table.Column(name); c.Kind == Text {
				texts = append(texts, name)
			}
		}
		start, size := 0, 0
		part := func(end int) *Write {
			from, p := start, *w
			p.Rows = end - from
			p.Value = func(row int, column string) any { return w.Value(from+row, column) }
			return &p
		}
		for row := range w.Rows {
			n := len(w.Columns)*rowBytes + rowBytes
			for _, c := range texts {
				if text, ok := w.Value(row, c).(string); ok {
					n += JSONBytes(text)
				}
			}
			if row > start && size+n > limit {
				if !yield(part(row)) {
					return
				}
				start, size = row, 0
			}
			size += n
		}
		if start < w.Rows {
			yield(part(w.Rows))
		}
	}
}

// Fits reports whether Parts returns one part.
func (w *Write) Fits(limit int) bool {
	for part := range w.Parts(limit) {
		return part.Rows == w.Rows
	}
	return true
}

// JSONBytes returns the size of a text in JSON, in bytes and without quotes.
func JSONBytes(s string) int {
	n := len(s)
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\', c == '\n', c == '\r', c == '\t':
			n++
		case c < ' ':
			n += len(`\u0000`) - 1
		}
	}
	return n
}

// valuesAlias is the alias of the table of values.
const valuesAlias = "v"

// Insert returns the text and the arguments of the statement that inserts the rows, in their order.
func (w *Write) Insert(d string) (query string, args []any, err error) {
	b := &sql.Builder{}
	b.SetDialect(d)
	w.insert(b)
	query, args = b.Query()
	return query, args, b.Err()
}

func (w *Write) insert(b *sql.Builder) {
	b.WriteString("INSERT INTO ").Ident(w.Table.Name).WriteString(" (").IdentComma(w.Columns...).WriteByte(')')
	if w.Rows == 1 {
		b.WriteString(" VALUES (").Args(w.row(0, w.Columns)...).WriteByte(')')
		return
	}
	v := w.values(b, w.Columns)
	b.WriteString(" SELECT " + strings.Join(v.columns, ", ")).WriteString(" FROM ").Join(v)
	of(b).inserted(b)
}

// Update returns the text and the arguments of the statement that updates the rows. A row must not take over a unique
// value of another row in the same statement, because engines check each row by itself.
func (w *Write) Update(d string) (query string, args []any, err error) {
	id := w.Table.ID
	if w.Rows == 1 {
		u := sql.Dialect(d).Update(w.Table.Name).Where(sql.EQ(id, w.Value(0, id)))
		for i, value := range w.row(0, w.Columns) {
			u.Set(w.Columns[i], value)
		}
		query, args = u.Query()
		return query, args, u.Err()
	}
	b := &sql.Builder{}
	b.SetDialect(d)
	Of(d).update(b, w, w.values(b, append([]string{id}, w.Columns...)))
	query, args = b.Query()
	return query, args, b.Err()
}

// set writes the assignments of an update. It calls before for the prefix of each column.
func (w *Write) set(b *sql.Builder, v *values, before func()) {
	b.WriteString(" SET ")
	for i, c := range w.Columns {
		if i > 0 {
			b.Comma()
		}
		before()
		b.Ident(c).WriteString(" = " + v.columns[i+1])
	}
}

// same reports whether all rows have the same value in a column.
func (w *Write) same(column string) bool {
	first := w.Value(0, column)
	for row := 1; row < w.Rows; row++ {
		if w.Value(row, column) != first {
			return false
		}
	}
	return true
}

// row returns the values of one row.
func (w *Write) row(i int, columns []string) []any {
	values := make([]any, len(columns))
	for j, c := range columns {
		values[j] = w.Value(i, c)
	}
	return values
}

// values is a table of values to select from, with the names of its columns.
type values struct {
	*sql.Builder

	columns []string
}

var _ sql.Querier = (*values)(nil)

// values writes the rows as arguments after those of a statement.
func (w *Write) values(b *sql.Builder, columns []string) *values {
	v := &values{Builder: &sql.Builder{}, columns: make([]string, 0, len(columns))}
	v.SetDialect(b.Dialect())
	v.SetTotal(b.Total())
	list := make([]Column, len(columns))
	for i, name := range columns {
		list[i], _ = w.Table.Column(name)
	}
	of(b).values(v, w, list)
	return v
}

// json writes the rows as one argument, a JSON list of lists. times is the layout of times.
func (w *Write) json(v *values, columns []Column, times string) {
	b := append(make([]byte, 0, w.Rows*len(columns)*24), '[')
	for row := range w.Rows {
		if row > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		for i, c := range columns {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(v.Builder, b, w.Value(row, c.Name), times)
		}
		b = append(b, ']')
	}
	v.Arg(string(append(b, ']')))
}

// json writes the list as one argument, a JSON list.
func (l list) json(to *sql.Builder) {
	b := append(make([]byte, 0, l.size*40), '[')
	for i := range l.size {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(to, b, l.value(i), "") // a list has no times
	}
	to.Arg(string(append(b, ']')))
}

// appendJSON appends a value as JSON. An ID is a text of hexadecimal digits. times is the layout of times. The statement
// gets the error of a value that no column has.
func appendJSON(statement *sql.Builder, b []byte, value any, times string) []byte {
	switch value := value.(type) {
	case nil:
		return append(b, "null"...)
	case typeid.ID:
		u := value.UUID()
		return append(hex.AppendEncode(append(b, '"'), u[:]), '"')
	case string:
		return appendText(b, value)
	case time.Time:
		return append(value.UTC().AppendFormat(append(b, '"'), times), '"')
	case int:
		return strconv.AppendInt(b, int64(value), 10)
	case int64:
		return strconv.AppendInt(b, value, 10)
	case bool: // not every engine casts true
		return append(b, '0'+bit(value))
	case float64:
		return strconv.AppendFloat(b, value, 'g', -1, 64)
	}
	statement.AddError(noColumn(value))
	return b
}

// noColumn returns the error of a value that no column has.
func noColumn(value any) error { return fmt.Errorf("statement: no column has a %T", value) }

// bit returns 1 for true, and 0 for false.
func bit(value bool) byte {
	if value {
		return 1
	}
	return 0
}

// appendText appends a text as JSON.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\':
			b = append(append(b, s[start:i]...), '\\', c)
		case c == '\n', c == '\r', c == '\t':
			b = append(append(b, s[start:i]...), '\\', "nrt"[strings.IndexByte("\n\r\t", c)])
		case c < ' ':
			b = fmt.Appendf(append(b, s[start:i]...), `\u%04x`, c)
		default:
			continue
		}
		start = i + 1
	}
	return append(append(b, s[start:]...), '"')
}
