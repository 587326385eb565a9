package query_test

import (
	"errors"
	"strings"
	"testing"

	"roster/ent/query"
	"roster/ent/rules"
)

func TestOrderDirection(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"ASC", "DESC"} {
		var d query.OrderDirection
		var b strings.Builder
		if err := d.UnmarshalGQL(text); err != nil {
			t.Error(err)
		}
		if d.MarshalGQL(&b); b.String() != `"`+text+`"` {
			t.Errorf("%s is written as %s", text, &b)
		}
	}
	for _, v := range []any{"asc", "", nil, 1, true} {
		var d query.OrderDirection
		var fault *rules.Fault
		if err := d.UnmarshalGQL(v); !errors.As(err, &fault) || fault.Code != rules.Invalid {
			t.Errorf("%v: %v", v, err)
		}
	}
}
