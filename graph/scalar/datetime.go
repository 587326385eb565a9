// Package scalar writes and reads the scalars of the schema.
package scalar

import (
	"io"
	"regexp"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"roster/ent/rules"
)

const dateTime = "2006-01-02T15:04:05.000000Z"

// form is that of RFC 3339 with up to six fraction digits. time.Parse takes more, such as 9:30 and a comma.
var form = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// MarshalDateTime writes an instant: in UTC, with exactly six fraction digits.
func MarshalDateTime(t time.Time) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		b := make([]byte, 0, len(dateTime)+2)
		b = append(b, '"')
		b = t.UTC().AppendFormat(b, dateTime)
		_, _ = w.Write(append(b, '"')) // gqlgen's writer is a buffer
	})
}

// UnmarshalDateTime reads an instant with any offset. More than six fraction digits are an error: no database keeps
// them, and what is written must be what is read.
func UnmarshalDateTime(v any) (time.Time, error) {
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !form.MatchString(s) {
		return time.Time{}, &rules.Fault{
			Code:    rules.Invalid,
			Message: "must be an RFC 3339 time with at most six fraction digits, such as 2026-01-31T09:30:00Z",
		}
	}
	return t.UTC(), nil
}
