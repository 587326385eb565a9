package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"

	"roster/internal/typeid"
)

// ChangeRow is one row of the change feed: that something was created, updated or deleted. Package feed writes and reads
// it, within the transaction that makes the change.
type ChangeRow struct{ ent.Schema }

// Annotations of the ChangeRow.
func (ChangeRow) Annotations() []schema.Annotation {
	return []schema.Annotation{entsql.Table("changes")}
}

// Fields of the ChangeRow.
func (ChangeRow) Fields() []ent.Field {
	return []ent.Field{
		// In the order of insertion, which of two changes of one entity is that of their commits.
		field.Int64("id"),
		// The place in the feed, given after the commit: see package feed.
		field.Int64("number").Optional().Nillable(),
		field.String("type").SchemaType(varchar(maxLabel)).Immutable(),
		field.UUID("node_id", typeid.ID{}).SchemaType(idType()).Immutable(),
		field.String("kind").SchemaType(varchar(maxLabel)).Immutable(),
		field.Int("version").Immutable(),
		field.String("fields").SchemaType(varchar(maxFields)).Immutable(), // their names in GraphQL, by commas
		field.Int64("at").Immutable(),                                     // microseconds since 1970, UTC
		field.String("actor").SchemaType(varchar(maxActor)).Optional().Nillable().Immutable(),
	}
}

// Lengths in code points, where the engine asks for them.
const (
	maxLabel  = 64
	maxFields = 1024
	maxActor  = 255
)

// Indexes of the ChangeRow: those without a number are found by it too.
func (ChangeRow) Indexes() []ent.Index {
	return []ent.Index{index.Fields("number").Unique().StorageKey("change_number")}
}

// Feed is the one row that all servers share about the change feed. The migration makes it.
type Feed struct{ ent.Schema }

// Annotations of the Feed.
func (Feed) Annotations() []schema.Annotation { return []schema.Annotation{entsql.Table("feed")} }

// Fields of the Feed.
func (Feed) Fields() []ent.Field {
	return []ent.Field{
		field.Int("id"), // 1
		field.String("epoch").SchemaType(varchar(maxLabel)), // random: cursors belong to one
		field.Int64("last"),   // the highest number given
		field.Int64("pruned"), // the highest number of a change that is kept no longer
	}
}
