package database

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"

	"roster/internal/consistency"
	"roster/internal/statement"
)

// replication is how the servers of an engine tell their positions in the log. An engine without it has no replicas and no
// tokens.
type replication interface {
	// log is the kind of the positions. growth is more than a primary adds to their numbers in ten seconds.
	log() (kind consistency.Log, growth uint64)
	// check returns an error that says what to set, if the primary cannot have replicas. It is a ReplicaError if no setting
	// helps.
	check(ctx context.Context, q querier) error
	// end returns a position of a database: the server that takes changes has committed nothing after it.
	end(ctx context.Context, q querier, d consistency.Database) (consistency.Position, error)
	// progress returns how far a replica has replayed the log. Later statements on the same connection see at least this. The
	// error is errNoReplica if the server replays no log.
	progress(ctx context.Context, q querier) (progress, error)
}

// progress is how far a replica has replayed the log.
type progress interface {
	// reached reports whether everything up to a position of the replica's database is there. If in doubt, it is not.
	reached(p consistency.Position) bool
	// suits returns an error that says what to set, if a primary at an end and this replica would number their changes apart.
	suits(end consistency.Position) error
}

// querier is a connection, or a pool of them.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// errNoReplica is the error of a server that replays no log.
var errNoReplica = errors.New("it takes changes itself: it is the primary, or was promoted")

// contents identifies what a server has.
type contents struct {
	database consistency.Database
	version  int64 // of the newest migration
}

// contentsOf reads the contents of a server. The error is the driver's.
func contentsOf(ctx context.Context, q querier) (c contents, err error) {
	const query = "SELECT (SELECT epoch FROM " + statement.FeedTable + " WHERE id = 1), (SELECT max(version_id) FROM goose_db_version)"
	var epoch string
	if err := q.QueryRowContext(ctx, query).Scan(&epoch, &c.version); err != nil {
		return c, err
	}
	_, err = hex.Decode(c.database[:], []byte(epoch[:min(len(epoch), hex.EncodedLen(len(c.database)))]))
	return c, err
}
