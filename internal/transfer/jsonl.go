package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"roster/ent/rules"
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
	author *Row              // the user of the last line
	posts  *jsontext.Decoder // in the list of the user's posts; nil after the last
	n      int               // the index of the next post

	unknown *unknownNames
}

// newJSONRows returns a reader of rows. lines is the number of lines before the first row.
func newJSONRows(in *bufio.Reader, limit, lines int, ignore []string, unknown *unknownNames) *jsonRows {
	r := &jsonRows{in: in, limit: limit, end: '\n', line: lines, ignore: ignore, unknown: unknown}
	ahead, _ := in.Peek(in.Size()) // the next read returns the error
	if bytes.IndexByte(ahead, '\n') < 0 && bytes.IndexByte(ahead, '\r') >= 0 {
		r.end = '\r'
	}
	return r
}

// read implements rowReader. It returns the posts of a user one by one: a short line can have very many.
func (r *jsonRows) read() (*Row, error) {
	for {
		if r.posts != nil {
			for r.posts.PeekKind() != jsontext.KindEndArray {
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
		r.author, r.posts, r.n = row, newDecoder(posts), 0
		_, _ = r.posts.ReadToken() // the opening bracket, which row has checked
	}
	return row
}

// isPost reports whether an object is a post: it has an author, or it has a title and neither a username nor an email.
func isPost(members map[string]jsontext.Value) bool {
	has := func(field string) bool { return members[field] != nil }
	return has(authorIDField) || has(titleField) && !has(usernameField) && !has(emailField)
}

// post returns the row of the user's next post, or nil if the post is null.
func (r *jsonRows) post() *Row {
	path := postsField + "." + strconv.Itoa(r.n)
	r.n++
	text, _ := r.posts.ReadValue() // cannot fail: the line was parsed before
	if text.Kind() == jsontext.KindNull {
		return nil
	}
	members, fault := r.members(path, text)
	if fault != nil {
		return unread(Posts, r.line, path, r.author, fault)
	}
	post, _ := r.row(Posts, path, r.author, members)
	return post
}

// newDecoder returns a decoder. It allows repeated members, because those of an unknown object do no harm.
func newDecoder(text []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))
}

// members reads the members of an object. A repeated member is a fault. It leaves out ignored members, and null ones: only
// the identity of a user can be null.
func (r *jsonRows) members(path string, text []byte) (map[string]jsontext.Value, *rules.Fault) {
	d := newDecoder(text)
	if start, err := d.ReadToken(); err != nil || start.Kind() != jsontext.KindBeginObject {
		return nil, notObject(err)
	}
	members := map[string]jsontext.Value{}
	for d.PeekKind() != jsontext.KindEndObject {
		token, err := d.ReadToken()
		if err != nil {
			return nil, notObject(err)
		}
		name := token.String()
		value, err := d.ReadValue()
		_, twice := members[name]
		switch {
		case err != nil:
			return nil, notObject(err)
		case twice:
			return nil, &rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("says %q twice", shortened(name))}
		case len(members) == maxMembers:
			return nil, &rules.Fault{Code: rules.Invalid, Message: fmt.Sprintf("has more than %d members", maxMembers)}
		}
		members[name] = value.Clone()
	}
	_, _ = d.ReadToken() // the closing brace
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, &rules.Fault{Code: rules.Invalid, Message: "must be one JSON object: something follows it"}
	}
	maps.DeleteFunc(members, func(name string, value jsontext.Value) bool {
		return value.Kind() == jsontext.KindNull && (path != "" || name != identityField) || slices.Contains(r.ignore, memberName(path, name))
	})
	return members, nil
}

// notObject returns the fault of a text that is not a JSON object. err is nil for another value.
func notObject(err error) *rules.Fault {
	message := "must be a JSON object"
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		message += ": it must end on the line on which it starts, as jq -c writes it"
	case errors.As(err, &syntax):
		message += ": " + syntax.Err.Error()
	}
	return &rules.Fault{Code: rules.Invalid, Message: message}
}

// row returns the row of an object, and the list of its posts or nil.
func (r *jsonRows) row(kind Kind, path string, author *Row, members map[string]jsontext.Value) (*Row, jsontext.Value) {
	fields := []string{idField, usernameField, emailField, statusField, createdAtField, updatedAtField, versionField}
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
	var posts jsontext.Value
	if list, ok := members[postsField]; ok && kind == Users {
		if list.Kind() == jsontext.KindBeginArray {
			posts = list
		} else {
			wrong[postsField] = &rules.Fault{Code: rules.Invalid, Message: "must be a list of objects"}
		}
		delete(members, postsField)
	}
	identity, ok := members[identityField]
	if ok && (kind == Users || identity.Kind() == jsontext.KindNull) {
		delete(members, identityField)
	}
	r.note(path, members)
	row := newRow(kind, r.line, path, author, v)
	for _, field := range append(fields, postsField) {
		if f := wrong[field]; f != nil {
			// The rules have found the text missing, which repeats this fault.
			row.Faults = slices.DeleteFunc(row.Faults, func(f Fault) bool { return f.Field == row.place(field) })
			row.fault(field, f)
		}
	}
	if ok && kind == Users {
		r.identity(row, identity)
	}
	return row, posts
}

// note notes members that are not fields.
func (r *jsonRows) note(path string, members map[string]jsontext.Value) {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		r.unknown.add(memberName(path, name))
	}
}

// identity gives a user the identity of an object, or removes it for null.
func (r *jsonRows) identity(row *Row, value jsontext.Value) {
	if value.Kind() == jsontext.KindNull {
		row.faults(row.record.SetIdentity(nil))
		return
	}
	members, fault := r.members(identityField, value)
	if fault != nil {
		row.fault(identityField, fault)
		return
	}
	var texts [2]string
	for i, name := range []string{issuerMember, subjectMember} {
		if texts[i], fault = jsonText(identityField, members[name]); fault != nil {
			row.fault(identityField+"."+name, fault)
			texts[i] = "?" // in place of the text, so that it has no other fault
		}
		delete(members, name)
	}
	r.note(identityField, members)
	row.faults(row.record.SetIdentity(&rules.Identity{Issuer: texts[0], Subject: texts[1]}))
}

// jsonText returns the text of a member. Only titles, bodies and identities keep blanks around them.
func jsonText(field string, value jsontext.Value) (string, *rules.Fault) {
	if field == versionField || value == nil {
		return string(value), nil
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return "", &rules.Fault{Code: rules.Invalid, Message: "must be a text"}
	}
	if field != titleField && field != bodyField && field != identityField {
		text = bytes.TrimSpace(text)
	}
	return string(text), nil
}

// memberName returns the name of a member for people. For a post of a user and for an identity, the name of the list or the
// object precedes it.
func memberName(path, name string) string {
	if path != "" {
		object, _, _ := strings.Cut(path, ".") // without the index of a post
		return object + "." + name
	}
	return name
}
