// Package typeid implements the IDs of Roster: TypeIDs (https://github.com/jetify-com/typeid, specification 0.3),
// a type's name and a UUIDv7 (RFC 9562), as in user_01jvsz5r0xe3k8m1p4s6t9w2yb.
// A database stores the bare UUID; the type's name is known from the column. The package knows neither GraphQL nor ent.
package typeid

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
)

const (
	uuidLen   = 16
	typeMax   = 16 // a TypeID may have 63; no type of Roster's comes near
	suffixLen = 26
	alphabet  = "0123456789abcdefghjkmnpqrstvwxyz"
)

// ErrMalformed says that a text is no TypeID.
var ErrMalformed = errors.New("not a TypeID")

// ID is one ID of any type. The zero value is no ID of any type: Type is empty and String too.
// IDs are comparable with ==; two IDs of one type sort by their UUIDs, which is the order of creation.
// It is an array, the UUID and then the type, since ent scans lists of arrays but not of structs.
type ID [uuidLen + typeMax]byte

// New returns the ID of the given type, of at most 16 letters, with the given UUID.
func New(kind string, u uuid.UUID) (id ID) {
	copy(id[:uuidLen], u[:])
	if copy(id[uuidLen:], kind) < len(kind) {
		panic("typeid: the type " + kind + " is too long")
	}
	return id
}

// Type is the type's name, such as "user"; it is empty for what was not an ID.
func (id ID) Type() string { return string(id.kind()) }

func (id *ID) kind() []byte { return bytes.TrimRight(id[uuidLen:], "\x00") }

// As returns the ID with its type set: what reads a column knows the type of the IDs in it. NULL stays the zero ID.
func (id ID) As(kind string) ID {
	u := id.UUID()
	if u == uuid.Nil {
		return ID{}
	}
	return New(kind, u)
}

// UUID is the part that the database stores.
func (id ID) UUID() uuid.UUID { return uuid.UUID(id[:uuidLen]) }

// Compare orders IDs by their UUIDs, as every database does.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:uuidLen], other[:uuidLen]) }

// String is the ID as clients see it.
func (id ID) String() string { return string(id.Append(nil)) }

// Append appends the ID as clients see it to b.
func (id ID) Append(b []byte) []byte {
	kind := id.kind()
	if len(kind) == 0 {
		return b
	}
	b = append(append(b, kind...), '_')
	// 26 characters of 5 bits hold 130 bits: the first character carries the two that are always zero.
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:uuidLen])
	for shift := 125; shift >= 0; shift -= 5 {
		var v uint64
		switch {
		case shift >= 64:
			v = hi >> (shift - 64)
		case shift > 59:
			v = hi<<(64-shift) | lo>>shift
		default:
			v = lo >> shift
		}
		b = append(b, alphabet[v&31])
	}
	return b
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
	var hi, lo uint64
	for i := range suffixLen {
		v := strings.IndexByte(alphabet, suffix[i])
		if v < 0 {
			return ID{}, fmt.Errorf("%w: character %d after the underscore is not lower-case base32", ErrMalformed, i+1)
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(v)
	}
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:8], hi)
	binary.BigEndian.PutUint64(u[8:], lo)
	return New(kind, u), nil
}

var (
	_ driver.Valuer    = ID{}
	_ sql.Scanner      = (*ID)(nil)
	_ json.Marshaler   = ID{}
	_ json.Unmarshaler = (*ID)(nil)
)

// Value is what the database stores: the 16 bytes of the UUID, which uuid, binary(16) and BLOB columns all take.
func (id ID) Value() (driver.Value, error) { return id[:uuidLen:uuidLen], nil }

// Scan reads the UUID and leaves the type as it is: a row does not tell it, see As.
func (id *ID) Scan(src any) error {
	var u uuid.UUID
	var err error
	if text, ok := src.([]byte); ok && len(text) != uuidLen { // lib/pq's form; uuid.Scan makes a string of it first
		u, err = uuid.ParseBytes(text)
	} else {
		err = u.Scan(src)
	}
	copy(id[:uuidLen], u[:])
	return err
}

// MarshalJSON writes the ID as a string.
func (id ID) MarshalJSON() ([]byte, error) { return json.Marshal(id.String()) }

// UnmarshalJSON reads what MarshalJSON writes. The error is ErrMalformed or that of a broken string.
func (id *ID) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	parsed, err := Parse(s)
	*id = parsed
	return err
}

// MarshalGQL writes the ID as gqlgen asks for it.
func (id ID) MarshalGQL(w io.Writer) {
	b := append(make([]byte, 0, typeMax+suffixLen+3), '"')
	_, _ = w.Write(append(id.Append(b), '"')) // gqlgen's writer is a buffer
}

// UnmarshalGQL reads an ID from a request. What is no ID becomes the zero ID, of no type, without an error:
// the rules report it together with all other faults of the same input, and no comparison ever finds it.
func (id *ID) UnmarshalGQL(v any) error {
	*id = ID{}
	if s, ok := v.(string); ok {
		if parsed, err := Parse(s); err == nil {
			*id = parsed
		}
	}
	return nil
}
