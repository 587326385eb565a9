package cli

import (
	"time"

	"roster/internal/database"
	"roster/internal/janitor"
)

// PruneKeys is the chore of a server.
func PruneKeys(db *database.DB, age time.Duration, rows int) janitor.Chore {
	return pruneKeys(db, age, rows)
}

// PruneChanges is the chore of a server.
func PruneChanges(db *database.DB, age time.Duration) janitor.Chore { return pruneChanges(db, age) }
