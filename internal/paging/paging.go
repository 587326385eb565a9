// Package paging turns the arguments of a GraphQL connection into a keyset and the rows that it finds into a page,
// as the Relay server specification describes (https://relay.dev/graphql/connections.htm). It knows neither ent nor
// gqlgen.
package paging

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"roster/ent/rules"
	"roster/internal/statement"
)

// How many nodes a page has.
const (
	DefaultSize = 20
	MaxSize     = 100
)

// Args are the arguments of a connection as a client gave them.
type Args struct {
	First, Last   *int
	After, Before *string
}

// A Page is checked arguments.
type Page struct {
	table         *statement.Table
	scope         string
	args          Args
	order         []statement.Order // as the client sees it; each column once, a unique one last
	after, before []any
	size          int
	backward      bool
	filter        statement.Filter
	filterKey     string
}

// PageInfo is exact in the direction of paging; in the other one, true when a cursor for it was given.
type PageInfo struct {
	HasNextPage     bool
	HasPreviousPage bool
	StartCursor     *string
	EndCursor       *string
}

// New checks the arguments of the connection that scope names, such as "User.posts", over a table in the given
// order, which may name a column again; the ID breaks the last tie. The error is rules.Faults with the codes INVALID and CURSOR_INVALID.
func New(scope string, table *statement.Table, args Args, order ...statement.Order) (*Page, error) {
	p := &Page{table: table, scope: scope, args: args, order: total(table, order), size: DefaultSize}
	var faults rules.Faults
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
	cursor := func(name string, c *string) (values []any) {
		if c == nil {
			return nil
		}
		values, ok := p.decode(*c)
		if !ok {
			faults.Add(&rules.Fault{Code: rules.CursorInvalid, Message: "must be a cursor that this field gave in this order"}, name)
		}
		return values
	}
	p.after = cursor("after", args.After)
	p.before = cursor("before", args.Before)
	if len(faults) > 0 {
		return nil, faults
	}
	return p, nil
}

// total makes an order total. Rows that are equal in a column stay so when they are sorted by it again, and none are
// equal in a unique one. The ID breaks the last tie, in the direction of the order before it, so that an index of both
// is read in one direction.
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

// Join joins the faults of two checks; nil when there are none.
func Join(a, b error) error {
	var all rules.Faults
	for _, err := range []error{a, b} {
		var faults rules.Faults
		if !errors.As(err, &faults) && err != nil {
			return err
		}
		all = append(all, faults...)
	}
	return all.Err()
}

// Filter narrows the page to the rows that match; key is equal for equal filters.
func (p *Page) Filter(f statement.Filter, key string) { p.filter, p.filterKey = f, key }

// Key is equal for equal pages of one connection.
func (p *Page) Key() string {
	cursor := func(c *string) string {
		if c == nil {
			return ""
		}
		return *c
	}
	return fmt.Sprintf("%d %t %v %q %q %s", p.size, p.backward, p.order, cursor(p.args.After), cursor(p.args.Before), p.filterKey)
}

// CountKey is equal for equal counts of one connection.
func (p *Page) CountKey() string { return p.filterKey }

// Select is the statement that reads the page, and one row more to know whether there are others.
func (p *Page) Select(columns []string) *statement.Select {
	order := p.order
	if p.backward {
		order = slices.Clone(order)
		for i := range order {
			order[i].Desc = !order[i].Desc
		}
	}
	s := &statement.Select{Table: p.table, Columns: statement.With(columns, order), Filter: p.filter, Order: order, Limit: p.size + 1}
	s.After, s.Before = p.after, p.before
	if p.backward { // the statement reads backwards
		s.After, s.Before = p.before, p.after
	}
	return s
}

// Count is the statement that counts the rows of all pages.
func (p *Page) Count() *statement.Select {
	return &statement.Select{Table: p.table, Filter: p.filter, Count: true}
}

// Cut makes the rows that Select found a page: in the client's order, without the one row more. value returns what
// a row has in a column.
func Cut[N any](p *Page, found []N, value func(n N, column string) any) (nodes []N, info *PageInfo) {
	more := len(found) > p.size
	nodes = found[:min(len(found), p.size)]
	info = &PageInfo{HasNextPage: more, HasPreviousPage: p.after != nil}
	if p.backward {
		nodes = slices.Clone(nodes)
		slices.Reverse(nodes)
		info.HasNextPage, info.HasPreviousPage = p.before != nil, more
	}
	if len(nodes) > 0 {
		start, end := Cursor(p, nodes[0], value), Cursor(p, nodes[len(nodes)-1], value)
		info.StartCursor, info.EndCursor = &start, &end
	}
	return nodes, info
}

// OrderDirection is the direction of an order.
type OrderDirection string

// The directions.
const (
	Asc  OrderDirection = "ASC"
	Desc OrderDirection = "DESC"
)

// UnmarshalGQL reads a direction.
func (d *OrderDirection) UnmarshalGQL(v any) error {
	s, _ := v.(string)
	*d = OrderDirection(s)
	if *d != Asc && *d != Desc {
		return &rules.Fault{Code: rules.Invalid, Message: "must be ASC or DESC"}
	}
	return nil
}

// MarshalGQL writes a direction.
func (d OrderDirection) MarshalGQL(w io.Writer) {
	_, _ = io.WriteString(w, strconv.Quote(string(d))) // gqlgen's writer is a buffer
}
