package scalar

import (
	"github.com/99designs/gqlgen/graphql"

	"roster/ent/rules"
)

// MarshalString writes a String.
func MarshalString(s string) graphql.Marshaler { return graphql.MarshalString(s) }

// UnmarshalString reads a String. The error for another type is INVALID, as the GraphQL specification says. gqlgen's own
// function accepts numbers and booleans.
func UnmarshalString(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", &rules.Fault{Code: rules.Invalid, Message: "must be a string"}
	}
	return s, nil
}
