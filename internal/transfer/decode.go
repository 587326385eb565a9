package transfer

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

const (
	mark      = "\ufeff" // byte-order mark
	gzipMagic = "\x1f\x8b"
	magicSize = 32 // the bytes of a file that identify its format
)

// decode returns the text of a file in UTF-8. It decompresses gzip and converts UTF-16. The error names the format of a
// file that is not text.
func decode(r io.Reader) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(r, readBuffer)
	zipped := startsWith(in, gzipMagic)
	if zipped {
		z, err := newGzipReader(in)
		if err != nil {
			return nil, err
		}
		in = bufio.NewReaderSize(z, readBuffer)
	}
	ahead, err := in.Peek(magicSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch start := string(ahead); {
	case zipped && strings.HasPrefix(start, gzipMagic):
		return nil, errors.New("the file is compressed by gzip twice: decompress it once")
	case strings.HasPrefix(start, "\xff\xfe\x00\x00"), strings.HasPrefix(start, "\x00\x00\xfe\xff"):
		return nil, errors.New("the file is UTF-32: save it as UTF-8")
	case strings.HasPrefix(start, "\xff\xfe"):
		return bufio.NewReaderSize(transform.NewReader(in, utf16Text{order: binary.LittleEndian}), readBuffer), nil
	case strings.HasPrefix(start, "\xfe\xff"):
		return bufio.NewReaderSize(transform.NewReader(in, utf16Text{order: binary.BigEndian}), readBuffer), nil
	}
	return in, otherFormat(ahead)
}

// otherFormat returns an error that names the format of a file that is not text, or nil for text.
func otherFormat(start []byte) error {
	for _, other := range []struct{ magic, says string }{
		{"PK\x03\x04", "this is a ZIP archive or an Excel workbook: save it as CSV"}, // .xlsx, .ods, .numbers
		{"PK\x05\x06", "this is an empty ZIP archive: save the rows as CSV"},
		{"\xd0\xcf\x11\xe0", "this is an Excel workbook of the old form (.xls): save it as CSV"},
		{"%PDF-", "this is a PDF document: save the rows as CSV"},
		{`{\rtf`, "this is an RTF document: save the rows as CSV"},
		{"<!", "this is HTML or XML: save the rows as CSV"},
		{"<?xml", "this is XML: save the rows as CSV"},
		{"<html", "this is HTML: save the rows as CSV"},
		{"<table", "this is HTML: save the rows as CSV"},
		{"SQLite format 3\x00", "this is an SQLite database: export its rows as CSV"},
		{"PGCOPY\n", "this is the binary format of PostgreSQL: write it WITH (FORMAT csv, HEADER)"},
		{"PGDMP", "this is a dump of PostgreSQL: export the rows as CSV"},
		{"PAR1", "this is a Parquet file: save it as CSV"},
		{"\xfd7zXZ\x00", "this is compressed by xz: decompress it, or compress it by gzip"},
		{"\x28\xb5\x2f\xfd", "this is compressed by zstd: decompress it, or compress it by gzip"},
		{"7z\xbc\xaf\x27\x1c", "this is a 7-Zip archive: take the CSV out of it"},
	} {
		if len(start) >= len(other.magic) && strings.EqualFold(string(start[:len(other.magic)]), other.magic) {
			return errors.New(other.says)
		}
	}
	switch {
	case bytes.HasPrefix(start, []byte("BZh")) && bytes.Contains(start, []byte("1AY&SY")):
		return errors.New("this is compressed by bzip2: decompress it, or compress it by gzip")
	case bytes.IndexByte(start[:min(len(start), 2)], 0) >= 0:
		return errors.New("this is no text, or UTF-16 without a byte-order mark: save it as UTF-8")
	}
	return nil
}

// startsWith reports whether the next bytes are a text.
func startsWith(in *bufio.Reader, text string) bool {
	ahead, _ := in.Peek(len(text)) // the next read returns the error
	return string(ahead) == text
}

// skipBlank skips blank lines and byte-order marks at the start of a text. It returns the number of line ends that it
// skipped. The error is ErrEmpty when nothing is left.
func skipBlank(in *bufio.Reader) (lines int, err error) {
	for {
		ahead, err := in.Peek(in.Size())
		blank := len(ahead) - len(bytes.TrimLeft(ahead, " \t\r\n"+mark))
		all := blank == len(ahead)
		switch {
		case all && errors.Is(err, io.EOF):
			return lines, ErrEmpty
		case all && err != nil:
			return lines, err
		}
		end := 1 + bytes.LastIndexAny(ahead[:blank], "\r\n")
		if all && end == 0 {
			end = blank // as if the line began without
		}
		lines += lineEnds(ahead[:end])
		if _, err := in.Discard(end); err != nil {
			return lines, err
		}
		if !all {
			break
		}
	}
	for startsWith(in, mark) {
		if _, err := in.Discard(len(mark)); err != nil {
			return lines, err
		}
	}
	return lines, nil
}

// lineEnds counts the line ends of a text: LF, CRLF, CR CR LF, or CR alone.
func lineEnds(text []byte) (n int) {
	for i, c := range text {
		if c == '\n' || c == '\r' && crEnds(text[i+1:]) {
			n++
		}
	}
	return n
}

// crEnds reports whether a CR ends a line by itself. after has the next bytes. Otherwise the LF of CRLF, or of CR CR
// LF, ends the line.
func crEnds(after []byte) bool {
	return !bytes.HasPrefix(after, []byte("\n")) && !bytes.HasPrefix(after, []byte("\r\n"))
}

// gzipReader decompresses a file of one or more streams. Zero bytes may follow a stream, as on tapes or in blocks.
type gzipReader struct {
	in *bufio.Reader
	z  *gzip.Reader
}

func newGzipReader(in *bufio.Reader) (*gzipReader, error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, damaged(err)
	}
	z.Multistream(false)
	return &gzipReader{in, z}, nil
}

// Read implements io.Reader.
func (g *gzipReader) Read(p []byte) (n int, err error) {
	for {
		n, err := g.z.Read(p)
		switch {
		case n > 0 || err == nil:
			return n, nil
		case !errors.Is(err, io.EOF):
			return 0, damaged(err)
		}
		if err := g.next(); err != nil {
			return 0, err
		}
	}
}

// next starts the next stream. The error is io.EOF after the last.
func (g *gzipReader) next() error {
	for {
		c, err := g.in.ReadByte()
		if err != nil {
			return err
		}
		if c != 0 {
			break
		}
	}
	if err := g.in.UnreadByte(); err != nil {
		return err
	}
	if !startsWith(g.in, gzipMagic) {
		return errors.New("something follows the end of the gzip data: the file is damaged")
	}
	if err := g.z.Reset(g.in); err != nil {
		return damaged(err)
	}
	g.z.Multistream(false)
	return nil
}

// damaged returns the error of damaged compressed data.
func damaged(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("the gzip data are cut off: copy the file again")
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt):
		return errors.New("the gzip data are damaged: copy the file again")
	}
	return err
}

// notUTF8 stands for an invalid character. The rules then reject the row.
const notUTF8 = 0xff

// utf16Text converts UTF-16 to UTF-8. The decoder of x/text does not serve: it replaces invalid characters by U+FFFD.
type utf16Text struct {
	transform.NopResetter

	order binary.ByteOrder
}

// Transform implements transform.Transformer.
func (u utf16Text) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		rest := src[nSrc:]
		if len(rest) < 4 && !atEOF { // maybe half a pair
			return nDst, nSrc, transform.ErrShortSrc
		}
		if len(dst)-nDst < utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		r, size := rune(-1), min(len(rest), 2)
		if size == 2 {
			r = rune(u.order.Uint16(rest))
		}
		if utf16.IsSurrogate(r) {
			low := rune(0)
			if len(rest) >= 4 {
				low, size = rune(u.order.Uint16(rest[2:])), 4
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				r, size = -1, 2
			}
		}
		if r < 0 {
			dst[nDst] = notUTF8
			nDst++
		} else {
			nDst += utf8.EncodeRune(dst[nDst:], r)
		}
		nSrc += size
	}
	return nDst, nSrc, nil
}
