package paging

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"time"

	"github.com/google/uuid"

	"roster/internal/statement"
	"roster/internal/typeid"
)

// A cursor is base64url of: the version, a checksum, and the row's value in each column of the order. The checksum
// covers the connection and its order too, so that a cursor of another one is as invalid as a damaged one. It is no
// secret and no signature: what a forged cursor says is checked as all input is.
const (
	cursorVersion = 1
	cursorMax     = 4096 // bytes of text; the longest real one is far below
	checksumAt    = 1
	valuesAt      = 5
)

// Cursor is the cursor of a row.
func Cursor[N any](p *Page, n N, value func(n N, column string) any) string {
	b := make([]byte, valuesAt, 48)
	b[0] = cursorVersion
	for _, o := range p.order {
		switch v := value(n, o.Column).(type) {
		case typeid.ID:
			u := v.UUID()
			b = append(b, u[:]...)
		case time.Time:
			b = binary.BigEndian.AppendUint64(b, uint64(v.UnixMicro()))
		case string:
			b = binary.AppendUvarint(b, uint64(len(v)))
			b = append(b, v...)
		}
	}
	binary.BigEndian.PutUint32(b[checksumAt:], p.checksum(b[valuesAt:]))
	return base64.RawURLEncoding.EncodeToString(b)
}

// decode returns the values of a cursor of this connection in this order.
func (p *Page) decode(cursor string) (values []any, ok bool) {
	if len(cursor) > cursorMax {
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) < valuesAt || b[0] != cursorVersion ||
		strings.ContainsAny(cursor, "\r\n") || // which base64 skips
		binary.BigEndian.Uint32(b[checksumAt:]) != p.checksum(b[valuesAt:]) {
		return nil, false
	}
	b = b[valuesAt:]
	for _, o := range p.order {
		column, _ := p.table.Column(o.Column)
		switch column.Kind {
		case statement.ID:
			if len(b) < 16 {
				return nil, false
			}
			values = append(values, typeid.New(p.table.Type, uuid.UUID(b[:16])))
			b = b[16:]
		case statement.Time:
			if len(b) < 8 {
				return nil, false
			}
			t := time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC() //nolint:gosec // G115: the bits, as they were written
			if t.Year() < 1000 || t.Year() > 9999 {                      // what every engine stores
				return nil, false
			}
			values = append(values, t)
			b = b[8:]
		case statement.Text:
			n, size := binary.Uvarint(b)
			if size <= 0 || n > uint64(len(b)-size) { //nolint:gosec // G115: size is at most len(b)
				return nil, false
			}
			s := string(b[size : size+int(n)]) //nolint:gosec // G115: at most len(b)
			if strings.IndexByte(s, 0) >= 0 || strings.ToValidUTF8(s, "") != s {
				return nil, false
			}
			values = append(values, s)
			b = b[size+int(n):] //nolint:gosec // G115: at most len(b)
		default: // no order has it
			return nil, false
		}
	}
	return values, len(b) == 0
}

// checksum covers the connection, its order and the values.
func (p *Page) checksum(values []byte) uint32 {
	h := crc32.NewIEEE()
	put := func(s string) {
		_, _ = h.Write([]byte(s)) // a hash does not fail
		_, _ = h.Write([]byte{0})
	}
	put(p.scope)
	for _, o := range p.order {
		put(o.Column)
		if o.Desc {
			put("desc")
		}
	}
	_, _ = h.Write(values)
	return h.Sum32()
}
