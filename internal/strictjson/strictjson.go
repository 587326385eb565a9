// Package strictjson reads JSON that means the same to everyone who reads it. It is a decoder of its own because
// encoding/json lets pass what one side may read differently from the other, or what is silently changed: doubled keys,
// broken UTF-8 and half surrogate pairs (both become U+FFFD) are errors here, at every level.
package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is the deepest nesting of arrays and objects.
const maxDepth = 200

// byteOrderMark is what some editors and libraries write before a text in UTF-8.
const byteOrderMark = "\uFEFF"

// An Error says what is wrong with a JSON text and where, without repeating any of it.
type Error struct {
	Offset int // in bytes from the start of the text
	Reason string
	// TooMany says that the text has more values than may be decoded.
	TooMany bool
}

func (e *Error) Error() string { return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset) }

// Parse decodes data, which must hold exactly one JSON object, into the types of encoding/json; numbers become
// json.Number. A byte order mark at the beginning is passed over, as RFC 8259 lets parsers do. At most so many values are
// decoded, those inside others included; 0 is no bound: a value takes more time and memory than the two bytes that it may
// have in the text. The error is an *Error.
func Parse(data []byte, most int) (map[string]any, error) {
	if !utf8.Valid(data) {
		return nil, &Error{Offset: invalidUTF8(data), Reason: "broken UTF-8"}
	}
	p := &parser{data: data, most: most}
	p.literal(byteOrderMark)
	if p.peek() != '{' {
		return nil, p.fail("no object")
	}
	object, err := p.object()
	if err != nil {
		return nil, err
	}
	if p.peek() != 0 || p.pos < len(data) {
		return nil, p.fail("something after the object")
	}
	return object, nil
}

func invalidUTF8(data []byte) int {
	offset := 0
	for offset < len(data) {
		r, size := utf8.DecodeRune(data[offset:])
		if r == utf8.RuneError && size <= 1 {
			break
		}
		offset += size
	}
	return offset
}

// parser reads RFC 8259 by recursive descent. Each method starts at the first byte of what it
// reads and leaves pos behind the last one.
type parser struct {
	data   []byte
	pos    int
	depth  int
	values int
	most   int
}

func (p *parser) fail(reason string) *Error {
	return &Error{Offset: p.pos, Reason: reason}
}

// at returns the byte at pos, or 0 at the end; a NUL is valid nowhere outside of a string.
func (p *parser) at() byte {
	if p.pos < len(p.data) {
		return p.data[p.pos]
	}
	return 0
}

// peek skips white space and returns the byte that follows it, or 0 at the end.
func (p *parser) peek() byte {
	for ; ; p.pos++ {
		switch c := p.at(); c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
}

func (p *parser) value() (any, error) {
	if p.values++; p.values > p.most && p.most > 0 {
		return nil, &Error{Offset: p.pos, Reason: "too many values", TooMany: true}
	}
	switch c := p.at(); {
	case c == '{':
		return p.object()
	case c == '[':
		return p.array()
	case c == '"':
		return p.text()
	case c == '-', isDigit(c):
		return p.number()
	case p.literal("true"):
		return true, nil
	case p.literal("false"):
		return false, nil
	case p.literal("null"):
		return nil, nil // JSON's null
	}
	return nil, p.fail("no value")
}

func (p *parser) literal(word string) bool {
	if !bytes.HasPrefix(p.data[p.pos:], []byte(word)) {
		return false
	}
	p.pos += len(word)
	return true
}

// open enters an array or an object; its counterpart is close.
func (p *parser) open() error {
	if p.depth++; p.depth > maxDepth {
		return p.fail("too deep")
	}
	p.pos++
	return nil
}

func (p *parser) close() {
	p.depth--
	p.pos++
}

func (p *parser) object() (map[string]any, error) {
	if err := p.open(); err != nil {
		return nil, err
	}
	object := map[string]any{}
	for more := p.peek() != '}'; more; {
		if p.peek() != '"' {
			return nil, p.fail("no key")
		}
		start := p.pos
		key, err := p.text()
		if err != nil {
			return nil, err
		}
		if _, doubled := object[key]; doubled {
			return nil, &Error{Offset: start, Reason: "a doubled key"}
		}
		if p.peek() != ':' {
			return nil, p.fail("no colon")
		}
		p.pos++
		p.peek()
		if object[key], err = p.value(); err != nil {
			return nil, err
		}
		if more, err = p.more('}'); err != nil {
			return nil, err
		}
	}
	p.close()
	return object, nil
}

func (p *parser) array() ([]any, error) {
	if err := p.open(); err != nil {
		return nil, err
	}
	array := []any{}
	for more := p.peek() != ']'; more; {
		p.peek()
		element, err := p.value()
		if err != nil {
			return nil, err
		}
		array = append(array, element)
		if more, err = p.more(']'); err != nil {
			return nil, err
		}
	}
	p.close()
	return array, nil
}

// more reads the comma behind an element, or reports that end follows.
func (p *parser) more(end byte) (bool, error) {
	switch p.peek() {
	case ',':
		p.pos++
		return true, nil
	case end:
		return false, nil
	}
	return false, p.fail("no comma and no end")
}

func (p *parser) number() (json.Number, error) {
	start := p.pos
	p.skip("-")
	if !p.skip("0") && !p.digits() {
		return "", p.fail("a broken number")
	}
	if p.skip(".") && !p.digits() {
		return "", p.fail("a broken number")
	}
	if p.skip("eE") {
		p.skip("+-")
		if !p.digits() {
			return "", p.fail("a broken number")
		}
	}
	return json.Number(p.data[start:p.pos]), nil
}

// skip passes over one of the given bytes and reports whether it did.
func (p *parser) skip(bytes string) bool {
	if p.pos == len(p.data) || strings.IndexByte(bytes, p.data[p.pos]) < 0 {
		return false
	}
	p.pos++
	return true
}

// digits passes over decimal digits and reports whether there was one.
func (p *parser) digits() bool {
	start := p.pos
	for isDigit(p.at()) {
		p.pos++
	}
	return p.pos > start
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (p *parser) text() (string, error) {
	p.pos++
	var unescaped []byte // what precedes start, once there was an escape
	start := p.pos
	for {
		switch c := p.at(); {
		case c == '"':
			rest := p.data[start:p.pos]
			p.pos++
			if unescaped == nil {
				return string(rest), nil
			}
			return string(append(unescaped, rest...)), nil
		case c == '\\':
			unescaped = append(unescaped, p.data[start:p.pos]...)
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			unescaped = utf8.AppendRune(unescaped, r)
			start = p.pos
		case c < ' ': // also at the end of the text
			return "", p.fail("no end of a string")
		default:
			p.pos++
		}
	}
}

func (p *parser) escape() (rune, error) {
	p.pos++
	switch c := p.at(); c {
	case 'u':
		return p.escapedUnit()
	case '"', '\\', '/':
		p.pos++
		return rune(c), nil
	default:
		i := strings.IndexByte("bfnrt", c)
		if i < 0 {
			return 0, p.fail("a broken escape")
		}
		p.pos++
		return rune("\b\f\n\r\t"[i]), nil
	}
}

// escapedUnit reads the u and the digits of an escaped UTF-16 code unit, and a second whole escape
// when the first one is the first half of a surrogate pair.
func (p *parser) escapedUnit() (rune, error) {
	start := p.pos
	r, err := p.hex()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if p.skip("\\") && p.at() == 'u' {
		low, err := p.hex()
		if err != nil {
			return 0, err
		}
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			return r, nil
		}
	}
	return 0, &Error{Offset: start - 1, Reason: "a lone surrogate"}
}

// hex reads the u of an escape and its four digits.
func (p *parser) hex() (rune, error) {
	unit := escapedUnit(p.data[p.pos-1:])
	if unit < 0 {
		return 0, p.fail("a broken escape")
	}
	p.pos += escapeLength - 1
	return unit, nil
}

// escapeLength is the length of the escape of a UTF-16 code unit.
const escapeLength = len(`\uXXXX`)

// escapedUnit returns the UTF-16 code unit that the start of a text escapes, or -1.
func escapedUnit[T string | []byte](text T) rune {
	if len(text) < escapeLength || string(text[:2]) != `\u` {
		return -1
	}
	unit, err := strconv.ParseUint(string(text[2:escapeLength]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(unit)
}

// HalfSurrogate returns where a text first escapes half a surrogate pair, or -1. It looks at the escapes alone, which are
// the same in JSON and in a string of GraphQL.
func HalfSurrogate[T string | []byte](text T) int {
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
