package cli

import (
	"context"
	"errors"
	"fmt"

	"roster/internal/database"
)

// checkReplicas checks the URLs of the replicas, before anything is opened.
func (c *serveCommand) checkReplicas() error {
	if err := database.CheckReplicaURLs(c.DatabaseURL, c.DatabaseReplicaURLs); err != nil {
		return misuse(fmt.Errorf("--database-replica-urls: %w", err))
	}
	return nil
}

// useReplicas lets queries read from the replicas, if there are any.
func (c *serveCommand) useReplicas(ctx context.Context, db *database.DB) error {
	err := db.UseReplicas(ctx, database.ReplicaOptions{URLs: c.DatabaseReplicaURLs, MaxStaleness: c.ReplicaMaxStaleness, Wait: c.ReplicaWait})
	if err == nil {
		return nil
	}
	err = fmt.Errorf("--database-replica-urls: %w", err)
	if _, ok := errors.AsType[*database.ReplicaError](err); ok {
		return misuse(err)
	}
	return err
}

// checkReplicas checks each replica, if there are any.
func (k *checker) checkReplicas(ctx context.Context, db *database.DB) bool {
	const name = "replicas"
	if len(k.DatabaseReplicaURLs) == 0 {
		k.add(name, leftOut, "the primary answers all queries", "")
		return true
	}
	if err := k.useReplicas(ctx, db); err != nil {
		k.fail(name, err, "")
		return false
	}
	for _, r := range db.Replication().Replicas {
		switch r.Reason {
		case database.InUse:
			k.add(name, passed, r.Name+" answers queries", "")
		case database.Refused, database.OtherDatabase, database.Incompatible: // time does not mend these
			k.add(name, failing, r.Name+" is left out: "+r.Out, "")
		default:
			k.add(name, warned, r.Name+" is left out: "+r.Out, "")
		}
	}
	return true
}
