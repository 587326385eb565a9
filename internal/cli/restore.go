package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/feed"
)

type restoreCommand struct {
	File            string `arg:"" help:"Backup to restore. It stays as it is."`
	Replace         bool   `group:"Used most:" env:"-" help:"Replace an existing database. It stays beside the restored one, under another name, until you delete it."`
	config.Database `group:"Database:"`
	config.Log      `group:"Logging:"`
}

// Help is the end of the help. kong calls it.
func (*restoreCommand) Help() string {
	return "Stop the server first. The backup is checked, its pending migrations are applied, and all cursors of the change feed expire: " +
		"every client of the feed then copies the data again."
}

// Run puts a backup in place of a database.
func (c *restoreCommand) Run(ctx context.Context, e *environment) error {
	logger := c.Logger(e.stderr)
	used, err := sqliteFiles(c.DatabaseURL)
	if err != nil {
		return err
	}
	if err := e.clash(used); err != nil {
		return err
	}
	r, err := c.prepare(used)
	if err != nil {
		return fmt.Errorf("restore %s: %w", c.File, err)
	}
	err = r.run(ctx, e, c.Database, logger)
	record(ctx, logger, "restored", c.File, err)
	if err != nil {
		return failed(ctx, fmt.Sprintf("restore %s", c.File), err)
	}
	_, err = io.WriteString(e.stdout, r.summary(c.File))
	return err
}

// A restoration puts one file in place of a database.
type restoration struct {
	from string // the backup
	to   *output
	old  string // the name that the old database gets
	info database.BackupInfo
	done []database.Migration
}

// prepare finds the database, and refuses one that may not be replaced.
func (c *restoreCommand) prepare(used []usedFile) (*restoration, error) {
	source, err := os.Stat(c.File)
	switch {
	case err != nil:
		return nil, unreadable(err)
	case source.IsDir():
		return nil, errDirectory
	case !source.Mode().IsRegular():
		return nil, errors.New("this is a pipe or a device: give the path of a file")
	}
	if p, err := find(c.File); err == nil {
		for _, u := range used {
			if p.is(u.place) {
				return nil, fmt.Errorf("this is %s: give the path of a backup", u.what)
			}
		}
	}
	paths, err := database.Files(c.DatabaseURL)
	if err != nil {
		return nil, err
	}
	to, err := newOutput(paths[0], nil)
	if err != nil {
		return nil, err
	}
	switch {
	case to.inPlace():
		return nil, fmt.Errorf("%s is a pipe or a device: correct --database-url", paths[0])
	case to.info != nil && !c.Replace:
		return nil, fmt.Errorf("the database %s exists: replace it with --replace; it stays beside the restored one", paths[0])
	}
	if err := database.Available(to.path); err != nil {
		return nil, fmt.Errorf("%s: %w", paths[0], reason(err))
	}
	to.private, to.durable = true, true
	return &restoration{from: c.File, to: to, old: to.path + ".replaced-" + time.Now().UTC().Format("20060102T150405.000Z")}, nil
}

// run copies the backup beside the database, makes it ready for this program, and replaces the database with it. The
// database stays as it is until then.
func (r *restoration) run(ctx context.Context, e *environment, c config.Database, logger *slog.Logger) error {
	dir, err := os.MkdirTemp(filepath.Dir(r.to.path), ".roster-restore-") // for the files that SQLite puts beside the copy
	if err != nil {
		return fmt.Errorf("no directory can be created beside the database: %w", reason(err))
	}
	defer func() { _ = os.RemoveAll(dir) }() // after a success, it has nothing of value
	fresh := filepath.Join(dir, "roster.db")
	if err := r.copy(ctx, fresh); err != nil {
		return err
	}
	if r.info, err = database.CheckBackup(ctx, fresh); err != nil {
		return err
	}
	c.DatabaseURL = "sqlite:" + fresh
	if err := r.refresh(ctx, e, c, logger); err != nil {
		return err
	}
	if _, err := os.Lstat(fresh + "-wal"); !errors.Is(err, fs.ErrNotExist) { // closing the database has removed it
		return errors.New("the restored database could not be completed: see the space on its disk, and try again")
	}
	f, err := os.OpenFile(fresh, os.O_RDWR, 0) //nolint:gosec // G304: of this program
	if err != nil {
		return err
	}
	if err := errors.Join(r.to.dress(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return database.Replace(r.to.path, fresh, r.old)
}

// copy copies the backup, and the -wal file that another program may have left beside it.
func (r *restoration) copy(ctx context.Context, fresh string) error {
	for _, suffix := range []string{"", "-wal"} {
		in, err := os.Open(r.from + suffix) //nolint:gosec // G304: the file that the user names
		if suffix != "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return unreadable(err)
		}
		out, err := os.OpenFile(fresh+suffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // G304: of this program
		if err != nil {
			return errors.Join(err, in.Close())
		}
		_, err = await(ctx, func() (int64, error) { return io.Copy(out, in) })
		if err := errors.Join(err, out.Close(), in.Close()); err != nil {
			return fmt.Errorf("copy the backup beside the database: %w", reason(err))
		}
	}
	return nil
}

// refresh migrates the copy, and expires all cursors of its change feed.
func (r *restoration) refresh(ctx context.Context, e *environment, c config.Database, logger *slog.Logger) (err error) {
	db, err := e.openDatabase(ctx, c, logger, existing)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if r.done, err = db.MigrateUp(ctx); err != nil {
		return err
	}
	return feed.Reset(ctx, db)
}

// summary says what was done, for people.
func (r *restoration) summary(name string) string {
	var b strings.Builder
	of := ""
	if !r.info.At.IsZero() {
		of = ", a backup as of " + r.info.At.Format(time.RFC3339)
	}
	fmt.Fprintf(&b, "%s is restored from %s%s.\n", r.to.name, name, of)
	for _, m := range r.done {
		fmt.Fprintf(&b, "%-7s  %d %s\n", verb(m), m.Version, m.Name)
	}
	b.WriteString("All cursors of the change feed are expired.\n")
	if r.to.info != nil {
		fmt.Fprintf(&b, "The old database is %s. Delete it when you do not need it any more.\n", r.old)
	}
	return b.String()
}
