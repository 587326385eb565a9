package compiled

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent/rules"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// A cell receives the value of a column from the driver. Bytes are valid until the next row is read.
type cell struct{ value any }

// Scan implements sql.Scanner.
func (c *cell) Scan(value any) error {
	c.value = value
	return nil
}

// An appender appends a value from a driver as JSON.
type appender func(b []byte, value any) ([]byte, error)

// scalar returns the appender of a field with one column, or nil if the field is of no known type.
func (o *Options) scalar(t *statement.Table, f *ast.FieldDefinition, c statement.Column) appender {
	name := f.Type.Name()
	def := o.Schema.Types[name]
	if split := o.Lists[t.GraphQL+"."+f.Name]; split != nil && c.Kind == statement.Text {
		return listOf(split)
	}
	if f.Type.Elem != nil {
		return nil
	}
	var a appender
	switch {
	case c.Kind == statement.ID && name == "ID" && c.Type != "":
		a = idOf(c.Type)
	case c.Kind == statement.Text && name == "String":
		a = appendTextOf
	case c.Kind == statement.Text && def.Kind == ast.Enum:
		a = enumOf(def)
	case c.Kind == statement.Time && name == "DateTime":
		a = appendTimeOf
	case c.Kind == statement.Int && name == "Int":
		a = appendIntOf
	case c.Kind == statement.Bool && name == "Boolean":
		a = appendBoolOf
	case c.Kind == statement.Float && name == "Float":
		a = appendFloatOf
	default:
		return nil
	}
	if c.Nullable {
		return orNull(a)
	}
	return a
}

// orNull appends null for NULL. Without it, NULL stands for the zero value, as in the entities of ent.
func orNull(a appender) appender {
	return func(b []byte, value any) ([]byte, error) {
		if value == nil {
			return append(b, "null"...), nil
		}
		return a(b, value)
	}
}

func mistyped(value any) error { return fmt.Errorf("compiled: the driver returned a %T", value) }

func idOf(kind string) appender {
	return func(b []byte, value any) ([]byte, error) {
		var id typeid.ID
		if err := id.Scan(value); err != nil {
			return nil, err
		}
		return append(id.As(kind).Append(append(b, '"')), '"'), nil
	}
}

func appendTextOf(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case string:
		return appendText(b, v), nil
	case []byte:
		return appendText(b, v), nil
	case nil:
		return append(b, `""`...), nil
	}
	return nil, mistyped(value)
}

// textOf returns a text from a driver.
func textOf(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	case nil:
		return "", nil
	}
	return "", mistyped(value)
}

func enumOf(def *ast.Definition) appender {
	return func(b []byte, value any) ([]byte, error) {
		text, err := textOf(value)
		if err != nil {
			return nil, err
		}
		if def.EnumValues.ForName(text) == nil {
			return nil, errWrong
		}
		return appendText(b, text), nil
	}
}

func listOf(split func(string) []string) appender {
	return func(b []byte, value any) ([]byte, error) {
		text, err := textOf(value)
		if err != nil {
			return nil, err
		}
		return appendTexts(b, split(text)), nil
	}
}

func appendTexts(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, text := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, text)
	}
	return append(b, ']')
}

func appendTimeOf(b []byte, value any) ([]byte, error) {
	t, ok := value.(time.Time)
	if !ok && value != nil {
		return nil, mistyped(value)
	}
	return append(appendTime(append(b, '"'), t.UTC()), '"'), nil
}

// appendTime appends a time in UTC in the layout rules.TimeFormat, in a quarter of the time of time.Time.AppendFormat.
func appendTime(b []byte, t time.Time) []byte {
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, rules.TimeFormat)
	}
	hour, minute, second := t.Clock()
	b = digits(b, year, 4)
	b = digits(append(b, '-'), int(month), 2)
	b = digits(append(b, '-'), day, 2)
	b = digits(append(b, 'T'), hour, 2)
	b = digits(append(b, ':'), minute, 2)
	b = digits(append(b, ':'), second, 2)
	b = digits(append(b, '.'), t.Nanosecond()/1000, 6)
	return append(b, 'Z')
}

// digits appends a number with leading zeros.
func digits(b []byte, n, width int) []byte {
	at := len(b)
	b = append(b, "000000"[:width]...)
	for i := at + width - 1; n > 0; i-- {
		b[i] += byte(n % 10)
		n /= 10
	}
	return b
}

func appendIntOf(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case nil:
		return append(b, '0'), nil
	}
	text, err := textOf(value) // without prepared statements, MariaDB sends digits
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return strconv.AppendInt(b, n, 10), err
}

func appendBoolOf(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case bool:
		return strconv.AppendBool(b, v), nil
	case int64: // MariaDB has no booleans
		return strconv.AppendBool(b, v != 0), nil
	case nil:
		return append(b, "false"...), nil
	}
	text, err := textOf(value) // as in appendIntOf
	if err != nil {
		return nil, err
	}
	v, err := strconv.ParseBool(text)
	return strconv.AppendBool(b, v), err
}

func appendFloatOf(b []byte, value any) ([]byte, error) {
	number, ok := value.(float64)
	if !ok && value != nil {
		text, err := textOf(value) // as in appendIntOf
		if err != nil {
			return nil, err
		}
		if number, err = strconv.ParseFloat(text, 64); err != nil {
			return nil, err
		}
	}
	if math.IsInf(number, 0) || math.IsNaN(number) {
		return nil, errWrong
	}
	return strconv.AppendFloat(b, number, 'g', -1, 64), nil
}

// appendText appends a text as gqlgen does.
func appendText[T string | []byte](b []byte, s T) []byte {
	const hex = "0123456789ABCDEF"
	b = append(slices.Grow(b, len(s)+2), '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\t':
			b = append(b, `\t`...)
		case '\r':
			b = append(b, `\r`...)
		case '\n':
			b = append(b, `\n`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
		start = i + 1
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
