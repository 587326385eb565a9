package statement

import (
	"entgo.io/ent/dialect/sql"

	"roster/internal/typeid"
)

// In returns the condition that a column holds one of the IDs. Its text has few variants, so that connections can keep
// prepared statements: PostgreSQL and SQLite take one argument for any number of IDs, MySQL a padded list.
func In(column string, ids []typeid.ID) *sql.Predicate {
	return sql.P(func(b *sql.Builder) {
		switch len(ids) {
		case 0: // not IN (NULL), because its negation is NULL too
			b.WriteString("1 = 0")
		case 1:
			b.Ident(column).WriteString(" = ").Arg(ids[0])
		default:
			of(b.Ident(column)).in(b, ids)
		}
	})
}

// InTexts returns the condition that a column holds one of the texts, like In for IDs.
func InTexts(column string, texts []string) *sql.Predicate {
	return sql.P(func(b *sql.Builder) {
		if len(texts) == 0 {
			b.WriteString("1 = 0")
			return
		}
		of(b.Ident(column)).inTexts(b, texts)
	})
}

// Contains returns the condition that the text in a column contains another text. It reads every row, unless PostgreSQL
// has a trigram index.
func Contains(column, text string) *sql.Predicate {
	return sql.P(func(b *sql.Builder) { of(b).contains(b, column, text) })
}

// equal returns the condition that a column equals the expression that value writes.
func equal(column string, value func(*sql.Builder)) *sql.Predicate {
	return sql.P(func(b *sql.Builder) {
		b.Ident(column).WriteString(" = ")
		value(b)
	})
}
