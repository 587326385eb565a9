package transfer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	readBuffer = 64 << 10 // bytes
	maxExtra   = 20       // names of columns that are kept for people
	maxName    = 64       // bytes of each
)

// A Reader reads the rows of a file.
type Reader struct{ rows rowReader }

// A rowReader reads rows of one format. What is wrong with one row is a fault of that row; the error is io.EOF, or
// ends the file.
type rowReader interface {
	read() (*Row, error)
	// unknown has the names in the file that no field has.
	unknown() []string
}

var (
	_ rowReader = (*csvRows)(nil)
	_ rowReader = (*jsonRows)(nil)
)

// ErrEmpty is the error of a file without anything in it.
var ErrEmpty = errors.New("the file is empty")

// NewReader starts to read a file, compressed or not. A format that is empty is found out: JSON lines start with a brace.
// Rows of more than limit bytes are rejected, so that no line takes more memory. The error says what is wrong with the
// file as a whole.
func NewReader(r io.Reader, format Format, limit int) (*Reader, error) {
	in := bufio.NewReaderSize(r, readBuffer)
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		in = bufio.NewReaderSize(z, readBuffer)
	}
	ahead, err := in.Peek(in.Size())
	switch {
	case len(ahead) == 0 && !errors.Is(err, io.EOF):
		return nil, err
	case bytes.HasPrefix(ahead, []byte("\xff\xfe")), bytes.HasPrefix(ahead, []byte("\xfe\xff")):
		return nil, errors.New("the file is UTF-16: save it as UTF-8")
	}
	if bom := []byte("\ufeff"); bytes.HasPrefix(ahead, bom) {
		ahead = ahead[len(bom):]
		if _, err := in.Discard(len(bom)); err != nil {
			return nil, err
		}
	}
	start := strings.TrimLeft(string(ahead[:min(len(ahead), readBuffer)]), " \t\r\n")
	switch {
	case start == "" && len(ahead) < readBuffer-len("\ufeff"):
		return nil, ErrEmpty
	case format == JSONLines, format == "" && strings.HasPrefix(start, "{"):
		return &Reader{newJSONRows(in, limit)}, nil
	case format == "" && strings.HasPrefix(start, "["):
		return nil, errors.New("the file is a JSON array: write an object on each line")
	}
	rows, err := newCSVRows(in, limit)
	if err != nil {
		return nil, err
	}
	return &Reader{rows}, nil
}

// Read returns the next row; its error is io.EOF after the last.
func (r *Reader) Read() (*Row, error) { return r.rows.read() }

// Unknown has the names of columns and members that no field has, the first few.
func (r *Reader) Unknown() []string { return r.rows.unknown() }

// shortened is a name of the file as far as people read it.
func shortened(name string) string {
	return strings.ToValidUTF8(name[:min(len(name), maxName)], "")
}

// listed is a list of names of the file, which may have anything in them.
func listed(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = strconv.Quote(shortened(name))
	}
	return strings.Join(list, ", ")
}
