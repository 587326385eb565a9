package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent/query"
	"roster/internal/statement"
)

// nodeColumns returns the columns of a table that the entity selected by the current field needs.
func nodeColumns(ctx context.Context, t *statement.Table) query.Columns {
	s := columnSet{operation: graphql.GetOperationContext(ctx), table: t}
	s.add(graphql.GetFieldContext(ctx).Field.Selections)
	return s.columns
}

// nodesColumns is nodeColumns for entities of any type.
func nodesColumns(ctx context.Context) func(*statement.Table) query.Columns {
	return func(t *statement.Table) query.Columns { return nodeColumns(ctx, t) }
}

// pageColumns returns the columns of a table that the nodes of the connection selected by the current field need.
func pageColumns(ctx context.Context, t *statement.Table) query.Columns {
	s := columnSet{operation: graphql.GetOperationContext(ctx), table: t}
	for _, f := range graphql.CollectFields(s.operation, graphql.GetFieldContext(ctx).Field.Selections, nil) {
		switch f.Name {
		case "nodes":
			s.add(f.Selections)
		case "edges":
			for _, e := range graphql.CollectFields(s.operation, f.Selections, nil) {
				if e.Name == "node" {
					s.add(e.Selections)
				}
			}
		}
	}
	return s.columns
}

// columnSet collects the columns that selected fields need.
type columnSet struct {
	operation *graphql.OperationContext
	table     *statement.Table
	columns   query.Columns
}

// add adds what the fields selected on an entity need. A field that the table does not know may need all columns.
func (s *columnSet) add(selected ast.SelectionSet) {
	for _, f := range graphql.CollectFields(s.operation, selected, []string{s.table.GraphQL, "Node"}) {
		columns, known := s.table.Fields[f.Name]
		switch {
		case known:
			s.columns |= query.ColumnsOf(s.table, columns...)
		case f.Name != "__typename":
			s.columns = query.All
		}
	}
}
