package config

import (
	"fmt"
	"time"
)

// minStaleness is the least useful limit: replicas are measured ten times within it.
const minStaleness = 500 * time.Millisecond

// Replicas has the settings of the replicas of the database.
type Replicas struct {
	DatabaseReplicaURLs []string      `name:"database-replica-urls" env:"DATABASE_REPLICA_URLS" placeholder:"URL" help:"Replicas of the database, which answer queries: postgres://… or mysql://…, separated by commas. Write a comma within a URL as %2C. Without the flag: none."`
	ReplicaMaxStaleness time.Duration `default:"5s" placeholder:"DURATION" help:"Time after which a change must be on a replica. A replica that lacks an older one answers no queries. At least 500ms."`
	ReplicaWait         time.Duration `default:"500ms" min:"0s" placeholder:"DURATION" help:"Maximum wait of a query with Roster-Consistency until a replica has what the query needs. Then the primary answers."`
}

// Validate checks the times. The error names the flag and says what to do.
func (r Replicas) Validate() error {
	if r.ReplicaMaxStaleness < minStaleness {
		return fmt.Errorf("--replica-max-staleness must be at least %v, not %v", minStaleness, r.ReplicaMaxStaleness)
	}
	return nil
}
