package feed

import (
	"context"
	"strings"

	"entgo.io/ent/dialect"

	"roster/internal/database"
	"roster/internal/statement"
	"roster/internal/tables"
)

// Write writes the changes of a transaction, in their order. Call it as the last step before the commit, when the
// transaction holds the locks of all rows that it changed. WriteWith may have written some of them before. It runs one
// statement for as many changes as one argument holds, and on SQLite one more.
func Write(ctx context.Context, tx dialect.Driver, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	w, first := insertOf(changes), int64(0)
	if numberingOf(tx.Dialect()) == nil {
		var last int64
		if err := one(ctx, tx, "UPDATE "+feedTable+" SET last = last + ? WHERE id = 1 RETURNING last", []any{len(changes)}, &last); err != nil {
			return err
		}
		first = last - int64(len(changes)) + 1
		w.Columns = append(w.Columns, numberColumn)
		w.Table.Columns = append(w.Table.Columns, statement.Column{Name: numberColumn, Kind: statement.Int})
	}
	w.Value = func(row int, column string) any {
		if column == numberColumn {
			return first + int64(row)
		}
		return changes[row].value(column)
	}
	if s, ok := tx.(*database.Session); ok && s.CanCopy() && w.Rows >= copyRows {
		return s.Copy(ctx, w)
	}
	return database.WriteRows(ctx, tx, (*statement.Write).Insert, w)
}

// WriteWith inserts rows of entities. If one statement can also write the changes after the rows, it does so, and reports
// true. Otherwise, call Write. When the rows are inserted, the transaction must hold the locks of all rows that the changes
// are about.
//
// PostgreSQL checks the foreign keys of the rows at the end of the statement, when the changes have their IDs. So a row can
// refer to one that another transaction commits during the statement, and its change can come before the creation of the
// other row. This is accepted: the caller must send the ID of a row before the commit that creates it is answered.
func WriteWith(ctx context.Context, tx dialect.Driver, rows *statement.Write, changes []Change) (written bool, err error) {
	return database.InsertWith(ctx, tx, rows, insertOf(changes))
}

// insertOf returns the insert of changes, without numbers.
func insertOf(changes []Change) *statement.Write {
	w := &statement.Write{Table: table(), Rows: len(changes)}
	for _, c := range w.Table.Columns {
		w.Columns = append(w.Columns, c.Name)
	}
	w.Value = func(row int, column string) any { return changes[row].value(column) }
	return w
}

// copyRows is the number of changes from which PostgreSQL gets them by COPY: those of an import, or of a user with very many
// posts. For fewer, a prepared statement is as fast.
const copyRows = 2000

// numberColumn is the column of the place in the feed. Only SQLite writes it with the change.
const numberColumn = "number"

// table returns the table of changes for package statement.
func table() *statement.Table {
	return &statement.Table{Name: changesTable, Columns: []statement.Column{
		{Name: "type", Kind: statement.Text, Size: tables.LabelSize},
		{Name: "node_id", Kind: statement.ID},
		{Name: "kind", Kind: statement.Text, Size: tables.LabelSize},
		{Name: "version", Kind: statement.Int},
		{Name: "fields", Kind: statement.Text, Size: tables.FieldsSize},
		{Name: "at", Kind: statement.Int},
		{Name: "actor", Kind: statement.Text, Size: tables.ActorSize},
	}}
}

// value returns the value of the change in a column, or nil for NULL.
func (c *Change) value(column string) any {
	switch column {
	case "type":
		return c.NodeID.Type()
	case "node_id":
		return c.NodeID
	case "kind":
		return string(c.Kind)
	case "version":
		return c.Version
	case "fields":
		return strings.Join(c.Fields, ",")
	case "at":
		return c.At.UnixMicro()
	case "actor":
		if c.Actor != "" {
			return c.Actor
		}
	}
	return nil
}
