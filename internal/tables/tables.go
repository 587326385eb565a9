// Package tables describes all tables of the database. Migrations are planned from it, and the tables of a database are
// compared with it. ent generates the tables of the entities. The other tables are described here: only hand-written
// SQL uses them. The package knows column types, but neither statements nor rows.
package tables

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql/schema"
	"entgo.io/ent/schema/field"

	"roster/ent/migrate"
)

// Sizes of the texts in a change, in characters.
const (
	LabelSize  = 64   // a type or a kind
	FieldsSize = 1024 // the names of the fields
	ActorSize  = 255
)

// All returns all tables. The whole program shares them: copy a table before you change it.
func All() []*schema.Table {
	return slices.Concat([]*schema.Table{changes(), feed(), counts(), idempotencyKeys(), formerIdentities(), backups()}, migrate.Tables)
}

// changes has a row for each change of an entity. Package feed writes it in the transaction that makes the change.
func changes() *schema.Table {
	return table("changes",
		[]*schema.Column{
			// The IDs have the order of insertion. For changes of one entity, this is the order of commits.
			{Name: "id", Type: field.TypeInt64, Increment: true},
			// The place in the feed. A change gets it after its commit. The index also finds changes without a number.
			{Name: "number", Type: field.TypeInt64, Nullable: true},
			text("type", LabelSize),
			{Name: "node_id", Type: field.TypeUUID, SchemaType: map[string]string{dialect.MySQL: "binary(16)", dialect.SQLite: "blob"}},
			text("kind", LabelSize),
			{Name: "version", Type: field.TypeInt},
			text("fields", FieldsSize),          // names in GraphQL, separated by commas
			{Name: "at", Type: field.TypeInt64}, // microseconds since 1970, UTC
			{Name: "actor", Type: field.TypeString, Size: ActorSize, Nullable: true},
		},
		index{name: "change_number", column: "number", unique: true})
}

// feed has one row, which all servers share. The migration inserts it.
func feed() *schema.Table {
	return table("feed", []*schema.Column{
		{Name: "id", Type: field.TypeInt, Increment: true}, // 1
		text("epoch", LabelSize),                           // random; a cursor belongs to one epoch
		{Name: "last", Type: field.TypeInt64},              // the highest number given
		{Name: "pruned", Type: field.TypeInt64},            // the highest number of a change that was pruned
		// The counts include the changes up to this number. NULL: the rows were never counted. Servers of the previous
		// release do not write it.
		{Name: "counted", Type: field.TypeInt64, Nullable: true},
	})
}

// counts has the number of rows of each type, as of the feed's number counted. An absent row is 0. Package feed writes
// it.
func counts() *schema.Table {
	return table("counts", []*schema.Column{text("type", LabelSize), {Name: "count", Type: field.TypeInt64}})
}

// idempotencyKeys has the answers of mutations by the keys that clients sent with them. Package idempotency writes a
// row in the transaction of the mutation.
func idempotencyKeys() *schema.Table {
	hash := map[string]string{dialect.MySQL: fmt.Sprintf("binary(%d)", sha256.Size)} // PostgreSQL's bytea has no length
	return table("idempotency_keys",
		[]*schema.Column{
			{Name: "id", Type: field.TypeBytes, SchemaType: hash},      // the hash of caller and key
			{Name: "request", Type: field.TypeBytes, SchemaType: hash}, // the hash of the request
			{Name: "data", Type: field.TypeBytes, Size: 1<<24 - 1},     // MySQL's MEDIUMBLOB
			{Name: "at", Type: field.TypeInt64},                        // the time of the claim: microseconds since 1970, UTC
			// The rights of the caller: ADMIN, or the ID of its user. Servers of the previous release do not write it.
			{Name: "authority", Type: field.TypeString, Size: LabelSize, Nullable: true},
		},
		index{name: "idempotencykey_at", column: "at"}) // the oldest are pruned first
}

// formerIdentities has hashes of the identities that users had and lost, and of users that had and lost one. Package
// directory writes it.
func formerIdentities() *schema.Table {
	return table("former_identities", []*schema.Column{text("id", 2*sha256.Size)})
}

// backups has the time of the last backup, and perhaps those of later ones that were recorded before it. Package database
// writes it.
func backups() *schema.Table {
	return table("backups", []*schema.Column{{Name: "at", Type: field.TypeInt64}}) // microseconds since 1970, UTC
}

func text(name string, size int) *schema.Column {
	return &schema.Column{Name: name, Type: field.TypeString, Size: int64(size)}
}

// index is an index of one column.
type index struct {
	name, column string
	unique       bool
}

// table returns a table. Its first column is the primary key.
func table(name string, columns []*schema.Column, indexes ...index) *schema.Table {
	t := &schema.Table{Name: name, Columns: columns, PrimaryKey: columns[:1:1]}
	for _, i := range indexes {
		at := slices.IndexFunc(columns, func(c *schema.Column) bool { return c.Name == i.column })
		t.Indexes = append(t.Indexes, &schema.Index{Name: i.name, Unique: i.unique, Columns: columns[at : at+1 : at+1]})
	}
	return t
}
