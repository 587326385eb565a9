package statement

import (
	"entgo.io/ent/dialect/sql"

	"roster/internal/typeid"
)

// In returns the condition that a column holds one of the values. Its text has few variants, so that connections can
// keep prepared statements: PostgreSQL and SQLite take one argument for any number of values, MySQL a padded list.
func In[T typeid.ID | string](column string, values []T) *sql.Predicate {
	return sql.P(func(b *sql.Builder) {
		switch len(values) {
		case 0: // not IN (NULL), because its negation is NULL too
			b.WriteString("1 = 0")
		case 1:
			b.Ident(column).WriteString(" = ").Arg(values[0])
		default:
			of(b.Ident(column)).in(b, listOf(values))
		}
	})
}

// A list has values of one kind.
type list struct {
	kind  Kind
	size  int
	value func(i int) any
}

func listOf[T typeid.ID | string](values []T) list {
	l := list{kind: Text, size: len(values), value: func(i int) any { return values[i] }}
	if _, ok := any(values).([]typeid.ID); ok {
		l.kind = ID
	}
	return l
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
