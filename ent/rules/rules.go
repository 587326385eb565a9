// Package rules holds the rules of Roster as pure functions: they check one value, fold a text into the key by which it
// is compared, and decide on the permissions of a caller. Package directory applies them to every row that it writes,
// and filters fold texts with them. The package knows no database, no ent and no GraphQL.
package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"roster/internal/codes"
)

// A Code says which rule a value broke.
type Code = codes.Code

// The codes of a fault in the input.
const (
	Blank         = codes.Blank         // empty, or only white space and invisible characters
	Invalid       = codes.Invalid       // not of the form that the field requires
	TooLong       = codes.TooLong       // more characters or bytes than the field holds
	Taken         = codes.Taken         // another entity has this value, which must be unique
	NotFound      = codes.NotFound      // no entity has this ID
	StaleVersion  = codes.StaleVersion  // the entity has changed since the client read it
	HasDependents = codes.HasDependents // other entities depend on the entity to delete
	CursorInvalid = codes.CursorInvalid // not a cursor of this field in this order
	CursorExpired = codes.CursorExpired // of another database, or older than the oldest change
)

// A Fault is one broken rule. Message is text for people. It does not name the field.
type Fault struct {
	Code    Code
	Message string
}

// Error returns the message. Scalars return a Fault as an error.
func (f *Fault) Error() string { return f.Message }

// text checks the rules that all texts share. limit is in Unicode code points.
func text(s string, limit int) *Fault {
	switch {
	case strings.IndexFunc(s, visible) < 0:
		return &Fault{Blank, "must not be blank"}
	case !utf8.ValidString(s):
		return &Fault{Invalid, "must be valid UTF-8"}
	case utf8.RuneCountInString(s) > limit:
		return &Fault{TooLong, "must have at most " + strconv.Itoa(limit) + " characters"}
	case strings.IndexFunc(s, separator) >= 0:
		return &Fault{Invalid, "must not contain control characters"}
	}
	return nil
}

// visible reports characters that are neither white space nor invisible.
func visible(r rune) bool { return !unicode.IsSpace(r) && !invisible(r) }

// invisible reports characters that are invisible everywhere: the Default_Ignorable_Code_Point of Unicode, and the
// braille pattern without dots.
func invisible(r rune) bool {
	const blankBraille = '\u2800'
	if r == blankBraille {
		return true
	}
	if unicode.In(r, unicode.Prepended_Concatenation_Mark) || 0xfff9 <= r && r <= 0xfffb || 0x13430 <= r && r <= 0x1343f {
		return false // visible format characters
	}
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// separator reports line separators, paragraph separators and control characters: a text of one line must not have
// them.
func separator(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// timeForm is the form of RFC 3339 with up to six fraction digits. time.Parse accepts more, such as 9:30 and a comma.
var timeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// Time parses a time with any offset, and returns it in UTC. More than six fraction digits are a fault: no database
// stores them, and a read must return the time that was written.
func Time(s string) (time.Time, *Fault) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !timeForm.MatchString(s) {
		return time.Time{}, &Fault{Invalid, "must be an RFC 3339 time with at most six fraction digits, such as 2026-01-31T09:30:00Z"}
	}
	return t.UTC(), nil
}

// TimeFormat is the layout of times for time.Time.Format. The time must be in UTC.
const TimeFormat = "2006-01-02T15:04:05.000000Z"

// The first and the last year, in UTC, that every database can store: the first is that of MariaDB's DATETIME, the last
// that of RFC 3339.
const (
	FirstYear = 1000
	LastYear  = 9999
)

// Storable reports whether every database can store the year of a time.
func Storable(t time.Time) bool {
	year := t.UTC().Year()
	return FirstYear <= year && year <= LastYear
}

// StoredTime parses a time of an entity, as Time does. It refuses times that a database cannot store, so that every
// export can be imported.
func StoredTime(s string) (time.Time, *Fault) {
	t, fault := Time(s)
	if fault == nil && !Storable(t) {
		fault = &Fault{Invalid, fmt.Sprintf("must be in the years %d to %d, in UTC", FirstYear, LastYear)}
	}
	return t, fault
}

// UpdatedAt returns the time of an update: the latest of now and the entity's times. So the times of an entity never go
// back, even if the clock does.
func UpdatedAt(now, createdAt, updatedAt time.Time) time.Time {
	for _, t := range []time.Time{createdAt, updatedAt} {
		if now.Before(t) {
			now = t
		}
	}
	return now
}

// MaxVersion is the largest version of an entity. It is below the largest Int of GraphQL. No realistic number of
// updates reaches it; only an import can bring such a version.
const MaxVersion = 2_000_000_000

// Version parses the version of an entity.
func Version(s string) (int, *Fault) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || n > MaxVersion {
		return 0, &Fault{Invalid, "must be a number from 1 to " + strconv.Itoa(MaxVersion)}
	}
	return int(n), nil
}

// Updatable checks that a version is below MaxVersion, so that an update can raise it.
func Updatable(version int) *Fault {
	if version >= MaxVersion {
		return &Fault{Invalid, fmt.Sprintf("has version %d and cannot be changed: the largest version is %d", version, MaxVersion)}
	}
	return nil
}

// MalformedID returns the fault of a text that is not an ID of the given type. An empty kind stands for any type.
func MalformedID(kind string) *Fault {
	if kind == "" {
		return &Fault{Invalid, "must be the ID of an entity, such as user_01jvsz5r0xe3k8m1p4s6t9w2yb"}
	}
	return &Fault{Invalid, "must be the ID of a " + kind + ", such as " + kind + "_01jvsz5r0xe3k8m1p4s6t9w2yb"}
}

// A FieldFault is one broken rule and its place. Path leads into the arguments of a field, by the names and indices
// that clients use, such as input, username.
type FieldFault struct {
	Fault
	Path []any
}

// Faults are the faults in the arguments of one field, in the order of the arguments.
type Faults []FieldFault

// Add appends a fault, if there is one, with its path.
func (f *Faults) Add(fault *Fault, path ...any) {
	if fault != nil {
		*f = append(*f, FieldFault{Fault: *fault, Path: path})
	}
}

// Has reports whether a fault has the path.
func (f Faults) Has(path ...any) bool {
	for i := range f {
		if slices.Equal(f[i].Path, path) {
			return true
		}
	}
	return false
}

// Err returns the faults as an error, or nil if no fault exists.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Error lists the faults.
func (f Faults) Error() string {
	list := make([]string, len(f))
	for i, fault := range f {
		list[i] = fmt.Sprintf("%v %s", fault.Path, fault.Message)
	}
	return strings.Join(list, "; ")
}
