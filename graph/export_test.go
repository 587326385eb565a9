package graph

import (
	"context"
	"errors"

	"entgo.io/ent/dialect"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/internal/documents"
)

// Statements returns the greatest number of statements of a query.
func Statements(o *ast.OperationDefinition) int {
	return int(statements(fields(), o))
}

// Undeclare removes the permission of a root field.
func (e *Executor) Undeclare(field string) { delete(e.permissions, field) }

// Conditions returns the surcharges of conditions.
func Conditions() map[string]int64 { return conditions() }

// RunPlan answers a query by its plan, with the statements of a driver.
func (e *Executor) RunPlan(ctx context.Context, d dialect.Driver, text string, variables map[string]any) ([]byte, error) {
	o, refused := e.Prepare(ctx, documents.Request{Text: text, Variables: variables})
	if refused != nil {
		return nil, refused.Errors
	}
	p := e.planOf(o)
	if p.compiled == nil {
		return nil, errors.New("the query has no plan")
	}
	return e.reads.Run(ctx, p.compiled, d, o.Variables)
}
