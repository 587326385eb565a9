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

// Node is what all entities have in common: the ID, the two times and the version.
type Node struct{ mixin.Schema }

// Annotations of every entity.
func (Node) Annotations() []schema.Annotation { return []schema.Annotation{Entity{}} }

// Entity marks what clients see, by its ID, for the templates: a schema without Node is only a table.
type Entity struct{}

// Name implements schema.Annotation.
func (Entity) Name() string { return "Entity" }

// Fields of every entity.
func (Node) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", typeid.ID{}).SchemaType(idType()).Immutable(),
		field.Time("created_at").SchemaType(timeType()).Immutable(),
		field.Time("updated_at").SchemaType(timeType()),
		field.Int("version").Positive(),
	}
}

// Indexes of every entity: the order of creation is that of the IDs, the other two orders have an index each.
func (Node) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("created_at", "id"),
		index.Fields("updated_at", "id"),
	}
}

// Hooks of every entity.
func (Node) Hooks() []ent.Hook { return []ent.Hook{refuse} }

// refuse refuses what ent's own builders would write: they know neither the rules nor the change feed.
func refuse(ent.Mutator) ent.Mutator {
	return ent.MutateFunc(func(_ context.Context, m ent.Mutation) (ent.Value, error) {
		return nil, fmt.Errorf("ent does not write a %s: write it by package directory, which keeps the rules and records the change", m.Type())
	})
}

// idType is the best type for the 16 bytes of an ID that each engine has; PostgreSQL's is uuid by itself.
func idType() map[string]string {
	return map[string]string{dialect.MySQL: "binary(16)", dialect.SQLite: "blob"}
}

// timeType keeps microseconds where that is not the default.
func timeType() map[string]string { return map[string]string{dialect.MySQL: "datetime(6)"} }

// varchar is a text of at most so many code points where the engine asks for a length; the rules keep it everywhere.
func varchar(limit int) map[string]string {
	return map[string]string{dialect.MySQL: fmt.Sprintf("varchar(%d)", limit)}
}

// folded is the column beside a text by which it is compared, sorted and unique, in byte order on every engine. Package
// directory writes it together with the text. bytes is the longest form that a valid text can have; rule names the
// function of package rules that checks and folds a text, and with Fold before its name the one that folds any text, for
// a filter.
func folded(name string, bytes int, rule string) ent.Field {
	return field.String(name+"_key").
		SchemaType(map[string]string{dialect.MySQL: fmt.Sprintf("varbinary(%d)", bytes)}).
		Annotations(
			entsql.Annotation{Collation: "C"}, // PostgreSQL's; the other engines' types compare bytes already
			Folded{Of: name, Rule: rule},
		)
}

// Folded marks a folded column for the templates: filters and orders go by it.
type Folded struct {
	Of   string // the field that it folds
	Rule string // the function of package rules that checks and folds a text
}

// Name implements schema.Annotation.
func (Folded) Name() string { return "Folded" }
