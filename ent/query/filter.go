package query

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"entgo.io/ent/dialect/sql"

	"roster/ent/rules"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// Bounds of one filter.
const (
	maxDepth    = 10   // levels of and, or and not
	maxSize     = 200  // objects
	maxIn       = 1000 // values of one list
	maxText     = 1000 // characters of a text
	minContains = 2    // characters: Chinese and Japanese names can be so short; one character matches nearly all rows
)

// IDFilter is a condition on an ID. AND joins its operators; a nil operator is ignored.
type IDFilter struct {
	Eq *typeid.ID
	In []typeid.ID
}

// TextFilter is a condition on a text. It compares folded forms.
type TextFilter struct {
	Eq         *string
	In         []string
	StartsWith *string
	Contains   *string
}

// DateTimeFilter is a condition on a time.
type DateTimeFilter struct {
	Gt, Gte, Lt, Lte *time.Time
}

// A Condition returns a part of WHERE for the table of a selection. A nil Condition matches every row.
type Condition func(*sql.Selector) *sql.Predicate

// A Where is a filter of the rows of one table: conditions on fields, and other filters of the same type.
type Where[W any] interface {
	// Conditions returns the conditions on the fields, in the order of the fields.
	Conditions(f *FilterBuilder) []Condition
	// Logic returns nested filters: all of and must match, one of or must match, not must not match.
	Logic() (and, or []W, not *W)
}

// A FilterBuilder builds the condition of one argument and collects its faults.
type FilterBuilder struct {
	kind        string // the type of the rows in GraphQL
	caller      rules.Caller
	forbidden   error // the caller may not read a field of the filter
	faults      rules.Faults
	path        []any
	depth, size int
}

// newFilter returns the filter of the argument where and its faults. The filter is nil if it has no condition. kind is the
// type of the rows in GraphQL. The error is a *rules.ForbiddenError if the caller in ctx may read rows of the type, but not a
// field of the filter.
func newFilter[W Where[W]](ctx context.Context, kind string, where W) (statement.Filter, rules.Faults, error) {
	f := &FilterBuilder{kind: kind, caller: rules.CallerFrom(ctx), path: []any{"where"}}
	condition := object(f, where)
	if condition == nil || f.forbidden != nil {
		return nil, f.faults, f.forbidden
	}
	return func(s *sql.Selector) { s.Where(condition(s)) }, f.faults, nil
}

// permit refuses the filter if the caller may read fewer rows of a field than of the type: the rows that match would tell
// the others.
func (f *FilterBuilder) permit(name string) {
	field := f.kind + "." + name
	if rules.Reach(f.caller, rules.Read, field) < rules.Reach(f.caller, rules.Read, f.kind) {
		f.forbid(field)
	}
}

func (f *FilterBuilder) forbid(kind string) {
	if f.forbidden == nil {
		f.forbidden = &rules.ForbiddenError{Action: rules.Read, Type: kind, Nobody: f.caller.Nobody()}
	}
}

func (f *FilterBuilder) invalid(message string, path ...any) {
	if len(f.faults) < 10 { // a response has at most so many
		f.faults.Add(&rules.Fault{Code: rules.Invalid, Message: message}, slices.Concat(f.path, path)...)
	}
}

// object returns the condition of one object of the filter. below is its path within the object that contains it.
func object[W Where[W]](f *FilterBuilder, where W, below ...any) Condition {
	f.size++
	switch {
	case f.size == maxSize+1:
		f.invalid(fmt.Sprintf("must have at most %d objects in all", maxSize), below...)
		return nil
	case f.size > maxSize:
		return nil
	case f.depth > maxDepth:
		f.invalid(fmt.Sprintf("must be at most %d deep", maxDepth), below...)
		return nil
	}
	parent := f.path
	f.path, f.depth = slices.Concat(parent, below), f.depth+1
	and, or, not := where.Logic()
	conditions := append(where.Conditions(f), allOf(f, and), anyOf(f, or))
	if not != nil {
		conditions = append(conditions, negation(object(f, *not, "not")))
	}
	f.path, f.depth = parent, f.depth-1
	return all(conditions)
}

// allOf joins objects by AND. An empty list matches every row.
func allOf[W Where[W]](f *FilterBuilder, list []W) Condition {
	var conditions []Condition
	for i, w := range list {
		conditions = append(conditions, object(f, w, "and", i))
	}
	return all(conditions)
}

// anyOf joins objects by OR. An empty list matches no row; nil matches every row.
func anyOf[W Where[W]](f *FilterBuilder, list []W) Condition {
	if list == nil {
		return nil
	}
	conditions := make([]Condition, len(list))
	for i, w := range list {
		if conditions[i] = object(f, w, "or", i); conditions[i] == nil {
			conditions[i] = constant("1 = 1")
		}
	}
	switch len(conditions) {
	case 0:
		return constant("1 = 0")
	case 1: // sql.Or with one predicate drops the parentheses of a nested sql.Or
		return conditions[0]
	}
	return func(s *sql.Selector) *sql.Predicate { return sql.Or(predicates(s, conditions)...) }
}

// negation returns the opposite of a condition.
func negation(c Condition) Condition {
	if c == nil {
		return constant("1 = 0")
	}
	return func(s *sql.Selector) *sql.Predicate { return sql.Not(c(s)) }
}

// ID returns the condition on a column of IDs of one type.
func (f *FilterBuilder) ID(name, column, kind string, where *IDFilter) Condition {
	if where == nil {
		return nil
	}
	f.permit(name)
	var list []Condition
	check := func(id typeid.ID, path ...any) {
		if id.Type() != kind {
			f.invalid(rules.MalformedID(kind).Message, path...)
		}
	}
	in := func(ids []typeid.ID) Condition {
		return func(s *sql.Selector) *sql.Predicate { return statement.In(s.C(column), ids) }
	}
	if where.Eq != nil {
		check(*where.Eq, name, "eq")
		list = append(list, in([]typeid.ID{*where.Eq}))
	}
	if where.In != nil {
		f.bounded(len(where.In), name)
		for i, id := range where.In[:min(len(where.In), maxIn)] {
			check(id, name, "in", i)
		}
		list = append(list, in(where.In))
	}
	return all(list)
}

// Text returns the condition on a folded column.
func (f *FilterBuilder) Text(name, column string, fold func(string) string, where *TextFilter) Condition {
	if where == nil {
		return nil
	}
	f.permit(name)
	var list []Condition
	// atLeast counts the characters of the folded text: é is one character, composed or decomposed.
	atLeast := func(characters int, s string, path ...any) string {
		if utf8.RuneCountInString(s) > maxText || strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
			f.invalid(fmt.Sprintf("must be text of at most %d characters without NUL", maxText), path...)
			return ""
		}
		key := fold(s)
		if utf8.RuneCountInString(key) < characters {
			f.invalid(fmt.Sprintf("must have at least %d characters", characters), path...)
		}
		return key
	}
	folded := func(s string, path ...any) string { return atLeast(0, s, path...) }
	if where.Eq != nil {
		v := folded(*where.Eq, name, "eq")
		list = append(list, func(s *sql.Selector) *sql.Predicate { return sql.EQ(s.C(column), v) })
	}
	if where.In != nil {
		f.bounded(len(where.In), name)
		values := make([]string, min(len(where.In), maxIn))
		for i := range values {
			values[i] = folded(where.In[i], name, "in", i)
		}
		list = append(list, func(s *sql.Selector) *sql.Predicate { return statement.In(s.C(column), values) })
	}
	if where.StartsWith != nil {
		list = append(list, startsWith(column, folded(*where.StartsWith, name, "startsWith")))
	}
	if where.Contains != nil {
		text := atLeast(minContains, *where.Contains, name, "contains")
		list = append(list, func(s *sql.Selector) *sql.Predicate { return statement.Contains(s.C(column), text) })
	}
	return all(list)
}

// Time returns the condition on a column of times.
func (f *FilterBuilder) Time(name, column string, where *DateTimeFilter) Condition {
	if where == nil {
		return nil
	}
	f.permit(name)
	var list []Condition
	add := func(operator string, v *time.Time, compare func(string, any) *sql.Predicate) {
		if v == nil {
			return
		}
		if !rules.Storable(*v) {
			f.invalid(fmt.Sprintf("must be from the year %d to %d", rules.FirstYear, rules.LastYear), name, operator)
		}
		list = append(list, func(s *sql.Selector) *sql.Predicate { return compare(s.C(column), v.UTC()) })
	}
	add("gt", where.Gt, sql.GT)
	add("gte", where.Gte, sql.GTE)
	add("lt", where.Lt, sql.LT)
	add("lte", where.Lte, sql.LTE)
	return all(list)
}

// NullableTime is Time for a column that may be NULL. NULL does not match, so it matches the negation.
func (f *FilterBuilder) NullableTime(name, column string, where *DateTimeFilter) Condition {
	condition := f.Time(name, column, where)
	if condition == nil {
		return nil
	}
	return all([]Condition{f.Present(name, column, new(true)), condition})
}

// Equal returns the condition that a column holds a text, byte for byte.
func (f *FilterBuilder) Equal(name, column string, want *string) Condition {
	if want == nil {
		return nil
	}
	f.permit(name)
	return func(s *sql.Selector) *sql.Predicate { return sql.EQ(s.C(column), *want) }
}

// Present returns the condition that a column has a value or, if want is false, has none.
func (f *FilterBuilder) Present(name, column string, want *bool) Condition {
	if want == nil {
		return nil
	}
	f.permit(name)
	if *want {
		return func(s *sql.Selector) *sql.Predicate { return sql.NotNull(s.C(column)) }
	}
	return func(s *sql.Selector) *sql.Predicate { return sql.IsNull(s.C(column)) }
}

// Has returns the condition that an edge leads to a row or, if want is false, to none. Such a row is in table and has
// the entity's ID in column. The caller must be allowed to read all rows of the type kind, to which the edge leads.
func (f *FilterBuilder) Has(kind, table, column, id string, want *bool) Condition {
	if want == nil {
		return nil
	}
	if rules.Reach(f.caller, rules.Read, kind) != rules.Everything {
		f.forbid(kind)
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
	return negation(exists)
}

func (f *FilterBuilder) bounded(n int, name string) {
	if n > maxIn {
		f.invalid(fmt.Sprintf("must have at most %d values", maxIn), name, "in")
	}
}

// startsWith returns a condition that an index can read as a range: from the prefix to the first text after all texts
// that start with it.
func startsWith(column, prefix string) Condition {
	return func(s *sql.Selector) *sql.Predicate {
		from := sql.GTE(s.C(column), prefix)
		for end := []rune(prefix); len(end) > 0; end = end[:len(end)-1] {
			last := &end[len(end)-1]
			if *last == utf8.MaxRune {
				continue
			}
			if *last++; *last == 0xd800 { // skip the surrogates, which are not characters
				*last = 0xe000
			}
			return sql.And(from, sql.LT(s.C(column), string(end)))
		}
		return from
	}
}

// filterKey returns a text that is equal for equal filters.
func filterKey(where any) string {
	b, err := json.Marshal(where)
	if err != nil {
		panic(fmt.Sprintf("query: a filter does not marshal: %v", err)) // texts, times and IDs always do
	}
	return string(b)
}

// constant returns a condition that does not depend on the row.
func constant(text string) Condition {
	return func(*sql.Selector) *sql.Predicate { return sql.ExprP(text) }
}

// all joins conditions by AND. It returns nil if no condition is left.
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
