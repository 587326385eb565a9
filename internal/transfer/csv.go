package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"roster/ent/rules"
)

// csvScanner reads the records of RFC 4180, with any separator, and with lines that end in LF too. It is here because
// encoding/csv takes memory for as long as a quote is open, and changes the ends of the lines in a quoted field.
type csvScanner struct {
	in    *bufio.Reader
	comma byte
	limit int // of a record, in bytes
	line  int // on which the next byte stands, from 1

	text []byte // of all fields of the record
	ends []int  // of each field in text
	over bool   // text has as much as the limit allows
}

func newScanner(in *bufio.Reader, limit int) *csvScanner {
	return &csvScanner{in: in, comma: separator(in), limit: limit, line: 1}
}

// csvState is where the scanner is in a field.
type csvState int

const (
	fieldStart csvState = iota
	unquoted
	quoted
	quoteEnd // behind a quote in a quoted field: its end, or the first of two
	wrong    // behind a wrong quote, until the line ends
)

// next reads a record, blank lines left out, and returns the line on which it starts. A fault is what is wrong with the
// record, which has no fields then; the next record can be read all the same. The error is io.EOF, or the reader's.
func (s *csvScanner) next() (line int, fault *rules.Fault, err error) {
	for {
		line = s.line
		fault, err = s.record()
		if err != nil || fault != nil || len(s.ends) > 1 || len(s.text) > 0 {
			return line, fault, err
		}
	}
}

// field is a field of the record, until the next one is read.
func (s *csvScanner) field(i int) []byte {
	start := 0
	if i > 0 {
		start = s.ends[i-1]
	}
	return s.text[start:s.ends[i]]
}

func (s *csvScanner) record() (*rules.Fault, error) {
	s.text, s.ends, s.over = s.text[:0], s.ends[:0], false
	for state, first := fieldStart, true; ; first = false {
		c, err := s.in.ReadByte()
		if errors.Is(err, io.EOF) {
			return s.last(state, first)
		}
		if err != nil {
			return nil, err
		}
		if c == '\n' {
			s.line++
		}
		if state == quoted {
			if c == '"' {
				state = quoteEnd
			} else {
				s.add(c)
			}
			continue
		}
		if c == '\r' {
			if ahead, _ := s.in.Peek(1); len(ahead) == 0 || ahead[0] == '\n' {
				continue
			}
		}
		switch {
		case c == '\n':
			s.endField()
			return s.fault(state), nil
		case state == wrong:
		case c == s.comma:
			s.endField()
			state = fieldStart
		case c == '"' && state == fieldStart:
			state = quoted
		case c == '"' && state == quoteEnd:
			s.add(c)
			state = quoted
		case c == '"', state == quoteEnd:
			state = wrong
		default:
			s.add(c)
			state = unquoted
		}
	}
}

// last ends the record at the end of the file.
func (s *csvScanner) last(state csvState, first bool) (*rules.Fault, error) {
	if first {
		return nil, io.EOF
	}
	if state == quoted {
		return &rules.Fault{Code: rules.Invalid, Message: "has a quote that is never closed"}, nil
	}
	s.endField()
	return s.fault(state), nil
}

func (s *csvScanner) add(c byte) {
	if s.over = s.over || len(s.text) >= s.limit; !s.over {
		s.text = append(s.text, c)
	}
}

// endField ends a field. Each counts as a byte, since a line of separators is long too.
func (s *csvScanner) endField() {
	if s.over = s.over || len(s.text)+len(s.ends) >= s.limit; !s.over {
		s.ends = append(s.ends, len(s.text))
	}
}

func (s *csvScanner) fault(state csvState) *rules.Fault {
	switch {
	case state == wrong:
		return &rules.Fault{Code: rules.Invalid, Message: `has a quote in the wrong place: a field with quotes in it is written "like ""this"""`}
	case s.over:
		return tooLong(s.limit)
	}
	return nil
}

func tooLong(limit int) *rules.Fault {
	return &rules.Fault{Code: rules.TooLong, Message: fmt.Sprintf("has more than %d bytes", limit)}
}

// csvRows reads rows from CSV.
type csvRows struct {
	*csvScanner
	kind    Kind
	columns []string // the field that each column holds; empty for one that is not known
	posts   bool     // the users stand with their posts, a post on each line
	values  values
	user    *Row // the last one, to which posts on the next lines may belong
	next    *Row // the post that stands on the line of the user
	extra   []string
}

// newCSVRows reads the header.
func newCSVRows(in *bufio.Reader, limit int) (*csvRows, error) {
	r := &csvRows{csvScanner: newScanner(in, limit), values: values{}}
	line, fault, err := r.csvScanner.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("there is no header: the first line names the columns, such as username,email")
	case err != nil:
		return nil, err
	case fault != nil:
		return nil, fmt.Errorf("line %d: the header %s", line, fault.Message)
	}
	if err := r.header(); err != nil {
		return nil, fmt.Errorf("line %d: %w", line, err)
	}
	return r, nil
}

// separator is the one of those in use that stands most often in the first line.
func separator(in *bufio.Reader) byte {
	ahead, _ := in.Peek(in.Size()) // what is wrong shows when it is read
	if i := bytes.IndexByte(ahead, '\n'); i >= 0 {
		ahead = ahead[:i]
	}
	best := byte(',')
	for _, c := range []byte(";\t") {
		if bytes.Count(ahead, []byte{c}) > bytes.Count(ahead, []byte{best}) {
			best = c
		}
	}
	return best
}

// header finds the field of each column, written in any case, as in created_at or "Created At".
func (r *csvRows) header() error {
	fields := map[string]string{}
	for _, f := range []string{idField, usernameField, emailField, authorIDField, titleField, bodyField, createdAtField, updatedAtField, versionField} {
		fields[strings.ToLower(f)] = f
	}
	names := make([]string, len(r.ends))
	for i := range names {
		names[i] = strings.TrimSpace(strings.ToValidUTF8(string(r.field(i)), "\ufffd"))
		field := fields[strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(names[i]))]
		if field != "" && slices.Contains(r.columns, field) {
			return fmt.Errorf("two columns are %s", field)
		}
		r.columns = append(r.columns, field)
	}
	has := func(field string) bool { return slices.Contains(r.columns, field) }
	var required, unused []string
	switch {
	case has(authorIDField):
		r.kind, required, unused = Posts, []string{titleField}, []string{usernameField, emailField}
	case has(titleField):
		r.kind, required, r.posts = Users, []string{usernameField, emailField}, true
	default:
		r.kind, required, unused = Users, []string{usernameField, emailField}, []string{bodyField}
	}
	for _, field := range required {
		if !has(field) {
			return fmt.Errorf("there is no column %s: the columns are %s; users need username and email, posts authorId and title",
				field, listed(names[:min(len(names), maxExtra)]))
		}
	}
	for i, field := range r.columns {
		if slices.Contains(unused, field) {
			r.columns[i], field = "", ""
		}
		if field == "" && len(r.extra) < maxExtra {
			r.extra = append(r.extra, shortened(names[i]))
		}
	}
	return nil
}

// Read implements rowReader.
func (r *csvRows) read() (*Row, error) {
	if post := r.next; post != nil {
		r.next = nil
		return post, nil
	}
	for {
		line, fault, err := r.csvScanner.next()
		if err != nil {
			return nil, err
		}
		if fault == nil && len(r.ends) != len(r.columns) {
			fault = &rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("has %d fields, and the header has %d", len(r.ends), len(r.columns))}
		}
		if fault != nil {
			row := &Row{Kind: r.kind, Line: line}
			row.fault("", fault)
			return row, nil
		}
		if len(r.text) == 0 { // a line of separators, as spreadsheets write below the last row
			continue
		}
		clear(r.values)
		for i, field := range r.columns {
			if field != "" {
				r.values[field] = string(r.field(i))
			}
		}
		return r.row(line), nil
	}
}

// row makes a row of the values: the user, then its post, or only the post when the user is that of the line before.
func (r *csvRows) row(line int) *Row {
	if !r.posts {
		return newRow(r.kind, line, "", nil, r.values)
	}
	hasPost := r.values[titleField] != "" || r.values[bodyField] != ""
	text := func(field string) string { return r.values[field] }
	same := r.user != nil && r.user.user.Username == text(usernameField) && r.user.user.Email == text(emailField)
	if !same || !hasPost {
		r.user = newRow(Users, line, "", nil, r.values)
	}
	if !hasPost {
		return r.user
	}
	post := newRow(Posts, line, "", r.user, values{titleField: text(titleField), bodyField: text(bodyField)})
	if same {
		return post
	}
	r.next = post
	return r.user
}

func (r *csvRows) unknown() []string { return r.extra }
