// Package strictjson reads JSON that means the same to every reader. It refuses text that readers understand differently
// or change silently: doubled names, broken UTF-8 and half surrogate pairs.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is the deepest nesting of arrays and objects.
const maxDepth = 200

// byteOrderMark precedes a text of some editors and libraries.
const byteOrderMark = "\uFEFF"

// An Error says what is wrong with a JSON text and where. It does not repeat any of the text.
type Error struct {
	Offset int // in bytes from the start of the text
	Reason string
	// TooMany says that the text has too many values.
	TooMany bool
}

func (e *Error) Error() string { return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset) }

// quotes finds what an error of jsontext repeats of the text.
var quotes = regexp.MustCompile(`^(invalid character) '.+?'( )|^(invalid [a-z ]+) .+( in string)$`)

// Parse decodes one JSON object into the types of encoding/json. Numbers become json.Number. It ignores a byte order mark
// at the start, as RFC 8259 allows. The object may have at most so many values, at all levels together; 0 is no bound.
// A value takes far more memory than its two bytes in the text. The error is an *Error.
func Parse(data []byte, most int) (map[string]any, error) {
	text := bytes.TrimPrefix(data, []byte(byteOrderMark))
	if object, ok := readQuickly(text, most); ok {
		return object, nil
	}
	return parse(data, text, most)
}

// parse is Parse by jsontext. text is the data without its mark.
func parse(data, text []byte, most int) (map[string]any, error) {
	p := &parser{Decoder: jsontext.NewDecoder(bytes.NewBuffer(text)), text: text, most: most}
	object, err := p.document()
	if err == nil {
		return object, nil
	}
	var e *Error
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		e = &Error{Offset: int(s.ByteOffset), Reason: quotes.ReplaceAllString(s.Err.Error(), "$1$2$3$4")}
	} else if !errors.As(err, &e) {
		return nil, err // a text in memory has no other errors
	}
	e.Offset += len(data) - len(text)
	return nil, e
}

type parser struct {
	*jsontext.Decoder

	text         []byte
	values, most int
}

// rest returns the text after the last token, without white space.
func (p *parser) rest() []byte { return bytes.TrimLeft(p.text[p.InputOffset():], " \t\r\n") }

func (p *parser) fail(reason string) *Error {
	return &Error{Offset: len(p.text) - len(p.rest()), Reason: reason}
}

func (p *parser) document() (map[string]any, error) {
	if !bytes.HasPrefix(p.rest(), []byte("{")) {
		return nil, p.fail("no object")
	}
	_, _ = p.ReadToken() // the brace
	object, err := p.object()
	if err == nil && len(p.rest()) > 0 {
		err = p.fail("something after the object")
	}
	return object, err
}

func (p *parser) value() (any, error) {
	token, err := p.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case jsontext.KindTrue, jsontext.KindFalse:
		return token.Bool(), nil
	case jsontext.KindString:
		return token.String(), nil
	case jsontext.KindNumber:
		return json.Number(token.String()), nil
	case jsontext.KindBeginObject:
		return p.object()
	case jsontext.KindBeginArray:
		return p.array()
	case jsontext.KindNull, jsontext.KindInvalid, jsontext.KindEndObject, jsontext.KindEndArray: // all but null are errors above
	}
	return nil, nil
}

func (p *parser) object() (map[string]any, error) {
	object := map[string]any{}
	for {
		more, err := p.more(jsontext.KindEndObject)
		if !more {
			return object, err
		}
		name, err := p.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		if object[key], err = p.value(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) array() ([]any, error) {
	array := []any{}
	for {
		more, err := p.more(jsontext.KindEndArray)
		if !more {
			return array, err
		}
		element, err := p.value()
		if err != nil {
			return nil, err
		}
		array = append(array, element)
	}
}

// more reports whether an array or object has another value. It reads the end.
func (p *parser) more(end jsontext.Kind) (bool, error) {
	if p.StackDepth() > maxDepth {
		return false, &Error{Offset: int(p.InputOffset()) - len("["), Reason: "too deep"}
	}
	if p.PeekKind() == end {
		_, err := p.ReadToken()
		return false, err
	}
	if p.values++; p.values > p.most && p.most > 0 {
		return false, &Error{Offset: int(p.InputOffset()), Reason: "too many values", TooMany: true}
	}
	return true, nil
}

// escapeLength is the length of the escape of a UTF-16 code unit.
const escapeLength = len(`\uXXXX`)

// escapedUnit returns the UTF-16 code unit that the start of a text escapes, or -1.
func escapedUnit(text string) rune {
	if len(text) < escapeLength || text[:2] != `\u` {
		return -1
	}
	unit, err := strconv.ParseUint(text[2:escapeLength], 16, 16)
	if err != nil {
		return -1
	}
	return rune(unit)
}

// HalfSurrogate returns where a text first escapes half a surrogate pair, or -1. It looks at the escapes alone, which are
// the same in JSON and in a string of GraphQL.
func HalfSurrogate(text string) int {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		switch first := escapedUnit(text[i:]); {
		case !utf16.IsSurrogate(first):
			i++ // the escaped character
		case utf16.DecodeRune(first, escapedUnit(text[i+escapeLength:])) == utf8.RuneError:
			return i
		default:
			i += 2*escapeLength - 1
		}
	}
	return -1
}
