package query

import "context"

// A Connection is a page of the rows of T.
type Connection[T any] struct {
	entity *Entity[T]
	page   *Page
	nodes  []*T
	info   *PageInfo
	count  func(context.Context) (int, error)
}

// newConnection returns the connection for a page and its rows. count counts the rows on all pages.
func newConnection[T any](entity *Entity[T], page *Page, rows []*T, count func(context.Context) (int, error)) *Connection[T] {
	nodes, info := cut(page, rows, entity.Value)
	return &Connection[T]{entity: entity, page: page, nodes: nodes, info: info, count: count}
}

// Nodes returns the rows of the page.
func (c *Connection[T]) Nodes() []*T { return c.nodes }

// Edges returns the rows with their cursors.
func (c *Connection[T]) Edges() []*Edge[T] {
	edges := make([]*Edge[T], len(c.nodes))
	for i, n := range c.nodes {
		edges[i] = &Edge[T]{Node: n, connection: c}
	}
	return edges
}

// PageInfo tells whether other pages exist, and has the cursors of this page.
func (c *Connection[T]) PageInfo() *PageInfo { return c.info }

// TotalCount counts the rows on all pages.
func (c *Connection[T]) TotalCount(ctx context.Context) (int, error) { return c.count(ctx) }

// An Edge is a row in a connection.
type Edge[T any] struct {
	Node       *T
	connection *Connection[T]
}

// Cursor returns the cursor of the row.
func (e *Edge[T]) Cursor() string {
	return e.connection.page.cursor(func(column string) any { return e.connection.entity.Value(e.Node, column) })
}
