package graph

import "github.com/vektah/gqlparser/v2/ast"

// Statements is how many statements a query needs at most. The document bounds them.
func Statements(o *ast.OperationDefinition) int {
	return (&statementCount{of: statementsOf(fields()), fragments: map[string]int{}}).count(o.SelectionSet)
}
