package cli

import (
	"context"
	"log/slog"

	"roster/internal/config"
	"roster/internal/database"
)

func openDatabase(ctx context.Context, c config.Database, logger *slog.Logger) (*database.DB, error) {
	return database.Open(ctx, database.Options{
		URL:              c.DatabaseURL,
		MaxConnections:   c.DatabaseMaxConnections,
		PoolWait:         c.DatabasePoolWait,
		ConnectTimeout:   c.DatabaseConnectTimeout,
		StatementTimeout: c.StatementTimeout,
		StatementCache:   c.DatabaseStatementCache,
		Logger:           logger,
	})
}

// migrateDatabase applies the migrations that the database lacks, and logs them.
func migrateDatabase(ctx context.Context, db *database.DB, logger *slog.Logger) error {
	applied, err := db.MigrateUp(ctx)
	for _, m := range applied {
		logger.InfoContext(ctx, "migration applied", "version", m.Version, "name", m.Name)
	}
	return err
}
