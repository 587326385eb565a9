package feed

import (
	"encoding/binary"
	"encoding/hex"
	"errors"

	"roster/internal/cursor"
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

// The values of a cursor: the epoch and the number.
const (
	numberAt  = len(epoch{})
	cursorLen = numberAt + 8
)

// scope tells the feed's cursors from those of pages.
func scope() cursor.Scope { return cursor.NewScope("changes") }

// String is the text that clients get.
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
