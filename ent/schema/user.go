package schema

import (
	"entgo.io/ent"
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
	}
}

// Edges of the User.
func (User) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("posts", Post.Type),
	}
}

// Indexes of the User: each enforces uniqueness, and serves an order and the filters of its text.
func (User) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("username_key").Unique(),
		index.Fields("email_key").Unique(),
	}
}
