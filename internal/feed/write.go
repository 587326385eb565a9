package feed

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"entgo.io/ent/dialect"
)

// Write writes the changes of a transaction, in their order: as the last thing before its commit, when it holds the
// locks of all that it changed. One statement on each engine, whatever the number of changes; on SQLite two.
func Write(ctx context.Context, tx dialect.Driver, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	if tx.Dialect() != dialect.SQLite {
		query, args := insert(tx.Dialect(), changes)
		_, err := exec(ctx, tx, query, args...)
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

// insert is the statement for the engines on which changes are numbered later. One change, the usual number, goes in as
// it is; more go in as one argument.
func insert(d string, changes []Change) (query string, args []any) {
	into := "INSERT INTO " + changesTable + " (type, node_id, kind, version, fields, at, actor) "
	if c := &changes[0]; len(changes) == 1 {
		places := "?, ?, ?, ?, ?, ?, ?"
		if d == dialect.Postgres {
			places = "$1, $2, $3, $4, $5, $6, $7"
		}
		return into + "VALUES (" + places + ")",
			[]any{c.NodeID.Type(), c.NodeID, string(c.Kind), c.Version, strings.Join(c.Fields, ","), c.At.UnixMicro(), actor(c)}
	}
	if d == dialect.Postgres {
		return into + "SELECT value ->> 0, (value ->> 1)::uuid, value ->> 2, (value ->> 3)::bigint, value ->> 4, (value ->> 5)::bigint, value ->> 6 " +
			"FROM json_array_elements($1::json) AS value", []any{list(changes)}
	}
	return into + "SELECT type, UNHEX(node_id), kind, version, fields, at, actor FROM JSON_TABLE(?, '$[*]' COLUMNS (" +
		"type VARCHAR(64) PATH '$[0]', node_id CHAR(32) PATH '$[1]', kind VARCHAR(64) PATH '$[2]', version BIGINT PATH '$[3]', " +
		"fields VARCHAR(1024) PATH '$[4]', at BIGINT PATH '$[5]', actor VARCHAR(255) PATH '$[6]')) AS t", []any{list(changes)}
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
