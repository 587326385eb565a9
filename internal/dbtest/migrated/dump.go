package migrated

import (
	"fmt"
	"strings"
	"testing"

	"entgo.io/ent/dialect/sql"

	"roster/internal/database"
	"roster/internal/tables"
)

// Dump returns all values of all tables, each on a line. Bytes are as they are.
func Dump(tb testing.TB, db *database.DB) string {
	tb.Helper()
	var b strings.Builder
	for _, table := range tables.All() {
		fmt.Fprintf(&b, "table %s\n", table.Name)
		err := database.Each(tb.Context(), db.Session(database.Single), "SELECT * FROM "+table.Name, nil, func(rows *sql.Rows) error {
			columns, err := rows.Columns()
			if err != nil {
				return err
			}
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				return err
			}
			for _, v := range values {
				if text, ok := v.([]byte); ok {
					v = string(text)
				}
				fmt.Fprintln(&b, v)
			}
			return nil
		})
		if err != nil {
			tb.Fatalf("dump %s: %v", table.Name, err)
		}
	}
	return b.String()
}
