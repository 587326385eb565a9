package query

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/google/uuid"

	"roster/ent/rules"
	"roster/internal/cursor"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// newScope returns the scope of cursors of a connection in an order.
func newScope(connection string, order []statement.Order) cursor.Scope {
	names := []string{connection}
	for _, o := range order {
		names = append(names, o.Column)
		if o.Desc {
			names = append(names, "desc")
		}
	}
	return cursor.NewScope(names...)
}

// cursor returns the cursor of a row: the values of the columns of the order. value returns the value of a column.
func (p *Page) cursor(value func(column string) any) string {
	b := make([]byte, 0, 48)
	for _, o := range p.order {
		b = AppendPosition(b, value(o.Column))
	}
	return string(p.AppendCursor(nil, b))
}

// AppendPosition appends a value of a cursor: a typeid.ID, time.Time or string.
func AppendPosition(b []byte, value any) []byte {
	switch v := value.(type) {
	case typeid.ID:
		u := v.UUID()
		return append(b, u[:]...)
	case time.Time:
		return binary.BigEndian.AppendUint64(b, uint64(v.UnixMicro()))
	case string:
		b = binary.AppendUvarint(b, uint64(len(v)))
		return append(b, v...)
	}
	return b
}

// decode returns the values of a cursor of this connection in this order.
func (p *Page) decode(text string) (values []any, ok bool) {
	b, ok := p.scope.Decode(text)
	for _, o := range p.order {
		if !ok {
			return nil, false
		}
		var value any
		column, _ := p.table.Column(o.Column)
		value, b, ok = p.decodeValue(column.Kind, b)
		values = append(values, value)
	}
	return values, ok && len(b) == 0
}

// decodeValue returns the value at the start of the bytes, and the bytes after it.
func (p *Page) decodeValue(kind statement.Kind, b []byte) (value any, rest []byte, ok bool) {
	switch kind {
	case statement.ID:
		if len(b) < 16 {
			return nil, nil, false
		}
		return typeid.New(p.table.Type, uuid.UUID(b[:16])), b[16:], true
	case statement.Time:
		if len(b) < 8 {
			return nil, nil, false
		}
		t := time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC() //nolint:gosec // G115: the bits, as they were written
		return t, b[8:], rules.Storable(t)
	case statement.Text:
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) { //nolint:gosec // G115: size is at most len(b)
			return nil, nil, false
		}
		end := size + int(n) //nolint:gosec // G115: at most len(b)
		s := string(b[size:end])
		return s, b[end:], strings.IndexByte(s, 0) < 0 && strings.ToValidUTF8(s, "") == s
	default: // no order has a column of another kind
		return nil, nil, false
	}
}
