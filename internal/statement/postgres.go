package statement

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"

	"roster/internal/typeid"
)

// postgres is PostgreSQL. A list is one argument, an array.
type postgres struct{ standard }

var _ Engine = postgres{}

func (postgres) Lock(q *sql.Selector, share bool) {
	if share {
		q.ForShare()
		return
	}
	q.ForUpdate()
}

// Day implements Engine.
func (postgres) Day(column string) string {
	return "to_char(" + column + " AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
}

// changes asks for the order of the index, because statistics can be older than an import. The planner would read all
// changes, but not sort them.
func (postgres) changes() string {
	return "(SELECT number, type, kind FROM " + ChangesTable + " ORDER BY number) AS c"
}

// countRows hides the number of rows from the planner. A plan with the cost of all rows of a large table would be compiled
// to machine code each time, which takes longer than to execute the rest of it.
func (postgres) countRows(b *sql.Builder, table string) {
	b.WriteString("(SELECT COUNT(*) FROM (SELECT 1 FROM ").Ident(table).WriteString(" LIMIT (SELECT 9223372036854775807)) AS r)")
}

func (postgres) in(b *sql.Builder, l list) {
	b.WriteString(" = ANY(")
	l.array(b)
	b.WriteString(")")
}

// contains uses LIKE, so that a trigram index can serve it.
func (postgres) contains(b *sql.Builder, column, text string) {
	escaped := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
	b.Ident(column).WriteString(" LIKE ").Arg("%" + escaped + "%")
}

// PlanAnew ends the statements that PostgreSQL must plan each time: those with a Filter. The plan that it keeps with a
// prepared statement does not know the values. For a time from which only few rows are left, that plan reads the whole table
// in the order of the page, and not the index of the time.
const PlanAnew = " /* plan for the values */"

func (postgres) filtered(b *sql.Builder) { b.WriteString(PlanAnew) }

// pages reads a page of each parent by an index, with LATERAL.
func (postgres) pages(b *sql.Builder, s *Select) {
	if len(s.Parents.IDs) == 1 {
		b.Join(s.children(b.Dialect(), s.Parents.among))
		return
	}
	q, t, parent := s.of(b.Dialect())
	key := func(b *sql.Builder) { b.Ident(keyAlias).WriteByte('.').Ident("id") }
	if s.ordered() {
		q.Where(sql.P(func(b *sql.Builder) {
			b.Ident(parent).WriteString(" BETWEEN ")
			key(b)
			b.WriteString(" AND ")
			key(b)
		}))
		if s.Order[0].Desc {
			q.OrderBy(sql.Desc(parent))
		} else {
			q.OrderBy(parent)
		}
	} else {
		q.Where(equal(parent, key))
	}
	s.restrict(q)
	q.Select(t.Columns(s.Columns...)...)
	s.sort(q)
	b.WriteString("SELECT ")
	s.outer(b, func() { key(b) })
	b.WriteString(" FROM unnest(")
	listOf(s.Parents.IDs).array(b)
	b.WriteString(") AS ").Ident(keyAlias).WriteString("(").Ident("id").WriteString(") CROSS JOIN LATERAL ")
	b.Wrap(func(b *sql.Builder) { b.Join(q) })
	b.WriteString(" AS ").Ident(pageAlias)
	s.outerOrder(b, pageAlias)
}

// ordered reports whether an index of the parent and the order can give the page of a parent row by row. PostgreSQL
// assumes that each parent has the average number of children. If the average is low, it reads and sorts all children
// of a parent. So pages then hides from the planner that the children have one parent: it writes a range and orders by
// the parent.
func (s *Select) ordered() bool {
	return s.Filter == nil && s.After == nil && s.Before == nil && !s.mixed() &&
		(s.Parents.Join == "" || s.Order[0].Column == s.Table.ID)
}

// scalarsAlias is the alias of the values that all rows share.
const scalarsAlias = "s"

// values writes one array for each column. A column with the same value in all rows, such as a time, needs one scalar
// instead. The last column is an array if no other is, because an array tells the number of rows.
func (postgres) values(v *values, w *Write, columns []Column) {
	var arrays, scalars []Column
	for i, c := range columns {
		if w.same(c.Name) && (i < len(columns)-1 || len(arrays) > 0) {
			v.columns, scalars = append(v.columns, scalarsAlias+"."+c.Name), append(scalars, c)
		} else {
			v.columns, arrays = append(v.columns, valuesAlias+"."+c.Name), append(arrays, c)
		}
	}
	v.WriteString("unnest(")
	for i, c := range arrays {
		if i > 0 {
			v.Comma()
		}
		list{c.Kind, w.Rows, func(row int) any { return w.Value(row, c.Name) }}.array(v.Builder)
	}
	v.WriteString(") AS " + valuesAlias + " (")
	for i, c := range arrays {
		if i > 0 {
			v.Comma()
		}
		v.Ident(c.Name)
	}
	v.WriteByte(')')
	for i, c := range scalars {
		if i == 0 {
			v.WriteString(", (SELECT ")
		} else {
			v.Comma()
		}
		w.scalar(v.Builder, 0, c)
		v.WriteString(" AS ").Ident(c.Name)
	}
	if scalars != nil {
		v.WriteString(") AS " + scalarsAlias)
	}
}

// InsertAfter returns the text and the arguments of the statement that inserts the rows of two writes on PostgreSQL: those of w
// when all of first are inserted. It is for writes that are small enough for one statement.
func (w *Write) InsertAfter(first *Write) (query string, args []any, err error) {
	b := &sql.Builder{}
	b.SetDialect(dialect.Postgres)
	b.WriteString("WITH first AS (")
	first.insert(b)
	b.WriteString(" RETURNING 1) INSERT INTO ").Ident(w.Table.Name).WriteString(" (").IdentComma(w.Columns...)
	b.WriteString(") SELECT ")
	if w.Rows == 1 {
		for i, name := range w.Columns {
			if i > 0 {
				b.Comma()
			}
			c, _ := w.Table.Column(name)
			w.scalar(b, 0, c)
		}
	} else {
		v := w.values(b, w.Columns)
		b.WriteString(strings.Join(v.columns, ", ")).WriteString(" FROM ").Join(v)
	}
	b.WriteString(" WHERE (SELECT count(*) FROM first) > 0") // it needs all of first before the first row
	query, args = b.Query()
	return query, args, b.Err()
}

// scalar writes the value of a row in a column as an argument.
func (w *Write) scalar(b *sql.Builder, row int, c Column) {
	value := w.Value(row, c.Name)
	switch value.(type) {
	case nil, typeid.ID, string, time.Time, int, int64, bool, float64:
	default:
		b.AddError(noColumn(value))
	}
	b.Arg(value).WriteString("::" + typeOf(c.Kind).name)
}

// pgType is a type with its number in the catalogue. All versions have the same numbers.
type pgType struct {
	name    string
	element uint32
}

func typeOf(k Kind) pgType {
	switch k {
	case ID:
		return pgType{"uuid", 2950}
	case Text:
		return pgType{"text", 25}
	case Time:
		return pgType{"timestamptz", 1184}
	case Int:
		return pgType{"bigint", 20}
	case Bool:
		return pgType{"bool", 16}
	case Float:
		return pgType{"float8", 701}
	}
	panic(fmt.Sprintf("statement: there is no kind %d", k))
}

// array writes the list as one argument: an array in its binary form. Neither side must parse it, and it needs no
// quotes. lib/pq sends bytes in binary form because package database sets it to.
func (l list) array(to *sql.Builder) {
	t := typeOf(l.kind)
	b := make([]byte, 0, 20+l.bytes())
	for _, n := range []uint32{1, 1, t.element, uint32(l.size), 1} { //nolint:gosec // as many as one operation has
		b = binary.BigEndian.AppendUint32(b, n) // dimensions, may have NULL, type, length, first index
	}
	for i := range l.size {
		at := len(b)
		b = append(b, 0, 0, 0, 0)
		switch value := l.value(i).(type) {
		case nil:
			binary.BigEndian.PutUint32(b[at:], ^uint32(0))
			continue
		case typeid.ID:
			u := value.UUID()
			b = append(b, u[:]...)
		case string:
			b = append(b, value...)
		case time.Time:
			b = binary.BigEndian.AppendUint64(b, uint64(value.UnixMicro()-pgEpoch)) //nolint:gosec // the bits of a negative one too
		case int:
			b = binary.BigEndian.AppendUint64(b, uint64(value)) //nolint:gosec // as above
		case int64:
			b = binary.BigEndian.AppendUint64(b, uint64(value)) //nolint:gosec // as above
		case bool:
			b = append(b, bit(value))
		case float64:
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(value))
		default:
			to.AddError(noColumn(value))
		}
		binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4)) //nolint:gosec // no value has 4 GB
	}
	to.Arg(b).WriteString("::" + t.name + "[]")
}

// bytes returns the size of the elements in an array, in bytes. IDs have 16 bytes, times and numbers have 8.
func (l list) bytes() int {
	const length, fixed = 4, 16
	if l.kind != Text {
		return l.size * (length + fixed)
	}
	n := l.size * length
	for i := range l.size {
		text, _ := l.value(i).(string)
		n += len(text)
	}
	return n
}

// pgEpoch is the start of the year 2000 in microseconds since 1970. PostgreSQL counts times from there.
const pgEpoch = 946_684_800_000_000
