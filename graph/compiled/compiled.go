// Package compiled answers queries without resolvers. It compiles an operation once, into a Plan that is kept with its
// document: a tree of levels, with one SQL statement for each, of only the columns that the level needs. A request only
// evaluates the arguments, sends the statements, and appends JSON straight from the rows.
//
// The rows come from the one reading room, package ent/query. So filters, orders, cursors, pages, permissions,
// transactions, timeouts and budgets are those of the resolvers, and so are the statements, one by one. Only the writing
// of JSON differs.
//
// The package answers what it knows, and nothing else. An operation with a field that it does not know has no plan. A
// request that meets an error of any kind has no answer. In both cases package graph throws away what there is, and
// executes the whole operation by resolvers. So errors have one author, and the resolvers say what is right: TestTwoWays
// compares both ways with random documents. Payloads of mutations and events of subscriptions have only resolvers. The
// setting --no-compiled-reads turns plans off.
//
//   - compile.go turns selections into plans.
//   - load.go reads the rows of a level. Rows of one statement are siblings: the first that needs an edge loads it for all.
//   - write.go walks through a plan and appends the answer.
//   - scalar.go appends single values.
//
// Nothing here is written for one entity. The kinds of the entities are generated from the schema of ent, and the contract
// says which fields lead to them: a field of Query with the name of a table and a page, or with the name of an entity and
// an ID, and the edges. Options has the few fields for which this does not suffice.
package compiled

import (
	"context"
	"errors"

	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent/query"
	"roster/internal/typeid"
)

// Options say what is read.
type Options struct {
	Schema *ast.Schema
	Kinds  []*query.Kind
	// Resolved reports whether a function with a context resolves a field, such as "User.posts". Such a field is only
	// compiled if it is an edge, a count, or in one of the maps below.
	Resolved func(field string) bool
	// Lookups find the entity of a field that has no edge, such as "Query.user".
	Lookups map[string]Lookup
	// Lists split the text of a column into the values of a list, such as "ApiKey.roles".
	Lists map[string]func(text string) []string
	// Objects have the fields whose value is an object of columns, such as "User.identity". The columns have the names of
	// the field and of the field of the object. If one of them is NULL, the object is null. The function reports whether
	// the caller in ctx may see the object of the entity with an ID.
	Objects map[string]func(ctx context.Context, id typeid.ID) bool
	// Callers have the fields whose value is an object about the caller, such as "Query.viewer". A nil function reports null.
	Callers map[string]func(ctx context.Context) Caller
}

// A Caller is an object about the caller, by the names of the fields. The values are strings or lists of strings. A field
// with an entity is in Lookups.
type Caller map[string]any

// A Lookup returns the search for an entity by the arguments of a field. An error is never shown to a client.
type Lookup func(ctx context.Context, args map[string]any) (Search, error)

// A Search finds one entity, by its ID or by texts in a column. The zero Search finds none.
type Search struct {
	ID     typeid.ID
	Column string
	Texts  []string
	// Columns are the columns that Choose needs. Choose returns the index of the row that is searched for, or -1. text
	// returns the text of a row in one of Columns. Without Choose, the first row is taken.
	Columns query.Columns
	Choose  func(rows int, text func(row int, column string) string) int
}

// ErrUnknown is the error of a document with a field that the package does not know.
var ErrUnknown = errors.New("compiled: the operation has a field that only resolvers know")

// errWrong is the error of a request that resolvers answer with an error, such as null where the contract has none.
var errWrong = errors.New("compiled: the answer has an error")
