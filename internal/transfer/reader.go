package transfer

import (
	"bytes"
	"errors"
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
// Rows of more than limit bytes are rejected, so that no line takes more memory. Columns and members that ignore names are
// left out as if the file did not have them. The error says what is wrong with the file as a whole.
func NewReader(r io.Reader, format Format, limit int, ignore ...string) (*Reader, error) {
	in, err := decode(r)
	if err != nil {
		return nil, err
	}
	lines, err := skipBlank(in)
	if err != nil {
		return nil, err
	}
	ahead, _ := in.Peek(in.Size()) // what is wrong shows when it is read
	start := bytes.TrimLeft(ahead, " \t"+recordSeparator)
	switch {
	case format == JSONLines, format == "" && bytes.HasPrefix(start, []byte("{")):
		return &Reader{newJSONRows(in, limit, lines, ignore)}, nil
	case format == "" && bytes.HasPrefix(start, []byte("[")):
		return nil, errors.New("the file is a JSON array: write an object on each line, as jq -c '.[]' does")
	}
	rows, err := newCSVRows(in, format == Spreadsheet, limit, lines, ignore)
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
