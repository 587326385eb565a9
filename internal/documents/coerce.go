package documents

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/codes"
)

// Variables coerces the variables of an operation by the rules of the specification. A variable that is left out gets
// its default. The document is the result of Find for the same request. Each wrong variable is one error, and an
// unknown name of an operation is an error too. There are at most [MaxErrors]. Lists and objects of the request are changed
// where they are, and become part of the result.
func (l *Library) Variables(d *Document, r Request) (map[string]any, gqlerror.List) {
	operation, err := d.operation(r.OperationName)
	if err != nil {
		return nil, gqlerror.List{err}
	}
	coerced := map[string]any{}
	var errs gqlerror.List
	for _, v := range operation.VariableDefinitions {
		path := ast.Path{ast.PathName("variable"), ast.PathName(v.Variable)}
		value, given := r.Variables[v.Variable]
		if !given && v.DefaultValue != nil {
			value, _ = v.DefaultValue.Value(nil) // validation has read it
			given = true
		}
		var err *gqlerror.Error
		switch {
		case given:
			coerced[v.Variable], err = l.coerce(v.Type, value, path)
		case v.Type.NonNull:
			err = misfit(path, "is missing")
		}
		if err == nil {
			continue
		}
		err.Locations = []gqlerror.Location{{Line: v.Position.Line, Column: v.Position.Column}}
		if !l.Introspection {
			err.Message = "the value does not fit the variable's type"
			err.Path = err.Path[:2] // the rest of the path names fields of the schema
		}
		if errs = append(errs, Tidy(err)); len(errs) == MaxErrors {
			break
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return coerced, nil
}

// operation returns the operation with a name. The name may be empty if there is only one operation. The error lists
// the names.
func (d *Document) operation(name string) (*ast.OperationDefinition, *gqlerror.Error) {
	if o := d.Parsed.Operations.ForName(name); o != nil {
		return o, nil
	}
	names := make([]string, len(d.Parsed.Operations))
	for i, o := range d.Parsed.Operations {
		names[i] = cut(o.Name, maxKey)
	}
	list, asked := oneOf(names, "or"), cut(name, maxKey)
	message := fmt.Sprintf("the document has no operation %q: name one in operationName: %s", asked, list)
	switch {
	case name == "":
		message = "the document has several operations: name one in operationName: " + list
	case list == "":
		message = fmt.Sprintf("the operation of the document has no name, but operationName is %q: leave it out", asked)
	}
	return nil, Tidy(refuse(codes.ValidationFailed, message))
}

// misfit returns the error of a value of a variable. The path starts with "variable" and the variable's name.
func misfit(path ast.Path, format string, args ...any) *gqlerror.Error {
	names := make([]string, len(path)-1)
	for i, element := range path[1:] {
		names[i] = fmt.Sprint(element)
	}
	name := cut(strings.Join(names, "."), maxKey)
	err := refuse(codes.ValidationFailed, fmt.Sprintf(`Variable "$%s" %s.`, name, fmt.Sprintf(format, args...)))
	err.Path = slices.Clone(path)
	return err
}

// coerce coerces the value at a path of a variable. The error is that of the first wrong value.
func (l *Library) coerce(t *ast.Type, value any, path ast.Path) (any, *gqlerror.Error) {
	def := l.Schema.Types[t.Name()]
	if value == nil {
		if !t.NonNull {
			return nil, nil
		}
		if t.Elem != nil {
			return nil, misfit(path, "is null, but must be %s", wordList)
		}
		return nil, misfit(path, "is null, but must be %s", expectation(def))
	}
	if t.Elem != nil {
		list, isList := value.([]any)
		if !isList { // a single value stands for a list with this value
			coerced, err := l.coerce(t.Elem, value, path)
			return []any{coerced}, err
		}
		for i := range list {
			var err *gqlerror.Error
			if list[i], err = l.coerce(t.Elem, list[i], append(path, ast.PathIndex(i))); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	if object, isObject := value.(map[string]any); isObject && def.Kind == ast.InputObject {
		return l.coerceObject(def, object, path)
	}
	coerced, fits := scalarOf(def, value)
	if !fits {
		return nil, misfit(path, "must be %s, but is %s", expectation(def), valueInWords(value))
	}
	return coerced, nil
}

// coerceObject coerces an input object. The executor fills in the defaults of fields that are left out.
func (l *Library) coerceObject(def *ast.Definition, object map[string]any, path ast.Path) (any, *gqlerror.Error) {
	if err := fieldsOf(def, object, path); err != nil {
		return nil, err
	}
	for _, field := range def.Fields {
		value, given := object[field.Name]
		if !given && (!field.Type.NonNull || field.DefaultValue != nil) {
			continue
		}
		inner := append(path, ast.PathName(field.Name)) //nolint:gocritic // appendAssign: each field uses the same memory
		if !given {
			return nil, misfit(inner, "is missing")
		}
		var err *gqlerror.Error
		if object[field.Name], err = l.coerce(field.Type, value, inner); err != nil {
			return nil, err
		}
	}
	return object, nil
}

// fieldsOf checks which fields an input object has.
func fieldsOf(def *ast.Definition, object map[string]any, path ast.Path) *gqlerror.Error {
	known := 0
	for _, field := range def.Fields {
		if _, given := object[field.Name]; given {
			known++
		}
	}
	oneOf := def.Directives.ForName("oneOf") != nil
	if known == len(object) && !oneOf {
		return nil
	}
	names := slices.Sorted(maps.Keys(object)) // the same request gets the same error
	for _, name := range names {
		if def.Fields.ForName(name) == nil {
			return misfit(append(path, ast.PathName(name)), "is a field that %s does not have", def.Name)
		}
	}
	fault, name := choose(def, names, func(name string) bool { return object[name] == nil })
	switch {
	case name != "":
		return misfit(append(path, ast.PathName(name)), "%s", fault)
	case fault != "":
		return misfit(path, "does not fit: %s", fault)
	}
	return nil
}

// scalarOf coerces a value to a scalar or an enum.
func scalarOf(def *ast.Definition, value any) (coerced any, fits bool) {
	if n, literal := value.(int64); literal { // a default in the document
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
		n, isInteger := integer(string(number))
		return n, isInteger
	case def.Name == scalarFloat:
		if n, literal := value.(float64); literal {
			return n, true
		}
		n, err := number.Float64()
		return n, isNumber && err == nil
	case def.Name == scalarBoolean:
		b, isBoolean := value.(bool)
		return b, isBoolean
	case def.Name == scalarID && isNumber: // 4 is the ID "4"; 4.0 is no ID
		return string(number), !strings.ContainsAny(string(number), ".eE")
	}
	return text, isString
}
