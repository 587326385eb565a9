package transfer_test

import (
	"testing"

	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/directory"
	"roster/internal/transfer"
)

// TestImportOldAddress imports a user whose address another one has by the rules of this version, and not by those of the
// version before: it stays, and what else changes is taken.
func TestImportOldAddress(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		w := newWorld(migrated.Open(t, e))
		const ids = "id,username,email\nuser_01j0000000e008000000000001,short,strasse@example.com\nuser_01j0000000e008000000000002,sharp,"
		if _, faults, err := w.take(t, ids+"sharp@example.com\n", transfer.ImportOptions{OnConflict: directory.Fail}); err != nil {
			t.Fatal(faults, err)
		}
		s := w.db.Session(database.Write)
		defer s.Rollback()
		if err := s.Exec(t.Context(), "UPDATE users SET email = 'straße@example.com', email_key = 'straße@example.com' WHERE username = 'sharp'", []any{}, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(); err != nil {
			t.Fatal(err)
		}
		summary, faults, err := w.take(t, ids+"straße@example.com\n", transfer.ImportOptions{OnConflict: directory.Update})
		if want := (transfer.Counts{directory.Unchanged: 2}); err != nil || summary.Users != want {
			t.Errorf("the same address: got %v, %q, %v, want %v", summary.Users, faults, err, want)
		}
		const renamed = "id,username,email\nuser_01j0000000e008000000000002,sharper,straße@example.com\n"
		summary, faults, err = w.take(t, renamed, transfer.ImportOptions{OnConflict: directory.Update})
		if want := (transfer.Counts{directory.Updated: 1}); err != nil || summary.Users != want {
			t.Errorf("another name: got %v, %q, %v, want %v", summary.Users, faults, err, want)
		}
		const other = "id,username,email\nuser_01j0000000e008000000000002,sharper,STRASSE@example.com\n"
		if _, faults, err = w.take(t, other, transfer.ImportOptions{OnConflict: directory.Update}); len(faults) != 1 || faults[0] != "2 email is taken" {
			t.Errorf("another address: got %q, %v, want a fault of email", faults, err)
		}
	})
}
