package feed

import (
	"encoding/binary"
	"encoding/hex"
	"errors"

	"roster/internal/cursor"
)

// The errors of cursors.
var (
	// ErrInvalid is the error of a text that is not a cursor of the feed.
	ErrInvalid = errors.New("is not a cursor of the changes")
	// ErrExpired is the error of a cursor of another epoch or database, or of a cursor older than the oldest change.
	ErrExpired = errors.New("is of another database, or older than the changes that are kept: take a new copy with changesCursor")
)

// A Cursor is a place in the feed of one epoch: after the change with the number.
type Cursor struct {
	epoch  epoch
	number int64
}

// epoch is the first bytes of the feed's epoch. They suffice to distinguish epochs. A database has a new epoch when it
// is created or reset.
type epoch [8]byte

func epochOf(text string) epoch {
	var e epoch
	_, _ = hex.Decode(e[:], []byte(text[:min(len(text), hex.EncodedLen(len(e)))])) // an epoch is always hexadecimal
	return e
}

// The values of a cursor: the epoch and the number.
const (
	numberAt  = len(epoch{})
	cursorLen = numberAt + 8
)

// scope distinguishes cursors of the feed from cursors of pages.
func scope() cursor.Scope { return cursor.NewScope("changes") }

// String returns the text of the cursor for clients.
func (c Cursor) String() string {
	b := make([]byte, 0, cursorLen)
	b = append(b, c.epoch[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.number)) //nolint:gosec // G115: never negative
	return scope().Encode(b)
}

// ParseCursor reads the text of a cursor. The error is ErrInvalid.
func ParseCursor(text string) (Cursor, error) {
	b, ok := scope().Decode(text)
	if !ok || len(b) != cursorLen {
		return Cursor{}, ErrInvalid
	}
	c := Cursor{epoch: epoch(b[:numberAt]), number: int64(binary.BigEndian.Uint64(b[numberAt:]))} //nolint:gosec // G115: checked next
	if c.number < 0 {
		return Cursor{}, ErrInvalid
	}
	return c, nil
}
