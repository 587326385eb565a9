package documents

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/core"
)

// Scalars of the GraphQL specification.
const (
	scalarInt     = "Int"
	scalarFloat   = "Float"
	scalarString  = "String"
	scalarBoolean = "Boolean"
	scalarID      = "ID"
)

// expectation describes the values of a type, for error messages.
func expectation(def *ast.Definition) string {
	switch {
	case def.Kind == ast.Enum:
		return fmt.Sprintf("%s (%s)", oneOf(namesOf(def), "or"), def.Name)
	case def.Kind == ast.InputObject:
		return fmt.Sprintf("an object (%s)", def.Name)
	case def.Name == scalarInt:
		return "an integer of 32 bits (Int)"
	case def.Name == scalarFloat:
		return "a number (Float)"
	case def.Name == scalarString:
		return "a string (String)"
	case def.Name == scalarBoolean:
		return "true or false (Boolean)"
	case def.Name == scalarID:
		return "a string or an integer (ID)"
	}
	return fmt.Sprintf("a string (%s)", def.Name)
}

// namesOf returns the names of the values of an enum, or of the fields of an object.
func namesOf(def *ast.Definition) []string {
	var names []string
	for _, value := range def.EnumValues {
		names = append(names, value.Name)
	}
	for _, field := range def.Fields {
		names = append(names, field.Name)
	}
	return names
}

// oneOf returns names as a list in a sentence. word stands before the last name.
func oneOf(names []string, word string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " " + word + " " + names[last]
}

// Words for values that are not scalars.
const (
	wordList   = "a list"
	wordObject = "an object"
	wordNull   = "null"
)

// valueInWords describes the value of a variable, for error messages.
func valueInWords(value any) string {
	switch v := value.(type) {
	case []any:
		return wordList
	case map[string]any:
		return wordObject
	case string:
		return quoted(v)
	case nil:
		return wordNull
	default:
		return cut(fmt.Sprint(v), maxKey)
	}
}

// literalInWords describes a value of the document, for error messages.
func literalInWords(value *ast.Value) string {
	switch value.Kind {
	case ast.ListValue:
		return wordList
	case ast.ObjectValue:
		return wordObject
	case ast.StringValue, ast.BlockValue:
		return quoted(value.Raw)
	default:
		return cut(value.String(), maxKey)
	}
}

func quoted(text string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(cut(text, maxKey)) // encoding a string into memory cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}

// choose checks an object of a type with @oneOf: it must have exactly one entry, which is not null. The fault is "" for
// a correct object. name is the name of the wrong entry, or "" if the object as a whole is wrong.
func choose(def *ast.Definition, names []string, null func(name string) bool) (fault, name string) {
	if def.Directives.ForName("oneOf") == nil {
		return "", ""
	}
	if len(names) == 1 {
		if null(names[0]) {
			return fmt.Sprintf("is null, but %s takes exactly one entry, which is not null", def.Name), names[0]
		}
		return "", ""
	}
	entries := make([]string, len(names))
	for i, name := range names {
		entries[i] = cut(name, maxKey)
		if null(name) {
			entries[i] += ", which is null,"
		}
	}
	got := strings.TrimSuffix(oneOf(entries[:min(len(entries), MaxErrors)], "and"), ",")
	if got == "" {
		got = "none"
	}
	return fmt.Sprintf("expected exactly one of %s (%s), found %s", oneOf(namesOf(def), "and"), def.Name, got), ""
}

// valuesOfCorrectType returns the rule that each value in a document fits its type. suggest adds similar names to
// errors.
//
// The rule of gqlparser accepts numbers of more than 32 bits as Int, objects as scalars, and any value as a custom
// scalar, which must be a string here. If an object of a type with @oneOf has two entries, it names the wrong one.
func valuesOfCorrectType(suggest bool) validator.RuleFunc {
	return func(observers *validator.Events, addError validator.AddErrFunc) {
		observers.OnValue(func(_ *validator.Walker, value *ast.Value) {
			def := value.Definition
			if def == nil || value.ExpectedType == nil || value.Kind == ast.Variable {
				return
			}
			switch {
			case value.Kind == ast.NullValue && !value.ExpectedType.NonNull,
				value.Kind == ast.ListValue && value.ExpectedType.Elem != nil:
			case value.Kind == ast.ObjectValue && def.Kind == ast.InputObject:
				objectOfCorrectType(value, suggest, addError)
			case !literalFits(value):
				options := []validator.ErrorOption{validator.Message("Expected %s, found %s.", expectation(def), literalInWords(value)), at(value.Position)}
				if suggest && def.Kind == ast.Enum {
					options = append(options, core.SuggestListQuoted("Did you mean the enum value", value.Raw, namesOf(def)))
				}
				addError(options...)
			}
		})
	}
}

// literalFits reports whether a value of the document fits a scalar or an enum.
func literalFits(value *ast.Value) bool {
	def := value.Definition
	isString := value.Kind == ast.StringValue || value.Kind == ast.BlockValue
	if def.Kind == ast.Enum {
		return value.Kind == ast.EnumValue && def.EnumValues.ForName(value.Raw) != nil
	}
	if def.Kind != ast.Scalar {
		return false
	}
	if _, err := value.Value(nil); err != nil { // the executor could not read the number
		return false
	}
	switch def.Name {
	case scalarInt:
		_, inRange := integer(value.Raw)
		return value.Kind == ast.IntValue && inRange
	case scalarFloat:
		return value.Kind == ast.IntValue || value.Kind == ast.FloatValue
	case scalarBoolean:
		return value.Kind == ast.BooleanValue
	case scalarID:
		return isString || value.Kind == ast.IntValue
	}
	return isString
}

func objectOfCorrectType(value *ast.Value, suggest bool, addError validator.AddErrFunc) {
	def := value.Definition
	for _, field := range def.Fields {
		if field.Type.NonNull && field.DefaultValue == nil && value.Children.ForName(field.Name) == nil {
			addError(validator.Message(`Field "%s.%s" of type "%s" is missing.`, def.Name, field.Name, field.Type), at(value.Position))
		}
	}
	names, unknown := make([]string, len(value.Children)), false
	for i, child := range value.Children {
		names[i] = child.Name
		if def.Fields.ForName(child.Name) != nil {
			continue
		}
		unknown = true
		options := []validator.ErrorOption{validator.Message(`Field "%s" is not defined by type "%s".`, child.Name, def.Name), at(child.Position)}
		if suggest {
			options = append(options, core.SuggestListQuoted("Did you mean", child.Name, namesOf(def)))
		}
		addError(options...)
	}
	fault, name := choose(def, names, func(name string) bool {
		entry := value.Children.ForName(name)
		return entry != nil && entry.Kind == ast.NullValue
	})
	switch {
	case unknown || fault == "":
	case name != "":
		addError(validator.Message(`Field "%s.%s" %s.`, def.Name, name, fault), at(value.Children.ForName(name).Position))
	default:
		addError(validator.Message("%s.", strings.ToUpper(fault[:1])+fault[1:]), at(value.Position))
	}
}

// integer returns the Int that a JSON number stands for. JSON does not distinguish 1, 1.0 and 1e0, so all of them are
// integers.
func integer(text string) (int64, bool) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n != math.Trunc(n) || n < math.MinInt32 || n > math.MaxInt32 {
		return 0, false
	}
	return int64(n), true
}
