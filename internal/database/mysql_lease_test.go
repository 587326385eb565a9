package database_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// TestLeaseLost lets another program take the lease of a migration, which then stops before its next step. The other program is
// killed at once: its lease expires, and the next one completes the migrations. Locks work as on a node of a cluster.
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	url := dbtest.EmptyMariaDB(t)
	thief := open(t, options(url))
	var stolen atomic.Bool
	var after atomic.Int64 // definitions
	db := open(t, options(url)).LikeGalera().ObservingMigrations(func(query string) {
		switch {
		case stolen.Load() && strings.HasPrefix(query, "CREATE TABLE `"):
			after.Add(1)
		case strings.HasPrefix(query, "CREATE TABLE `posts`"): // this step has begun
			s := thief.Session(database.Write)
			defer s.Rollback()
			if err := run(t.Context(), s, "UPDATE roster_lease SET owner = 'another', renewed = renewed + 1"); err != nil {
				t.Error(err)
			}
			if err := s.Commit(); err != nil {
				t.Error(err)
			}
			stolen.Store(true)
		}
	})
	done, err := db.MigrateUp(t.Context())
	if err == nil || !strings.Contains(err.Error(), "did not renew its lease in time") || !strings.Contains(err.Error(), "roster migrate up") {
		t.Errorf("after the lease was lost: got %v, want an error that says what to do", err)
	}
	if n := after.Load(); n > 0 || !stolen.Load() {
		t.Errorf("after the lease was lost: got %d tables created, want none", n)
	}
	more, err := open(t, options(url)).LikeGalera().MigrateUp(t.Context())
	if err != nil || len(more) == 0 {
		t.Errorf("the next program: got %v, %v, want the other migrations", more, err)
	}
	if len(done)+len(more) < 2 {
		t.Errorf("got %v and %v, want all migrations", done, more)
	}
	if owners := texts(t, thief, "SELECT owner FROM roster_lease"); len(owners) != 1 || owners[0] != "" {
		t.Errorf("the lease after the end: got %q, want no owner", owners)
	}
}
