package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/codes"
	"roster/internal/server"
	"roster/internal/server/streamtest"
)

const testSDL = `
	type Query { echo(text: String): String, length: Int, fails: String, panics: String, refused: String, malformed: String }
	type Mutation { echo(text: String): String }
	type Subscription { echo(text: String): String }
`

// testSchema is the least that an executor runs: it answers the first field of an operation.
type testSchema struct {
	schema *ast.Schema
	length int // of the answer of Query.length, in bytes
}

func newTestExecutor() server.Executor {
	schema := testSchema{
		schema: gqlparser.MustLoadSchema(&ast.Source{Name: "test.graphqls", Input: testSDL}),
		length: 100_000,
	}
	return streamtest.NewExecutor(schema)
}

func (s testSchema) Schema() *ast.Schema { return s.schema }

func (testSchema) Complexity(context.Context, string, string, int, map[string]any) (int, bool) {
	return 0, false
}

func (s testSchema) Exec(ctx context.Context) graphql.ResponseHandler {
	operation := graphql.GetOperationContext(ctx)
	field, _ := operation.Operation.SelectionSet[0].(*ast.Field)
	return func(ctx context.Context) *graphql.Response {
		var value any
		switch field.Name {
		case "echo":
			value = field.ArgumentMap(operation.Variables)["text"]
		case "length":
			value = json.RawMessage(strings.Repeat("7", s.length))
		case "fails":
			graphql.AddError(ctx, &gqlerror.Error{Message: "no", Extensions: map[string]any{"code": "NOT_FOUND"}})
		case "panics":
			panic("a secret")
		case "refused":
			graphql.AddError(ctx, errors.New("not executed"))
			return &graphql.Response{}
		case "malformed":
			graphql.AddError(ctx, &gqlerror.Error{Message: "no", Extensions: map[string]any{"code": codes.BadRequest}})
			return &graphql.Response{}
		}
		data, err := json.Marshal(map[string]any{field.Alias: value})
		if err != nil {
			panic(err)
		}
		return &graphql.Response{Data: data}
	}
}
