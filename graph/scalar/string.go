package scalar

import (
	"github.com/99designs/gqlgen/graphql"

	"roster/ent/rules"
)

// MarshalString writes a String.
func MarshalString(s string) graphql.Marshaler { return graphql.MarshalString(s) }

// UnmarshalString reads a String. A number or a boolean is none and INVALID, as the GraphQL specification says; gqlgen's
// own would write it out.
func UnmarshalString(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", &rules.Fault{Code: rules.Invalid, Message: "must be a string"}
	}
	return s, nil
}
