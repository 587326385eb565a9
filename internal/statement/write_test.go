package statement_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"entgo.io/ent/dialect"

	"roster/internal/statement"
)

// writing is rows of the test's table; NULL is the title of the second.
func writing(rows int, columns ...string) *statement.Write {
	t := table()
	t.Columns[1].Size = 80
	return &statement.Write{Table: t, Columns: columns, Rows: rows, Value: func(row int, column string) any {
		switch {
		case column == "id":
			return ids("post", rows)[row]
		case column == "created_at":
			return moment().Add(time.Duration(row) * time.Microsecond)
		case column == "version":
			return row - 1
		case row == 1:
			return nil
		}
		return fmt.Sprintf("“%d” \"\\\n", row)
	}}
}

// alike writes rows that differ only in their IDs.
func alike(rows int) *statement.Write {
	w := writing(rows, "id", "title_key", "created_at", "version")
	value := w.Value
	w.Value = func(row int, column string) any {
		if column != "id" {
			row = 0
		}
		return value(row, column)
	}
	return w
}

// TestWrite compares what is built with testdata/writes.txt; "go test ./internal/statement -update" writes it.
func TestWrite(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	for _, rows := range []int{1, 3} {
		for _, d := range []string{dialect.SQLite, dialect.Postgres, dialect.MySQL} {
			for _, build := range []func() (string, []any, error){
				func() (string, []any, error) {
					return writing(rows, "id", "title_key", "created_at", "version").Insert(d)
				},
				func() (string, []any, error) { return writing(rows, "title_key", "version").Update(d) },
				func() (string, []any, error) { return alike(rows).Insert(d) },
			} {
				query, args, err := build()
				if err != nil {
					t.Errorf("%d rows on %s: got %v, want no error", rows, d, err)
				}
				fmt.Fprintf(&b, "--- %s: %d\n%s\n", d, rows, broken(query))
				for _, arg := range args {
					fmt.Fprintf(&b, "    %s\n", shown(arg))
				}
			}
		}
	}
	golden(t, "testdata/writes.txt", b.Bytes())
}

// However many rows there are, the texts are two.
func TestFewTextsOfWrites(t *testing.T) {
	t.Parallel()
	for _, d := range []string{dialect.SQLite, dialect.Postgres, dialect.MySQL} {
		texts := map[string]bool{}
		for _, rows := range []int{1, 2, 3, 64, 65, 1000} {
			query, args, err := writing(rows, "id", "title_key", "created_at", "version").Insert(d)
			if err != nil || len(args) > 4 {
				t.Errorf("%d rows on %s: got %d arguments, %v, want at most 4", rows, d, len(args), err)
			}
			texts[query] = true
		}
		if len(texts) != 2 {
			t.Errorf("%s: got %d texts, want 2", d, len(texts))
		}
	}
}

// What is no value of a column is refused before it reaches a database, where it could be taken for another one.
func TestWriteOfNoValue(t *testing.T) {
	t.Parallel()
	for _, d := range []string{dialect.SQLite, dialect.Postgres, dialect.MySQL} {
		w := writing(2, "id", "title_key")
		w.Value = func(int, string) any { return struct{}{} }
		if query, _, err := w.Insert(d); err == nil {
			t.Errorf("%s: got %s, want an error", d, query)
		}
		if query, _, err := w.Update(d); err == nil {
			t.Errorf("%s: got %s, want an error", d, query)
		}
	}
}
