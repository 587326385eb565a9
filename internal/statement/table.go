package statement

import "slices"

// A Table describes a table to the builder. The tables of entities are generated from the ent schema and never change.
type Table struct {
	Type    string // the type of its IDs, such as "user"
	GraphQL string // the type of its rows in the GraphQL schema, such as "User"
	Name    string
	ID      string // the column of the ID
	Columns []Column
	// Fields maps the names of GraphQL fields to the column that each needs. An edge that needs the ID alone has an
	// empty one.
	Fields map[string]string
	// Orders maps the values of the GraphQL enum that sorts the rows to their columns.
	Orders map[string]string
}

// A Column is one column of a table. A table has at most 64.
type Column struct {
	Name   string
	Kind   Kind
	Unique bool // no two rows have the same value
	Folded bool // what a text is compared by; clients do not see it
	Size   int  // the most characters of a text, or more; 0: any number
}

// A Kind is the Go type of a column's values.
type Kind int

// The kinds: typeid.ID, string, time.Time and int.
const (
	ID Kind = iota
	Text
	Time
	Int
)

// Column returns the named column and its index; the table has it.
func (t *Table) Column(name string) (Column, int) {
	i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
	return t.Columns[i], i
}

// Names returns the names of all columns.
func (t *Table) Names() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}
