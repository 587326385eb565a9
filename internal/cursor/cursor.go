// Package cursor writes and reads the texts of cursors. It knows neither the values in a cursor nor the lists that use
// it.
package cursor

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// The text of a cursor is the base64url of a version, a checksum, and values. The checksum covers the scope too, so
// that a cursor of another scope is as invalid as a damaged cursor. The checksum is neither a secret nor a signature:
// validate the values of a cursor like any input.
const (
	version    = 1
	checksumAt = 1
	valuesAt   = 5
	maxText    = 4096 // bytes; real cursors are far shorter
)

// A Scope distinguishes the cursors of one list in one order from all others.
type Scope uint32

// NewScope returns the scope with the names.
func NewScope(names ...string) Scope {
	sum := uint32(0)
	for _, name := range names {
		sum = crc32.Update(sum, crc32.IEEETable, append([]byte(name), 0))
	}
	return Scope(sum)
}

// checksum returns the checksum of the scope and the values.
func (s Scope) checksum(values []byte) uint32 {
	return crc32.Update(uint32(s), crc32.IEEETable, values)
}

// Encode returns the text of a cursor of the scope with the values.
func (s Scope) Encode(values []byte) string { return string(s.Append(nil, values)) }

// Append appends the text of a cursor of the scope with the values.
func (s Scope) Append(to, values []byte) []byte {
	b := make([]byte, valuesAt, 64)
	b[0] = version
	binary.BigEndian.PutUint32(b[checksumAt:], s.checksum(values))
	return base64.RawURLEncoding.AppendEncode(to, append(b, values...))
}

// Decode returns the values of a cursor of the scope. It reports false for any other text.
func (s Scope) Decode(text string) (values []byte, ok bool) {
	if len(text) > maxText || strings.ContainsAny(text, "\r\n") { // base64 would skip line breaks
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < valuesAt || b[0] != version || binary.BigEndian.Uint32(b[checksumAt:]) != s.checksum(b[valuesAt:]) {
		return nil, false
	}
	return b[valuesAt:], true
}
