package feed

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"strings"
)

// The ways in which a cursor does not serve.
var (
	// ErrInvalid is the error of a text that is no cursor of the feed.
	ErrInvalid = errors.New("is not a cursor of the changes")
	// ErrExpired is the error of a cursor of another database or another life of this one, or older than what is kept.
	ErrExpired = errors.New("is of another database, or older than the changes that are kept: take a new copy with changesCursor")
)

// A Cursor is a place in the feed of one life of one database: after the change with the number.
type Cursor struct {
	epoch  epoch
	number int64
}

// epoch is the start of the feed's epoch, enough to tell it from others.
type epoch [8]byte

func epochOf(text string) epoch {
	var e epoch
	_, _ = hex.Decode(e[:], []byte(text[:min(len(text), hex.EncodedLen(len(e)))])) // it is made of such digits; others differ all the same
	return e
}

// A cursor's text is base64url of: the version, a checksum, the epoch and the number.
const (
	cursorVersion = 1
	checksumAt    = 1
	epochAt       = 5
	numberAt      = epochAt + len(epoch{})
	cursorLen     = numberAt + 8
)

// String is the text that clients get.
func (c Cursor) String() string {
	var b [cursorLen]byte
	b[0] = cursorVersion
	copy(b[epochAt:], c.epoch[:])
	binary.BigEndian.PutUint64(b[numberAt:], uint64(c.number)) //nolint:gosec // G115: never negative
	binary.BigEndian.PutUint32(b[checksumAt:], checksum(b[epochAt:]))
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ParseCursor reads the text of a cursor. The error is ErrInvalid.
func ParseCursor(text string) (Cursor, error) {
	if len(text) != base64.RawURLEncoding.EncodedLen(cursorLen) || strings.ContainsAny(text, "\r\n") { // which base64 skips
		return Cursor{}, ErrInvalid
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || b[0] != cursorVersion || binary.BigEndian.Uint32(b[checksumAt:]) != checksum(b[epochAt:]) {
		return Cursor{}, ErrInvalid
	}
	c := Cursor{epoch: epoch(b[epochAt:numberAt]), number: int64(binary.BigEndian.Uint64(b[numberAt:]))} //nolint:gosec // G115: checked next
	if c.number < 0 {
		return Cursor{}, ErrInvalid
	}
	return c, nil
}

// checksum tells the feed's cursors from those of pages, too.
func checksum(b []byte) uint32 {
	h := crc32.NewIEEE()
	_, _ = h.Write([]byte("changes\x00")) // a hash does not fail
	_, _ = h.Write(b)
	return h.Sum32()
}
