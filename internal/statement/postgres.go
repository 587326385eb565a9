package statement

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

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

// values writes one array for each column.
func (postgres) values(v *values, w *Write, columns []Column) {
	v.WriteString("unnest(")
	for i, c := range columns {
		if i > 0 {
			v.Comma()
		}
		list{c.Kind, w.Rows, func(row int) any { return w.Value(row, c.Name) }}.array(v.Builder)
		v.columns = append(v.columns, fmt.Sprintf("%s.c%d", valuesAlias, i))
	}
	v.WriteString(") AS " + valuesAlias + " (")
	for i := range columns {
		if i > 0 {
			v.Comma()
		}
		v.WriteString("c" + strconv.Itoa(i))
	}
	v.WriteByte(')')
}

// pgType is a type with its number in the catalogue. All versions have the same numbers.
type pgType struct {
	name    string
	element uint32
}

func typeOf(k Kind) pgType {
	return map[Kind]pgType{
		ID: {"uuid", 2950}, Text: {"text", 25}, Time: {"timestamptz", 1184}, Int: {"bigint", 20}, Bool: {"bool", 16}, Float: {"float8", 701},
	}[k]
}

// array writes the list as one argument: an array in its binary form. Neither side must parse it, and it needs no
// quotes. lib/pq sends bytes in binary form because package database sets it to.
func (l list) array(to *sql.Builder) {
	t := typeOf(l.kind)
	b := make([]byte, 0, 20+l.size*24)
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
			to.AddError(fmt.Errorf("statement: no column has a %T", value))
		}
		binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4)) //nolint:gosec // no value has 4 GB
	}
	to.Arg(b).WriteString("::" + t.name + "[]")
}

// pgEpoch is the start of the year 2000 in microseconds since 1970. PostgreSQL counts times from there.
const pgEpoch = 946_684_800_000_000
