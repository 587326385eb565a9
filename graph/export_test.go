package graph

import "github.com/vektah/gqlparser/v2/ast"

// Statements is how many statements a query is expected to need at most, by its document alone.
func Statements(o *ast.OperationDefinition) int {
	return (&statements{fragments: map[string]int{}}).count(o.SelectionSet)
}
