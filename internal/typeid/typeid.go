// Package typeid implements the IDs of Roster: TypeIDs (https://github.com/jetify-com/typeid, specification 0.3),
// a type's name and a UUIDv7 (RFC 9562), as in user_01jvsz5r0xe3k8m1p4s6t9w2yb.
// A database stores only the UUID: the column determines the type. The package knows neither GraphQL nor ent.
package typeid

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
)

const (
	uuidLen   = 16
	typeMax   = 16 // a TypeID may have 63; Roster's types are far shorter
	suffixLen = 26
)

// A suffix has 130 bits: two zero bits and the UUID. The encoding knows only whole bytes, so it gets 20 bytes, which are
// 32 digits: four zero bytes and the UUID. The first six digits are zero and left out.
const (
	zeroBytes  = 4
	zeroDigits = "000000"
)

//nolint:gochecknoglobals // never changed
var digits = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// ErrMalformed is the error of a text that is not a TypeID.
var ErrMalformed = errors.New("not a TypeID")

// ID is an ID of any type. The zero value is not an ID: its Type and its String are empty.
// IDs are comparable with ==. IDs of one type sort by their UUIDs, which is the order of creation.
// An ID is an array, of the UUID and then the type: ent can scan lists of arrays, but not of structs.
type ID [uuidLen + typeMax]byte

// New returns the ID of the given type, of at most 16 letters, with the given UUID.
func New(kind string, u uuid.UUID) (id ID) {
	copy(id[:uuidLen], u[:])
	if copy(id[uuidLen:], kind) < len(kind) {
		panic("typeid: the type " + kind + " is too long")
	}
	return id
}

// Type returns the type's name, such as "user". It is empty for the zero ID.
func (id ID) Type() string { return string(id.kind()) }

func (id *ID) kind() []byte { return bytes.TrimRight(id[uuidLen:], "\x00") }

// As returns the ID with a type. Call it after Scan: the reader of a column knows the type of its IDs. The zero ID,
// from NULL, stays zero.
func (id ID) As(kind string) ID {
	u := id.UUID()
	if u == uuid.Nil {
		return ID{}
	}
	return New(kind, u)
}

// UUID returns the part that the database stores.
func (id ID) UUID() uuid.UUID { return uuid.UUID(id[:uuidLen]) }

// Compare orders IDs by their UUIDs, as every database does.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:uuidLen], other[:uuidLen]) }

// String returns the ID as clients see it.
func (id ID) String() string { return string(id.Append(nil)) }

// Append appends the ID as clients see it to b.
func (id ID) Append(b []byte) []byte {
	kind := id.kind()
	if len(kind) == 0 {
		return b
	}
	var all [zeroBytes + uuidLen]byte
	var text [len(zeroDigits) + suffixLen]byte
	copy(all[zeroBytes:], id[:uuidLen])
	digits.Encode(text[:], all[:])
	return append(append(append(b, kind...), '_'), text[len(zeroDigits):]...)
}

// Parse reads an ID as clients write it. The only error is ErrMalformed, with the reason.
func Parse(s string) (ID, error) {
	at := strings.LastIndexByte(s, '_')
	if at < 1 || at > typeMax {
		return ID{}, fmt.Errorf("%w: want a type of at most %d letters, an underscore and %d characters", ErrMalformed, typeMax, suffixLen)
	}
	kind, suffix := s[:at], s[at+1:]
	for i := range len(kind) {
		if c := kind[i]; (c < 'a' || c > 'z') && (c != '_' || i == 0 || i == len(kind)-1) {
			return ID{}, fmt.Errorf("%w: a type is made of lower-case letters", ErrMalformed)
		}
	}
	if len(suffix) != suffixLen || suffix[0] > '7' {
		return ID{}, fmt.Errorf("%w: want %d characters after the underscore, the first of them 0 to 7", ErrMalformed, suffixLen)
	}
	var all [zeroBytes + uuidLen]byte
	if n, err := digits.Decode(all[:], []byte(zeroDigits+suffix)); err != nil || n != len(all) { // it skips line breaks
		return ID{}, fmt.Errorf("%w: want lower-case base32 after the underscore", ErrMalformed)
	}
	return New(kind, uuid.UUID(all[zeroBytes:])), nil
}

var (
	_ driver.Valuer            = ID{}
	_ sql.Scanner              = (*ID)(nil)
	_ encoding.TextMarshaler   = ID{}
	_ encoding.TextUnmarshaler = (*ID)(nil)
)

// Value returns the 16 bytes of the UUID. Columns of uuid, binary(16) and BLOB accept them.
func (id ID) Value() (driver.Value, error) { return id[:uuidLen:uuidLen], nil }

// Scan reads the UUID and keeps the type: a row does not have it, see As.
func (id *ID) Scan(src any) error {
	var u uuid.UUID
	var err error
	if text, ok := src.([]byte); ok && len(text) != uuidLen { // lib/pq's form; uuid.Scan would allocate a string for it
		u, err = uuid.ParseBytes(text)
	} else {
		err = u.Scan(src)
	}
	copy(id[:uuidLen], u[:])
	return err
}

// MarshalText returns the ID as clients see it.
func (id ID) MarshalText() ([]byte, error) { return id.Append(nil), nil }

// UnmarshalText reads an ID as clients write it, like Parse.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = Parse(string(b))
	return err
}

// MarshalGQL writes the ID for gqlgen.
func (id ID) MarshalGQL(w io.Writer) {
	b := append(make([]byte, 0, typeMax+suffixLen+3), '"')
	_, _ = w.Write(append(id.Append(b), '"')) // gqlgen's writer is a buffer and cannot fail
}

// UnmarshalGQL reads an ID from a request. A malformed ID becomes the zero ID, without an error: the rules report it
// together with all other faults of the input, and no comparison finds it.
func (id *ID) UnmarshalGQL(v any) error {
	*id = ID{}
	if s, ok := v.(string); ok {
		if parsed, err := Parse(s); err == nil {
			*id = parsed
		}
	}
	return nil
}
