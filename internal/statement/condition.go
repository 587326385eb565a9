package statement

import (
	"entgo.io/ent/dialect/sql"

	"roster/internal/typeid"
)

// In is the condition that a column holds one of the IDs. Its text does not depend on their number where the engine
// can, and elsewhere on few numbers.
func In(column string, ids []typeid.ID) *sql.Predicate {
	return sql.P(func(b *sql.Builder) {
		switch len(ids) {
		case 0: // not IN (NULL), whose opposite is NULL too
			b.WriteString("1 = 0")
		case 1:
			b.Ident(column).WriteString(" = ").Arg(ids[0])
		default:
			of(b.Ident(column)).in(b, ids)
		}
	})
}

// InTexts is the condition that a column holds one of the texts, as In is for IDs.
func InTexts(column string, texts []string) *sql.Predicate {
	return sql.P(func(b *sql.Builder) {
		if len(texts) == 0 {
			b.WriteString("1 = 0")
			return
		}
		of(b.Ident(column)).inTexts(b, texts)
	})
}

// Contains is the condition that the text in a column contains another one. It reads every row, unless PostgreSQL has a
// trigram index.
func Contains(column, text string) *sql.Predicate {
	return sql.P(func(b *sql.Builder) { of(b).contains(b, column, text) })
}

// equal compares a column with what the function writes.
func equal(column string, value func(*sql.Builder)) *sql.Predicate {
	return sql.P(func(b *sql.Builder) {
		b.Ident(column).WriteString(" = ")
		value(b)
	})
}
