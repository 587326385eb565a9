package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"roster/ent/rules"
)

// csvScanner reads the records of RFC 4180, with any separator. A line ends in LF, CRLF, CR CR LF or CR. A quoted field
// may have spaces around its quotes. encoding/csv does not serve: its memory grows while a quote is open, and it
// changes the line ends in a quoted field.
type csvScanner struct {
	in    *bufio.Reader
	comma byte
	limit int // the greatest size of a record, in bytes
	line  int // the line of the next byte, from 1

	text []byte // the text of all fields of the record
	ends []int  // the end of each field in text
	over bool   // the record exceeds the limit
	stop bool   // do not read the rest of such a record
}

// csvState is the place of the scanner in a field.
type csvState int

const (
	fieldStart csvState = iota
	unquoted
	quoted
	quoteEnd // after a quote in a quoted field: its end, or the first of two quotes
	closed   // after spaces that follow a quoted field
	wrong    // after a misplaced quote, until the line ends
)

// next reads a record and returns its first line. It skips blank lines. A record with a fault has no usable fields;
// next can still read the record after it. The error is io.EOF, or the reader's.
func (s *csvScanner) next() (line int, fault *rules.Fault, err error) {
	for {
		line = s.line
		fault, err = s.record()
		if err != nil || fault != nil || len(s.ends) > 1 || len(s.text) > 0 {
			return line, fault, err
		}
	}
}

// field returns a field of the record. It is valid until the next record is read.
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
		if s.stop && s.over {
			return tooLong(s.limit), nil
		}
		if s.stop && state == wrong { // its line can be endless
			return s.fault(state), nil
		}
		if state == unquoted || state == quoted {
			s.addText(state == unquoted)
		}
		c, err := s.in.ReadByte()
		if errors.Is(err, io.EOF) {
			switch {
			case first:
				return nil, io.EOF
			case state == quoted:
				return &rules.Fault{Code: rules.Invalid, Message: "has a quote that is never closed"}, nil
			}
			s.endField()
			return s.fault(state), nil
		}
		if err != nil {
			return nil, err
		}
		ends := c == '\n' || c == '\r' && s.crEnds()
		if ends {
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
		switch {
		case ends:
			s.endField()
			return s.fault(state), nil
		case c == '\r': // a part of CRLF or CR CR LF
		case state == wrong:
		case c == s.comma:
			s.endField()
			state = fieldStart
		case c == '"' && state == fieldStart:
			s.text = s.text[:s.start()]
			state = quoted
		case c == '"' && state == quoteEnd:
			s.add(c)
			state = quoted
		case c == ' ' && state == fieldStart:
			s.add(c)
		case c == ' ' && (state == quoteEnd || state == closed):
			state = closed
		case c == '"', state == quoteEnd, state == closed:
			state = wrong
		default:
			s.add(c)
			state = unquoted
		}
	}
}

// start returns the start of the current field in text.
func (s *csvScanner) start() int {
	if len(s.ends) == 0 {
		return 0
	}
	return s.ends[len(s.ends)-1]
}

// crEnds reports whether the last byte, a CR, ends the line.
func (s *csvScanner) crEnds() bool {
	after, _ := s.in.Peek(2) // the next read returns the error
	return crEnds(after)
}

func (s *csvScanner) add(c byte) {
	if s.over = s.over || len(s.text) >= s.limit; !s.over {
		s.text = append(s.text, c)
	}
}

// addText adds the buffered bytes up to one that can end the field or the line. It replaces calls of add for most bytes of a
// file.
func (s *csvScanner) addText(separated bool) {
	ahead, _ := s.in.Peek(s.in.Buffered())
	n := 0
	for n < len(ahead) && ahead[n] != '"' && ahead[n] != '\n' && ahead[n] != '\r' && (ahead[n] != s.comma || !separated) {
		n++
	}
	if s.over = s.over || len(s.text)+n > s.limit; !s.over {
		s.text = append(s.text, ahead[:n]...)
	}
	_, _ = s.in.Discard(n) // they are buffered
}

// endField ends a field. Each field counts as a byte, because a line of separators takes memory too.
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
	kind        Kind
	columns     []string // the field of each column; empty for an ignored column
	required    int      // the number of columns up to the last one that a row must have
	unnamed     []int    // columns without a name
	posts       bool     // each line has a user and one of the user's posts
	spreadsheet bool     // texts are in the form of neutral
	values      values
	user        *Row // the last user; posts on the next lines may belong to it
	next        *Row // the post on the line of the user
	unknown     *unknownNames
}

// errNoHeader is the error of a file without a line that names the columns.
var errNoHeader = errors.New("there is no header: the first line names the columns, such as username,email")

// newCSVRows reads the header. lines is the number of lines before it.
func newCSVRows(in *bufio.Reader, spreadsheet bool, limit, lines int, ignore []string, unknown *unknownNames) (*csvRows, error) {
	r := &csvRows{csvScanner: &csvScanner{in: in, limit: limit, line: lines + 1, stop: true}, spreadsheet: spreadsheet, values: values{}, unknown: unknown}
	if err := r.announced(); err != nil {
		return nil, err
	}
	for known := r.comma; ; {
		line := r.line
		if r.comma = known; known == 0 {
			r.comma = r.separator()
		}
		fault, err := r.record()
		switch {
		case errors.Is(err, io.EOF):
			return nil, errNoHeader
		case err != nil:
			return nil, err
		case fault != nil:
			return nil, fmt.Errorf("line %d: the header %s", line, fault.Message)
		case r.blank():
			continue
		}
		if err := r.header(ignore); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		r.stop = false
		return r, nil
	}
}

// announced reads the line that names the separator for Excel, if the file has one, and the blank lines after it.
func (s *csvScanner) announced() error {
	const name = "sep="
	ahead, _ := s.in.Peek(magicSize) // the next read returns the error
	text := ahead
	if end := bytes.IndexAny(text, "\r\n"); end >= 0 {
		text = text[:end]
	}
	length := len(text)
	text = bytes.Trim(text, `"`)
	if len(text) <= len(name) || !strings.EqualFold(string(text[:len(name)]), name) {
		return nil
	}
	comma, rest := text[len(name)], text[len(name)+1:]
	if comma >= utf8.RuneSelf || comma == '_' || unicode.IsLetter(rune(comma)) || unicode.IsDigit(rune(comma)) || len(bytes.Trim(rest, string(comma)+`" `)) > 0 {
		return nil
	}
	s.comma = comma
	if _, err := s.in.Discard(length); err != nil {
		return err
	}
	lines, err := skipBlank(s.in)
	s.line += lines
	if errors.Is(err, ErrEmpty) {
		return errNoHeader
	}
	return err
}

// separator returns the separator of the next record, the possible header: the one that gives the most fields. Separators
// in quotes give none.
func (s *csvScanner) separator() byte {
	ahead, _ := s.in.Peek(s.in.Size()) // the next read returns the error
	comma, most := byte(','), 1
	for _, c := range []byte(",;\t") {
		try := &csvScanner{in: bufio.NewReader(bytes.NewReader(ahead)), comma: c, limit: s.limit}
		if fault, err := try.record(); fault == nil && err == nil && len(try.ends) > most {
			comma, most = c, len(try.ends)
		}
	}
	return comma
}

// blank reports whether the record has only white space. Spreadsheets write such records after the last row.
func (s *csvScanner) blank() bool { return len(bytes.TrimSpace(s.text)) == 0 }

// folded returns the name of a column for comparisons: in lower case, without blanks, hyphens and underscores.
func folded(name string) string {
	return strings.Map(func(c rune) rune {
		if c == '_' || c == '-' || unicode.IsSpace(c) {
			return -1
		}
		return unicode.ToLower(c)
	}, name)
}

// ignored returns the names of the columns to ignore. A name in ignore means the column with the same spelling. If none
// exists, it means the columns whose folded names are equal.
func ignored(names, ignore []string) map[string]bool {
	out := map[string]bool{}
	for _, name := range ignore {
		name = strings.TrimSpace(name)
		if slices.Contains(names, name) {
			out[name] = true
			continue
		}
		for _, n := range names {
			if folded(n) == folded(name) {
				out[n] = true
			}
		}
	}
	return out
}

// header finds the field of each column. The names may be spelled like created_at or "Created At".
func (r *csvRows) header(ignore []string) error {
	fields := map[string]string{}
	for _, f := range []string{idField, usernameField, emailField, statusField, issuerColumn, subjectColumn, authorIDField, titleField, bodyField, createdAtField, updatedAtField, versionField} {
		fields[strings.ToLower(f)] = f
	}
	names := make([]string, len(r.ends))
	for i := range names {
		names[i] = strings.TrimSpace(strings.Trim(strings.ToValidUTF8(string(r.field(i)), "\ufffd"), mark))
	}
	out := ignored(names, ignore)
	for _, name := range names {
		field := fields[folded(name)]
		if out[name] {
			field = ""
		}
		if field != "" && slices.Contains(r.columns, field) {
			return fmt.Errorf("two columns are %s: rename one, or leave one out with --ignore", field)
		}
		r.columns = append(r.columns, field)
	}
	has := func(field string) bool { return slices.Contains(r.columns, field) }
	var required, unused []string
	switch {
	case has(authorIDField):
		r.kind, required, unused = Posts, []string{titleField}, []string{usernameField, emailField, statusField, issuerColumn, subjectColumn}
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
	if r.kind == Users && has(issuerColumn) != has(subjectColumn) {
		return fmt.Errorf("there is only one of the columns %s and %s: add the other, or leave this one out with --ignore", issuerColumn, subjectColumn)
	}
	for i, field := range r.columns {
		if slices.Contains(required, field) || field == authorIDField {
			r.required = i + 1
		}
		if slices.Contains(unused, field) {
			r.columns[i], field = "", ""
		}
		switch {
		case field != "" || out[names[i]]:
		case names[i] == "":
			r.unnamed = append(r.unnamed, i)
		default:
			r.unknown.add(names[i])
		}
	}
	return nil
}

// noteUnnamed notes that a column without a name has values.
func (r *csvRows) noteUnnamed() {
	for _, i := range r.unnamed {
		if i < len(r.ends) && len(bytes.TrimSpace(r.field(i))) > 0 {
			r.unknown.add("")
			r.unnamed = nil
			return
		}
	}
}

// complete reports whether the record has the fields of the header. Spreadsheets omit empty fields at the end of a
// record, or add some.
func (r *csvRows) complete() bool {
	if len(r.ends) <= len(r.columns) {
		return len(r.ends) >= r.required
	}
	more := r.text[r.ends[len(r.columns)-1]:]
	return len(bytes.TrimSpace(more)) == 0
}

// read implements rowReader.
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
		if fault == nil && r.blank() {
			continue
		}
		if fault == nil && !r.complete() {
			fault = &rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("has %d fields, and the header has %d", len(r.ends), len(r.columns))}
		}
		if fault != nil {
			return unread(r.kind, line, "", nil, fault), nil
		}
		clear(r.values)
		for i, field := range r.columns[:min(len(r.ends), len(r.columns))] {
			if field != "" {
				r.values[field] = r.value(field, r.field(i))
			}
		}
		r.noteUnnamed()
		return r.row(line), nil
	}
}

// value returns the value of a field. Only titles, bodies and identities keep blanks around them. For IDs, statuses, times
// and versions, the NULL and \N of databases are no value.
func (r *csvRows) value(field string, text []byte) string {
	switch field {
	case titleField, bodyField, issuerColumn, subjectColumn:
	case usernameField, emailField:
		text = bytes.TrimSpace(text)
	default:
		if text = bytes.TrimSpace(text); bytes.EqualFold(text, []byte("null")) || string(text) == `\N` {
			return ""
		}
		return string(text)
	}
	if r.spreadsheet {
		return plain(string(text))
	}
	return string(text)
}

// row returns the row of the values. A line with a user and a post becomes the user and then, in the next call of read,
// the post. If the line before has the same user, it becomes only the post.
func (r *csvRows) row(line int) *Row {
	if !r.posts {
		return newRow(r.kind, line, "", nil, r.values)
	}
	hasPost := strings.TrimSpace(r.values[titleField]) != "" || strings.TrimSpace(r.values[bodyField]) != ""
	text := func(field string) string { return r.values[field] }
	same := false
	if r.user != nil {
		u := r.user.record.User()
		same = u.Username == text(usernameField) && u.Email == text(emailField)
	}
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
