// Package statement writes the texts of statements: SELECTs, and INSERTs and UPDATEs of many rows. Each engine has a
// file for the texts that differ between engines. The package knows ent's SQL builder, but neither entities nor
// GraphQL. It does not run statements.
package statement

import (
	"fmt"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"
)

// An Engine writes the parts of statements that differ between kinds of databases. Each engine has its own file.
type Engine interface {
	// Lock locks the rows of a selection until the transaction ends. If share is set, other transactions may share the
	// lock, and none may change the rows.
	Lock(q *sql.Selector, share bool)
	// LocksParentsLate reports whether an insert writes its row before it locks the rows that it refers to. Then the
	// insert and a transaction that has locked those rows can deadlock.
	LocksParentsLate() bool
	// Day returns the expression for the day of the time in a column, in UTC, such as 2026-01-31.
	Day(column string) string

	// changes returns the table of changes for FROM, so that the engine reads it by the index of numbers.
	changes() string
	// countRows writes the subquery that counts the rows of a table. It is in a statement that rarely needs it.
	countRows(b *sql.Builder, table string)
	// in writes the condition after a column: it holds one of at least two values.
	in(b *sql.Builder, l list)
	// contains writes the condition that the text in a column contains another text.
	contains(b *sql.Builder, column, text string)
	// comparesRows reports whether (a, b) > (x, y) reads only the matching range of an index.
	comparesRows() bool
	// filtered writes the end of a statement with a Filter.
	filtered(b *sql.Builder)
	// sorting names the index that has the rows of one parent in the order of the selection, if the planner does not find
	// it.
	sorting(q *sql.Selector, s *Select)
	// pages writes the statement that reads a page of each parent.
	pages(b *sql.Builder, s *Select)
	// maxParents returns the greatest number of parents for pages; 0 is no limit.
	maxParents() int

	// values writes the rows as arguments, as a table to select from.
	values(v *values, w *Write, columns []Column)
	// inserted writes the end of an insert, which keeps the order of its rows.
	inserted(b *sql.Builder)
	// update writes the UPDATE. The first column of v has the IDs of the rows, the others have the new values.
	update(b *sql.Builder, w *Write, v *values)
}

// Of returns the engine with ent's name: dialect.SQLite, dialect.Postgres or dialect.MySQL. MariaDB is dialect.MySQL
// too.
func Of(name string) Engine {
	switch name {
	case dialect.SQLite:
		return sqlite{}
	case dialect.Postgres:
		return postgres{}
	case dialect.MySQL:
		return mysql{}
	}
	panic(fmt.Sprintf("statement: there is no engine %q", name))
}

// of returns the engine of a builder or a selection.
func of(b interface{ Dialect() string }) Engine { return Of(b.Dialect()) }

// standard has the methods that most engines share.
type standard struct{}

// LocksParentsLate implements Engine.
func (standard) LocksParentsLate() bool { return false }

func (standard) changes() string { return ChangesTable }

func (standard) countRows(b *sql.Builder, table string) {
	b.WriteString("(SELECT COUNT(*) FROM ").Ident(table).WriteByte(')')
}

func (standard) contains(b *sql.Builder, column, text string) {
	b.WriteString("instr(").Ident(column).WriteString(", ").Arg(text).WriteString(") > 0")
}

func (standard) comparesRows() bool { return true }

func (standard) filtered(*sql.Builder) {}

func (standard) sorting(*sql.Selector, *Select) {}

func (standard) maxParents() int { return 0 }

func (standard) inserted(*sql.Builder) {}

func (standard) update(b *sql.Builder, w *Write, v *values) {
	b.WriteString("UPDATE ").Ident(w.Table.Name).WriteString(" AS ").Ident(rowAlias)
	w.set(b, v, func() {})
	b.WriteString(" FROM ").Join(v).WriteString(" WHERE ")
	b.Ident(rowAlias).WriteByte('.').Ident(w.Table.ID).WriteString(" = " + v.columns[0])
}
