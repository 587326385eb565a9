package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"

	"roster/ent/rules"
	"roster/internal/typeid"
)

// Post is a text that a User wrote.
type Post struct{ ent.Schema }

// Mixin of the Post.
func (Post) Mixin() []ent.Mixin { return []ent.Mixin{Node{}} }

// Annotations of the Post.
func (Post) Annotations() []schema.Annotation { return []schema.Annotation{Owned{By: "author_id"}} }

// Fields of the Post.
func (Post) Fields() []ent.Field {
	return []ent.Field{
		field.String("title").SchemaType(varchar(rules.TitleLimit)),
		folded("title", 12*rules.TitleLimit, "Title"),
		field.Text("body"),
		field.UUID("author_id", typeid.ID{}).SchemaType(idType()),
	}
}

// Edges of the Post.
func (Post) Edges() []ent.Edge {
	return []ent.Edge{edge.From("author", User.Type).Ref("posts").Field("author_id").Unique().Required()}
}

// Indexes of the Post: one for each order in the contract, for all posts and for the posts of an author.
func (Post) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("title_key", "id"),
		index.Fields("author_id", "id"),
		index.Fields("author_id", "created_at", "id"),
		index.Fields("author_id", "updated_at", "id"),
		index.Fields("author_id", "title_key", "id"),
	}
}
