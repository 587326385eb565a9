package cli_test

import (
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"roster/internal/cli"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/idempotency"
	"roster/internal/janitor"
)

// TestPruneKeys lets a day go by in which a key was claimed every hour: those of the day before yesterday go, in steps.
func TestPruneKeys(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := migrated.Open(t, e)
		start := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
		entry := func(hour int) *idempotency.Entry {
			found, err := idempotency.NewEntry(fmt.Sprint("hour ", hour), idempotency.Request{})
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		claim := func(hour int) (data []byte) {
			session := db.Session(database.Write)
			defer session.Rollback()
			data, err := entry(hour).Claim(t.Context(), session, start.Add(time.Duration(hour)*time.Hour))
			if err == nil && data == nil {
				err = entry(hour).Store(t.Context(), session, []byte("{}"))
			}
			if err == nil {
				err = session.Commit()
			}
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		const hours = 30
		for hour := range hours {
			if claim(hour) != nil {
				t.Fatalf("the key of hour %d: got an answer, want a new key", hour)
			}
		}
		ticks := make(chan time.Time, 2)
		ticks <- start.Add(24 * time.Hour) // nothing is older than a day yet
		ticks <- start.Add(hours * time.Hour)
		close(ticks)
		janitor.Run(t.Context(), ticks, slog.New(slog.NewTextHandler(os.Stderr, nil)), cli.PruneKeys(db, 24*time.Hour, 4))
		for hour := range hours {
			if kept := claim(hour) != nil; kept != (hour >= hours-24) {
				t.Errorf("the key of hour %d is kept: got %t, want %t", hour, kept, !kept)
			}
		}
	})
}
