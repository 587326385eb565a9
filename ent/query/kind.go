package query

import (
	"context"
	"reflect"
	"slices"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"

	"roster/ent/rules"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// A Kind describes an entity to a reader that makes no Go values of its rows. Kinds are generated and never change.
type Kind struct {
	*statement.Table
	// Owner is the column with the ID of the user who owns the row. It is empty if rows have no owner.
	Owner string
	// Edges are the edges to other entities.
	Edges []KindEdge
	// Page checks the arguments of a connection over all rows of the kind, or over those of some parents. They are as in
	// a document with its variables. The error is that of ReadPage, or says that an argument is not of its type.
	Page func(ctx context.Context, connection string, args map[string]any) (*Page, error)
}

// A KindEdge leads from an entity to others.
type KindEdge struct {
	Name  string // in the schema of ent
	Field string // in the GraphQL schema
	Many  bool   // the field is a connection
	// Column has the ID of the other entity. If it is empty, the other entities have the ID of this one: see Parents.
	Column string
	// Parents names the column that holds the ID of this entity.
	Parents statement.Parents
}

// Edge returns the edge with a name in the schema of ent. The kind must have it.
func (k *Kind) Edge(name string) KindEdge {
	return k.Edges[slices.IndexFunc(k.Edges, func(e KindEdge) bool { return e.Name == name })]
}

// Hidden reports whether the caller in ctx may read no rows of the kind.
func (k *Kind) Hidden(ctx context.Context) bool { return k.reach(ctx) == rules.Nothing }

// Readable returns a *rules.ForbiddenError if Read would return one for the caller in ctx.
func (k *Kind) Readable(ctx context.Context) error {
	if k.reach(ctx) == rules.Own && k.Owner != "" {
		return nil
	}
	return rules.Permit(ctx, rules.Read, k.GraphQL)
}

// Read runs a statement on the rows of the kind and calls each for every row. The statement is restricted to the rows
// that the caller in ctx may read. The error is a *rules.ForbiddenError if there are none, that of each, or the driver's.
func (k *Kind) Read(ctx context.Context, d dialect.Driver, s *statement.Select, each func(*sql.Rows) error) error {
	if err := k.restrict(ctx, s); err != nil {
		return err
	}
	return run(ctx, d, s, each)
}

// ByIDs returns the statement that reads the rows with the IDs. The IDs must be sorted: see Distinct.
func (k *Kind) ByIDs(columns Columns, ids []typeid.ID) *statement.Select {
	return &statement.Select{Table: k.Table, Columns: columns.Names(k.Table), IDs: ids}
}

// AnyBy returns the statement that reads the rows that have one of the texts in a column.
func (k *Kind) AnyBy(columns Columns, column string, texts []string) *statement.Select {
	return &statement.Select{Table: k.Table, Columns: columns.Names(k.Table), Among: &statement.Among{Column: column, Texts: texts}}
}

// Children returns the statement that reads all rows that have one of the IDs of parents.
func (k *Kind) Children(columns Columns, parents statement.Parents) *statement.Select {
	return &statement.Select{Table: k.Table, Columns: columns.Names(k.Table), Parents: &parents}
}

// pageOf returns the function Page of the Kind of T.
func pageOf[T any, W Where[W]](table *statement.Table) func(context.Context, string, map[string]any) (*Page, error) {
	return func(ctx context.Context, connection string, values map[string]any) (*Page, error) {
		args, err := decodeArgs(values)
		if err != nil {
			return nil, err
		}
		var where *W
		var orderBy []Order[T]
		if value := values["where"]; value != nil {
			where = new(W)
			err = decode(value, reflect.ValueOf(where).Elem())
		}
		if value := values["orderBy"]; value != nil && err == nil {
			err = decode(value, reflect.ValueOf(&orderBy).Elem())
		}
		if err != nil {
			return nil, err
		}
		return newPage(ctx, connection, table, args, where, orderBy)
	}
}

// NewKind returns the Kind of the entities T with the filters W.
func NewKind[T any, W Where[W]](table *statement.Table, owner string, edges ...KindEdge) *Kind {
	return &Kind{Table: table, Owner: owner, Edges: edges, Page: pageOf[T, W](table)}
}

// Rows returns the statement that reads the page and one extra row, which tells whether another page follows.
func (p *Page) Rows(columns Columns) *statement.Select { return p.rows(columns) }

// Count returns the statement that counts the rows of all pages.
func (p *Page) Count() *statement.Select { return p.count() }

// Key returns a text that is equal for equal pages of a connection.
func (p *Page) Key() string { return p.key() }

// CountKey returns a text that is equal for equal counts of a connection.
func (p *Page) CountKey() string { return p.filterKey }

// Backward reports whether the statement reads the last node of the page first.
func (p *Page) Backward() bool { return p.backward }

// Cut returns the number of nodes of a page whose statement has read n rows. next and previous report whether other pages
// exist.
func (p *Page) Cut(n int) (nodes int, next, previous bool) {
	nodes, more := min(n, p.size), n > p.size
	if p.backward {
		return nodes, p.before != nil, more
	}
	return nodes, more, p.after != nil
}

// AppendCursor appends the text of the cursor of a row. position has the values of the row in the columns of the order,
// each by AppendPosition.
func (p *Page) AppendCursor(b, position []byte) []byte { return p.scope.Append(b, position) }
