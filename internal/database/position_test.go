package database_test

import (
	"testing"

	"roster/internal/consistency"
	"roster/internal/database"
	"roster/internal/dbtest"
)

// TestSessionPosition wants no position, and no statement for it, without replicas. On a node of a cluster, each session has
// one that has read or written.
func TestSessionPosition(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		ctx, url := t.Context(), dbtest.Empty(t, e)
		for name, session := range map[string]func(*database.DB) *database.Session{
			"Write": func(db *database.DB) *database.Session { return db.WriteSession(consistency.Position{}) },
			"Single": func(db *database.DB) *database.Session {
				return db.PrimarySession(database.Single, consistency.Position{})
			},
		} {
			sent := 0
			o := options(url)
			o.Observe = func(string) { sent++ }
			db := open(t, o)
			idle, used := session(db), session(db)
			if _, err := number(ctx, used, "SELECT 1"); err != nil {
				t.Fatal(err)
			}
			idle.Rollback()
			used.Rollback()
			before := sent
			for _, s := range []*database.Session{idle, used} {
				if got := s.Position(ctx); !got.IsZero() || sent != before {
					t.Errorf("%s: got %+v and %d statements more, want neither", name, got, sent-before)
				}
			}
			if e != dbtest.MySQL {
				continue
			}
			db.LikeGalera()
			if got := used.Position(ctx); got.Log != consistency.Galera {
				t.Errorf("%s, on a node of a cluster: got %+v, want a position of Galera", name, got)
			}
			if got := idle.Position(ctx); !got.IsZero() {
				t.Errorf("%s, without a statement: got %+v, want none", name, got)
			}
		}
	})
}
