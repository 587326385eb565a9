package database_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/statement"
	"roster/internal/typeid"
)

func TestCopy(t *testing.T) {
	t.Parallel()
	db := things(t, dbtest.PostgreSQL)
	write(t, db, "CREATE TABLE copied (id uuid NOT NULL PRIMARY KEY, t text)")
	copied := func(s *database.Session, texts ...string) error {
		return s.Copy(t.Context(), &statement.Write{
			Table: &statement.Table{Name: "copied"}, Columns: []string{"id", "t"}, Rows: len(texts),
			Value: func(row int, column string) any {
				if column == "id" {
					return typeid.New("thing", uuid.UUID{15: byte(row)})
				}
				return texts[row]
			},
		})
	}
	s := db.Session(database.Write)
	awkward := []string{"", "a\tb", "a\\N\n\r\\.", "\\N", "é😀\x7f"}
	if err := copied(s, awkward...); err != nil {
		t.Fatal(err)
	}
	if err := copied(s); err != nil { // nothing
		t.Fatal(err)
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, db, "SELECT t FROM copied ORDER BY id"); !slices.Equal(got, awkward) {
		t.Errorf("got %q, want %q", got, awkward)
	}

	s = db.Session(database.Write)
	if f := database.AsFailure(copied(s, "again")); f == nil || f.Kind != database.Unique || f.Constraint != "copied_pkey" {
		t.Errorf("the same row again: got %+v, want a broken copied_pkey", f)
	}
	if err := s.Commit(); database.AsFailure(err) == nil {
		t.Errorf("commit after a failure: got %v, want the failure", err)
	}
	if err := db.Leaked(); err != nil {
		t.Error(err)
	}
	for name, s := range map[string]*database.Session{
		"reads":            db.Session(database.Snapshot),
		"is of another DB": things(t, dbtest.SQLite).Session(database.Write),
	} {
		if copied(s, "x") == nil {
			t.Errorf("a session that %s: got no error, want one", name)
		}
		s.Rollback()
	}
}
