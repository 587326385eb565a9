package documents_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"

	"roster/internal/codes"
	"roster/internal/documents"
	"roster/internal/limits"
)

const inputs = `
	type Query {
		any(int: Int, float: Float, text: String, yes: Boolean, id: ID, at: Time, color: Color, in: In, one: One,
			ints: [Int], grid: [[Int!]!], ins: [In!]): Int
	}
	scalar Time
	enum Color { RED GREEN }
	input In { n: Int! = 1, text: String, in: In, list: [Int!], one: One, must: Boolean! }
	input One @oneOf { a: Int b: String }
`

func coercing(tb testing.TB, introspection bool) *documents.Library {
	tb.Helper()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: inputs})
	l, err := documents.New(documents.Options{
		Schema: schema, Limits: limits.New(schema, limits.Default(), limits.Prices{}), Introspection: introspection,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// coerce coerces JSON for the only variable, v, of a type.
func coerce(tb testing.TB, l *documents.Library, definition, variables string) (map[string]any, gqlerror.List) {
	tb.Helper()
	argument := map[string]string{
		"Int": "int", "Int!": "int", "Float": "float", "String": "text", "Boolean": "yes", "ID": "id", "Time": "at", "Color": "color",
		"In": "in", "One": "one", "[Int]": "ints", "[[Int!]!]": "grid", "[In!]": "ins",
	}
	of, _, _ := strings.Cut(definition, " ")
	r := documents.Request{Text: "query ($v: " + definition + ") { any(" + argument[of] + ": $v) }"}
	decoder := json.NewDecoder(strings.NewReader(variables))
	decoder.UseNumber()
	if err := decoder.Decode(&r.Variables); err != nil {
		tb.Fatal(err)
	}
	d, _, errs := l.Find(r)
	if len(errs) > 0 {
		tb.Fatal(errs)
	}
	return l.Variables(d, r)
}

func TestCoercion(t *testing.T) {
	t.Parallel()
	l, secret := coercing(t, true), coercing(t, false)
	for _, test := range []struct {
		definition, value string
		want              string // as JSON, or the message of the error
	}{
		{"Int", `0`, `0`},
		{"Int", `-2147483648`, `-2147483648`},
		{"Int", `2147483647.0`, `2147483647`},
		{"Int", `1e1`, `10`},
		{"Int", `1E+1`, `10`},
		{"Int", `12000e-3`, `12`},
		{"Int", `-0`, `0`},
		{"Int", `0e999999999999`, `0`},
		{"Int", `null`, `null`},
		{"Int = 7", `null`, `null`},
		{"Int", `2147483648`, `Variable "$v" must be an integer of 32 bits (Int), but is 2147483648.`},
		{"Int", `-2147483649e0`, `Variable "$v" must be an integer of 32 bits (Int), but is -2147483649e0.`},
		{"Int", `1e-1`, `Variable "$v" must be an integer of 32 bits (Int), but is 1e-1.`},
		{"Int", `1e400`, `Variable "$v" must be an integer of 32 bits (Int), but is 1e400.`},
		{"Int", `"1"`, `Variable "$v" must be an integer of 32 bits (Int), but is "1".`},
		{"Int", `true`, `Variable "$v" must be an integer of 32 bits (Int), but is true.`},
		{"Int", `[]`, `Variable "$v" must be an integer of 32 bits (Int), but is a list.`},
		{"Int", `{"a": 1}`, `Variable "$v" must be an integer of 32 bits (Int), but is an object.`},
		{"Int!", `null`, `Variable "$v" is null, but must be an integer of 32 bits (Int).`},
		{"Float", `1`, `1`},
		{"Float", `1.5e3`, `1500`},
		{"Float", `1e400`, `Variable "$v" must be a number (Float), but is 1e400.`},
		{"Float", `"1.5"`, `Variable "$v" must be a number (Float), but is "1.5".`},
		{"String", `""`, `""`},
		{"String", `5`, `Variable "$v" must be a string (String), but is 5.`},
		{"String", `false`, `Variable "$v" must be a string (String), but is false.`},
		{"Boolean", `false`, `false`},
		{"Boolean", `0`, `Variable "$v" must be true or false (Boolean), but is 0.`},
		{"Boolean", `"<true>"`, `Variable "$v" must be true or false (Boolean), but is "<true>".`},
		{"ID", `"x"`, `"x"`},
		{"ID", `-4`, `"-4"`},
		{"ID", `123456789012345678901234567890`, `"123456789012345678901234567890"`},
		{"ID", `4.0`, `Variable "$v" must be a string or an integer (ID), but is 4.0.`},
		{"ID", `4e0`, `Variable "$v" must be a string or an integer (ID), but is 4e0.`},
		{"ID", `true`, `Variable "$v" must be a string or an integer (ID), but is true.`},
		{"Time", `"now"`, `"now"`},
		{"Time", `5`, `Variable "$v" must be a string (Time), but is 5.`},
		{"Time", `["now"]`, `Variable "$v" must be a string (Time), but is a list.`},
		{"Color", `"RED"`, `"RED"`},
		{"Color", `"red"`, `Variable "$v" must be RED or GREEN (Color), but is "red".`},
		{"Color", `0`, `Variable "$v" must be RED or GREEN (Color), but is 0.`},
		{"Color", `["RED"]`, `Variable "$v" must be RED or GREEN (Color), but is a list.`},
		{"[Int]", `5.0`, `[5]`},
		{"[Int]", `[1, null, 2e0]`, `[1,null,2]`},
		{"[Int]", `[]`, `[]`},
		{"[Int]", `null`, `null`},
		{"[Int]", `[[1]]`, `Variable "$v.0" must be an integer of 32 bits (Int), but is a list.`},
		{"[[Int!]!]", `1`, `[[1]]`},
		{"[[Int!]!]", `[1, [2, 3]]`, `[[1],[2,3]]`},
		{"[[Int!]!]", `[[1], null]`, `Variable "$v.1" is null, but must be a list.`},
		{"[[Int!]!]", `[[1], [2, null]]`, `Variable "$v.1.1" is null, but must be an integer of 32 bits (Int).`},
		{"In", `{"must": true, "in": {"must": false, "list": 3}, "one": {"a": 1.0}}`, `{"in":{"list":[3],"must":false},"must":true,"one":{"a":1}}`},
		{"In", `{}`, `Variable "$v.must" is missing.`},
		{"In", `{"must": null}`, `Variable "$v.must" is null, but must be true or false (Boolean).`},
		{"In", `{"must": true, "n": null}`, `Variable "$v.n" is null, but must be an integer of 32 bits (Int).`},
		{"In", `{"must": true, "in": {"must": 1}}`, `Variable "$v.in.must" must be true or false (Boolean), but is 1.`},
		{"In", `{"must": true, "b": 1, "a": 2}`, `Variable "$v.a" is a field that In does not have.`},
		{"In", `"x"`, `Variable "$v" must be an object (In), but is "x".`},
		{"In", `[{"must": true}]`, `Variable "$v" must be an object (In), but is a list.`},
		{"In", `{"must": true, "one": {"b": null}}`, `Variable "$v.one.b" is null, but One takes exactly one entry, which is not null.`},
		{"[In!]", `{"must": true}`, `[{"must":true}]`},
		{"[In!]", `[{"must": true}, {"must": true, "text": {}}]`, `Variable "$v.1.text" must be a string (String), but is an object.`},
		{"One", `{"a": 1}`, `{"a":1}`},
		{"One", `{}`, `Variable "$v" does not fit: expected exactly one of a and b (One), found none.`},
		{"One", `{"a": 1, "b": "x"}`, `Variable "$v" does not fit: expected exactly one of a and b (One), found a and b.`},
		{"One", `{"a": null, "b": null}`, `Variable "$v" does not fit: expected exactly one of a and b (One), found a, which is null, and b, which is null.`},
		{"One", `{"a": "1"}`, `Variable "$v.a" must be an integer of 32 bits (Int), but is "1".`},
	} {
		got, errs := coerce(t, l, test.definition, `{"v": `+test.value+`, "other": [{}]}`)
		text, err := json.Marshal(got["v"])
		if err != nil {
			t.Fatal(err)
		}
		if len(errs) == 1 && errs[0].Extensions["code"] == codes.ValidationFailed {
			text = []byte(errs[0].Message)
		}
		if string(text) != test.want || len(errs) > 1 {
			t.Errorf("%s for %s: %s, %v, want %s", test.value, test.definition, text, errs, test.want)
		}
		_, secretErrs := coerce(t, secret, test.definition, `{"v": `+test.value+`}`)
		if len(secretErrs) != len(errs) || len(errs) > 0 && (secretErrs[0].Message != "the value does not fit the variable's type" || len(secretErrs[0].Path) != 2) {
			t.Errorf("%s for %s without introspection: got %v, want the message and the path without the schema", test.value, test.definition, secretErrs)
		}
	}
	for definition, want := range map[string]string{
		"Int": `{}`, "Int = 7": `{"v":7}`, "Int = null": `{"v":null}`, "[[Int!]!] = 1": `{"v":[[1]]}`, "Color = RED": `{"v":"RED"}`,
		"Float = 1": `{"v":1}`, "Float = 1.5": `{"v":1.5}`, "ID = 5": `{"v":"5"}`, `In = {must: true, in: null}`: `{"v":{"in":null,"must":true}}`,
		`String = """a"""`: `{"v":"a"}`,
	} {
		got, errs := coerce(t, l, definition, `{}`)
		if text, err := json.Marshal(got); err != nil || string(text) != want || len(errs) > 0 {
			t.Errorf("%s left out: %s, %v, %v, want %s", definition, text, errs, err, want)
		}
	}
}

// TestSelectsOperation has names that no operation has.
func TestSelectsOperation(t *testing.T) {
	t.Parallel()
	l := coercing(t, true)
	for _, test := range []struct{ text, name, want string }{
		{"{ any }", "", ""},
		{"query A { any }", "", ""},
		{"query A { any } query B { any }", "B", ""},
		{"query A { any } query B { any }", "", "the document has several operations: name one in operationName: A or B"},
		{"query A { any } query B { any } query C { any }", "", "the document has several operations: name one in operationName: A, B or C"},
		{"query A { any } query B { any }", "a", `the document has no operation "a": name one in operationName: A or B`},
		{"query A { any }", "B", `the document has no operation "B": name one in operationName: A`},
		{"{ any }", "B", `the operation of the document has no name, but operationName is "B": leave it out`},
	} {
		r := documents.Request{Text: test.text, OperationName: test.name}
		d, _, errs := l.Find(r)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if _, errs := l.Variables(d, r); len(errs) > 1 || (len(errs) == 0) != (test.want == "") || len(errs) == 1 && (errs[0].Message != test.want || code(errs) != string(codes.ValidationFailed)) {
			t.Errorf("%+v: got %v, want the message %q", test, errs, test.want)
		}
	}
}

// FuzzVariables checks that variables which are coerced are ones that gqlparser takes too, and coerced are the same, and
// that errors name no types of Go.
func FuzzVariables(f *testing.F) {
	types := []string{"Int", "Float", "String", "Boolean", "ID", "Time", "Color", "In", "One", "[Int]", "[[Int!]!]", "[In!]"}
	for i, value := range []string{`1e1`, `[1.0, null]`, `{"must": true, "in": {"must": false}}`, `{"a": 1}`, `"RED"`, `[[1], 2]`, `5`, `{"b": null}`} {
		f.Add(uint(i), value)
		f.Add(uint(i+6), value)
	}
	l := coercing(f, true)
	f.Fuzz(func(t *testing.T, of uint, value string) {
		if !json.Valid([]byte(value)) {
			return
		}
		definition := types[of%uint(len(types))]
		got, errs := coerce(t, l, definition, `{"v": `+value+`}`)
		if len(errs) > 0 {
			for _, word := range []string{"slice", "map[", "interface", "json.", "strconv", "float64"} {
				if strings.Contains(errs[0].Message, word) && !strings.Contains(value, word) {
					t.Errorf("%s for %s: got %v, want no word of Go", value, definition, errs)
				}
			}
			return
		}
		before, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		again, errs := coerce(t, l, definition, string(before))
		if !reflect.DeepEqual(again, got) || len(errs) > 0 {
			t.Errorf("%s for %s: coerced again: got %v, %v, want %v", value, definition, again, errs, got)
		}
		operation := &ast.OperationDefinition{VariableDefinitions: ast.VariableDefinitionList{{
			Variable: "v", Type: typeOf(t, definition), Definition: l.Schema.Types[typeOf(t, definition).Name()],
		}}}
		theirs, err := validator.VariableValues(l.Schema, operation, got)
		if err != nil {
			t.Errorf("%s for %s: gqlparser: got %v for %v, want no error", value, definition, err, got)
		}
		if after, err := json.Marshal(theirs); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s for %s: gqlparser: got %s, %v, want %s", value, definition, after, err, before)
		}
	})
}

func typeOf(t *testing.T, definition string) *ast.Type {
	t.Helper()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: inputs + " extend type Query { x(v: " + definition + "): Int }"})
	return schema.Query.Fields.ForName("x").Arguments[0].Type
}
