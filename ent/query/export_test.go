package query

import "roster/internal/statement"

// New is unfilteredPage.
func New(connection string, table *statement.Table, args Args, order ...statement.Order) (*Page, error) {
	page, faults := unfilteredPage(connection, table, args, order...)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	return page, nil
}

// Filter narrows the page to the rows that match; key is equal for equal filters.
func (p *Page) Filter(f statement.Filter, key string) { p.filter, p.filterKey = f, key }

// Cut is cut.
func Cut[T any](p *Page, rows []*T, value func(n *T, column string) any) (nodes []*T, info *PageInfo) {
	return cut(p, rows, value)
}

// Cursor is the cursor of a row.
func Cursor[T any](p *Page, n *T, value func(n *T, column string) any) string {
	return p.cursor(func(column string) any { return value(n, column) })
}

// Forge makes a cursor with the right checksum of any values.
func Forge(p *Page, values []byte) string { return p.scope.Encode(values) }

// FilterKey is filterKey.
func FilterKey(where any) string { return filterKey(where) }
