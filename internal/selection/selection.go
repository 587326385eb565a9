// Package selection tells which columns the fields need that a client selected below the GraphQL field that is being
// resolved, so that nothing else is read.
package selection

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/internal/statement"
)

// Columns of a table. Mask has a bit for each, by its index in the table, to tell sets apart.
type Columns struct {
	Names []string
	Mask  uint64
}

// Node returns the columns that the entity selected by the current field needs: the ID always.
func Node(ctx context.Context, t *statement.Table) Columns {
	s := start(ctx, t)
	if s.field != nil {
		s.add(s.field.Selections)
	}
	return s.columns()
}

// Page returns the columns that the nodes of the connection selected by the current field need.
func Page(ctx context.Context, t *statement.Table) Columns {
	s := start(ctx, t)
	if s.field != nil {
		for _, f := range graphql.CollectFields(s.operation, s.field.Selections, nil) {
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
	}
	return s.columns()
}

type scan struct {
	table     *statement.Table
	operation *graphql.OperationContext
	field     *graphql.CollectedField
	mask      uint64
}

// start looks up the current field. Outside GraphQL there is none, and every column is needed.
func start(ctx context.Context, t *statement.Table) *scan {
	_, id := t.Column(t.ID)
	s := &scan{table: t, mask: 1 << id}
	if fc := graphql.GetFieldContext(ctx); fc != nil && graphql.HasOperationContext(ctx) {
		s.operation, s.field = graphql.GetOperationContext(ctx), &fc.Field
		return s
	}
	s.mask = 1<<len(t.Columns) - 1
	return s
}

// add adds what the fields selected on the entity need; for one that the table does not know, all columns.
func (s *scan) add(selected ast.SelectionSet) {
	for _, f := range graphql.CollectFields(s.operation, selected, []string{s.table.GraphQL, "Node"}) {
		column, known := s.table.Fields[f.Name]
		switch {
		case f.Name == "__typename" || known && column == "":
		case known:
			_, i := s.table.Column(column)
			s.mask |= 1 << i
		default:
			s.mask = 1<<len(s.table.Columns) - 1
		}
	}
}

func (s *scan) columns() Columns {
	c := Columns{Mask: s.mask}
	for i, column := range s.table.Columns {
		if s.mask&(1<<i) != 0 {
			c.Names = append(c.Names, column.Name)
		}
	}
	return c
}
