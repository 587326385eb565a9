package schema

import (
	"crypto/sha256"
	"fmt"

	"entgo.io/ent"
	"entgo.io/ent/dialect"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// IdempotencyKey is the answer of a mutation under the key that its client gave it. Package idempotency writes and reads
// it, within the transaction of the mutation.
type IdempotencyKey struct{ ent.Schema }

// Fields of the IdempotencyKey.
func (IdempotencyKey) Fields() []ent.Field {
	return []ent.Field{
		field.Bytes("id").SchemaType(hashType()).Immutable(),      // of caller and key
		field.Bytes("request").SchemaType(hashType()).Immutable(), // what was asked for
		field.Bytes("data").SchemaType(map[string]string{dialect.MySQL: "mediumblob"}),
		field.Int64("at").Immutable(), // of the claim: microseconds since 1970, UTC
	}
}

// Indexes of the IdempotencyKey: the oldest go first.
func (IdempotencyKey) Indexes() []ent.Index { return []ent.Index{index.Fields("at")} }

// hashType holds a SHA-256; PostgreSQL's bytea has no length.
func hashType() map[string]string {
	return map[string]string{dialect.MySQL: fmt.Sprintf("binary(%d)", sha256.Size)}
}
