package documents

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/codes"
)

// Variables returns the variables of an operation of a document, coerced as the specification says, with the defaults of
// those that are left out. Each wrong variable is one error, of the request; so is a name that no operation has. The
// document is the one that Find returned for the request.
func (l *Library) Variables(d *Document, r Request) (map[string]any, gqlerror.List) {
	operation, err := d.operation(r.OperationName)
	if err != nil {
		return nil, gqlerror.List{err}
	}
	coerced := map[string]any{}
	var errs gqlerror.List
	for _, v := range operation.VariableDefinitions {
		value, given := r.Variables[v.Variable]
		if !given && v.DefaultValue != nil {
			value, _ = v.DefaultValue.Value(nil) // validation has read it
			given = true
		}
		c := coercion{schema: l.Schema, path: ast.Path{ast.PathName("variable"), ast.PathName(v.Variable)}}
		switch {
		case given:
			coerced[v.Variable] = c.value(v.Type, value)
		case v.Type.NonNull:
			c.fail("is missing")
		}
		if c.err == nil {
			continue
		}
		c.err.Locations = []gqlerror.Location{{Line: v.Position.Line, Column: v.Position.Column}}
		if !l.Introspection {
			c.err.Message = "the value does not fit the variable's type"
			c.err.Path = c.err.Path[:2] // what is behind the name is of the schema
		}
		if errs = append(errs, Tidy(c.err)); len(errs) == MaxErrors {
			break
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return coerced, nil
}

// operation returns the operation of a name, which may be empty when there is one only. The error lists their names.
func (d *Document) operation(name string) (*ast.OperationDefinition, *gqlerror.Error) {
	if o := d.Parsed.Operations.ForName(name); o != nil {
		return o, nil
	}
	names := make([]string, len(d.Parsed.Operations))
	for i, o := range d.Parsed.Operations {
		names[i] = cut(o.Name, maxKey)
	}
	list := oneOf(names, "or")
	switch {
	case name == "":
		return nil, Tidy(refuse(codes.ValidationFailed, "the document has several operations: name one in operationName: "+list))
	case list == "":
		return nil, Tidy(refuse(codes.ValidationFailed, fmt.Sprintf("the operation of the document has no name, but operationName is %q: leave it out", cut(name, maxKey))))
	}
	return nil, Tidy(refuse(codes.ValidationFailed, fmt.Sprintf("the document has no operation %q: name one in operationName: %s", cut(name, maxKey), list)))
}

// coercion coerces one variable, up to its first fault.
type coercion struct {
	schema *ast.Schema
	path   ast.Path // of the value that is looked at
	err    *gqlerror.Error
}

// fail notes a fault of the value that is looked at.
func (c *coercion) fail(format string, args ...any) {
	if c.err != nil {
		return
	}
	var name strings.Builder
	for i, element := range c.path[1:] {
		if i > 0 {
			name.WriteByte('.')
		}
		fmt.Fprint(&name, element)
	}
	c.err = refuse(codes.ValidationFailed, fmt.Sprintf(`Variable "$%s" %s.`, cut(name.String(), maxKey), fmt.Sprintf(format, args...)))
	c.err.Path = slices.Clone(c.path)
}

// failAt notes a fault of a field of the value that is looked at.
func (c *coercion) failAt(field, format string, args ...any) {
	c.path = append(c.path, ast.PathName(field))
	c.fail(format, args...)
	c.path = c.path[:len(c.path)-1]
}

// in coerces a value that is inside the one that is looked at.
func (c *coercion) in(element ast.PathElement, t *ast.Type, value any) any {
	c.path = append(c.path, element)
	coerced := c.value(t, value)
	c.path = c.path[:len(c.path)-1]
	return coerced
}

func (c *coercion) value(t *ast.Type, value any) any {
	def := c.schema.Types[t.Name()]
	if value == nil {
		if t.NonNull {
			c.fail("is null, but must be %s", article(t, def))
		}
		return nil
	}
	if t.Elem != nil {
		list, isList := value.([]any)
		if !isList { // one value is a list of it
			return []any{c.value(t.Elem, value)}
		}
		coerced := make([]any, len(list))
		for i := 0; i < len(list) && c.err == nil; i++ {
			coerced[i] = c.in(ast.PathIndex(i), t.Elem, list[i])
		}
		return coerced
	}
	if object, isObject := value.(map[string]any); isObject && def.Kind == ast.InputObject {
		return c.object(def, object)
	}
	coerced, fits := scalarOf(def, value)
	if !fits {
		c.fail("must be %s, but is %s", expectation(def), valueInWords(value))
	}
	return coerced
}

// article says in words what a type takes, lists included.
func article(t *ast.Type, def *ast.Definition) string {
	if t.Elem != nil {
		return wordList
	}
	return expectation(def)
}

// scalarOf coerces a value to a scalar or an enum.
func scalarOf(def *ast.Definition, value any) (coerced any, fits bool) {
	if n, literal := value.(int64); literal { // of a default
		value = json.Number(strconv.FormatInt(n, 10))
	}
	text, isString := value.(string)
	number, isNumber := value.(json.Number)
	switch {
	case def.Kind == ast.Enum:
		return text, isString && def.EnumValues.ForName(text) != nil
	case def.Kind == ast.InputObject:
		return nil, false
	case def.Name == scalarInt:
		return integerOf(number)
	case def.Name == scalarFloat:
		if n, literal := value.(float64); literal {
			return n, true
		}
		n, err := number.Float64()
		return n, isNumber && err == nil
	case def.Name == scalarBoolean:
		b, isBoolean := value.(bool)
		return b, isBoolean
	case def.Name == scalarID && isNumber: // 4 is the ID "4"; 4.0 is none
		return string(number), !strings.ContainsAny(string(number), ".eE")
	}
	return text, isString
}

func integerOf(number json.Number) (any, bool) {
	n, isInteger := integer(string(number))
	return n, isInteger
}

// object coerces an input object. The defaults of fields that are left out are the executor's.
func (c *coercion) object(def *ast.Definition, object map[string]any) map[string]any {
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names) // the same request gets the same error
	for _, name := range names {
		if def.Fields.ForName(name) == nil {
			c.failAt(name, "is a field that %s does not have", def.Name)
			return nil
		}
	}
	fault, name := choose(def, names, func(name string) bool { return object[name] == nil })
	switch {
	case name != "":
		c.failAt(name, "%s", fault)
		return nil
	case fault != "":
		c.fail("does not fit: %s", fault)
		return nil
	}
	coerced := make(map[string]any, len(object))
	for _, field := range def.Fields {
		value, given := object[field.Name]
		switch {
		case c.err != nil:
			return nil
		case given:
			coerced[field.Name] = c.in(ast.PathName(field.Name), field.Type, value)
		case field.Type.NonNull && field.DefaultValue == nil:
			c.failAt(field.Name, "is missing")
		}
	}
	return coerced
}
