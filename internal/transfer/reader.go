package transfer

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

const (
	readBuffer = 64 << 10 // bytes
	maxExtra   = 20       // unknown names that are reported
	maxName    = 64       // bytes of each name
)

// A Reader reads the rows of a file.
type Reader struct {
	rows    rowReader
	unknown unknownNames
}

// A rowReader reads rows of one format. An invalid row has faults. The error is io.EOF, or concerns the whole file; no
// row follows it.
type rowReader interface{ read() (*Row, error) }

// unknownNames are the first few names in a file that are not names of fields.
type unknownNames []string

func (u *unknownNames) add(name string) {
	if name = shortened(name); len(*u) < maxExtra && !slices.Contains(*u, name) {
		*u = append(*u, name)
	}
}

var (
	_ rowReader = (*csvRows)(nil)
	_ rowReader = (*jsonRows)(nil)
)

// ErrEmpty is the error of an empty or blank file.
var ErrEmpty = errors.New("the file is empty")

// NewReader starts to read a file, which may be compressed. If format is empty, it detects the format: JSON lines start
// with a brace. It rejects rows of more than limit bytes, which bounds the memory of a line. It skips the columns and
// members that ignore names. The error concerns the whole file.
func NewReader(r io.Reader, format Format, limit int, ignore ...string) (*Reader, error) {
	in, err := decode(r)
	if err != nil {
		return nil, err
	}
	lines, err := skipBlank(in)
	if err != nil {
		return nil, err
	}
	ahead, _ := in.Peek(in.Size()) // the next read returns the error
	start := bytes.TrimLeft(ahead, " \t"+recordSeparator)
	file := new(Reader)
	switch {
	case format == JSONLines, format == "" && bytes.HasPrefix(start, []byte("{")):
		file.rows = newJSONRows(in, limit, lines, ignore, &file.unknown)
		return file, nil
	case format == "" && bytes.HasPrefix(start, []byte("[")):
		return nil, errors.New("the file is a JSON array: write an object on each line, as jq -c '.[]' does")
	}
	file.rows, err = newCSVRows(in, format == Spreadsheet, limit, lines, ignore, &file.unknown)
	return file, err
}

// Read returns the next row. The error is io.EOF after the last row.
func (r *Reader) Read() (*Row, error) { return r.rows.read() }

// Unknown returns the first few names of columns and members that are not names of fields.
func (r *Reader) Unknown() []string { return r.unknown }

// shortened returns the start of a name from the file, for messages.
func shortened(name string) string {
	return strings.ToValidUTF8(name[:min(len(name), maxName)], "")
}

// listed returns a list of names for messages. It quotes them, because a file may have any names.
func listed(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = strconv.Quote(shortened(name))
	}
	return strings.Join(list, ", ")
}
