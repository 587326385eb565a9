package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxJSONDepth is the deepest nesting of arrays and objects that a request may have.
const maxJSONDepth = 200

// byteOrderMark is what some editors and libraries write before a text in UTF-8.
const byteOrderMark = "\uFEFF"

// jsonError says what is wrong with a JSON text and where, without repeating any of it.
type jsonError struct {
	offset int // in bytes from the start of the text
	reason string
	cost   bool // whether it would be right, but for its size
}

func (e *jsonError) Error() string { return fmt.Sprintf("%s at byte %d", e.reason, e.offset) }

// parseJSON decodes data, which must hold exactly one JSON object, into the types of
// encoding/json; numbers become json.Number. It is a decoder of its own because encoding/json
// lets pass what one side may read differently from the other, or what is silently changed:
// doubled keys, broken UTF-8 and lone surrogates (both become U+FFFD) are errors here, at every
// level. A byte order mark at the beginning is passed over, as RFC 8259 lets parsers do. At most so many values are decoded, those inside others included; 0 is no bound: a value takes
// more time and memory than the two bytes that it may have in the text. Every error is a *jsonError.
func parseJSON(data []byte, most int) (map[string]any, error) {
	if !utf8.Valid(data) {
		return nil, &jsonError{offset: invalidUTF8(data), reason: "broken UTF-8"}
	}
	p := &jsonParser{data: data, most: most}
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

// jsonParser reads RFC 8259 by recursive descent. Each method starts at the first byte of what it
// reads and leaves pos behind the last one.
type jsonParser struct {
	data   []byte
	pos    int
	depth  int
	values int
	most   int
}

func (p *jsonParser) fail(reason string) *jsonError {
	return &jsonError{offset: p.pos, reason: reason}
}

// at returns the byte at pos, or 0 at the end; a NUL is valid nowhere outside of a string.
func (p *jsonParser) at() byte {
	if p.pos < len(p.data) {
		return p.data[p.pos]
	}
	return 0
}

// peek skips white space and returns the byte that follows it, or 0 at the end.
func (p *jsonParser) peek() byte {
	for ; ; p.pos++ {
		switch c := p.at(); c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
}

func (p *jsonParser) value() (any, error) {
	if p.values++; p.values > p.most && p.most > 0 {
		return nil, &jsonError{offset: p.pos, reason: "too many values", cost: true}
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

func (p *jsonParser) literal(word string) bool {
	if !bytes.HasPrefix(p.data[p.pos:], []byte(word)) {
		return false
	}
	p.pos += len(word)
	return true
}

// open enters an array or an object; its counterpart is close.
func (p *jsonParser) open() error {
	if p.depth++; p.depth > maxJSONDepth {
		return p.fail("too deep")
	}
	p.pos++
	return nil
}

func (p *jsonParser) close() {
	p.depth--
	p.pos++
}

func (p *jsonParser) object() (map[string]any, error) {
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
			return nil, &jsonError{offset: start, reason: "a doubled key"}
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

func (p *jsonParser) array() ([]any, error) {
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
func (p *jsonParser) more(end byte) (bool, error) {
	switch p.peek() {
	case ',':
		p.pos++
		return true, nil
	case end:
		return false, nil
	}
	return false, p.fail("no comma and no end")
}

func (p *jsonParser) number() (json.Number, error) {
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

// skip passes over one of the given bytes and reports whether it was there.
func (p *jsonParser) skip(bytes string) bool {
	if p.pos == len(p.data) || strings.IndexByte(bytes, p.data[p.pos]) < 0 {
		return false
	}
	p.pos++
	return true
}

// digits passes over decimal digits and reports whether there was one.
func (p *jsonParser) digits() bool {
	start := p.pos
	for isDigit(p.at()) {
		p.pos++
	}
	return p.pos > start
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (p *jsonParser) text() (string, error) {
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

func (p *jsonParser) escape() (rune, error) {
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
func (p *jsonParser) escapedUnit() (rune, error) {
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
	return 0, &jsonError{offset: start - 1, reason: "a lone surrogate"}
}

// hex reads the u of an escape and its four digits.
func (p *jsonParser) hex() (rune, error) {
	end := min(p.pos+len("uXXXX"), len(p.data))
	unit, err := strconv.ParseUint(string(p.data[p.pos+1:end]), 16, 16)
	if err != nil || end-p.pos < len("uXXXX") {
		return 0, p.fail("a broken escape")
	}
	p.pos = end
	return rune(unit), nil
}
