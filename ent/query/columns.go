package query

import (
	"math"
	"math/bits"

	"roster/internal/statement"
)

// Columns is a set of columns of one table. Bit i stands for the column with index i. Every set has the ID.
type Columns uint64

// All is the set of all columns of any table.
const All Columns = math.MaxUint64

// Everything returns All for every table.
func Everything(*statement.Table) Columns { return All }

// ColumnsOf returns the set of the named columns.
func ColumnsOf(t *statement.Table, names ...string) Columns {
	set := Columns(0)
	for _, name := range append(names, t.ID) {
		_, i := t.Column(name)
		set |= 1 << i
	}
	return set
}

// Has reports whether the set has the named column.
func (c Columns) Has(t *statement.Table, name string) bool {
	_, i := t.Column(name)
	return c&(1<<i) != 0
}

// Names returns the names of the columns, in the order of the table.
func (c Columns) Names(t *statement.Table) []string {
	names := make([]string, 0, bits.OnesCount64(uint64(c)))
	for i, column := range t.Columns {
		if c&(1<<i) != 0 || column.Name == t.ID {
			names = append(names, column.Name)
		}
	}
	return names
}
