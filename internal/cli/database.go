package cli

import (
	"context"
	"errors"
	"log/slog"

	"roster/internal/config"
	"roster/internal/database"
)

// A preparation makes a database ready for a command.
type preparation struct {
	// mustExist refuses a missing SQLite file.
	mustExist bool
	// run is nil for commands that accept any schema.
	run func(context.Context, *database.DB, *slog.Logger) error
}

// migrating applies the pending migrations. It creates a missing database.
func migrating() preparation { return preparation{run: migrateDatabase} }

// checking refuses a schema that this program cannot use.
func checking() preparation { return preparation{mustExist: true, run: checkDatabase} }

// openDatabase opens the database and prepares it for a command. It refuses a database whose file is the standard output of
// the command. If a signal comes meanwhile, the error has an exit code.
func (e *environment) openDatabase(ctx context.Context, c config.Database, logger *slog.Logger, prepare preparation) (db *database.DB, err error) {
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
		MustExist:        prepare.mustExist,
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
	if prepare.run == nil {
		return db, nil
	}
	if err := prepare.run(ctx, db, logger); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func checkDatabase(ctx context.Context, db *database.DB, _ *slog.Logger) error {
	return db.CheckVersion(ctx)
}

// migrateDatabase applies the pending migrations and logs them.
func migrateDatabase(ctx context.Context, db *database.DB, logger *slog.Logger) error {
	done, err := db.MigrateUp(ctx)
	for _, m := range done {
		if m.Applied {
			logger.InfoContext(ctx, "migration applied", "version", m.Version, "name", m.Name)
		} else { // a killed program had begun to undo it
			logger.InfoContext(ctx, "migration undone", "version", m.Version, "name", m.Name)
		}
	}
	return err
}
