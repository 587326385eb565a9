package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"

	"roster/ent/rules"
)

// ApiKey is the secret of a program that sends requests. The database has only a hash of the secret.
//
//nolint:revive // the name of the type in GraphQL
type ApiKey struct{ ent.Schema }

// Mixin of the ApiKey.
func (ApiKey) Mixin() []ent.Mixin { return []ent.Mixin{Node{}} }

// Fields of the ApiKey.
func (ApiKey) Fields() []ent.Field {
	return []ent.Field{
		field.String("name").SchemaType(varchar(rules.KeyNameLimit)),
		folded("name", 12*rules.KeyNameLimit, "KeyName"),
		field.String("roles").GoType(rules.RoleList("")).SchemaType(varchar(64)),
		field.String("prefix").SchemaType(varchar(16)),
		field.String("secret_hash").SchemaType(varbinary(64)).Annotations(byteOrder()), // SHA-256 in hexadecimal digits
		field.Time("expires_at").SchemaType(timeType()).Optional().Nillable(),
		field.Time("last_used_at").SchemaType(timeType()).Optional().Nillable(),
		field.Time("revoked_at").SchemaType(timeType()).Optional().Nillable().Annotations(Presence{Filter: "revoked"}),
	}
}

// Indexes of the ApiKey: the first finds the key of a request, the second serves an order.
func (ApiKey) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("secret_hash").Unique(),
		index.Fields("name_key", "id"),
	}
}
