package scalar

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/99designs/gqlgen/graphql"

	"roster/ent/rules"
)

// MarshalInt writes an Int.
func MarshalInt(i int) graphql.Marshaler { return graphql.MarshalInt(i) }

// UnmarshalInt reads an Int of 32 bits, as the GraphQL specification says. The error for another value is INVALID.
func UnmarshalInt(v any) (int, error) {
	var n int64
	err := strconv.ErrSyntax
	switch v := v.(type) {
	case int:
		n, err = int64(v), nil
	case int64:
		n, err = v, nil
	case json.Number:
		n, err = v.Int64()
	}
	if err != nil || n < math.MinInt32 || n > math.MaxInt32 {
		return 0, &rules.Fault{Code: rules.Invalid, Message: "must be an integer of 32 bits"}
	}
	return int(n), nil
}
