package feed

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"entgo.io/ent/dialect"

	"roster/internal/statement"
)

// Write writes the changes of a transaction, in their order: as the last thing before its commit, when it holds the
// locks of all that it changed. One statement on each engine, whatever the number of changes; on SQLite two.
func Write(ctx context.Context, tx dialect.Driver, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	if tx.Dialect() != dialect.SQLite {
		query, args, err := insert(tx.Dialect(), changes)
		if err != nil {
			return err
		}
		_, err = exec(ctx, tx, query, args...)
		return err
	}
	var last int64
	n := len(changes)
	if err := one(ctx, tx, "UPDATE "+feedTable+" SET last = last + ? WHERE id = 1 RETURNING last", []any{n}, &last); err != nil {
		return err
	}
	_, err := exec(ctx, tx, "INSERT INTO "+changesTable+" (number, type, node_id, kind, version, fields, at, actor) "+
		"SELECT ? + key, value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 FROM json_each(?) ORDER BY key",
		last-int64(n)+1, list(changes))
	return err
}

// insert is the statement for the engines on which changes are numbered later.
func insert(d string, changes []Change) (query string, args []any, err error) {
	w := &statement.Write{Table: columns(), Columns: columns().Names(), Rows: len(changes), Value: func(row int, column string) any {
		switch c := &changes[row]; column {
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
			return int(c.At.UnixMicro())
		default:
			return actor(c)
		}
	}}
	return w.Insert(d)
}

// columns is what is written of a change; its ID and its number come of themselves.
func columns() *statement.Table {
	return &statement.Table{Name: changesTable, Columns: []statement.Column{
		{Name: "type", Kind: statement.Text, Size: 64},
		{Name: "node_id", Kind: statement.ID},
		{Name: "kind", Kind: statement.Text, Size: 64},
		{Name: "version", Kind: statement.Int},
		{Name: "fields", Kind: statement.Text, Size: 1024},
		{Name: "at", Kind: statement.Int},
		{Name: "actor", Kind: statement.Text, Size: 255},
	}}
}

// actor is NULL when there is none.
func actor(c *Change) any {
	if c.Actor == "" {
		return nil
	}
	return c.Actor
}

// list is the changes as JSON: a list of lists of the columns.
func list(changes []Change) string {
	rows := make([][7]any, len(changes))
	for i := range changes {
		c := &changes[i]
		id := c.NodeID.UUID()
		rows[i] = [...]any{c.NodeID.Type(), hex.EncodeToString(id[:]), c.Kind, c.Version, strings.Join(c.Fields, ","), c.At.UnixMicro(), actor(c)}
	}
	b, err := json.Marshal(rows)
	if err != nil {
		panic(fmt.Sprintf("feed: changes do not marshal: %v", err)) // they always do
	}
	return string(b)
}
