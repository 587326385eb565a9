// Package scalar writes and reads the scalars of the schema.
package scalar

import (
	"io"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"roster/ent/rules"
)

// MarshalDateTime writes a time in UTC, with six fraction digits.
func MarshalDateTime(t time.Time) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		b := make([]byte, 0, len(rules.TimeFormat)+2)
		b = append(b, '"')
		b = t.UTC().AppendFormat(b, rules.TimeFormat)
		_, _ = w.Write(append(b, '"')) // gqlgen's writer is a buffer and cannot fail
	})
}

// UnmarshalDateTime reads a time by rules.Time. The error is a *rules.Fault.
func UnmarshalDateTime(v any) (time.Time, error) {
	s, _ := v.(string)
	t, fault := rules.Time(s)
	if fault != nil {
		return time.Time{}, fault
	}
	return t, nil
}
