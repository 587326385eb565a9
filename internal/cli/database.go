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
