// Package statement builds the SELECTs that Roster reads with: columns, filter, order, keyset, parents and limit
// become one statement in the dialect of each engine; and the INSERTs and UPDATEs of many rows at once. It knows ent's SQL
// builder, but neither ent's query types nor GraphQL, and it runs nothing.
package statement

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"

	"roster/internal/typeid"
)

// A Table is what the builder knows of an entity. Tables are generated from the ent schema and never change.
type Table struct {
	Type    string // the entity's type in IDs, such as "user"
	GraphQL string // its type in the GraphQL schema, such as "User"
	Name    string // the table
	ID      string // the column of the ID
	Columns []Column
	// Fields maps the names of GraphQL fields to the column that each needs; an edge that needs none but the ID
	// has an empty one.
	Fields map[string]string
}

// A Column is one column of a table. There are at most 64.
type Column struct {
	Name   string
	Kind   Kind
	Unique bool // no two rows have the same value
	Size   int  // the most characters of a text, or more; 0: any number
}

// A Kind is the Go type of a column's values.
type Kind int

// The kinds: typeid.ID, string, time.Time and int.
const (
	ID Kind = iota
	Text
	Time
	Int
)

// Column returns the named column and its index; the table has it.
func (t *Table) Column(name string) (Column, int) {
	i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
	return t.Columns[i], i
}

// Names returns the names of all columns.
func (t *Table) Names() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// An Order sorts by one column. Columns used so are never NULL.
type Order struct {
	Column string
	Desc   bool
}

// A Filter adds a condition on the rows of the table of the selector.
type Filter func(*sql.Selector)

// Parents asks for the rows that belong to each of some parents, every one with an own limit.
type Parents struct {
	IDs []typeid.ID
	// Column holds the parent's ID: in the table itself, or in the table Join of a many-to-many edge.
	Column string
	Join   string
	Child  string // the column of Join that holds the ID of the row
}

// ParentColumn is the name of the first column of a statement with Parents.
const ParentColumn = "parent_id"

// A Select is one statement. The zero values of its parts ask for nothing.
type Select struct {
	Table   *Table
	Columns []string // in this order; the parent's ID comes before them when there are Parents
	IDs     []typeid.ID
	Filter  Filter
	Order   []Order // total: the ID is its last column
	After   []any   // the values of Order's columns after which the rows start
	Before  []any   // the values before which they end
	Limit   int     // 0: all
	Parents *Parents
	Count   bool // the number of rows instead of the rows; with Parents, of each parent that has any
	Lock    bool // for update, in the order of the IDs
	Share   bool // with Lock: against changes alone, together with others who lock so
}

// Bounds of one statement on MySQL: how many parents it takes, where each is an arm of a UNION ALL, and how many
// arguments.
const (
	maxArms      = 1024
	maxArguments = 65_535
)

// Parts is the statements that together are the Select: itself, but for a page for each of more parents than MySQL
// takes in one statement.
func (s *Select) Parts(d string) iter.Seq[*Select] {
	return func(yield func(*Select) bool) {
		if d != dialect.MySQL || s.Parents == nil || s.Limit == 0 || len(s.Parents.IDs) <= maxArms {
			yield(s)
			return
		}
		for ids := range slices.Chunk(s.Parents.IDs, maxArms) {
			part, parents := *s, *s.Parents
			parents.IDs = ids
			part.Parents = &parents
			if !yield(&part) {
				return
			}
		}
	}
}

// alias of the table, of the parents' keys and of the limited rows.
const (
	rowAlias  = "t"
	keyAlias  = "k"
	pageAlias = "p"
	joinAlias = "j"

	rankColumn = "rank_in_parent"
)

// Build returns the text and the arguments of the statement.
func (s *Select) Build(d string) (query string, args []any, err error) {
	b := &sql.Builder{}
	b.SetDialect(d)
	switch p := s.Parents; {
	case p == nil:
		b.Join(s.flat(d))
	case s.Count:
		b.Join(s.grouped(d))
	case s.Limit == 0 || len(p.IDs) == 1 && d != dialect.SQLite:
		b.Join(s.children(d))
	case d == dialect.Postgres:
		s.lateral(b, d)
	case d == dialect.SQLite: // whose planner needs to be told for one parent too
		s.correlated(b, d)
	case s.overflows(d):
		s.ranked(b, d)
	default:
		s.union(b, d)
	}
	query, args = b.Query()
	return query, args, b.Err()
}

// flat selects from the table alone.
func (s *Select) flat(d string) *sql.Selector {
	t := sql.Table(s.Table.Name).As(rowAlias)
	q := sql.Dialect(d).Select().From(t)
	if s.IDs != nil {
		q.Where(In(t.C(s.Table.ID), s.IDs))
	}
	s.restrict(q)
	if s.Count {
		return q.Select(sql.Count("*"))
	}
	q.Select(t.Columns(s.Columns...)...)
	s.sort(q)
	if s.Lock {
		q.OrderBy(t.C(s.Table.ID))
		switch {
		case d == dialect.SQLite: // whose writers are alone
		case s.Share && d == dialect.MySQL: // MariaDB knows no FOR SHARE
			q.For(sql.LockShare, sql.WithLockClause("LOCK IN SHARE MODE"))
		case s.Share:
			q.ForShare()
		default:
			q.ForUpdate()
		}
	}
	return q
}

// of starts a selection of the rows that belong to parents: the columns of the table, and that of the parent's ID.
func (s *Select) of(d string) (q *sql.Selector, t *sql.SelectTable, parent string) {
	t = sql.Table(s.Table.Name).As(rowAlias)
	q = sql.Dialect(d).Select().From(t)
	if s.Parents.Join == "" {
		return q, t, t.C(s.Parents.Column)
	}
	j := sql.Table(s.Parents.Join).As(joinAlias)
	q.Join(j).On(t.C(s.Table.ID), j.C(s.Parents.Child))
	return q, t, j.C(s.Parents.Column)
}

// column is a column as order and keyset name it. The ID is read from the table of a many-to-many edge, which has it in
// an index with the parent's ID, so that a page in the order of the IDs reads no other rows. Not every planner sees that.
func (s *Select) column(q *sql.Selector, name string) string {
	if p := s.Parents; p != nil && p.Join != "" && name == s.Table.ID {
		return sql.Dialect(q.Dialect()).Table(p.Join).As(joinAlias).C(p.Child)
	}
	return q.C(name)
}

// grouped counts the rows of each parent: those of a many-to-many edge's table, unless there is a filter.
func (s *Select) grouped(d string) *sql.Selector {
	q, _, parent := s.of(d)
	if s.Parents.Join != "" && s.Filter == nil {
		j := sql.Table(s.Parents.Join).As(joinAlias)
		q = sql.Dialect(d).Select().From(j)
		parent = j.C(s.Parents.Column)
	}
	q.Where(In(parent, s.Parents.IDs))
	s.restrict(q)
	return q.Select(sql.As(parent, ParentColumn), sql.Count("*")).GroupBy(parent)
}

// children selects all rows of the parents, or a page of the rows of one parent.
func (s *Select) children(d string) *sql.Selector {
	q, t, parent := s.of(d)
	q.Where(In(parent, s.Parents.IDs))
	s.restrict(q)
	q.Select(append([]string{sql.As(parent, ParentColumn)}, t.Columns(s.Columns...)...)...)
	s.sort(q)
	return q
}

// lateral reads a page per parent by an index, on PostgreSQL.
func (s *Select) lateral(b *sql.Builder, d string) {
	q, t, parent := s.of(d)
	key := func(b *sql.Builder) { b.Ident(keyAlias).WriteByte('.').Ident("id") }
	if s.ordered() {
		q.Where(sql.P(func(b *sql.Builder) {
			b.Ident(parent).WriteString(" BETWEEN ")
			key(b)
			b.WriteString(" AND ")
			key(b)
		}))
		if s.Order[0].Desc {
			q.OrderBy(sql.Desc(parent))
		} else {
			q.OrderBy(parent)
		}
	} else {
		q.Where(equal(parent, key))
	}
	s.restrict(q)
	q.Select(t.Columns(s.Columns...)...)
	s.sort(q)
	b.WriteString("SELECT ")
	s.outer(b, func() { key(b) })
	b.WriteString(" FROM unnest(").Arg(array(s.Parents.IDs)).WriteString("::uuid[]) AS ")
	b.Ident(keyAlias).WriteString("(").Ident("id").WriteString(") CROSS JOIN LATERAL ")
	b.Wrap(func(b *sql.Builder) { b.Join(q) })
	b.WriteString(" AS ").Ident(pageAlias)
	s.outerOrder(b, pageAlias)
}

// ordered reports whether an index of the parent and the order may give the page of a parent row by row. PostgreSQL takes
// each parent to have the average number of children, and where these are few, it would rather read and sort all that
// there are: it is not told, then, that the children are those of one parent.
func (s *Select) ordered() bool {
	return s.Filter == nil && s.After == nil && s.Before == nil && !s.mixed() &&
		(s.Parents.Join == "" || s.Order[0].Column == s.Table.ID)
}

// mixed reports whether the order has both directions.
func (s *Select) mixed() bool {
	return slices.ContainsFunc(s.Order, func(o Order) bool { return o.Desc != s.Order[0].Desc })
}

// correlated reads a page per parent by an index, on SQLite.
func (s *Select) correlated(b *sql.Builder, d string) {
	key := func(b *sql.Builder) {
		b.WriteString("unhex(").Ident(keyAlias).WriteString(".").Ident("value").WriteString(")")
	}
	q, t, parent := s.of(d)
	q.Where(equal(parent, key))
	s.restrict(q)
	q.Select(t.C(s.Table.ID))
	s.sort(q)
	b.WriteString("SELECT ")
	s.outer(b, func() { key(b) })
	b.WriteString(" FROM json_each(").Arg(hexArray(s.Parents.IDs)).WriteString(") AS ").Ident(keyAlias)
	b.WriteString(" CROSS JOIN ").Ident(s.Table.Name).WriteString(" AS ").Ident(pageAlias)
	b.WriteString(" ON ").Ident(pageAlias).WriteByte('.').Ident(s.Table.ID).WriteString(" IN ")
	b.Wrap(func(b *sql.Builder) { b.Join(q) })
	s.outerOrder(b, pageAlias)
}

// union reads a page per parent by an index, on MySQL and MariaDB: MariaDB has no LATERAL.
func (s *Select) union(b *sql.Builder, d string) {
	for i := range s.arms() {
		var key typeid.ID // an argument too: NULL would be a part of the text
		if i < len(s.Parents.IDs) {
			key = s.Parents.IDs[i]
		}
		if i > 0 {
			b.WriteString(" UNION ALL ")
		}
		b.Wrap(func(b *sql.Builder) { b.Join(s.arm(d, key)) })
	}
	s.outerOrder(b, "")
}

// arms is how many parts a union has: one text for each number of parents would flood the statement cache, so there
// are a few sizes, filled up with the ID that nothing has.
func (s *Select) arms() int {
	arms := 1
	for arms < len(s.Parents.IDs) {
		arms *= 4
	}
	return arms
}

// arm reads a page of one parent.
func (s *Select) arm(d string, key typeid.ID) *sql.Selector {
	q, t, parent := s.of(d)
	q.Where(equal(parent, func(b *sql.Builder) { b.Arg(key) }))
	s.restrict(q)
	q.Select(append([]string{sql.As(parent, ParentColumn)}, t.Columns(s.Columns...)...)...)
	s.sort(q)
	return q
}

// overflows reports whether a union would have more arguments than MySQL takes: each arm repeats those of the filter,
// which may have lists of a thousand values.
func (s *Select) overflows(d string) bool {
	_, args := s.arm(d, typeid.ID{}).Query()
	return s.arms()*len(args) > maxArguments
}

// ranked reads a page per parent from all rows of the parents that match, on MySQL and MariaDB, where the filter is
// too long for a union.
func (s *Select) ranked(b *sql.Builder, d string) {
	q, t, parent := s.of(d)
	q.Where(In(parent, s.Parents.IDs))
	s.restrict(q)
	q.Select(append([]string{sql.As(parent, ParentColumn)}, t.Columns(s.Columns...)...)...)
	rank := sql.RowNumber().PartitionBy(parent)
	for _, o := range s.Order {
		if o.Desc {
			rank.OrderBy(sql.Desc(s.column(q, o.Column)))
		} else {
			rank.OrderBy(s.column(q, o.Column))
		}
	}
	q.AppendSelectExprAs(rank, rankColumn)
	b.WriteString("SELECT ")
	s.outer(b, func() { b.Ident(pageAlias).WriteByte('.').Ident(ParentColumn) })
	b.WriteString(" FROM ").Wrap(func(b *sql.Builder) { b.Join(q) }).WriteString(" AS ").Ident(pageAlias)
	b.WriteString(" WHERE ").Ident(pageAlias).WriteByte('.').Ident(rankColumn).WriteString(" <= ").WriteString(strconv.Itoa(s.Limit))
	s.outerOrder(b, pageAlias)
}

// outer writes the columns of a selection from limited rows.
func (s *Select) outer(b *sql.Builder, parent func()) {
	parent()
	b.WriteString(" AS ").Ident(ParentColumn)
	for _, c := range s.Columns {
		b.Comma().Ident(pageAlias).WriteByte('.').Ident(c)
	}
}

// outerOrder sorts the rows of all parents, so that those of each are in order.
func (s *Select) outerOrder(b *sql.Builder, alias string) {
	for i, o := range s.Order {
		if i == 0 {
			b.WriteString(" ORDER BY ")
		} else {
			b.Comma()
		}
		if alias != "" {
			b.Ident(alias).WriteByte('.')
		}
		b.Ident(o.Column)
		if o.Desc {
			b.WriteString(" DESC")
		}
	}
}

// restrict adds filter and keyset.
func (s *Select) restrict(q *sql.Selector) {
	if s.Filter != nil {
		s.Filter(q)
	}
	if s.After != nil {
		q.Where(s.beyond(q, s.After, false))
	}
	if s.Before != nil {
		q.Where(s.beyond(q, s.Before, true))
	}
}

// sort adds order and limit.
func (s *Select) sort(q *sql.Selector) {
	for _, o := range s.Order {
		if o.Desc {
			q.OrderBy(sql.Desc(s.column(q, o.Column)))
		} else {
			q.OrderBy(s.column(q, o.Column))
		}
	}
	if s.Limit > 0 {
		q.Limit(s.Limit)
	}
}

// beyond is the condition that a row comes after (or before) the one with the given values of the order's columns:
// (a, b) > (x, y) where the engine reads an index by that, and else a > x, or a = x and b > y, and so on. There, a
// condition on the first column alone comes first, for the index.
func (s *Select) beyond(q *sql.Selector, values []any, before bool) *sql.Predicate {
	if q.Dialect() != dialect.MySQL && len(s.Order) > 1 && !s.mixed() {
		columns := make([]string, len(s.Order))
		for i, o := range s.Order {
			columns[i] = s.column(q, o.Column)
		}
		if s.Order[0].Desc != before {
			return sql.CompositeLT(columns, values...)
		}
		return sql.CompositeGT(columns, values...)
	}
	var arms []*sql.Predicate
	for i, o := range s.Order {
		var arm []*sql.Predicate
		for j, tie := range s.Order[:i] {
			arm = append(arm, sql.EQ(s.column(q, tie.Column), values[j]))
		}
		if o.Desc != before {
			arm = append(arm, sql.LT(s.column(q, o.Column), values[i]))
		} else {
			arm = append(arm, sql.GT(s.column(q, o.Column), values[i]))
		}
		arms = append(arms, sql.And(arm...))
	}
	if len(arms) == 1 {
		return arms[0]
	}
	first := s.column(q, s.Order[0].Column)
	bound := sql.GTE(first, values[0])
	if s.Order[0].Desc != before {
		bound = sql.LTE(first, values[0])
	}
	return sql.And(bound, sql.Or(arms...))
}

// equal compares a column with what the function writes.
func equal(column string, value func(*sql.Builder)) *sql.Predicate {
	return sql.P(func(b *sql.Builder) {
		b.Ident(column).WriteString(" = ")
		value(b)
	})
}

// In is the condition that a column holds one of the IDs, in a text that does not depend on their number where the
// engine can, and else on few numbers.
func In(column string, ids []typeid.ID) *sql.Predicate {
	return sql.P(func(b *sql.Builder) {
		if len(ids) == 0 { // not IN (NULL), whose opposite is NULL too
			b.WriteString("1 = 0")
			return
		}
		b.Ident(column)
		switch {
		case len(ids) == 1:
			b.WriteString(" = ").Arg(ids[0])
		case b.Dialect() == dialect.Postgres:
			b.WriteString(" = ANY(").Arg(array(ids)).WriteString("::uuid[])")
		case b.Dialect() == dialect.SQLite:
			b.WriteString(" IN (SELECT unhex(value) FROM json_each(").Arg(hexArray(ids)).WriteString("))")
		default:
			padded(b, len(ids), func(i int) any { return ids[i] })
		}
	})
}

// InTexts is the condition that a column holds one of the texts, as In is for IDs.
func InTexts(column string, values []string) *sql.Predicate {
	return sql.P(func(b *sql.Builder) {
		if len(values) == 0 {
			b.WriteString("1 = 0")
			return
		}
		b.Ident(column)
		switch {
		case b.Dialect() == dialect.SQLite:
			b.WriteString(" IN (SELECT value FROM json_each(").Arg(jsonArray(values)).WriteString("))")
		case b.Dialect() == dialect.Postgres:
			// The texts of a JSON array, since the text form of an array of texts has rules of its own.
			b.WriteString(" = ANY(ARRAY(SELECT jsonb_array_elements_text(").Arg(jsonArray(values)).WriteString("::jsonb)))")
		default:
			padded(b, len(values), func(i int) any { return values[i] })
		}
	})
}

// padded writes a list whose length is a power of two, repeating its last value, so that lists of most lengths share
// a text.
func padded(b *sql.Builder, n int, value func(int) any) {
	size := 1
	for size < n {
		size *= 2
	}
	b.WriteString(" IN (")
	for i := range size {
		if i > 0 {
			b.Comma()
		}
		b.Arg(value(min(i, n-1)))
	}
	b.WriteString(")")
}

// array is a list of IDs as PostgreSQL's text form of an array: one argument, whatever its length.
func array(ids []typeid.ID) string {
	var b strings.Builder
	b.Grow(2 + 37*len(ids))
	b.WriteByte('{')
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(id.UUID().String())
	}
	b.WriteByte('}')
	return b.String()
}

// hexArray is a list of IDs as a JSON array of hexadecimal digits, which SQLite's json_each and unhex take apart.
func hexArray(ids []typeid.ID) string {
	list := make([]string, len(ids))
	for i, id := range ids {
		u := id.UUID()
		list[i] = hex.EncodeToString(u[:])
	}
	return jsonArray(list)
}

func jsonArray(list []string) string {
	if list == nil {
		return "[]"
	}
	b, err := json.Marshal(list)
	if err != nil {
		panic(fmt.Sprintf("statement: strings do not marshal: %v", err)) // they always do
	}
	return string(b)
}

// With returns the columns with those that the order needs added, each once.
func With(columns []string, order []Order) []string {
	out := slices.Clone(columns)
	for _, o := range order {
		if !slices.Contains(out, o.Column) {
			out = append(out, o.Column)
		}
	}
	return out
}
