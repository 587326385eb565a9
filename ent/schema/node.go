// Package schema describes the entities of Roster. ent generates the entities, the loaders and the migrations from it.
// Package directory writes the entities, by the rules of package rules.
package schema

import (
	"context"
	"fmt"

	"entgo.io/ent"
	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
	"entgo.io/ent/schema/mixin"

	"roster/internal/typeid"
)

// Node has the fields of every entity: the ID, the two times and the version.
type Node struct{ mixin.Schema }

// Annotations of every entity.
func (Node) Annotations() []schema.Annotation { return []schema.Annotation{Entity{}} }

// Entity marks a schema as an entity for the templates: clients see it by its ID. A schema without it is only a table.
type Entity struct{}

// Name implements schema.Annotation.
func (Entity) Name() string { return "Entity" }

// Owned names the owner of each row of an entity: a MEMBER may do more with its own rows. Without it, rows have no owner.
type Owned struct{ By string } // the field with the ID of the user

// Name implements schema.Annotation.
func (Owned) Name() string { return "Owned" }

// Fields of every entity.
func (Node) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", typeid.ID{}).SchemaType(idType()).Immutable(),
		field.Time("created_at").SchemaType(timeType()).Immutable(),
		field.Time("updated_at").SchemaType(timeType()),
		field.Int("version").Positive(),
	}
}

// Indexes of every entity: one for each order by time. The order by ID uses the primary key.
func (Node) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("created_at", "id"),
		index.Fields("updated_at", "id"),
	}
}

// Hooks of every entity.
func (Node) Hooks() []ent.Hook { return []ent.Hook{refuse} }

// refuse refuses all writes by ent's own builders, which know neither the rules nor the change feed.
func refuse(ent.Mutator) ent.Mutator {
	return ent.MutateFunc(func(_ context.Context, m ent.Mutation) (ent.Value, error) {
		return nil, fmt.Errorf("ent does not write a %s: write it by package directory, which keeps the rules and records the change", m.Type())
	})
}

// idType returns the column types for the 16 bytes of an ID. PostgreSQL's default is uuid.
func idType() map[string]string {
	return map[string]string{dialect.MySQL: "binary(16)", dialect.SQLite: "blob"}
}

// timeType returns the column types for times with microseconds. Only MySQL's default lacks them.
func timeType() map[string]string { return map[string]string{dialect.MySQL: "datetime(6)"} }

// varchar returns the column types for a text of at most limit code points. Only MySQL needs the length; the rules
// check it for every engine.
func varchar(limit int) map[string]string {
	return map[string]string{dialect.MySQL: fmt.Sprintf("varchar(%d)", limit)}
}

// varbinary returns the column types for a text of at most limit bytes. Together with byteOrder, every engine compares and
// sorts the text byte for byte.
func varbinary(limit int) map[string]string {
	return map[string]string{dialect.MySQL: fmt.Sprintf("varbinary(%d)", limit)}
}

// byteOrder sets the order of bytes on PostgreSQL. The types of the other engines have it.
func byteOrder() schema.Annotation { return entsql.Annotation{Collation: "C"} }

// folded returns the column for the key of a text. By the key, texts are compared, sorted and unique, in byte order on
// every engine. Package directory writes the key together with the text. bytes is the longest key of a valid text. rule
// names the function of package rules that checks and folds a text. The function with the same name and the prefix Fold
// folds any text, for filters.
func folded(name string, bytes int, rule string) ent.Field {
	return field.String(name+"_key").
		SchemaType(varbinary(bytes)).
		Annotations(byteOrder(), Folded{Of: name, Rule: rule})
}

// Folded marks a folded column for the templates: filters and orders use it.
type Folded struct {
	Of   string // the field that it folds
	Rule string // the function of package rules that checks and folds a text
}

// Name implements schema.Annotation.
func (Folded) Name() string { return "Folded" }

// Equal marks a column for the templates: a filter compares it with one value.
type Equal struct {
	Filter string // the name of the filter in GraphQL
}

// Name implements schema.Annotation.
func (Equal) Name() string { return "Equal" }

// Presence marks a column that may be NULL for the templates: a filter asks whether it has a value.
type Presence struct {
	Filter string // the name of the filter in GraphQL
}

// Name implements schema.Annotation.
func (Presence) Name() string { return "Presence" }

// Part marks a column for the templates: the value of a field in GraphQL has several columns.
type Part struct {
	Of string // the field, by its name in GraphQL
}

// Name implements schema.Annotation.
func (Part) Name() string { return "Part" }
