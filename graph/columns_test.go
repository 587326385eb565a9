package graph

import (
	"context"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"roster/ent/query"
	"roster/internal/statement"
)

const columnsSchema = `
interface Node { id: ID! }
type Post implements Node { id: ID! title: String! body: String! author: User! tags: Int! computed: String! }
type User implements Node { id: ID! username: String! }
type PostEdge { cursor: String! node: Post! }
type PostConnection { edges: [PostEdge!]! nodes: [Post!]! totalCount: Int! }
type Query { post: Post node: Node posts: PostConnection! }
`

func columnsTable() *statement.Table {
	return &statement.Table{
		Type: "post", GraphQL: "Post", Name: "posts", ID: "id",
		Columns: []statement.Column{{Name: "title"}, {Name: "id"}, {Name: "body"}, {Name: "author_id"}},
		Fields:  map[string][]string{"id": {"id"}, "title": {"title"}, "body": {"body"}, "author": {"author_id"}, "tags": nil},
	}
}

// fieldContext returns the context in which gqlgen resolves the first field of a document.
func fieldContext(t *testing.T, document string, variables map[string]any) context.Context {
	t.Helper()
	doc, errs := gqlparser.LoadQueryWithRules(gqlparser.MustLoadSchema(&ast.Source{Input: columnsSchema}), document, rules.NewDefaultRules())
	if len(errs) > 0 {
		t.Fatalf("%s: %v", document, errs)
	}
	operation := &graphql.OperationContext{Doc: doc, Operation: doc.Operations[0], Variables: variables}
	ctx := graphql.WithOperationContext(t.Context(), operation)
	first := graphql.CollectFields(operation, operation.Operation.SelectionSet, []string{"Query"})[0]
	return graphql.WithFieldContext(ctx, &graphql.FieldContext{Object: "Query", Field: first})
}

func checkColumns(t *testing.T, document string, columns query.Columns, want string) {
	t.Helper()
	if got := strings.Join(columns.Names(columnsTable()), " "); got != want {
		t.Errorf("%s: got %q, want %q", document, got, want)
	}
}

func TestNodeColumns(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		"{ post { id } }":                          "id",
		"{ post { __typename } }":                  "id",
		"{ post { title } }":                       "title id",
		"{ post { heading: title again: title } }": "title id",
		"{ post { author { username } } }":         "id author_id",
		"{ post { tags } }":                        "id", // it needs only the ID
		"{ post { body title author { id } id } }": "title id body author_id",
		"{ post { computed } }":                    "title id body author_id", // nobody knows what it needs
		"{ post { title } post { body } }":         "title id body",
		"{ post { ...f } } fragment f on Post { body ...g } fragment g on Node { id ... on Post { title } }":                 "title id body",
		"{ post { ... { body } ... on Node { id } } }":                                                                       "id body",
		"{ node { id ... on Post { title } ... on User { username } } }":                                                     "title id",
		"{ node { ... on User { username } } }":                                                                              "id",
		"{ post { title @skip(if: true) body @include(if: true) } }":                                                         "id body",
		"query ($yes: Boolean!) { post { title @skip(if: $yes) body @include(if: $yes) ... @skip(if: $yes) { computed } } }": "id body",
	} {
		checkColumns(t, document, nodeColumns(fieldContext(t, document, map[string]any{"yes": true}), columnsTable()), want)
	}
}

func TestPageColumns(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		"{ posts { totalCount } }":                                       "id",
		"{ posts { edges { cursor } } }":                                 "id",
		"{ posts { nodes { title } } }":                                  "title id",
		"{ posts { edges { node { body } } } }":                          "id body",
		"{ posts { nodes { title } edges { node { author { id } } } } }": "title id author_id",
		"{ posts { a: nodes { title } b: nodes { body } } }":             "title id body",
		"{ posts { ...f } } fragment f on PostConnection { edges { ...g } } fragment g on PostEdge { node { title } }": "title id",
		"{ posts { nodes @skip(if: true) { title } edges { node @include(if: false) { body } } } }":                    "id",
		"{ posts { nodes { computed } } }": "title id body author_id",
	} {
		checkColumns(t, document, pageColumns(fieldContext(t, document, nil), columnsTable()), want)
	}
}
