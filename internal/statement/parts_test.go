package statement_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"entgo.io/ent/dialect"

	"roster/internal/statement"
)

// TestWriteParts divides rows by what they have as an argument: no part of several rows is longer than the limit, none can take
// the row after it, and no row is lost.
func TestWriteParts(t *testing.T) {
	t.Parallel()
	texts := []string{"", "x", strings.Repeat("\x01", 500), strings.Repeat("\"", 3000), strings.Repeat("😀", 200), strings.Repeat("\u2028", 400), "y", strings.Repeat("<", 100_000), "z", strings.Repeat("\\", 900)}
	const limit = 4000
	w := &statement.Write{
		Table:   &statement.Table{Name: "t", Columns: []statement.Column{{Name: "a", Kind: statement.Text}, {Name: "b", Kind: statement.Int}}},
		Columns: []string{"a", "b"}, Rows: len(texts),
		Value: func(row int, column string) any {
			if column == "b" {
				return row
			}
			return texts[row]
		},
	}
	for _, d := range []string{dialect.SQLite, dialect.MySQL, dialect.Postgres} {
		var got []string
		parts := 0
		for part := range w.Parts(limit) {
			parts++
			for row := range part.Rows {
				if n := part.Value(row, "b"); n != len(got) {
					t.Errorf("%s: row %d: got %v, want its number", d, len(got), n)
				}
				got = append(got, fmt.Sprint(part.Value(row, "a")))
			}
			_, args, err := part.Insert(d)
			if err != nil {
				t.Fatal(err)
			}
			for _, arg := range args {
				if n := len(fmt.Sprintf("%s", arg)); part.Rows > 1 && n > limit {
					t.Errorf("%s: %d rows: got %d bytes, want at most the limit", d, part.Rows, n)
				}
			}
		}
		if !slices.Equal(got, texts) || parts < 3 || parts == len(texts) {
			t.Errorf("%s: got %d parts of %d rows, want several parts with all rows", d, parts, len(got))
		}
	}
	w.Rows = 0
	for range w.Parts(limit) {
		t.Error("no rows: got a part, want none")
	}
}
