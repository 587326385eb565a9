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
	// kind is the kind of the positions. growth is more than a primary adds to their numbers in a second.
	kind() (kind consistency.Log, growth uint64)
	// check returns an error that says what to set, if the primary cannot have replicas. It is a ReplicaError if no setting
	// helps.
	check(ctx context.Context, q querier) error
	// look asks a server for its standing. Later statements on the same connection see at least this. The error is the driver's.
	look(ctx context.Context, q querier) (standing, error)
	// refuses reports whether an error of a connection says that the server refuses its user or its database.
	refuses(err error) bool
}

// standing is what a server says of its place in the log, and of its role.
type standing interface {
	// reached reports whether everything up to a position of the server's database is there. If in doubt, it is not. No server
	// reaches a position that is ahead.
	reached(p consistency.Position) bool
	// decides reports whether no other server can have a position that this one lacks, if this one takes changes.
	decides(p consistency.Position) bool
	// takesChanges reports whether the server takes changes. replays reports whether it replays those of another one. A server of
	// MariaDB may do both.
	takesChanges() bool
	replays() bool
	// end returns a position of a database: a server that takes changes has committed nothing after it.
	end(d consistency.Database) (consistency.Position, error)
	// server tells the former primary from the current one.
	server() serverID
	// compatible returns an error that says what to set, if a primary at an end and this replica would number their changes apart.
	compatible(end consistency.Position) error
}

// serverID identifies a server that takes changes among those that follow each other in this role.
type serverID struct {
	timeline int64  // of PostgreSQL
	number   uint32 // of MariaDB
	changes  bool   // it takes changes
}

// querier is a connection, or a pool of them.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// errNoReplica is the error of a server that replays no log.
var errNoReplica = errors.New("it takes changes itself: it is the primary, or was promoted")

// errStandby is the error of a server that should be the primary.
var errStandby = errors.New("the server takes no changes: it is a standby, or read_only is on")

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
