// Package cursor writes and reads the texts of cursors. It knows neither what they point to nor where they are used.
package cursor

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// The text of a cursor is base64url of: the version, a checksum, and values. The checksum covers the scope too, so that
// a cursor of another scope is as invalid as a damaged one. It is no secret and no signature: check the values of a
// cursor as all input.
const (
	version    = 1
	checksumAt = 1
	valuesAt   = 5
	maxText    = 4096 // bytes; the longest real one is far below
)

// A Scope tells the cursors of one list in one order from all others.
type Scope uint32

// NewScope returns the scope with the names.
func NewScope(names ...string) Scope {
	sum := uint32(0)
	for _, name := range names {
		sum = crc32.Update(sum, crc32.IEEETable, append([]byte(name), 0))
	}
	return Scope(sum)
}

// checksum covers the scope and the values.
func (s Scope) checksum(values []byte) uint32 {
	return crc32.Update(uint32(s), crc32.IEEETable, values)
}

// Encode returns the text of a cursor of the scope with the values.
func (s Scope) Encode(values []byte) string {
	b := make([]byte, valuesAt, valuesAt+len(values))
	b[0] = version
	binary.BigEndian.PutUint32(b[checksumAt:], s.checksum(values))
	return base64.RawURLEncoding.EncodeToString(append(b, values...))
}

// Decode returns the values of a cursor of the scope. It reports false for any other text.
func (s Scope) Decode(text string) (values []byte, ok bool) {
	if len(text) > maxText || strings.ContainsAny(text, "\r\n") { // which base64 skips
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < valuesAt || b[0] != version || binary.BigEndian.Uint32(b[checksumAt:]) != s.checksum(b[valuesAt:]) {
		return nil, false
	}
	return b[valuesAt:], true
}
