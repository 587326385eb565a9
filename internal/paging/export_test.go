package paging

import (
	"encoding/base64"
	"encoding/binary"
)

// Forge makes a cursor with the right checksum of any values.
func Forge(p *Page, values []byte) string {
	b := []byte{cursorVersion}
	b = binary.BigEndian.AppendUint32(b, p.checksum(values))
	return base64.RawURLEncoding.EncodeToString(append(b, values...))
}
