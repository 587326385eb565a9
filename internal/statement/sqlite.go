package statement

import (
	"encoding/hex"
	"fmt"

	"entgo.io/ent/dialect/sql"

	"roster/internal/typeid"
)

// sqlite is SQLite. Lists and rows are JSON, which json_each turns into a table.
type sqlite struct{ standard }

var _ Engine = sqlite{}

// Lock implements Engine. It does nothing: SQLite has one writer at a time.
func (sqlite) Lock(*sql.Selector, bool) {}

// Day implements Engine. Times are texts.
func (sqlite) Day(column string) string { return "substr(" + column + ", 1, 10)" }

func (sqlite) in(b *sql.Builder, ids []typeid.ID) {
	b.WriteString(" IN (SELECT unhex(value) FROM json_each(").Arg(hexArray(ids)).WriteString("))")
}

func (sqlite) inTexts(b *sql.Builder, texts []string) {
	b.WriteString(" IN (SELECT value FROM json_each(").Arg(jsonArray(texts)).WriteString("))")
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
	b.WriteString(" FROM json_each(").Arg(hexArray(s.Parents.IDs)).WriteString(") AS ").Ident(keyAlias)
	b.WriteString(" CROSS JOIN ").Ident(s.Table.Name).WriteString(" AS ").Ident(pageAlias)
	b.WriteString(" ON ").Ident(pageAlias).WriteByte('.').Ident(s.Table.ID).WriteString(" IN ")
	b.Wrap(func(b *sql.Builder) { b.Join(q) })
	s.outerOrder(b, pageAlias)
}

// sqliteTime is the layout in which the driver writes a time.
const sqliteTime = "2006-01-02 15:04:05.999999999-07:00"

// values writes the rows as a JSON list of lists.
func (sqlite) values(v *values, w *Write, columns []Column) error {
	text, err := w.json(columns, sqliteTime)
	if err != nil {
		return err
	}
	v.WriteString("json_each(").Arg(text).WriteString(") AS " + valuesAlias)
	for i, c := range columns {
		column := fmt.Sprintf("%s.value ->> %d", valuesAlias, i)
		if c.Kind == ID {
			column = "unhex(" + column + ")"
		}
		v.columns = append(v.columns, column)
	}
	return nil
}

func (sqlite) inserted(b *sql.Builder) {
	b.WriteString(" ORDER BY ").Ident(valuesAlias).WriteString(".key")
}

// hexArray returns a list of IDs as a JSON array of hexadecimal texts. unhex turns a text into bytes.
func hexArray(ids []typeid.ID) string {
	list := make([]string, len(ids))
	for i, id := range ids {
		u := id.UUID()
		list[i] = hex.EncodeToString(u[:])
	}
	return jsonArray(list)
}
