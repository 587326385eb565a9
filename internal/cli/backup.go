package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"roster/internal/config"
	"roster/internal/database"
)

type backupCommand struct {
	File            string `arg:"" optional:"" help:"File to write. It appears when it is complete and checked, and only its owner can read it."`
	Replace         bool   `group:"Used most:" env:"-" help:"Replace an existing file."`
	Record          bool   `group:"Used most:" env:"-" help:"Write no file, but record that another program has made a backup now, such as pg_dump. roster check and the metrics show the time of the last backup."`
	config.Database `group:"Database:"`
	config.Log      `group:"Logging:"`
}

// Validate checks that the flags fit each other. kong calls it.
func (c *backupCommand) Validate() error {
	switch {
	case c.Record && c.File != "":
		return errors.New("--record writes no file: leave out <file>")
	case c.Record && c.Replace:
		return errors.New("--record writes no file: leave out --replace")
	case !c.Record && c.File == "":
		return errors.New("<file> is missing: give the path of the backup to write")
	case c.File == "-":
		return errors.New("<file> must be the path of a file: a backup is checked after it is written, which the standard output cannot be")
	}
	return nil
}

// Run makes or records a backup.
func (c *backupCommand) Run(ctx context.Context, e *environment) (err error) {
	logger := c.Logger(e.stderr)
	if c.Record {
		return c.record(ctx, e, logger)
	}
	used, err := sqliteFiles(c.DatabaseURL)
	if err != nil {
		return err
	}
	if err := e.clash(used); err != nil {
		return err
	}
	out, err := newOutput(c.File, used)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	switch {
	case out.inPlace():
		return fmt.Errorf("backup: %s is a pipe or a device: give the path of a file", c.File)
	case out.info != nil && !c.Replace:
		return fmt.Errorf("backup: %s exists: choose another name, or replace it with --replace", c.File)
	}
	out.private, out.durable = true, true
	db, err := e.openDatabase(ctx, c.Database, logger, existing)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	started, bytes := time.Now(), int64(0)
	var at time.Time
	err = out.create(func(f *os.File) (err error) {
		show := newProgress(e.stderr, 0, time.Now)
		show.rates = byteRate
		defer show.clear()
		at, err = db.Backup(ctx, f, func(done, total int64) {
			bytes, show.size = total, total
			show.update(int(done), done)
		})
		return err
	})
	record(ctx, logger, "backed up", c.File, err, "bytes", bytes)
	if err != nil {
		return failed(ctx, fmt.Sprintf("backup of %v to %s", db, c.File), err)
	}
	if err := db.RecordBackup(ctx, at); err != nil {
		logger.WarnContext(ctx, "the backup is complete, but its time cannot be recorded in the database", "error", err)
	}
	_, err = fmt.Fprintf(e.stdout, "%s is a backup of %v, as of %s: %s in %s\n",
		c.File, db, at.Format(time.RFC3339), size(bytes), time.Since(started).Round(10*time.Millisecond))
	return err
}

// record records a backup of another program.
func (c *backupCommand) record(ctx context.Context, e *environment, logger *slog.Logger) (err error) {
	db, err := e.openDatabase(ctx, c.Database, logger, checking)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	at := time.Now().UTC()
	if err := db.RecordBackup(ctx, at); err != nil {
		return fmt.Errorf("record a backup of %v: %w", db, err)
	}
	_, err = fmt.Fprintf(e.stdout, "A backup of %v is recorded, as of %s.\n", db, at.Format(time.RFC3339))
	return err
}

// sqliteFiles returns the files of an SQLite database. For another engine, the error says which tools to use.
func sqliteFiles(url string) ([]usedFile, error) {
	paths, err := database.Files(url)
	if err != nil {
		return nil, err
	}
	if paths == nil {
		return nil, misuse(database.ErrOwnTools)
	}
	return filesOf(url), nil
}
