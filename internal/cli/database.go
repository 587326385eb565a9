package cli

import (
	"context"
	"errors"
	"log/slog"

	"roster/internal/config"
	"roster/internal/database"
)

// openDatabase opens the database and prepares it for a command: by migrateDatabase, checkDatabase or unprepared. It does not
// when the command's standard output is a file of the database. The error has an exit code when a signal came meanwhile.
func (e *environment) openDatabase(
	ctx context.Context, c config.Database, logger *slog.Logger, prepare func(context.Context, *database.DB, *slog.Logger) error,
) (db *database.DB, err error) {
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = &exitError{errors.New("interrupted while opening the database"), exitInterrupted}
		}
	}()
	if err := e.clash(filesOf(c.DatabaseURL)); err != nil {
		return nil, err
	}
	db, err = database.Open(ctx, database.Options{
		URL:              c.DatabaseURL,
		MaxConnections:   c.DatabaseMaxConnections,
		PoolWait:         c.DatabasePoolWait,
		ConnectTimeout:   c.DatabaseConnectTimeout,
		StatementTimeout: c.StatementTimeout,
		StatementCache:   c.DatabaseStatementCache,
		Logger:           logger,
	})
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, db, logger); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// unprepared leaves the schema as it is, whatever it is.
func unprepared(context.Context, *database.DB, *slog.Logger) error { return nil }

// checkDatabase makes sure that the schema is the one that this program needs.
func checkDatabase(ctx context.Context, db *database.DB, _ *slog.Logger) error {
	return db.CheckVersion(ctx)
}

// migrateDatabase applies the migrations that the database lacks, and logs them.
func migrateDatabase(ctx context.Context, db *database.DB, logger *slog.Logger) error {
	done, err := db.MigrateUp(ctx)
	for _, m := range done {
		if m.Applied {
			logger.InfoContext(ctx, "migration applied", "version", m.Version, "name", m.Name)
		} else { // someone began to undo it, and was killed
			logger.InfoContext(ctx, "migration undone", "version", m.Version, "name", m.Name)
		}
	}
	return err
}
