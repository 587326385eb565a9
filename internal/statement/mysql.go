package statement

import (
	"fmt"
	"strconv"

	"entgo.io/ent/dialect/sql"

	"roster/internal/typeid"
)

// mysql is MySQL and MariaDB. A list has an argument for each element. Rows are JSON, which JSON_TABLE turns into a
// table.
type mysql struct{ standard }

var _ Engine = mysql{}

// Bounds of one statement: parents, each of them an arm of a UNION ALL, and arguments.
const (
	maxArms      = 1024
	maxArguments = 65_535
)

// Lock uses LOCK IN SHARE MODE: MariaDB has no FOR SHARE.
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

// changes names the index, because statistics can be older than an import.
func (mysql) changes() string { return ChangesTable + " FORCE INDEX (change_number)" }

// in writes a list whose length is a power of two. It repeats the last value as needed, so that lists of similar lengths
// share a text.
func (mysql) in(b *sql.Builder, l list) {
	size := 1
	for size < l.size {
		size *= 2
	}
	b.WriteString(" IN (")
	for i := range size {
		if i > 0 {
			b.Comma()
		}
		b.Arg(l.value(min(i, l.size-1)))
	}
	b.WriteString(")")
}

// comparesRows returns false, because the engine would read an index from its start.
func (mysql) comparesRows() bool { return false }

func (mysql) maxParents() int { return maxArms }

// sorting forces the index of the parent and the ID. MySQL only looks for another index with the parent if the one that it has
// chosen lacks a column of the order. But all indexes have the ID, so MySQL would read and sort all rows of the parent. The
// index is forced for the order alone: a filter may still be served by another one.
func (mysql) sorting(q *sql.Selector, s *Select) {
	if s.Parents.Join != "" || len(s.Order) != 1 || s.Order[0].Column != s.Table.ID {
		return
	}
	name := s.Table.ByID[s.Parents.Column]
	if name == "" {
		return
	}
	table := sql.Dialect(q.Dialect()).String(func(b *sql.Builder) {
		b.Ident(s.Table.Name).WriteString(" AS ").Ident(rowAlias).WriteString(" FORCE INDEX FOR ORDER BY (").Ident(name).WriteByte(')')
	})
	q.From(sql.Table(table).As(rowAlias).Unquote())
}

// pages reads a page of each parent by an index, mostly with UNION ALL: MariaDB has no LATERAL.
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

// union reads a page of each parent in an arm of a UNION ALL.
func (m mysql) union(b *sql.Builder, s *Select) {
	for i := range m.arms(s) {
		var key typeid.ID // the zero ID is an argument; NULL would change the text
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

// arms returns the number of arms of a union: a power of four. A different text for each number of parents would flood
// the statement cache. The zero ID, which no row has, fills the spare arms.
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

// overflows reports whether a union would have more arguments than the server takes. Each arm repeats the arguments of
// the filter, which may have lists of a thousand values.
func (m mysql) overflows(d string, s *Select) bool {
	_, args := m.arm(d, s, typeid.ID{}).Query()
	return m.arms(s)*len(args) > maxArguments
}

// ranked reads all matching rows of the parents, ranks them, and keeps a page of each parent. It replaces a union with
// too many arguments.
func (mysql) ranked(b *sql.Builder, s *Select) {
	q, parent := s.unsorted(b.Dialect(), s.Parents.among)
	rank := sql.RowNumber().PartitionBy(parent).OrderBy(s.terms(q)...)
	q.AppendSelectExprAs(rank, rankColumn)
	b.WriteString("SELECT ")
	s.outer(b, func() { b.Ident(pageAlias).WriteByte('.').Ident(ParentColumn) })
	b.WriteString(" FROM ").Wrap(func(b *sql.Builder) { b.Join(q) }).WriteString(" AS ").Ident(pageAlias)
	b.WriteString(" WHERE ").Ident(pageAlias).WriteByte('.').Ident(rankColumn).WriteString(" <= ").WriteString(strconv.Itoa(s.Limit))
	s.outerOrder(b, pageAlias)
}

// mysqlTime is the layout of a time.
const mysqlTime = "2006-01-02 15:04:05.000000"

// values writes the rows as a JSON list of lists. JSON_TABLE needs a type for each column.
func (mysql) values(v *values, w *Write, columns []Column) {
	v.WriteString("JSON_TABLE(")
	w.json(v, columns, mysqlTime)
	v.WriteString(", '$[*]' COLUMNS (")
	for i, c := range columns {
		if i > 0 {
			v.Comma()
		}
		name := "c" + strconv.Itoa(i)
		v.WriteString(name + " " + jsonType(c) + " PATH '$[" + strconv.Itoa(i) + "]'")
		v.columns = append(v.columns, element(c.Kind, valuesAlias+"."+name))
	}
	v.WriteString(")) AS " + valuesAlias)
}

// update updates a join with a fixed order. Otherwise the planner would begin with the table, and lock all its rows.
func (mysql) update(b *sql.Builder, w *Write, v *values) {
	b.WriteString("UPDATE ")
	b.Join(v).WriteString(" STRAIGHT_JOIN ").Ident(w.Table.Name).WriteString(" AS ").Ident(rowAlias).WriteString(" FORCE INDEX (PRIMARY) ON ")
	b.Ident(rowAlias).WriteByte('.').Ident(w.Table.ID).WriteString(" = " + v.columns[0])
	w.set(b, v, func() { b.Ident(rowAlias).WriteByte('.') })
}

// jsonType returns the type of a column in JSON_TABLE.
func jsonType(c Column) string {
	switch c.Kind {
	case ID:
		return "CHAR(32)"
	case Time:
		return "DATETIME(6)"
	case Int:
		return "BIGINT"
	case Bool:
		return "TINYINT"
	case Float:
		return "DOUBLE"
	case Text:
	}
	text := "LONGTEXT"
	if c.Size > 0 {
		text = fmt.Sprintf("VARCHAR(%d)", c.Size)
	}
	return text + " CHARACTER SET utf8mb4"
}
