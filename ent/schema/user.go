package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"

	"roster/ent/rules"
)

// User is a person with an account.
type User struct{ ent.Schema }

// Mixin of the User.
func (User) Mixin() []ent.Mixin { return []ent.Mixin{Node{}} }

// Annotations of the User.
func (User) Annotations() []schema.Annotation { return []schema.Annotation{Owned{By: "id"}} }

// Fields of the User.
func (User) Fields() []ent.Field {
	return []ent.Field{
		field.String("username").SchemaType(varchar(rules.UsernameLimit)),
		folded("username", 6*rules.UsernameLimit, "Username"),
		field.String("email").SchemaType(varchar(rules.EmailLimit)),
		folded("email", 12*rules.EmailLimit, "Email"),
		field.String("status").GoType(rules.Status("")).SchemaType(varchar(16)).
			Annotations(entsql.Default(string(rules.Active)), Equal{Filter: "status"}), // servers of the previous release do not write it
		field.String("identity_issuer").SchemaType(varbinary(rules.IdentityLimit)).Optional().Nillable().
			Annotations(byteOrder(), Part{Of: "identity"}),
		field.String("identity_subject").SchemaType(varbinary(rules.IdentityLimit)).Optional().Nillable().
			Annotations(byteOrder(), Part{Of: "identity"}, Presence{Filter: "hasIdentity"}),
	}
}

// Edges of the User.
func (User) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("posts", Post.Type),
	}
}

// Indexes of the User. The first three enforce uniqueness. The first two also serve an order and the filters of a text.
func (User) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("username_key").Unique(),
		index.Fields("email_key").Unique(),
		index.Fields("identity_subject", "identity_issuer").Unique(),
		index.Fields("status", "id"),
	}
}
