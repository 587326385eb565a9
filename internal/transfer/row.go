package transfer

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"roster/ent"
	"roster/ent/post"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// A Row is a user or a post of a file. What the file does not say of it is zero.
type Row struct {
	Kind   Kind
	Line   int // in the file, from 1
	Faults []Fault

	user   *ent.User // one of the two
	post   *ent.Post
	author *Row // of a post that stands with its user

	path string // leads to the row within its line, for people: posts.2 for the third post of a user

	fate   fate
	became *ent.User // what a user of the file is in the database, for its posts
}

// A Fault is what is wrong with one field of a row; Field is empty when it is the row.
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

// place is a field as people find it in the line.
func (r *Row) place(field string) string {
	if r.path == "" {
		return field
	}
	return strings.TrimSuffix(r.path+"."+field, ".")
}

// rowBytes is how many bytes a row has in the arguments of statements besides its texts: IDs, times, version.
const rowBytes = 256

// size is how many bytes the row has at most as an argument of a statement. That is more than it has in memory, since
// JSON escapes texts.
func (r *Row) size() int {
	n := rowBytes
	if r.user != nil {
		for _, text := range []string{r.user.Username, r.user.UsernameKey, r.user.Email, r.user.EmailKey} {
			n += statement.JSONBytes(text)
		}
	}
	if r.post != nil {
		for _, text := range []string{r.post.Title, r.post.TitleKey, r.post.Body} {
			n += statement.JSONBytes(text)
		}
	}
	return n
}

// values are the texts of a row by their fields. An empty one is the same as none.
type values map[string]string

// newRow makes a row of its texts, with all that is wrong with them.
func newRow(kind Kind, line int, path string, author *Row, v values) *Row {
	r := &Row{Kind: kind, Line: line, path: path, author: author}
	var f *rules.Fault
	if kind == Users {
		u := &ent.User{ID: r.parseID(idField, user.Label, v), Username: v[usernameField], Email: v[emailField]}
		u.UsernameKey, f = rules.Username(u.Username)
		r.fault(usernameField, f)
		u.EmailKey, f = rules.Email(u.Email)
		r.fault(emailField, f)
		u.CreatedAt, u.UpdatedAt, u.Version = r.parseHistory(v)
		r.user = u
		return r
	}
	p := &ent.Post{ID: r.parseID(idField, post.Label, v), Title: v[titleField], Body: v[bodyField]}
	if author == nil {
		p.AuthorID = r.parseID(authorIDField, user.Label, v)
	}
	p.TitleKey, f = rules.Title(p.Title)
	r.fault(titleField, f)
	r.fault(bodyField, rules.Body(p.Body))
	p.CreatedAt, p.UpdatedAt, p.Version = r.parseHistory(v)
	r.post = p
	return r
}

// parseID reads an ID, which a new entity needs not have.
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

// parseHistory reads when a row was created and last updated, and how often.
func (r *Row) parseHistory(v values) (createdAt, updatedAt time.Time, version int) {
	createdAt, updatedAt = r.parseTime(createdAtField, v), r.parseTime(updatedAtField, v)
	if !createdAt.IsZero() && !updatedAt.IsZero() && updatedAt.Before(createdAt) {
		r.fault(updatedAtField, &rules.Fault{Code: rules.Invalid, Message: "must not be before createdAt"})
	}
	if text := v[versionField]; text != "" {
		var f *rules.Fault
		version, f = rules.Version(wholeNumber(text))
		r.fault(versionField, f)
	}
	return createdAt, updatedAt, version
}

// wholeNumber returns a number as an integer is written, if it is one: 2 for 2.0 and 2e0, as programs write it that know
// only floating point. Other texts stay as they are.
func wholeNumber(text string) string {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if len(whole) == len(text) || whole == "" {
		return text
	}
	shift := 0
	if len(mantissa) < len(text) {
		n, err := strconv.ParseInt(exponent, 10, 8)
		if err != nil {
			return text
		}
		shift = int(n)
	}
	digits, point := whole+fraction, len(whole)+shift
	digits += strings.Repeat("0", max(0, point-len(digits)))
	if point < 1 || strings.Trim(digits, "0123456789") != "" || strings.Trim(digits[point:], "0") != "" {
		return text
	}
	return digits[:point]
}

func (r *Row) parseTime(field string, v values) time.Time {
	if v[field] == "" {
		return time.Time{}
	}
	t, f := rules.StoredTime(v[field])
	r.fault(field, f)
	return t
}
