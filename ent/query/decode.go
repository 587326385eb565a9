package query

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"roster/ent/rules"
	"roster/internal/typeid"
)

// decode sets a Go value to a value of an argument as it is in a document with its variables: nil, a bool, a string, a
// number, a list or an object. A field of an object has the name of a field of the struct, in any case. The error says
// that the value is not of its type. gqlgen decodes arguments in the same way, but needs the type of the field for it.
func decode(value any, into reflect.Value) error {
	if value == nil {
		into.SetZero()
		return nil
	}
	switch target := into.Addr().Interface().(type) {
	case *typeid.ID:
		return target.UnmarshalGQL(value)
	case *time.Time:
		text, _ := value.(string)
		t, fault := rules.Time(text)
		if fault != nil {
			return fault
		}
		*target = t
		return nil
	}
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		return decode(value, into.Elem())
	case reflect.Struct:
		return decodeObject(value, into)
	case reflect.Slice:
		list, ok := value.([]any)
		if !ok { // a single value stands for a list with this value
			list = []any{value}
		}
		into.Set(reflect.MakeSlice(into.Type(), len(list), len(list)))
		for i := range list {
			if err := decode(list[i], into.Index(i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.String:
		if text, ok := value.(string); ok {
			into.SetString(text)
			return nil
		}
	case reflect.Bool:
		if b, ok := value.(bool); ok {
			into.SetBool(b)
			return nil
		}
	case reflect.Int:
		if n, ok := integer(value); ok {
			into.SetInt(n)
			return nil
		}
	default:
	}
	return mistyped(value, into)
}

func decodeObject(value any, into reflect.Value) error {
	object, ok := value.(map[string]any)
	if !ok {
		return mistyped(value, into)
	}
	for name, value := range object {
		field := into.FieldByNameFunc(func(field string) bool { return strings.EqualFold(field, name) })
		if !field.IsValid() {
			return mistyped(value, into)
		}
		if err := decode(value, field); err != nil {
			return err
		}
	}
	return nil
}

func mistyped(value any, into reflect.Value) error {
	return fmt.Errorf("query: a %T is no value of %s", value, into.Type())
}

// integer returns an Int of GraphQL.
func integer(value any) (n int64, ok bool) {
	switch v := value.(type) {
	case int:
		n, ok = int64(v), true
	case int64:
		n, ok = v, true
	case json.Number:
		var err error
		n, err = v.Int64()
		ok = err == nil
	}
	return n, ok && math.MinInt32 <= n && n <= math.MaxInt32
}

// decodeArgs returns the arguments that all connections have.
func decodeArgs(values map[string]any) (args Args, err error) {
	number := func(name string) *int {
		value := values[name]
		if value == nil {
			return nil
		}
		n, ok := integer(value)
		if !ok {
			err = fmt.Errorf("query: a %T is no number", value)
		}
		return new(int(n))
	}
	text := func(name string) *string {
		value := values[name]
		if value == nil {
			return nil
		}
		s, ok := value.(string)
		if !ok {
			err = fmt.Errorf("query: a %T is no text", value)
		}
		return &s
	}
	args = Args{First: number("first"), Last: number("last"), After: text("after"), Before: text("before")}
	return args, err
}
