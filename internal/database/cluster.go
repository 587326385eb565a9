package database

import (
	"context"
	"fmt"
	"time"

	"roster/internal/consistency"
)

// cluster is a cluster of servers that all take changes. Each applies those of the others a little later.
type cluster interface {
	// await waits until this node has everything that the cluster has committed by now. Later statements on the same connection
	// see it.
	await(ctx context.Context, q querier) error
}

// clusterWait is the maximum time that an operation waits until its node has applied what it needs.
const clusterWait = 5 * time.Second

// InCluster reports whether the server is a node of a cluster whose nodes all take changes.
func (db *DB) InCluster() bool { return db.engine.cluster() != nil }

// CatchUp waits until this server has everything that its cluster has committed by now, and reports true. On a server without
// such a cluster, it returns at once. The error is a Failure, of kind Busy if the wait takes too long.
func (db *DB) CatchUp(ctx context.Context) (bool, error) {
	if db.engine.cluster() == nil {
		return false, nil
	}
	s := db.Session(Single)
	seat, err := s.sit(ctx)
	if err != nil {
		return false, s.fail(err)
	}
	defer seat.leave()
	if err := db.await(ctx, seat.pool.db); err != nil {
		return false, s.fail(err)
	}
	return true, nil
}

// await waits until the server has everything that its cluster has committed by now. The error is a Failure or the driver's.
func (db *DB) await(ctx context.Context, q querier) error {
	limited, cancel := context.WithTimeout(ctx, clusterWait)
	defer cancel()
	err := db.engine.cluster().await(limited, q)
	if err != nil && (limited.Err() != nil || db.fail(err).Kind == Retry) && ctx.Err() == nil { // a stale answer would be wrong
		return &Failure{Kind: Busy, err: fmt.Errorf("the node has not applied in time what the cluster has committed: %w", err)}
	}
	return err
}

// endOfCluster is a position that no server has reached: a node waits for all that the cluster has committed by then. So it need not
// know what a client has written, and a token of another cluster does no harm.
func endOfCluster() consistency.Position {
	return consistency.Last(consistency.Database{}, consistency.Galera)
}
