package feed

import (
	"context"
	"strconv"
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
	return Stats{Subscribers: f.Subscribers(), Slow: f.slow.Load(), Listening: f.probes.Load() < lost}
}

// lagAtMost is the greatest number of changes that Lag counts: of those without a place, and of those that the Feed has not
// read.
const lagAtMost = 10_000

// Lag returns the number of committed changes that subscribers of this server cannot have got yet, and the age of the oldest
// one. Such a change has no place in the feed, or the Feed has not read it for its subscribers. Lag costs at most one
// statement. The error is a Failure.
func (f *Feed[N]) Lag(ctx context.Context, now time.Time) (changes int, age time.Duration, err error) {
	var parts []string
	var args []any
	if numberingOf(f.Database.Dialect()) != nil {
		parts = append(parts, "number IS NULL")
	}
	if end, followed := f.end(); followed {
		parts, args = append(parts, "number > ?"), append(args, end)
	}
	if len(parts) == 0 {
		return 0, 0, nil
	}
	// Each part is bounded, and reads the index of the numbers alone to find its rows.
	for i, condition := range parts {
		alias := "part" + strconv.Itoa(i)
		parts[i] = "SELECT at FROM (SELECT at FROM " + changesTable + " WHERE " + condition + " LIMIT " + strconv.Itoa(lagAtMost) + ") AS " + alias
	}
	query := "SELECT COUNT(*), MIN(at) FROM (" + strings.Join(parts, " UNION ALL ") + ") AS late"
	if f.Database.Dialect() == dialect.Postgres {
		query = strings.Replace(query, "?", "$1", 1)
	}
	var oldest entsql.NullInt64
	if err := one(ctx, f.Database.Session(database.Single), query, args, &changes, &oldest); err != nil || changes == 0 {
		return 0, 0, err
	}
	return changes, max(now.Sub(time.UnixMicro(oldest.Int64)), 0), nil
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
