package statement

import (
	"fmt"

	"entgo.io/ent/dialect/sql"
)

// sqlite is SQLite. Lists and rows are JSON, which json_each turns into a table.
type sqlite struct{ standard }

var _ Engine = sqlite{}

// Lock does nothing: SQLite has one writer at a time.
func (sqlite) Lock(*sql.Selector, bool) {}

// Day implements Engine. Times are texts.
func (sqlite) Day(column string) string { return "substr(" + column + ", 1, 10)" }

func (sqlite) in(b *sql.Builder, l list) {
	b.WriteString(" IN (SELECT " + element(l.kind, "value") + " FROM json_each(")
	l.json(b)
	b.WriteString("))")
}

// element returns the expression for an element of JSON. An ID is a text of hexadecimal digits there.
func element(k Kind, expression string) string {
	if k == ID {
		return "unhex(" + expression + ")"
	}
	return expression
}

// pages reads a page of each parent by an index: a subquery reads the IDs of the page. The planner needs this form for
// a single parent too.
func (sqlite) pages(b *sql.Builder, s *Select) {
	key := func(b *sql.Builder) {
		b.WriteString("unhex(").Ident(keyAlias).WriteString(".").Ident("value").WriteString(")")
	}
	q, t, parent := s.of(b.Dialect())
	q.Where(equal(parent, key))
	s.restrict(q)
	q.Select(t.C(s.Table.ID))
	s.sort(q)
	b.WriteString("SELECT ")
	s.outer(b, func() { key(b) })
	b.WriteString(" FROM json_each(")
	listOf(s.Parents.IDs).json(b)
	b.WriteString(") AS ").Ident(keyAlias).WriteString(" CROSS JOIN ").Ident(s.Table.Name).WriteString(" AS ").Ident(pageAlias)
	b.WriteString(" ON ").Ident(pageAlias).WriteByte('.').Ident(s.Table.ID).WriteString(" IN ")
	b.Wrap(func(b *sql.Builder) { b.Join(q) })
	s.outerOrder(b, pageAlias)
}

// sqliteTime is the layout in which the driver writes a time.
const sqliteTime = "2006-01-02 15:04:05.999999999-07:00"

// values writes the rows as a JSON list of lists.
func (sqlite) values(v *values, w *Write, columns []Column) {
	v.WriteString("json_each(")
	w.json(v, columns, sqliteTime)
	v.WriteString(") AS " + valuesAlias)
	for i, c := range columns {
		v.columns = append(v.columns, element(c.Kind, fmt.Sprintf("%s.value ->> %d", valuesAlias, i)))
	}
}

func (sqlite) inserted(b *sql.Builder) {
	b.WriteString(" ORDER BY ").Ident(valuesAlias).WriteString(".key")
}
