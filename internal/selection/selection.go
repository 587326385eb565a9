// Package selection tells which columns the fields need that a client selected below the GraphQL field that is being
// resolved, so that nothing else is read.
package selection

import (
	"context"
	"math/bits"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/internal/statement"
)

// Columns is a set of columns of one table.
type Columns struct {
	table *statement.Table
	mask  uint64
}

// Mask has a bit for each column, by its index in the table, to tell sets apart.
func (c Columns) Mask() uint64 { return c.mask }

// Names returns the names of the columns, in the order of the table.
func (c Columns) Names() []string {
	names := make([]string, 0, bits.OnesCount64(c.mask))
	for i, column := range c.table.Columns {
		if c.mask&(1<<i) != 0 {
			names = append(names, column.Name)
		}
	}
	return names
}

// Node returns the columns that the entity selected by the current field needs: the ID always.
func Node(ctx context.Context, t *statement.Table) Columns {
	s := start(ctx, t)
	if s.field != nil {
		s.add(s.field.Selections)
	}
	return s.Columns
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
	return s.Columns
}

type scan struct {
	Columns
	operation *graphql.OperationContext
	field     *graphql.CollectedField
}

// start looks up the current field. Outside GraphQL there is none, and every column is needed.
func start(ctx context.Context, t *statement.Table) scan {
	_, id := t.Column(t.ID)
	s := scan{Columns: Columns{table: t, mask: 1 << id}}
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
