package graph_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/graph"
	"roster/internal/dbtest"
)

// inputPlace is where a document can have a value that must not be null.
type inputPlace struct {
	operation ast.Operation
	typ       *ast.Type
	covered   bool                // the place has a default
	put       func(string) string // the selection with a value there
}

// inputPlaces finds all places of the schema, input objects two levels deep.
type inputPlaces struct {
	schema *ast.Schema
	found  []inputPlace
}

func (f *inputPlaces) objects() {
	type object struct {
		def  *ast.Definition
		put  func(string) string
		from ast.Operation
	}
	roots := []object{
		{f.schema.Query, func(s string) string { return s }, ast.Query},
		{f.schema.Mutation, func(s string) string { return s }, ast.Mutation},
		{f.schema.Subscription, func(s string) string { return s }, ast.Subscription},
	}
	seen := map[string]bool{}
	for queue := roots; len(queue) > 0; queue = queue[1:] {
		o := queue[0]
		if seen[o.def.Name] {
			continue
		}
		seen[o.def.Name] = true
		for _, field := range o.def.Fields {
			to := f.schema.Types[field.Type.Name()]
			selection := ""
			if to.IsCompositeType() {
				selection = " { __typename }"
				queue = append(queue, object{to, func(s string) string {
					return o.put(field.Name + f.required(field.Arguments, "", "") + " { " + s + " }")
				}, o.from})
			}
			for _, argument := range field.Arguments {
				f.input(o.from, argument.Type, argument.DefaultValue != nil, 2, func(value string) string {
					return o.put(field.Name + f.required(field.Arguments, argument.Name, value) + selection)
				})
			}
		}
	}
	for _, directive := range []string{"skip", "include"} {
		for _, format := range []string{
			`users @%s(if: %s) { totalCount }`, `users { nodes { posts { totalCount @%s(if: %s) } } }`, `... @%s(if: %s) { __typename }`,
			`... on Query @%s(if: %s) { __typename }`, `...G @%s(if: %s)`, `users @skip(if: true) { totalCount @%s(if: %s) }`,
		} {
			f.found = append(f.found, inputPlace{ast.Query, ast.NonNullNamedType("Boolean", nil), false, func(value string) string {
				return fmt.Sprintf(format, directive, value)
			}})
		}
	}
}

// required is the arguments that a field needs, and the one with a value.
func (f *inputPlaces) required(list ast.ArgumentDefinitionList, name, value string) string {
	var parts []string
	for _, a := range list {
		switch {
		case a.Name == name:
			parts = append(parts, name+": "+value)
		case a.Type.NonNull && a.DefaultValue == nil:
			parts = append(parts, a.Name+": "+f.literal(a.Type))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

// input finds the places in a value of a type.
func (f *inputPlaces) input(operation ast.Operation, typ *ast.Type, covered bool, depth int, put func(string) string) {
	if typ.NonNull {
		f.found = append(f.found, inputPlace{operation, typ, covered, put})
	}
	if typ.Elem != nil {
		f.input(operation, typ.Elem, false, depth, func(value string) string { return put("[" + value + "]") })
		f.input(operation, typ.Elem, false, depth, func(value string) string { return put("[" + f.literal(typ.Elem) + ", " + value + "]") })
		return
	}
	def := f.schema.Types[typ.NamedType]
	if def.Kind != ast.InputObject || depth == 0 {
		return
	}
	for _, field := range def.Fields {
		f.input(operation, field.Type, field.DefaultValue != nil, depth-1, func(value string) string { return put(f.object(def, field.Name, value)) })
	}
}

// object is an input object with what it needs, and a value in a field.
func (f *inputPlaces) object(def *ast.Definition, name, value string) string {
	var parts []string
	for _, field := range def.Fields {
		switch {
		case field.Name == name:
			parts = append(parts, name+": "+value)
		case field.Type.NonNull && field.DefaultValue == nil:
			parts = append(parts, field.Name+": "+f.literal(field.Type))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// literal is a value of a type.
func (f *inputPlaces) literal(typ *ast.Type) string {
	if typ.Elem != nil {
		return "[" + f.literal(typ.Elem) + "]"
	}
	def := f.schema.Types[typ.NamedType]
	switch {
	case def.Kind == ast.Enum:
		return def.EnumValues[0].Name
	case def.Directives.ForName("oneOf") != nil:
		return f.object(def, def.Fields[0].Name, f.literal(def.Fields[0].Type))
	case def.Kind == ast.InputObject:
		return f.object(def, "", "")
	}
	literals := map[string]string{"Int": "1", "Boolean": "true", "ID": `"user_00000000000000000000000000"`, "String": `"x"`, "DateTime": `"2026-01-31T09:30:00Z"`}
	return literals[def.Name]
}

// document is one that has the variable in the place, directly or in a fragment that another operation spreads, too, with
// another default.
func (p *inputPlace) document(fallback string, inFragment bool) string {
	selection := p.put("$v")
	nullable := *p.typ
	nullable.NonNull = false
	text := fmt.Sprintf("%s Q($v: %s%s) { %s }", p.operation, nullable.String(), fallback, selection)
	if inFragment {
		root := map[ast.Operation]string{ast.Query: "Query", ast.Mutation: "Mutation", ast.Subscription: "Subscription"}[p.operation]
		text = fmt.Sprintf("%s Q($v: %s%s) { ...F } %s Other($v: %s!) { ...F } fragment F on %s { %s }",
			p.operation, nullable.String(), fallback, p.operation, nullable.String(), root, selection)
	}
	if strings.Contains(selection, "...G") {
		text += " fragment G on Query { __typename }"
	}
	return text
}

// TestNullWhereNoneMayBe sends null for a variable in every place of the schema that must not be null and to which a default
// lets a nullable variable. The answer is an error of the request, that names the variable. Left out, the variable is its
// default.
func TestNullWhereNoneMayBe(t *testing.T) {
	t.Parallel()
	s := serve(t, dbtest.SQLite, settings{})
	f := &inputPlaces{schema: gqlparser.MustLoadSchema(&ast.Source{Input: graph.SDL()})}
	f.objects()
	ask := func(document, variables string) (int, string) {
		body := fmt.Sprintf(`{"query": %q, "operationName": "Q", "variables": %s}`, document, variables)
		response, text := s.send(http.MethodPost, s.url, []byte(body), "Accept", "application/graphql-response+json, text/event-stream;q=0.1")
		return response.StatusCode, string(text)
	}
	refused := func(document, variables string) {
		t.Helper()
		status, text := ask(document, variables)
		var answer struct {
			Errors []struct {
				Message    string
				Path       []string
				Extensions struct{ Code string }
			}
			Data *json.RawMessage
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil || status != http.StatusBadRequest || answer.Data != nil || len(answer.Errors) != 1 ||
			answer.Errors[0].Message != `Variable "$v" is null, but is used where null is not allowed.` ||
			!slices.Equal(answer.Errors[0].Path, []string{"variable", "v"}) || answer.Errors[0].Extensions.Code != "GRAPHQL_VALIDATION_FAILED" {
			t.Errorf("%s with %s: got %d %s, want an error of the variable", document, variables, status, text)
		}
	}
	covered := 0
	for _, p := range f.found {
		for _, inFragment := range []bool{false, true} {
			document := p.document(" = "+f.literal(p.typ), inFragment)
			refused(document, `{"v": null}`)
			if p.operation != ast.Subscription { // which would not end
				if status, text := ask(document, `{}`); status != http.StatusOK {
					t.Errorf("%s: got %d %s, want 200", document, status, text)
				}
			}
			if p.covered {
				covered++
				refused(p.document("", inFragment), `{"v": null}`)
				refused(p.document(" = null", inFragment), `{}`)
			}
		}
	}
	t.Logf("%d places, %d of them have a default", len(f.found), covered/2)
	if len(f.found) < 100 || covered < 10 {
		t.Errorf("got %d places, %d of them with a default, want at least 100 and 10", len(f.found), covered)
	}
}

// TestNullOverStreams sends such a null in a subscription and in a query, over an event stream and a WebSocket: the
// operation does not begin, and the stream goes on.
func TestNullOverStreams(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		const errors = `[{"message":"Variable \"$v\" is null, but is used where null is not allowed.","path":["variable","v"],` +
			`"locations":[{"line":1,"column":%d}],"extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]`
		conn, _, err := websocket.Dial(t.Context(), s.url, &websocket.DialOptions{HTTPClient: s.client, Subprotocols: []string{"graphql-transport-ws"}}) //nolint:bodyclose // the library does
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.CloseNow() }()
		exchange := func(message, want string) {
			t.Helper()
			if err := conn.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
				t.Fatal(err)
			}
			if _, got, err := conn.Read(t.Context()); err != nil || string(got) != want {
				t.Errorf("%s: %v, %s, want %s", message, err, got, want)
			}
		}
		exchange(`{"type":"connection_init"}`, `{"type":"connection_ack"}`)
		for i, test := range []struct {
			document string
			column   int
		}{
			{`subscription ($v: EntityType = USER) { changes(types: [$v]) { kind } }`, 56},
			{`query ($v: Boolean = true) { users @skip(if: $v) { totalCount } }`, 46},
		} {
			request, want := fmt.Sprintf(`{"query":%q,"variables":{"v":null}}`, test.document), fmt.Sprintf(errors, test.column)
			exchange(fmt.Sprintf(`{"type":"subscribe","id":"%d","payload":%s}`, i, request), fmt.Sprintf(`{"type":"error","id":"%d","payload":%s}`, i, want))
			_, text := s.send(http.MethodPost, s.url, []byte(request), "Accept", "text/event-stream")
			if want := "event: next\ndata: {\"errors\":" + want + "}\n\nevent: complete\ndata:\n\n"; string(text) != want {
				t.Errorf("%s: got %q, want %q", test.document, text, want)
			}
		}
		exchange(`{"type":"ping"}`, `{"type":"pong"}`)
	})
}
