package feed

import (
	"context"
	"fmt"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
)

// Stats are the figures of a Feed.
type Stats struct {
	// Subscribers is the number of subscribers that follow the end of the feed. Slow is the number of those that have ended with
	// ErrSlow since the start.
	Subscribers int
	Slow        int64
	// Listening says that the signals of other servers arrive. Otherwise the Feed looks for changes from time to time, and while
	// there are subscribers often. Only PostgreSQL has signals.
	Listening bool
}

// Stats returns the figures of the Feed. It sends nothing to the database.
func (f *Feed[N]) Stats() Stats {
	return Stats{Subscribers: f.Subscribers(), Slow: f.slow.Load(), Listening: f.hears()}
}

// lagAtMost is the greatest number of changes that is counted for each reason of a lag.
const lagAtMost = 10_000

// unnumbered is the condition of the changes that have no number yet.
const unnumbered = "number IS NULL"

// Lag returns the number of committed changes that subscribers of this server cannot have got yet, and the age of the oldest
// one. Such a change has no place in the feed, or the Feed has not read it for its subscribers. Of each kind, at most 10,000
// count. Lag costs at most one statement. The error is a Failure.
func (f *Feed[N]) Lag(ctx context.Context, now time.Time) (changes int, age time.Duration, err error) {
	var reasons []string
	var args []any
	if numberingOf(f.Database.Dialect()) != nil {
		reasons = append(reasons, unnumbered)
	}
	if end, followed := f.end(); followed {
		reasons, args = append(reasons, "number > ?"), append(args, end)
	}
	changes, oldest, err := late(ctx, f.Database, reasons, args)
	if err != nil || changes == 0 {
		return 0, 0, err
	}
	return changes, max(now.Sub(oldest), 0), nil
}

// Waiting returns the number of committed changes without a number, at most 10,000, and the time of the oldest of these. On
// SQLite, there is none. The error is a Failure.
func Waiting(ctx context.Context, db *database.DB) (changes int, oldest time.Time, err error) {
	if numberingOf(db.Dialect()) == nil {
		return 0, oldest, nil
	}
	return late(ctx, db, []string{unnumbered}, nil)
}

// late counts the changes that meet one of the conditions, and returns the time of the oldest one. Each condition is counted up
// to lagAtMost, and finds its rows by the index of the numbers.
func late(ctx context.Context, db *database.DB, conditions []string, args []any) (changes int, oldest time.Time, err error) {
	if len(conditions) == 0 {
		return 0, oldest, nil
	}
	var parts []string
	for i, condition := range conditions {
		parts = append(parts, fmt.Sprintf("SELECT at FROM (SELECT at FROM %s WHERE %s LIMIT %d) AS part%d", changesTable, condition, lagAtMost, i))
	}
	query := "SELECT COUNT(*), MIN(at) FROM (" + strings.Join(parts, " UNION ALL ") + ") AS late"
	if db.Dialect() == dialect.Postgres {
		query = strings.Replace(query, "?", "$1", 1)
	}
	var at entsql.NullInt64
	err = one(ctx, db.Session(database.Single), query, args, &changes, &at)
	return changes, time.UnixMicro(at.Int64).UTC(), err
}

// end returns the number of the last change that the Feed has read for its subscribers, if it has any.
func (f *Feed[N]) end() (number int64, followed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tail == nil {
		return 0, false
	}
	return f.tail.end, true
}
