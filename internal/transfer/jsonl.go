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

// maxMembers is the greatest number of members of an object, known and unknown.
const maxMembers = 1000

// recordSeparator may precede each object, by RFC 7464. jq --seq writes it.
const recordSeparator = "\x1e"

// jsonRows reads rows from JSON lines. Each line has an object: a post, or a user that may have posts.
type jsonRows struct {
	in     *bufio.Reader
	limit  int
	end    byte // the byte that ends a line
	line   int
	ignore []string // the members to ignore
	text   []byte
	author *Row          // the user of the last line
	posts  *json.Decoder // in the list of the user's posts; nil after the last
	n      int           // the index of the next post
	extra  []string
}

// newJSONRows returns a reader of rows. lines is the number of lines before the first row.
func newJSONRows(in *bufio.Reader, limit, lines int, ignore []string) *jsonRows {
	r := &jsonRows{in: in, limit: limit, end: '\n', line: lines, ignore: ignore}
	ahead, _ := in.Peek(in.Size()) // the next read returns the error
	if bytes.IndexByte(ahead, '\n') < 0 && bytes.IndexByte(ahead, '\r') >= 0 {
		r.end = '\r'
	}
	return r
}

func (r *jsonRows) unknown() []string { return r.extra }

// read implements rowReader. It returns the posts of a user one by one: a short line can have very many.
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

// readLine reads a line. It reports whether the line exceeds the limit, and then keeps only a part of it.
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

// reject returns a row with a fault for the line.
func (r *jsonRows) reject(f *rules.Fault) *Row {
	return unread(Users, r.line, "", nil, f)
}

// object returns the row of the line. The user's posts follow.
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
		_, _ = r.posts.Token() // the opening bracket, which row has checked
	}
	return row
}

// isPost reports whether an object is a post: it has an author, or it has a title and neither a username nor an email.
func isPost(members map[string]json.RawMessage) bool {
	has := func(field string) bool { return members[field] != nil }
	return has(authorIDField) || has(titleField) && !has(usernameField) && !has(emailField)
}

// post returns the row of the user's next post, or nil if the post is null.
func (r *jsonRows) post() *Row {
	path := postsField + "." + strconv.Itoa(r.n)
	r.n++
	var text json.RawMessage
	_ = r.posts.Decode(&text) // cannot fail: the line was parsed before
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

// members reads the members of an object. A repeated member is a fault. It leaves out null and ignored members.
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

// row returns the row of an object, and the list of its posts or nil.
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
			// The rules have found the text missing, which repeats this fault.
			row.Faults = slices.DeleteFunc(row.Faults, func(f Fault) bool { return f.Field == row.place(field) })
			row.fault(field, f)
		}
	}
	return row, posts
}

// jsonText returns the text of a member. Only titles and bodies keep blanks around them.
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

// memberName returns the name of a member for people. For a post of a user, the name of the list precedes it.
func memberName(path, name string) string {
	if path != "" {
		return postsField + "." + name
	}
	return name
}

// note keeps the name of an unknown member.
func (r *jsonRows) note(path, name string) {
	name = shortened(memberName(path, name))
	if len(r.extra) < maxExtra && !slices.Contains(r.extra, name) {
		r.extra = append(r.extra, name)
		slices.Sort(r.extra)
	}
}
