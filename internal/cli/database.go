package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"roster/internal/config"
	"roster/internal/database"
)

// preparation is what openDatabase does with the schema of a database.
type preparation int

const (
	migrating preparation = iota // create a missing database, and apply the pending migrations
	checking                     // refuse a missing SQLite file, and a schema that this program cannot use
	existing                     // refuse a missing SQLite file
	creating                     // create a missing database without tables
)

// openDatabase opens the database and prepares it for a command. It refuses a database whose file is the standard
// output of the command. If a signal comes meanwhile, the error has an exit code. Each of with may change the options.
func (e *environment) openDatabase(
	ctx context.Context, c config.Database, logger *slog.Logger, prepare preparation, with ...func(*database.Options),
) (db *database.DB, err error) {
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = &exitError{errors.New("interrupted while opening the database"), exitInterrupted}
		}
	}()
	if err := e.clash(filesOf(c.DatabaseURL)); err != nil {
		return nil, err
	}
	o := database.Options{
		URL:                c.DatabaseURL,
		MustExist:          prepare == checking || prepare == existing,
		MaxConnections:     c.DatabaseMaxConnections,
		PoolWait:           c.DatabasePoolWait,
		ConnectTimeout:     c.DatabaseConnectTimeout,
		ConnectionLifetime: c.DatabaseConnectionLifetime,
		StatementTimeout:   c.StatementTimeout,
		StatementCache:     c.DatabaseStatementCache,
		Logger:             logger,
	}
	for _, change := range with {
		change(&o)
	}
	db, err = database.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	if !c.DatabaseAllowUnknown {
		if err := warnOfProduct(ctx, db, logger); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	switch prepare {
	case migrating:
		err = migrateDatabase(ctx, db, logger)
	case checking:
		err = db.CheckVersion(ctx)
	case existing, creating:
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// warnOfProduct logs that Roster may not work on the product of the database server. The product comes first in a log: it may
// be the reason of what follows.
func warnOfProduct(ctx context.Context, db *database.DB, logger *slog.Logger) error {
	p, err := db.Product(ctx)
	if err != nil {
		return fmt.Errorf("%v: ask for the version of the server: %w", db, err)
	}
	if problem := p.Problem(); problem != "" {
		logger.WarnContext(ctx, "the database server may not do what Roster needs", "problem", problem, "advice", "see docs/engines.md")
	}
	return nil
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
