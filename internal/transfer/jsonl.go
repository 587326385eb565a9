package transfer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"roster/ent/rules"
	"roster/internal/strictjson"
)

// maxMembers is how many members an object may have, known ones and others.
const maxMembers = 1000

// recordSeparator may stand before each object: RFC 7464, as jq --seq writes it.
const recordSeparator = "\x1e"

// jsonRows reads rows from JSON lines: an object on each line, a post if it has an authorId, and else a user, with its
// posts if it has any.
type jsonRows struct {
	in     *bufio.Reader
	limit  int
	end    byte // of a line
	line   int
	ignore []string // members that are left out
	text   []byte
	author *Row          // the user of the line that was read last
	posts  *json.Decoder // within the list of its posts; nil when there are no more
	n      int           // of the next one
	extra  []string
}

// newJSONRows reads what follows so many lines.
func newJSONRows(in *bufio.Reader, limit, lines int, ignore []string) *jsonRows {
	r := &jsonRows{in: in, limit: limit, end: '\n', line: lines, ignore: ignore}
	ahead, _ := in.Peek(in.Size()) // what is wrong shows when it is read
	if bytes.IndexByte(ahead, '\n') < 0 && bytes.IndexByte(ahead, '\r') >= 0 {
		r.end = '\r'
	}
	return r
}

func (r *jsonRows) unknown() []string { return r.extra }

// read implements rowReader. The posts of a user become rows one by one: a short line can have very many.
func (r *jsonRows) read() (*Row, error) {
	for {
		if r.posts != nil {
			for r.posts.More() {
				if post := r.post(); post != nil {
					return post, nil
				}
			}
			r.posts = nil
		}
		over, err := r.readLine()
		if err != nil {
			return nil, err
		}
		text := bytes.TrimSpace(bytes.TrimLeft(r.text, " \t"+mark+recordSeparator))
		switch {
		case over:
			return r.reject(tooLong(r.limit)), nil
		case len(text) == 0, string(text) == "null":
		case !utf8.Valid(text):
			return r.reject(&rules.Fault{Code: rules.Invalid, Message: "must be valid UTF-8"}), nil
		case strictjson.HalfSurrogate(text) >= 0:
			return r.reject(&rules.Fault{Code: rules.Invalid, Message: "escapes half a surrogate pair, which is no character"}), nil
		default:
			return r.object(text), nil
		}
	}
}

// readLine reads a line, or what of it the limit allows.
func (r *jsonRows) readLine() (over bool, err error) {
	r.text = r.text[:0]
	r.line++
	for {
		part, err := r.in.ReadSlice(r.end)
		if over = over || len(r.text)+len(part) > r.limit; !over {
			r.text = append(r.text, part...)
		}
		switch {
		case err == nil:
			return over, nil
		case errors.Is(err, io.EOF) && (over || len(r.text) > 0):
			return over, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return over, err
		}
	}
}

// reject makes the line a row with a fault.
func (r *jsonRows) reject(f *rules.Fault) *Row {
	return unread(Users, r.line, "", nil, f)
}

// object makes the row of the line, whose posts come after it.
func (r *jsonRows) object(text []byte) *Row {
	members, fault := r.members("", text)
	if fault != nil {
		return r.reject(fault)
	}
	kind := Users
	if isPost(members) {
		kind = Posts
	}
	row, posts := r.row(kind, "", nil, members)
	if posts != nil {
		r.author, r.posts, r.n = row, json.NewDecoder(bytes.NewReader(posts)), 0
		_, _ = r.posts.Token() // the bracket that row has seen
	}
	return row
}

// isPost reports whether an object is a post. One without an author is told by its title from a user without a name.
func isPost(members map[string]json.RawMessage) bool {
	has := func(field string) bool { return members[field] != nil }
	return has(authorIDField) || has(titleField) && !has(usernameField) && !has(emailField)
}

// post makes a row of the next post of the user; nil when it is null.
func (r *jsonRows) post() *Row {
	path := postsField + "." + strconv.Itoa(r.n)
	r.n++
	var text json.RawMessage
	_ = r.posts.Decode(&text) // the line is JSON: it was read as such
	if string(text) == "null" {
		return nil
	}
	members, fault := r.members(path, text)
	if fault != nil {
		return unread(Posts, r.line, path, r.author, fault)
	}
	post, _ := r.row(Posts, path, r.author, members)
	return post
}

// members reads an object that says nothing twice. Members that are null, or ignored, are left out.
func (r *jsonRows) members(path string, text []byte) (map[string]json.RawMessage, *rules.Fault) {
	wrong := func(err error) *rules.Fault {
		message := "must be a JSON object"
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			message += ": it must end on the line on which it starts, as jq -c writes it"
		case err != nil:
			message += ": " + err.Error()
		}
		return &rules.Fault{Code: rules.Invalid, Message: message}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, wrong(err)
	}
	members := map[string]json.RawMessage{}
	for d.More() {
		key, err := d.Token()
		name, _ := key.(string)
		var value json.RawMessage
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			return nil, wrong(err)
		}
		if _, twice := members[name]; twice {
			return nil, &rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("says %q twice", shortened(name))}
		}
		if len(members) == maxMembers {
			return nil, &rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("has more than %d members", maxMembers)}
		}
		members[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, wrong(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, &rules.Fault{Code: rules.Invalid, Message: "must be one JSON object: something follows it"}
	}
	maps.DeleteFunc(members, func(name string, value json.RawMessage) bool {
		return string(value) == "null" || len(r.ignore) > 0 && slices.Contains(r.ignore, memberName(path, name))
	})
	return members, nil
}

// row makes a row of an object, and returns the list of posts that stands in it; nil when there is none.
func (r *jsonRows) row(kind Kind, path string, author *Row, members map[string]json.RawMessage) (*Row, json.RawMessage) {
	fields := []string{idField, usernameField, emailField, createdAtField, updatedAtField, versionField}
	if kind == Posts {
		fields = []string{idField, titleField, bodyField, createdAtField, updatedAtField, versionField}
		if author == nil {
			fields = append(fields, authorIDField)
		}
	}
	v := values{}
	wrong := map[string]*rules.Fault{}
	for _, field := range fields {
		v[field], wrong[field] = jsonText(field, members[field])
		delete(members, field)
	}
	var posts json.RawMessage
	if list, ok := members[postsField]; ok && kind == Users {
		if list[0] == '[' {
			posts = list
		} else {
			wrong[postsField] = &rules.Fault{Code: rules.Invalid, Message: "must be a list of objects"}
		}
		delete(members, postsField)
	}
	for name := range members {
		r.note(path, name)
	}
	row := newRow(kind, r.line, path, author, v)
	for _, field := range append(fields, postsField) {
		if f := wrong[field]; f != nil {
			row.Faults = slices.DeleteFunc(row.Faults, func(f Fault) bool { return f.Field == row.place(field) }) // it says the same of the text that is missing
			row.fault(field, f)
		}
	}
	return row, posts
}

// jsonText is the text of a member, without the blanks around it where they mean nothing.
func jsonText(field string, value json.RawMessage) (string, *rules.Fault) {
	if len(value) == 0 {
		return "", nil
	}
	if field == versionField {
		return string(value), nil
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return "", &rules.Fault{Code: rules.Invalid, Message: "must be a text"}
	}
	if field != titleField && field != bodyField {
		text = strings.TrimSpace(text)
	}
	return text, nil
}

// memberName is the name of a member for people: that of a post within a user has the list before it.
func memberName(path, name string) string {
	if path != "" {
		return postsField + "." + name
	}
	return name
}

// note keeps the name of a member that is not known.
func (r *jsonRows) note(path, name string) {
	name = shortened(memberName(path, name))
	if len(r.extra) < maxExtra && !slices.Contains(r.extra, name) {
		r.extra = append(r.extra, name)
		slices.Sort(r.extra)
	}
}
