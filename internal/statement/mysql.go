package statement

import (
	"fmt"
	"strconv"

	"entgo.io/ent/dialect/sql"

	"roster/internal/typeid"
)

// mysql is MySQL and MariaDB. Lists are as many arguments, and rows are JSON, which JSON_TABLE takes apart.
type mysql struct{ standard }

var _ Engine = mysql{}

// Bounds of one statement: how many parents it takes, where each is an arm of a UNION ALL, and how many arguments.
const (
	maxArms      = 1024
	maxArguments = 65_535
)

// Lock implements Engine. MariaDB knows no FOR SHARE.
func (mysql) Lock(q *sql.Selector, share bool) {
	if share {
		q.For(sql.LockShare, sql.WithLockClause("LOCK IN SHARE MODE"))
		return
	}
	q.ForUpdate()
}

// LocksParentsLate implements Engine.
func (mysql) LocksParentsLate() bool { return true }

// Day implements Engine.
func (mysql) Day(column string) string { return "date_format(" + column + ", '%Y-%m-%d')" }

func (mysql) in(b *sql.Builder, ids []typeid.ID) {
	padded(b, len(ids), func(i int) any { return ids[i] })
}

func (mysql) inTexts(b *sql.Builder, texts []string) {
	padded(b, len(texts), func(i int) any { return texts[i] })
}

// comparesRows implements Engine: it would read an index from its start.
func (mysql) comparesRows() bool { return false }

func (mysql) maxParents() int { return maxArms }

// pages reads a page of each parent by an index: MariaDB has no LATERAL.
func (m mysql) pages(b *sql.Builder, s *Select) {
	switch {
	case len(s.Parents.IDs) == 1:
		b.Join(s.children(b.Dialect(), s.Parents.among))
	case m.overflows(b.Dialect(), s):
		m.ranked(b, s)
	default:
		m.union(b, s)
	}
}

// union is a selection of each parent.
func (m mysql) union(b *sql.Builder, s *Select) {
	for i := range m.arms(s) {
		var key typeid.ID // an argument too: NULL would be a part of the text
		if i < len(s.Parents.IDs) {
			key = s.Parents.IDs[i]
		}
		if i > 0 {
			b.WriteString(" UNION ALL ")
		}
		b.Wrap(func(b *sql.Builder) { b.Join(m.arm(b.Dialect(), s, key)) })
	}
	s.outerOrder(b, "")
}

// arms is how many parts a union has: one text for each number of parents would flood the statement cache, so there
// are a few sizes, filled up with the ID that nothing has.
func (mysql) arms(s *Select) int {
	arms := 1
	for arms < len(s.Parents.IDs) {
		arms *= 4
	}
	return arms
}

// arm reads a page of one parent.
func (mysql) arm(d string, s *Select, key typeid.ID) *sql.Selector {
	return s.children(d, func(column string) *sql.Predicate { return equal(column, func(b *sql.Builder) { b.Arg(key) }) })
}

// overflows reports whether a union would have more arguments than the server takes: each arm repeats those of the
// filter, which may have lists of a thousand values.
func (m mysql) overflows(d string, s *Select) bool {
	_, args := m.arm(d, s, typeid.ID{}).Query()
	return m.arms(s)*len(args) > maxArguments
}

// ranked takes a page of each parent from all rows of the parents that match, where the filter is too long for a union.
func (mysql) ranked(b *sql.Builder, s *Select) {
	q, parent := s.unsorted(b.Dialect(), s.Parents.among)
	rank := sql.RowNumber().PartitionBy(parent)
	for _, o := range s.Order {
		if o.Desc {
			rank.OrderBy(sql.Desc(s.column(q, o.Column)))
		} else {
			rank.OrderBy(s.column(q, o.Column))
		}
	}
	q.AppendSelectExprAs(rank, rankColumn)
	b.WriteString("SELECT ")
	s.outer(b, func() { b.Ident(pageAlias).WriteByte('.').Ident(ParentColumn) })
	b.WriteString(" FROM ").Wrap(func(b *sql.Builder) { b.Join(q) }).WriteString(" AS ").Ident(pageAlias)
	b.WriteString(" WHERE ").Ident(pageAlias).WriteByte('.').Ident(rankColumn).WriteString(" <= ").WriteString(strconv.Itoa(s.Limit))
	s.outerOrder(b, pageAlias)
}

// mysqlTime is the form of a time.
const mysqlTime = "2006-01-02 15:04:05.000000"

// values is a JSON list of lists, where each column needs a type.
func (mysql) values(v *values, w *Write, columns []Column) error {
	text, err := w.json(columns, mysqlTime)
	if err != nil {
		return err
	}
	v.WriteString("JSON_TABLE(").Arg(text).WriteString(", '$[*]' COLUMNS (")
	for i, c := range columns {
		if i > 0 {
			v.Comma()
		}
		name := "c" + strconv.Itoa(i)
		v.WriteString(name + " " + jsonType(c) + " PATH '$[" + strconv.Itoa(i) + "]'")
		column := valuesAlias + "." + name
		if c.Kind == ID {
			column = "UNHEX(" + column + ")"
		}
		v.columns = append(v.columns, column)
	}
	v.WriteString(")) AS " + valuesAlias)
	return nil
}

// update updates a join. The planner would begin with the table, and lock all of it.
func (mysql) update(b *sql.Builder, w *Write, v *values) {
	b.WriteString("UPDATE ")
	b.Join(v).WriteString(" STRAIGHT_JOIN ").Ident(w.Table.Name).WriteString(" AS ").Ident(rowAlias).WriteString(" FORCE INDEX (PRIMARY) ON ")
	b.Ident(rowAlias).WriteByte('.').Ident(w.Table.ID).WriteString(" = " + v.columns[0])
	w.set(b, v, func() { b.Ident(rowAlias).WriteByte('.') })
}

// jsonType is the type in which a value is taken out of JSON.
func jsonType(c Column) string {
	switch c.Kind {
	case ID:
		return "CHAR(32)"
	case Time:
		return "DATETIME(6)"
	case Int:
		return "BIGINT"
	case Text:
	}
	text := "LONGTEXT"
	if c.Size > 0 {
		text = fmt.Sprintf("VARCHAR(%d)", c.Size)
	}
	return text + " CHARACTER SET utf8mb4"
}

// padded writes a list whose length is a power of two, repeating its last value, so that lists of most lengths share
// a text.
func padded(b *sql.Builder, n int, value func(int) any) {
	size := 1
	for size < n {
		size *= 2
	}
	b.WriteString(" IN (")
	for i := range size {
		if i > 0 {
			b.Comma()
		}
		b.Arg(value(min(i, n-1)))
	}
	b.WriteString(")")
}
