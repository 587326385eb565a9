package budget

import "io"

// The sizes of the pieces of a Buffer, in bytes. Each piece is twice as large as the one before, up to the largest.
const (
	firstPiece   = 512
	largestPiece = 64 << 10
)

// A Buffer has bytes in pieces. It grows without copying them. The zero Buffer is empty. It has no lock.
type Buffer struct {
	pieces [][]byte
	size   int
}

var (
	_ io.Writer       = (*Buffer)(nil)
	_ io.StringWriter = (*Buffer)(nil)
	_ io.WriterTo     = (*Buffer)(nil)
)

// Len returns the number of bytes.
func (b *Buffer) Len() int { return b.size }

// Write implements io.Writer. It has no error.
func (b *Buffer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		last := b.room()
		k := min(len(p), cap(*last)-len(*last))
		*last = append(*last, p[:k]...)
		p = p[k:]
	}
	b.size += n
	return n, nil
}

// WriteString implements io.StringWriter. It has no error.
func (b *Buffer) WriteString(s string) (int, error) {
	n := len(s)
	for s != "" {
		last := b.room()
		k := min(len(s), cap(*last)-len(*last))
		*last = append(*last, s[:k]...)
		s = s[k:]
	}
	b.size += n
	return n, nil
}

// room returns the last piece, which is not full.
func (b *Buffer) room() *[]byte {
	last := len(b.pieces) - 1
	if last < 0 || len(b.pieces[last]) == cap(b.pieces[last]) {
		size := firstPiece
		if last >= 0 {
			size = min(2*cap(b.pieces[last]), largestPiece)
		}
		b.pieces = append(b.pieces, make([]byte, 0, size))
		last++
	}
	return &b.pieces[last]
}

// WriteTo implements io.WriterTo. It empties the buffer. It drops each piece after writing it, so that the garbage
// collector can free it at once.
func (b *Buffer) WriteTo(w io.Writer) (int64, error) {
	n := int64(0)
	for i, piece := range b.pieces {
		k, err := w.Write(piece)
		n += int64(k)
		if err != nil {
			return n, err
		}
		b.pieces[i] = nil
	}
	b.pieces, b.size = nil, 0
	return n, nil
}
