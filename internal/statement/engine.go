// Package statement writes the texts of statements: SELECTs, and INSERTs and UPDATEs of many rows. All that differs between
// engines stands in one file for each. It knows ent's SQL builder, but neither entities nor GraphQL, and it runs nothing.
package statement

import (
	"encoding/json"
	"fmt"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"

	"roster/internal/typeid"
)

// An Engine is a kind of database, as far as the texts of statements differ between them. Each has a file of its own, and
// nothing above asks which one it is.
type Engine interface {
	// Lock locks the rows of a selection until the transaction ends. With share, others may lock them in this way too,
	// and nobody may change them.
	Lock(q *sql.Selector, share bool)
	// LocksParentsLate reports whether an insert writes its row before it locks the rows that it refers to. Then it and
	// a transaction that has locked these can wait for each other.
	LocksParentsLate() bool
	// Day is the day of the time in a column, in UTC, as in 2026-01-31.
	Day(column string) string

	// in and inTexts write, after a column, that it holds one of at least two IDs, or of at least one text.
	in(b *sql.Builder, ids []typeid.ID)
	inTexts(b *sql.Builder, texts []string)
	// contains writes that the text in a column contains another one.
	contains(b *sql.Builder, column, text string)
	// comparesRows reports whether (a, b) > (x, y) reads no more of an index than it has to.
	comparesRows() bool
	// pages writes the statement that reads a page of each parent.
	pages(b *sql.Builder, s *Select)
	// maxParents is how many parents pages takes; 0 for any number.
	maxParents() int

	// values writes rows as arguments, to select from.
	values(v *values, w *Write, columns []Column) error
	// inserted writes what comes after the values of an insert, to keep their order.
	inserted(b *sql.Builder)
	// update writes the statement that gives rows, by the IDs in the first column of v, its other columns.
	update(b *sql.Builder, w *Write, v *values)
	// textBytes is how many bytes a text has at most within the argument of values.
	textBytes(s string) int
}

// Of returns the engine with one of ent's names: dialect.SQLite, dialect.Postgres or dialect.MySQL, which is MariaDB too.
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

// of is the engine that a builder or a selection writes for.
func of(b interface{ Dialect() string }) Engine { return Of(b.Dialect()) }

// standard is what most engines have in common.
type standard struct{}

// LocksParentsLate implements Engine.
func (standard) LocksParentsLate() bool { return false }

func (standard) contains(b *sql.Builder, column, text string) {
	b.WriteString("instr(").Ident(column).WriteString(", ").Arg(text).WriteString(") > 0")
}

func (standard) comparesRows() bool { return true }

func (standard) maxParents() int { return 0 }

func (standard) inserted(*sql.Builder) {}

func (standard) update(b *sql.Builder, w *Write, v *values) {
	b.WriteString("UPDATE ").Ident(w.Table.Name).WriteString(" AS ").Ident(rowAlias)
	w.set(b, v, func() {})
	b.WriteString(" FROM ").Join(v).WriteString(" WHERE ")
	b.Ident(rowAlias).WriteByte('.').Ident(w.Table.ID).WriteString(" = " + v.columns[0])
}

func (standard) textBytes(s string) int { return JSONBytes(s) }

// jsonArray is a list as a JSON array.
func jsonArray(list []string) string {
	b, err := json.Marshal(list)
	if err != nil {
		panic(fmt.Sprintf("statement: strings do not marshal: %v", err)) // they always do
	}
	return string(b)
}
