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

// csvScanner reads the records of RFC 4180, with any separator. A line ends in LF, CRLF, CR CR LF or CR. Spaces may stand
// around the quotes of a field. It is here because encoding/csv takes memory for as long as a quote is open, and changes
// the ends of the lines in a quoted field.
type csvScanner struct {
	in    *bufio.Reader
	comma byte
	limit int // of a record, in bytes
	line  int // on which the next byte stands, from 1

	text []byte // of all fields of the record
	ends []int  // of each field in text
	over bool   // text has as much as the limit allows
}

// csvState is where the scanner is in a field.
type csvState int

const (
	fieldStart csvState = iota
	unquoted
	quoted
	quoteEnd // behind a quote in a quoted field: its end, or the first of two
	closed   // behind the spaces that follow a quoted field
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
		case c == '\r': // an LF follows
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

// start is where the field begins that is being read.
func (s *csvScanner) start() int {
	if len(s.ends) == 0 {
		return 0
	}
	return s.ends[len(s.ends)-1]
}

// crEnds reports whether the CR that was read ends the line.
func (s *csvScanner) crEnds() bool {
	after, _ := s.in.Peek(2) // an error shows when it is read
	return crEnds(after)
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
	kind        Kind
	columns     []string // the field that each column holds; empty for one that is left out
	required    int      // how many columns there are up to the last one that a row must have
	unnamed     []int    // columns without a name
	posts       bool     // the users stand with their posts, a post on each line
	spreadsheet bool     // texts are as neutral writes them
	values      values
	user        *Row // the last one, to which posts on the next lines may belong
	next        *Row // the post that stands on the line of the user
	extra       []string
}

// errNoHeader is the error of a file without a line that names the columns.
var errNoHeader = errors.New("there is no header: the first line names the columns, such as username,email")

// newCSVRows reads the header, which follows so many lines.
func newCSVRows(in *bufio.Reader, spreadsheet bool, limit, lines int, ignore []string) (*csvRows, error) {
	r := &csvRows{csvScanner: &csvScanner{in: in, limit: limit, line: lines + 1}, spreadsheet: spreadsheet, values: values{}}
	if err := r.announced(); err != nil {
		return nil, err
	}
	for {
		line, fault, err := r.readHeader()
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
		return r, nil
	}
}

// announced reads the line that names the separator to Excel, if there is one, and the blank lines that follow it.
func (s *csvScanner) announced() error {
	const name = "sep="
	ahead, _ := s.in.Peek(magicSize) // what is wrong shows when it is read
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

// readHeader reads a record that may be the header, and finds out the separator, unless it is known.
func (s *csvScanner) readHeader() (line int, fault *rules.Fault, err error) {
	if s.comma != 0 {
		return s.next()
	}
	raw, comma, err := s.raw()
	if err != nil {
		return s.line, nil, err
	}
	if len(raw) > s.limit {
		return s.line, tooLong(s.limit), nil
	}
	in := s.in
	s.in, s.comma = bufio.NewReader(bytes.NewReader(raw)), comma
	line = s.line
	fault, err = s.record()
	s.in = in
	if s.blank() {
		s.comma = 0
	}
	return line, fault, err
}

// raw reads the bytes of a record, or a few more than the limit allows, and returns the one of the separators in use that
// it has most of. What stands in quotes does not count.
func (s *csvScanner) raw() (raw []byte, comma byte, err error) {
	const separators = ",;\t"
	var counts [len(separators)]int
	for state := fieldStart; len(raw) <= s.limit+len("\r\r\n"); {
		c, err := s.in.ReadByte()
		if errors.Is(err, io.EOF) && len(raw) > 0 {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		raw = append(raw, c)
		i := strings.IndexByte(separators, c)
		switch {
		case state == quoted:
			if c == '"' {
				state = quoteEnd
			}
			continue
		case c == '"' && (state == fieldStart || state == quoteEnd):
			state = quoted
		case i >= 0:
			counts[i]++
			state = fieldStart
		case c != ' ' || state != fieldStart:
			state = unquoted
		}
		if c == '\n' || c == '\r' && s.crEnds() {
			raw = bytes.TrimRight(raw[:len(raw)-1], "\r")
			raw = append(raw, '\n') // whatever follows is not there to look at
			break
		}
	}
	comma = separators[0]
	for i, n := range counts {
		if n > counts[strings.IndexByte(separators, comma)] {
			comma = separators[i]
		}
	}
	return raw, comma, nil
}

// blank reports whether the record has nothing but white space, as spreadsheets write it below the last row.
func (s *csvScanner) blank() bool { return len(bytes.TrimSpace(s.text)) == 0 }

// folded is the name of a column as names are compared: without case, blanks, hyphens and underscores.
func folded(name string) string {
	return strings.Map(func(c rune) rune {
		if c == '_' || c == '-' || unicode.IsSpace(c) {
			return -1
		}
		return unicode.ToLower(c)
	}, name)
}

// ignored returns which columns are left out: those that are spelled as a name is or, where none is, those of the same name
// in another spelling.
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

// header finds the field of each column, written in any case, as in created_at or "Created At".
func (r *csvRows) header(ignore []string) error {
	fields := map[string]string{}
	for _, f := range []string{idField, usernameField, emailField, authorIDField, titleField, bodyField, createdAtField, updatedAtField, versionField} {
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
			r.note(names[i])
		}
	}
	return nil
}

// note keeps the name of a column that is left out.
func (r *csvRows) note(name string) {
	if len(r.extra) < maxExtra {
		r.extra = append(r.extra, shortened(name))
	}
}

// noteUnnamed notes that a column without a name has values.
func (r *csvRows) noteUnnamed() {
	for _, i := range r.unnamed {
		if i < len(r.ends) && len(bytes.TrimSpace(r.field(i))) > 0 {
			r.note("")
			r.unnamed = nil
			return
		}
	}
}

// complete reports whether the record has the fields of the header. Spreadsheets leave out empty ones at its end, or add
// some.
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

// value is what a field of the record says. Blanks around it count in long texts alone. NULL, and \N, as databases write it,
// is none where it can be nothing else.
func (r *csvRows) value(field string, text []byte) string {
	switch field {
	case titleField, bodyField:
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

// row makes a row of the values: the user, then its post, or only the post when the user is that of the line before.
func (r *csvRows) row(line int) *Row {
	if !r.posts {
		return newRow(r.kind, line, "", nil, r.values)
	}
	hasPost := strings.TrimSpace(r.values[titleField]) != "" || strings.TrimSpace(r.values[bodyField]) != ""
	text := func(field string) string { return r.values[field] }
	same := false
	if r.user != nil {
		u, _ := r.user.record.User()
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

func (r *csvRows) unknown() []string { return r.extra }
