package database_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/record"
	"roster/internal/statement"
)

type commentKey struct{}

// TestComments adds another comment to each second statement. Those with comments are not prepared, so they take no place among
// the prepared ones. Nobody who watches statements sees the comments.
func TestComments(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, e dbtest.Engine, mode database.Mode) {
		var mu sync.Mutex
		var seen []string
		note := func(text string) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, text)
		}
		db := things(t, e, func(o *database.Options) {
			o.StatementCache, o.MaxConnections = 2, 1
			o.Observe = note
			o.Sent = func(_ context.Context, s record.Statement) { note(s.Text) }
			o.Comment = func(ctx context.Context) string {
				comment, _ := ctx.Value(commentKey{}).(string)
				return comment
			}
		})
		seen = nil
		s := db.Session(mode)
		texts := []string{"SELECT id FROM things WHERE id = ?", "SELECT id + 1 FROM things WHERE id = ?" + statement.PlanAnew}
		for i := range 20 {
			ctx := t.Context()
			if i%2 == 1 {
				ctx = context.WithValue(ctx, commentKey{}, fmt.Sprintf("/*traceparent='00-%032d-%016d-01'*/", i, i))
			}
			for plus, text := range texts {
				if n, err := number(ctx, s, text, 2); n != 2+plus || err != nil {
					t.Errorf("%s: got %d, %v, want %d", text, n, err, 2+plus)
				}
			}
			if mode == database.Write {
				if err := run(ctx, s, "UPDATE things SET n = 1 WHERE id > ?", 0); err != nil {
					t.Error(err)
				}
				if err := run(ctx, s, "UPDATE things SET n = 2"); err != nil {
					t.Error(err)
				}
			}
		}
		if e == dbtest.PostgreSQL && mode != database.Single {
			kept := all(t, s, "SELECT statement FROM pg_prepared_statements WHERE statement LIKE $1", "%traceparent='00%")
			if len(kept) > 0 {
				t.Errorf("got the prepared statements %v, want none with a comment", kept)
			}
		}
		if err := s.Commit(); err != nil {
			t.Error(err)
		}
		if len(seen) == 0 || slices.ContainsFunc(seen, func(text string) bool { return strings.Contains(text, "traceparent='00-") }) {
			t.Errorf("got %q, want texts without comments", seen)
		}
	})
}
