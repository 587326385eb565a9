package statement

import "slices"

// A Table describes a table to the builder. The tables of entities are generated from the ent schema and never change.
type Table struct {
	Type    string // the type of its IDs, such as "user"
	GraphQL string // the type of its rows in the GraphQL schema, such as "User"
	Name    string
	ID      string // the column of the ID
	Columns []Column
	// Unique has the columns of each unique index of texts.
	Unique [][]string
	// ByID maps a column with IDs of other rows to the name of the index that has this column and the ID, and no more.
	ByID map[string]string
	// Fields maps the name of each GraphQL field to the columns that it needs besides the ID.
	Fields map[string][]string
	// Orders maps the values of the GraphQL enum for orders to their columns.
	Orders map[string]string
}

// A Column is one column of a table. A table has at most 64.
type Column struct {
	Name     string
	Kind     Kind
	Nullable bool // NULL is no value; otherwise NULL stands for the zero value of the Go type
	Unique   bool // no two rows have the same value
	Folded   bool // the key by which a text is compared; clients do not see it
	Size     int  // an upper bound for the characters of a text; 0: no bound
	// Type is the type of the IDs in the column, such as "user". It is empty if the column has no IDs of entities.
	Type string
}

// A Kind is the Go type of a column's values.
type Kind int

// The kinds: typeid.ID, string, time.Time, int, bool and float64.
const (
	ID Kind = iota
	Text
	Time
	Int
	Bool
	Float
)

// Column returns the named column and its index. The table must have the column.
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
