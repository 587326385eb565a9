package database_test

import (
	"slices"
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// A constraint that breaks in an attempt undoes the attempt, and only it.
func TestAttempt(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := things(t, e)
		write(t, db, "CREATE TABLE parts (thing int NOT NULL REFERENCES things (id))")
		s := db.Session(database.Write)
		attempt := func(statements ...string) (bool, error) {
			return s.Attempt(t.Context(), func() error {
				for _, statement := range statements {
					if err := run(t.Context(), s, statement); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := run(t.Context(), s, "INSERT INTO things (id, n) VALUES (4, 1)"); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			name       string
			statements []string
			ok         bool
		}{
			{"new rows", []string{"INSERT INTO things (id, n) VALUES (5, 1)", "INSERT INTO things (id, n) VALUES (6, 1)"}, true},
			{"a taken ID", []string{"INSERT INTO things (id, n) VALUES (7, 1)", "INSERT INTO things (id, n) VALUES (4, 1)"}, false},
			{"a missing row", []string{"INSERT INTO things (id, n) VALUES (7, 1)", "INSERT INTO parts (thing) VALUES (99)"}, false},
			{"a new row again", []string{"INSERT INTO things (id, n) VALUES (8, 1)"}, true},
		} {
			if ok, err := attempt(step.statements...); ok != step.ok || err != nil {
				t.Fatalf("%s: got %t, %v, want %t", step.name, ok, err, step.ok)
			}
		}
		if f := s.Failure(); f != nil {
			t.Errorf("after attempts: got the failure %v, want none", f)
		}
		if err := s.Commit(); err != nil {
			t.Fatal(err)
		}
		if got, want := texts(t, db, "SELECT id FROM things WHERE n = 1 ORDER BY id"), []string{"4", "5", "6", "8"}; !slices.Equal(got, want) {
			t.Errorf("got the rows %q, want %q", got, want)
		}

		s = db.Session(database.Write)
		if ok, err := attempt("SELECT nothing FROM things"); ok || database.AsFailure(err) == nil {
			t.Errorf("another error: got %t, %v, want its failure", ok, err)
		}
		if err := s.Commit(); database.AsFailure(err) == nil {
			t.Errorf("commit after another error: got %v, want the failure", err)
		}
		s = db.Session(database.Snapshot)
		if s.CanAttempt() {
			t.Error("a session that reads: got an attempt, want none")
		}
		if ok, err := attempt(); ok || err == nil {
			t.Errorf("an attempt that the session cannot make: got %t, %v, want an error", ok, err)
		}
		s.Rollback()
	})
}

// PostgreSQL has a bound for the attempts of a transaction.
func TestAttempts(t *testing.T) {
	t.Parallel()
	s := things(t, dbtest.PostgreSQL).Session(database.Write)
	defer s.Rollback()
	attempts := 0
	for s.CanAttempt() {
		if ok, err := s.Attempt(t.Context(), func() error { return nil }); !ok || err != nil {
			t.Fatalf("got %t, %v, want an attempt", ok, err)
		}
		attempts++
	}
	if want := 60; attempts != want {
		t.Errorf("got %d attempts, want %d", attempts, want)
	}
}
