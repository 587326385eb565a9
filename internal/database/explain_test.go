package database_test

import (
	"strings"
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/record"
)

// TestExplainHidesValues explains a statement whose value has quotes and several lines: PostgreSQL writes it into the plan.
func TestExplainHidesValues(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := things(t, e, func(*database.Options) {})
		mark := "?"
		if e == dbtest.PostgreSQL {
			mark = "$1"
		}
		plans := db.Explain(t.Context(), []record.Statement{
			{Text: "SELECT id FROM things WHERE CAST(id AS CHAR(30)) = " + mark, Arguments: []any{"secret\n'secret'\nsecret"}},
			{Text: "SAVEPOINT a"},
		})
		if plans[0] == "" || strings.Contains(plans[0], "secret") {
			t.Errorf("got the plan %q, want one without the value", plans[0])
		}
		if plans[1] != "" {
			t.Errorf("a savepoint: got the plan %q, want none", plans[1])
		}
	})
}
