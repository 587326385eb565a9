package graph

import "github.com/vektah/gqlparser/v2/ast"

// Statements returns the greatest number of statements of a query.
func Statements(o *ast.OperationDefinition) int {
	return int(statements(fields(), o))
}

// Undeclare removes the permission of a root field.
func (e *Executor) Undeclare(field string) { delete(e.permissions, field) }
