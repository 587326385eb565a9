// Package filter turns the where argument of a connection into a condition, with one meaning on every engine. The
// filters of each entity are generated from the ent schema on top of it. It knows neither ent's query types nor gqlgen.
package filter

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"

	"roster/ent/rules"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// Bounds of one filter.
const (
	maxDepth    = 10   // of and, or and not
	maxSize     = 200  // objects
	maxIn       = 1000 // values
	maxText     = 1000 // characters of a text
	minContains = 2    // characters: names have as few in Chinese and Japanese; one finds nearly everything
)

// IDFilter is a condition on an ID. An operator that is nil does not filter; several are joined by AND.
type IDFilter struct {
	Eq *typeid.ID
	In []typeid.ID
}

// TextFilter is a condition on a text, by its folded form.
type TextFilter struct {
	Eq         *string
	In         []string
	StartsWith *string
	Contains   *string
}

// DateTimeFilter is a condition on an instant.
type DateTimeFilter struct {
	Gt, Gte, Lt, Lte *time.Time
}

// A Condition is a part of WHERE on the rows of a selector's table; nil is no condition.
type Condition func(*sql.Selector) *sql.Predicate

// A Builder builds the condition of one filter and collects what is wrong with it.
type Builder struct {
	faults      rules.Faults
	path        []any
	depth, size int
}

// New starts the condition of the argument where.
func New() *Builder { return &Builder{path: []any{"where"}} }

// Filter is the condition for a statement. The error is rules.Faults.
func (b *Builder) Filter(c Condition) (statement.Filter, error) {
	if err := b.faults.Err(); err != nil || c == nil {
		return nil, err
	}
	return func(s *sql.Selector) { s.Where(c(s)) }, nil
}

func (b *Builder) invalid(message string, path ...any) {
	if len(b.faults) < 10 { // as many as a client ever sees
		b.faults.Add(&rules.Fault{Code: rules.Invalid, Message: message}, slices.Concat(b.path, path)...)
	}
}

// Object is the condition of one object of the filter, whose fields the function adds; below is where it stands.
func (b *Builder) Object(fields func() []Condition, below ...any) Condition {
	b.size++
	switch {
	case b.size == maxSize+1:
		b.invalid(fmt.Sprintf("must have at most %d objects in all", maxSize), below...)
		return nil
	case b.size > maxSize:
		return nil
	case b.depth > maxDepth:
		b.invalid(fmt.Sprintf("must be at most %d deep", maxDepth), below...)
		return nil
	}
	parent := b.path
	b.path, b.depth = slices.Concat(parent, below), b.depth+1
	conditions := fields()
	b.path, b.depth = parent, b.depth-1
	return all(conditions)
}

// All joins objects by AND: without any, everything matches.
func All[W any](name string, list []W, object func(w W, path ...any) Condition) Condition {
	var conditions []Condition
	for i, w := range list {
		conditions = append(conditions, object(w, name, i))
	}
	return all(conditions)
}

// Any joins objects by OR: an empty list matches nothing, nil is no condition.
func Any[W any](name string, list []W, object func(w W, path ...any) Condition) Condition {
	if list == nil {
		return nil
	}
	conditions := make([]Condition, len(list))
	for i, w := range list {
		if conditions[i] = object(w, name, i); conditions[i] == nil {
			conditions[i] = always(true)
		}
	}
	switch len(conditions) {
	case 0:
		return always(false)
	case 1: // an sql.Or of one loses the brackets of an sql.Or in it
		return conditions[0]
	}
	return func(s *sql.Selector) *sql.Predicate { return sql.Or(predicates(s, conditions)...) }
}

// Not is the opposite of a condition.
func Not(c Condition) Condition {
	if c == nil {
		return always(false)
	}
	return func(s *sql.Selector) *sql.Predicate { return sql.Not(c(s)) }
}

// ID is the condition on a column of IDs of one type.
func (b *Builder) ID(name, column, kind string, f *IDFilter) Condition {
	if f == nil {
		return nil
	}
	var list []Condition
	check := func(id typeid.ID, path ...any) {
		if id.Type() != kind {
			b.invalid(rules.MalformedID(kind).Message, path...)
		}
	}
	in := func(ids []typeid.ID) Condition {
		return func(s *sql.Selector) *sql.Predicate { return statement.In(s.C(column), ids) }
	}
	if f.Eq != nil {
		check(*f.Eq, name, "eq")
		list = append(list, in([]typeid.ID{*f.Eq}))
	}
	if f.In != nil {
		b.bounded(len(f.In), name)
		for i, id := range f.In[:min(len(f.In), maxIn)] {
			check(id, name, "in", i)
		}
		list = append(list, in(f.In))
	}
	return all(list)
}

// Text is the condition on a folded column.
func (b *Builder) Text(name, column string, fold func(string) string, f *TextFilter) Condition {
	if f == nil {
		return nil
	}
	var list []Condition
	// atLeast counts characters as they are compared: é is one, however it is written.
	atLeast := func(characters int, s string, path ...any) string {
		if utf8.RuneCountInString(s) > maxText || strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
			b.invalid(fmt.Sprintf("must be text of at most %d characters without NUL", maxText), path...)
			return ""
		}
		key := fold(s)
		if utf8.RuneCountInString(key) < characters {
			b.invalid(fmt.Sprintf("must have at least %d characters", characters), path...)
		}
		return key
	}
	folded := func(s string, path ...any) string { return atLeast(0, s, path...) }
	if f.Eq != nil {
		v := folded(*f.Eq, name, "eq")
		list = append(list, func(s *sql.Selector) *sql.Predicate { return sql.EQ(s.C(column), v) })
	}
	if f.In != nil {
		b.bounded(len(f.In), name)
		values := make([]string, min(len(f.In), maxIn))
		for i := range values {
			values[i] = folded(f.In[i], name, "in", i)
		}
		list = append(list, func(s *sql.Selector) *sql.Predicate { return statement.InTexts(s.C(column), values) })
	}
	if f.StartsWith != nil {
		list = append(list, startsWith(column, folded(*f.StartsWith, name, "startsWith")))
	}
	if f.Contains != nil {
		list = append(list, contains(column, atLeast(minContains, *f.Contains, name, "contains")))
	}
	return all(list)
}

// Time is the condition on a column of instants.
func (b *Builder) Time(name, column string, f *DateTimeFilter) Condition {
	if f == nil {
		return nil
	}
	var list []Condition
	add := func(operator string, v *time.Time, compare func(string, any) *sql.Predicate) {
		if v == nil {
			return
		}
		if v.Year() < 1000 || v.Year() > 9999 {
			b.invalid("must be from the year 1000 to 9999", name, operator)
		}
		list = append(list, func(s *sql.Selector) *sql.Predicate { return compare(s.C(column), v.UTC()) })
	}
	add("gt", f.Gt, sql.GT)
	add("gte", f.Gte, sql.GTE)
	add("lt", f.Lt, sql.LT)
	add("lte", f.Lte, sql.LTE)
	return all(list)
}

// Has is the condition that there is, or is not, a row of an edge: one of the table whose column has the entity's ID.
func (b *Builder) Has(table, column, id string, want *bool) Condition {
	if want == nil {
		return nil
	}
	exists := func(s *sql.Selector) *sql.Predicate {
		t := sql.Table(table).As("e")
		q := sql.Dialect(s.Dialect()).Select(t.C(column)).From(t)
		q.Where(sql.ColumnsEQ(t.C(column), s.C(id)))
		return sql.Exists(q)
	}
	if *want {
		return exists
	}
	return Not(exists)
}

func (b *Builder) bounded(n int, name string) {
	if n > maxIn {
		b.invalid(fmt.Sprintf("must have at most %d values", maxIn), name, "in")
	}
}

// startsWith is a range of the index: from the text to the first one after all that start with it.
func startsWith(column, prefix string) Condition {
	return func(s *sql.Selector) *sql.Predicate {
		from := sql.GTE(s.C(column), prefix)
		for end := []rune(prefix); len(end) > 0; end = end[:len(end)-1] {
			last := &end[len(end)-1]
			if *last == utf8.MaxRune {
				continue
			}
			if *last++; *last == 0xd800 { // the surrogates are no characters
				*last = 0xe000
			}
			return sql.And(from, sql.LT(s.C(column), string(end)))
		}
		return from
	}
}

// contains reads every row; on PostgreSQL a trigram index serves it, if there is one.
func contains(column, text string) Condition {
	return func(s *sql.Selector) *sql.Predicate {
		return sql.P(func(b *sql.Builder) {
			if b.Dialect() == dialect.Postgres {
				escaped := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
				b.Ident(s.C(column)).WriteString(" LIKE ").Arg("%" + escaped + "%")
				return
			}
			b.WriteString("instr(").Ident(s.C(column)).WriteString(", ").Arg(text).WriteString(") > 0")
		})
	}
}

// Key is equal for equal filters.
func Key(where any) string {
	b, err := json.Marshal(where)
	if err != nil {
		panic(fmt.Sprintf("filter: a filter does not marshal: %v", err)) // texts, times and IDs always do
	}
	return string(b)
}

// always is a condition that needs no row.
func always(v bool) Condition {
	return func(*sql.Selector) *sql.Predicate {
		return sql.P(func(b *sql.Builder) {
			if v {
				b.WriteString("1 = 1")
			} else {
				b.WriteString("1 = 0")
			}
		})
	}
}

// all joins conditions by AND; nil when there is none.
func all(conditions []Condition) Condition {
	conditions = slices.DeleteFunc(conditions, func(c Condition) bool { return c == nil })
	switch len(conditions) {
	case 0:
		return nil
	case 1:
		return conditions[0]
	}
	return func(s *sql.Selector) *sql.Predicate { return sql.And(predicates(s, conditions)...) }
}

func predicates(s *sql.Selector, conditions []Condition) []*sql.Predicate {
	list := make([]*sql.Predicate, len(conditions))
	for i, c := range conditions {
		list[i] = c(s)
	}
	return list
}
