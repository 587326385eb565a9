package statement

import (
	"iter"
	"slices"

	"entgo.io/ent/dialect/sql"

	"roster/internal/typeid"
)

// An Order sorts by one column. The column must not be nullable.
type Order struct {
	Column string
	Desc   bool
}

// A Filter adds a condition to a selection.
type Filter func(*sql.Selector)

// Parents selects the rows of some parents. The limit of the Select holds for each parent.
type Parents struct {
	IDs []typeid.ID
	// Column holds the parent's ID. It is in the table itself or, for a many-to-many edge, in the table Join.
	Column string
	Join   string
	Child  string // the column of Join that holds the ID of the row
}

// ParentColumn is the name of the first column of a statement with Parents.
const ParentColumn = "parent_id"

// A Select is one statement. A field with its zero value has no effect.
type Select struct {
	Table   *Table
	Columns []string // in this order; with Parents, the parent's ID precedes them
	IDs     []typeid.ID
	Among   *Among // without Parents
	Filter  Filter
	Order   []Order // total: the ID is its last column
	After   []any   // exclusive start: values of Order's columns
	Before  []any   // exclusive end: values of Order's columns
	Limit   int     // 0: all
	Parents *Parents
	// Count selects the number of rows instead of the rows; with Parents, for each parent that has rows. The number of all
	// rows of a table comes from the counts of the change feed.
	Count bool
	Lock  bool // lock the rows for update, in the order of the IDs
	Share bool // with Lock: only prevent changes; other transactions may share the lock
	// Texts keeps the text of the statement for others with the same table, columns and column of the parents.
	Texts *Texts
}

// Among selects the rows that have one of the texts in a column.
type Among struct {
	Column string
	Texts  []string
}

// Parts divides the Select into statements. There is more than one only for pages of more parents than the engine takes
// in one statement.
func (s *Select) Parts(d string) iter.Seq[*Select] {
	return func(yield func(*Select) bool) {
		most := Of(d).maxParents()
		if most == 0 || s.Parents == nil || s.Limit == 0 || len(s.Parents.IDs) <= most {
			yield(s)
			return
		}
		for ids := range slices.Chunk(s.Parents.IDs, most) {
			part, parents := *s, *s.Parents
			parents.IDs = ids
			part.Parents = &parents
			if !yield(&part) {
				return
			}
		}
	}
}

// Aliases of the table, of the parents' keys, of the rows of a page, and of the table of a many-to-many edge.
const (
	rowAlias  = "t"
	keyAlias  = "k"
	pageAlias = "p"
	joinAlias = "j"

	rankColumn = "rank_in_parent"
)

// Build returns the text and the arguments of the statement.
func (s *Select) Build(d string) (query string, args []any, err error) {
	if s.Texts == nil {
		return s.build(d)
	}
	f, ok := s.form(d)
	if !ok {
		return s.build(d)
	}
	if query, ok = s.Texts.get(f); ok {
		args, err = s.args(d)
		return query, args, err
	}
	if query, args, err = s.build(d); err == nil {
		s.Texts.add(f, query)
	}
	return query, args, err
}

// build is Build without Texts.
func (s *Select) build(d string) (query string, args []any, err error) {
	b := &sql.Builder{}
	b.SetDialect(d)
	switch {
	case s.countsAll():
		s.kept(b)
	case s.Parents == nil:
		b.Join(s.flat(d))
	case s.Count:
		b.Join(s.grouped(d))
	case s.Limit == 0:
		b.Join(s.children(d, s.Parents.among))
	default:
		Of(d).pages(b, s)
	}
	if s.Filter != nil {
		Of(d).filtered(b)
	}
	query, args = b.Query()
	return query, args, b.Err()
}

// flat selects rows without parents.
func (s *Select) flat(d string) *sql.Selector {
	t := sql.Table(s.Table.Name).As(rowAlias)
	q := sql.Dialect(d).Select().From(t)
	if s.IDs != nil {
		q.Where(In(t.C(s.Table.ID), s.IDs))
	}
	if s.Among != nil {
		q.Where(In(t.C(s.Among.Column), s.Among.Texts))
	}
	s.restrict(q)
	if s.Count {
		return q.Select(sql.Count("*"))
	}
	q.Select(t.Columns(s.Columns...)...)
	s.sort(q)
	if s.Lock {
		q.OrderBy(t.C(s.Table.ID))
		Of(d).Lock(q, s.Share)
	}
	return q
}

// of starts a selection of the rows of parents. It returns the selection, its table, and the column of the parent's ID.
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

// column returns the column for an order or a keyset. For a many-to-many edge, the ID is that in the table of the edge.
// This table has an index of the parent's ID and this ID, so a page in the order of the IDs reads no other rows. Not
// every planner finds that by itself.
func (s *Select) column(q *sql.Selector, name string) string {
	if p := s.Parents; p != nil && p.Join != "" && name == s.Table.ID {
		return sql.Dialect(q.Dialect()).Table(p.Join).As(joinAlias).C(p.Child)
	}
	return q.C(name)
}

// grouped counts the rows of each parent. For a many-to-many edge without a filter, it counts the rows of the edge's
// table.
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

// children selects all rows of parents, or a page of the rows of one parent.
func (s *Select) children(d string, parents func(column string) *sql.Predicate) *sql.Selector {
	q, _ := s.unsorted(d, parents)
	if s.Limit > 0 {
		Of(d).sorting(q, s)
	}
	s.sort(q)
	return q
}

// unsorted selects all rows of parents. parents returns the condition on the column of the parent's ID.
func (s *Select) unsorted(d string, parents func(column string) *sql.Predicate) (q *sql.Selector, parent string) {
	q, t, parent := s.of(d)
	q.Where(parents(parent))
	s.restrict(q)
	return q.Select(append([]string{sql.As(parent, ParentColumn)}, t.Columns(s.Columns...)...)...), parent
}

// among returns the condition that a column holds the ID of one of the parents.
func (p *Parents) among(column string) *sql.Predicate { return In(column, p.IDs) }

// mixed reports whether the order has both directions.
func (s *Select) mixed() bool {
	return slices.ContainsFunc(s.Order, func(o Order) bool { return o.Desc != s.Order[0].Desc })
}

// outer writes the columns of the outer selection, around the pages.
func (s *Select) outer(b *sql.Builder, parent func()) {
	parent()
	b.WriteString(" AS ").Ident(ParentColumn)
	for _, c := range s.Columns {
		b.Comma().Ident(pageAlias).WriteByte('.').Ident(c)
	}
}

// outerOrder sorts the rows of all parents together, which puts the rows of each parent in order.
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

// restrict adds the filter and the keyset.
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

// sort adds the order and the limit.
func (s *Select) sort(q *sql.Selector) {
	q.OrderBy(s.terms(q)...)
	if s.Limit > 0 {
		q.Limit(s.Limit)
	}
}

// terms returns the terms of ORDER BY.
func (s *Select) terms(q *sql.Selector) []string {
	terms := make([]string, len(s.Order))
	for i, o := range s.Order {
		terms[i] = s.column(q, o.Column)
		if o.Desc {
			terms[i] = sql.Desc(terms[i])
		}
	}
	return terms
}

// beyond returns the condition that a row comes after (or before) the row with the given values in the order's columns.
// It is (a, b) > (x, y) if the engine reads an index by that. Otherwise it is a > x, or a = x and b > y, and so on,
// after a condition on the first column alone, for the index.
func (s *Select) beyond(q *sql.Selector, values []any, before bool) *sql.Predicate {
	if of(q).comparesRows() && len(s.Order) > 1 && !s.mixed() {
		columns := make([]string, len(s.Order))
		for i, o := range s.Order {
			columns[i] = s.column(q, o.Column)
		}
		if s.Order[0].Desc != before {
			return sql.CompositeLT(columns, values...)
		}
		return sql.CompositeGT(columns, values...)
	}
	compare := func(i int, less, greater func(string, any) *sql.Predicate) *sql.Predicate {
		if s.Order[i].Desc != before {
			greater = less
		}
		return greater(s.column(q, s.Order[i].Column), values[i])
	}
	var arms []*sql.Predicate
	for i := range s.Order {
		var arm []*sql.Predicate
		for j := range i {
			arm = append(arm, compare(j, sql.EQ, sql.EQ))
		}
		arms = append(arms, sql.And(append(arm, compare(i, sql.LT, sql.GT))...))
	}
	if len(arms) == 1 {
		return arms[0]
	}
	return sql.And(compare(0, sql.LTE, sql.GTE), sql.Or(arms...))
}

// With returns the columns, and the columns of the order that are not among them.
func With(columns []string, order []Order) []string {
	out := slices.Clone(columns)
	for _, o := range order {
		if !slices.Contains(out, o.Column) {
			out = append(out, o.Column)
		}
	}
	return out
}
