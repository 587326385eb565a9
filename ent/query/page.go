package query

import (
	"context"
	"fmt"
	"slices"

	"roster/ent/rules"
	"roster/internal/cursor"
	"roster/internal/statement"
)

// Sizes of a page, in nodes: the default and the maximum.
const (
	DefaultSize = 20
	MaxSize     = 100
)

// Args are the arguments of a connection, as the client sent them.
type Args struct {
	First, Last   *int
	After, Before *string
}

// A Page has the checked arguments of a connection.
type Page struct {
	table         *statement.Table
	scope         cursor.Scope
	order         []statement.Order // the client's order; each column once, a unique one last
	after, before []any
	size          int
	backward      bool
	filter        statement.Filter
	filterKey     string // equal for equal filters
}

// PageInfo tells whether other pages exist. In the direction of paging it is exact. In the other direction it is true
// if the client sent a cursor of that side.
type PageInfo struct {
	HasNextPage     bool
	HasPreviousPage bool
	StartCursor     *string
	EndCursor       *string
}

// newPage checks the arguments of a connection over a table. connection is a name such as "User.posts". A nil where is
// no filter. The ID breaks the last tie of the order. The error is rules.Faults with the codes INVALID and
// CURSOR_INVALID, or a *rules.ForbiddenError, which comes before any fault.
func newPage[T any, W Where[W]](ctx context.Context, connection string, table *statement.Table, args Args, where *W, orderBy []Order[T]) (*Page, error) {
	order := make([]statement.Order, 0, len(orderBy)+1)
	var filter statement.Filter
	var invalid, faults rules.Faults
	if where != nil {
		var err error
		if filter, invalid, err = newFilter(ctx, table.GraphQL, *where); err != nil {
			return nil, err
		}
	}
	for i, o := range orderBy {
		column, ok := table.Orders[string(o.Field)]
		if !ok {
			faults.Add(&rules.Fault{Code: rules.Invalid, Message: "must be an order of this field"}, "orderBy", i, "field")
			continue
		}
		order = append(order, statement.Order{Column: column, Desc: o.Direction == Desc})
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	page, faults := unfilteredPage(connection, table, args, order...)
	if err := append(faults, invalid...).Err(); err != nil {
		return nil, err
	}
	page.filter, page.filterKey = filter, filterKey(where)
	return page, nil
}

// unfilteredPage checks the arguments of a connection without a filter. The order may name a column more than once.
func unfilteredPage(connection string, table *statement.Table, args Args, order ...statement.Order) (p *Page, faults rules.Faults) {
	p = &Page{table: table, order: total(table, order), size: DefaultSize}
	p.scope = newScope(connection, p.order)
	size := func(name string, n *int) {
		switch {
		case n == nil:
		case *n < 1 || *n > MaxSize:
			faults.Add(&rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("must be from 1 to %d", MaxSize)}, name)
		default:
			p.size = *n
		}
	}
	size("first", args.First)
	size("last", args.Last)
	if args.First != nil && args.Last != nil {
		faults.Add(&rules.Fault{Code: rules.Invalid, Message: "must not be given together with first"}, "last")
	}
	p.backward = args.Last != nil
	decode := func(name string, c *string) (values []any) {
		if c == nil {
			return nil
		}
		values, ok := p.decode(*c)
		if !ok {
			faults.Add(&rules.Fault{Code: rules.CursorInvalid, Message: "must be a cursor that this field gave in this order"}, name)
		}
		return values
	}
	p.after = decode("after", args.After)
	p.before = decode("before", args.Before)
	return p, faults
}

// total makes an order total. It drops a repeated column, and everything after a unique column. The ID breaks the last
// tie. Its direction is that of the column before it, so that an index of both columns is read in one direction.
func total(table *statement.Table, order []statement.Order) (out []statement.Order) {
	tie := statement.Order{Column: table.ID}
	for _, o := range order {
		if slices.ContainsFunc(out, func(before statement.Order) bool { return before.Column == o.Column }) {
			continue
		}
		out = append(out, o)
		tie.Desc = o.Desc
		if column, _ := table.Column(o.Column); column.Unique || o.Column == table.ID {
			return out
		}
	}
	return append(out, tie)
}

// key returns a text that is equal for equal pages of a connection.
func (p *Page) key() string {
	return fmt.Sprintf("%d %t %v %q %q %s", p.size, p.backward, p.order, p.after, p.before, p.filterKey)
}

// rows returns the statement that reads the page and one extra row, which tells whether another page follows.
func (p *Page) rows(columns Columns) *statement.Select {
	order := p.order
	if p.backward {
		order = slices.Clone(order)
		for i := range order {
			order[i].Desc = !order[i].Desc
		}
	}
	s := &statement.Select{Table: p.table, Columns: statement.With(columns.Names(p.table), order), Filter: p.filter, Order: order, Limit: p.size + 1}
	s.After, s.Before = p.after, p.before
	if p.backward { // the statement reads backwards
		s.After, s.Before = p.before, p.after
	}
	return s
}

// count returns the statement that counts the rows of all pages.
func (p *Page) count() *statement.Select {
	return &statement.Select{Table: p.table, Filter: p.filter, Count: true}
}

// cut returns the nodes of a page from the rows of its statement: in the client's order, without the extra row. value
// returns the value of a row in a column.
func cut[T any](p *Page, rows []*T, value func(n *T, column string) any) (nodes []*T, info *PageInfo) {
	n, next, previous := p.Cut(len(rows))
	nodes, info = rows[:n], &PageInfo{HasNextPage: next, HasPreviousPage: previous}
	if p.backward {
		nodes = slices.Clone(nodes)
		slices.Reverse(nodes)
	}
	if len(nodes) > 0 {
		cursor := func(n *T) *string {
			text := p.cursor(func(column string) any { return value(n, column) })
			return &text
		}
		info.StartCursor, info.EndCursor = cursor(nodes[0]), cursor(nodes[len(nodes)-1])
	}
	return nodes, info
}
