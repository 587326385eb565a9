package transfer

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/directory"
	"roster/internal/typeid"
)

// A Row is a user or a post of a file. A field that the file lacks is zero.
type Row struct {
	Kind   Kind
	Line   int // the line in the file, from 1
	Faults []Fault

	record *directory.Record // the values of the row; empty for a row that cannot be read
	author *Row              // the user that the post comes with, or nil

	path string // the place of the row in its line, for people: posts.2 for the third post of a user
}

// label returns the type of the IDs of the rows.
func (k Kind) label() string {
	if k == Posts {
		return post.Label
	}
	return user.Label
}

// A Fault is a fault of one field of a row. Field is empty for a fault of the whole row.
type Fault struct {
	Line  int
	Field string
	rules.Fault
}

// fault adds a fault, if there is one.
func (r *Row) fault(field string, f *rules.Fault) {
	if f == nil {
		return
	}
	r.Faults = append(r.Faults, Fault{Line: r.Line, Field: r.place(field), Fault: *f})
}

// place returns the path of a field in the line, for people.
func (r *Row) place(field string) string {
	if r.path == "" {
		return field
	}
	return strings.TrimSuffix(r.path+"."+field, ".")
}

// values are the texts of a row by field. An empty text is the same as a missing one.
type values map[string]string

// unread returns a row that cannot be read, with a fault.
func unread(kind Kind, line int, path string, author *Row, f *rules.Fault) *Row {
	r := &Row{Kind: kind, Line: line, path: path, author: author, record: new(directory.Record)}
	if author != nil {
		r.record.Author = author.record
	}
	r.fault("", f)
	return r
}

// newRow returns a row of texts, with their faults.
func newRow(kind Kind, line int, path string, author *Row, v values) *Row {
	r := &Row{Kind: kind, Line: line, path: path, author: author}
	id := r.parseID(idField, kind.label(), v)
	h, wrong := parseHistory(v)
	var faults rules.Faults
	switch {
	case kind == Users:
		r.record, faults = directory.UserRecord(id, v[usernameField], v[emailField], h)
		if v[statusField] != "" {
			faults.Add(r.record.SetStatus(v[statusField]), statusField)
		}
		if v[issuerColumn]+v[subjectColumn] != "" {
			faults = append(faults, r.record.SetIdentity(&rules.Identity{Issuer: v[issuerColumn], Subject: v[subjectColumn]})...)
		}
	case author == nil:
		r.record, faults = directory.PostRecord(id, r.parseID(authorIDField, user.Label, v), nil, v[titleField], v[bodyField], h)
	default:
		r.record, faults = directory.PostRecord(id, typeid.ID{}, author.record, v[titleField], v[bodyField], h)
	}
	r.faults(faults)
	r.faults(wrong)
	return r
}

// faults adds faults whose paths are the names of fields.
func (r *Row) faults(list rules.Faults) {
	for i := range list {
		names := make([]string, len(list[i].Path))
		for j, name := range list[i].Path {
			names[j] = fmt.Sprint(name)
		}
		r.fault(strings.Join(names, "."), &list[i].Fault)
	}
}

// parseID parses an ID. It returns the zero ID for an empty text.
func (r *Row) parseID(field, kind string, v values) typeid.ID {
	if v[field] == "" && field == idField {
		return typeid.ID{}
	}
	id, err := typeid.Parse(v[field])
	if err != nil || id.Type() != kind || id.UUID() == uuid.Nil {
		r.fault(field, rules.MalformedID(kind))
		return typeid.ID{}
	}
	return id
}

// parseHistory parses the times and the version of a row.
func parseHistory(v values) (h directory.History, wrong rules.Faults) {
	h.CreatedAt, h.UpdatedAt = parseTime(createdAtField, v, &wrong), parseTime(updatedAtField, v, &wrong)
	if text := v[versionField]; text != "" {
		var f *rules.Fault
		h.Version, f = rules.Version(wholeNumber(text))
		wrong.Add(f, versionField)
	}
	return h, wrong
}

// number matches a number in the forms of programs that know only floating point. Its length is bounded, because a
// longer one takes long to compute.
var number = regexp.MustCompile(`^[0-9]{1,99}(\.[0-9]{0,99})?([eE][+-]?[0-9]{1,2})?$`)

// wholeNumber returns the integer form of a whole number: 2 for 2.0 and 2e0. It returns other texts unchanged.
func wholeNumber(text string) string {
	if !number.MatchString(text) {
		return text
	}
	if n, ok := new(big.Rat).SetString(text); ok && n.IsInt() {
		return n.Num().String()
	}
	return text
}

func parseTime(field string, v values, wrong *rules.Faults) time.Time {
	if v[field] == "" {
		return time.Time{}
	}
	t, f := rules.StoredTime(v[field])
	wrong.Add(f, field)
	return t
}
