package cli_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"roster/internal/cli"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/feed"
	"roster/internal/janitor"
	"roster/internal/typeid"
)

// write writes a change that was made at a time.
func write(t *testing.T, db *database.DB, at time.Time) {
	t.Helper()
	tx := db.Session(database.Write)
	defer tx.Rollback()
	err := feed.Write(t.Context(), tx, []feed.Change{{NodeID: typeid.New("user", uuid.UUID{1}), Kind: feed.Created, Version: 1, At: at}})
	if err == nil {
		err = tx.Commit()
	}
	if err == nil {
		err = feed.Number(t.Context(), db)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// read reads the changes after a cursor.
func read(t *testing.T, db *database.DB, after *feed.Cursor) (*feed.Page, error) {
	t.Helper()
	session := db.Session(database.Snapshot)
	defer session.Rollback()
	return feed.Read(t.Context(), session, feed.Request{After: after, First: 100})
}

// TestResetChanges expires cursors, when it is meant.
func TestResetChanges(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := dbtest.Empty(t, e)
		code, stdout, stderr := run(t, "changes", "reset", "--yes", "--database-url", url)
		if code != 1 || stdout != "" || !strings.Contains(stderr, "migrate up") {
			t.Errorf("without a schema: got code %d, stdout %q, stderr %q, want code 1 and advice to migrate", code, stdout, stderr)
		}
		db := migrated.Open(t, e, func(o *database.Options) { o.URL = url })
		write(t, db, time.Now())
		before, err := read(t, db, nil)
		if err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr = run(t, "changes", "reset", "--database-url", url)
		const refusal = "roster: a reset makes every client of the change feed copy the data again: confirm it with --yes\n"
		if code != 1 || stdout != "" || stderr != refusal {
			t.Errorf("without --yes: got code %d, stdout %q, stderr %q, want code 1 and %q", code, stdout, stderr, refusal)
		}
		if _, err := read(t, db, &before.End); err != nil {
			t.Errorf("the cursor after a refused reset: got %v, want no error", err)
		}
		code, stdout, stderr = run(t, "changes", "reset", "--yes", "--database-url", url)
		if want := "All cursors of the change feed of " + db.String() + " are expired.\n"; code != 0 || stdout != want || stderr != "" {
			t.Errorf("got code %d, stdout %q, stderr %q, want code 0 and %q", code, stdout, stderr, want)
		}
		if _, err := read(t, db, &before.End); !errors.Is(err, feed.ErrExpired) {
			t.Errorf("the cursor after a reset: got %v, want %v", err, feed.ErrExpired)
		}
	})
}

// TestPruneChanges deletes what is older than a day.
func TestPruneChanges(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := migrated.Open(t, e)
		start := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
		for hour := range 30 {
			write(t, db, start.Add(time.Duration(hour)*time.Hour))
		}
		ticks := make(chan time.Time, 1)
		ticks <- start.Add(30 * time.Hour)
		close(ticks)
		janitor.Run(t.Context(), ticks, slog.New(slog.DiscardHandler), cli.PruneChanges(db, 24*time.Hour))
		page, err := read(t, db, nil)
		if err != nil || len(page.Changes) != 24 || !page.Changes[0].At.Equal(start.Add(6*time.Hour)) {
			t.Errorf("got %v, %+v, want the 24 changes of the last day", err, page)
		}
	})
}
