package cli

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"roster/ent/rules"
	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/transfer"
)

type exportCommand struct {
	What transfer.Kind `arg:"" enum:"users,posts" help:"What to export: users or posts."`
	config.Export
	config.Database
	config.Log
}

// formatAuto is the flag --format for the format that is found out.
const formatAuto = "auto"

// Validate checks the flags; kong calls it.
func (c *exportCommand) Validate() error { return c.Database.Validate() }

// Run writes the rows where they are wanted.
func (c *exportCommand) Run(ctx context.Context, e *environment) (err error) {
	db, err := openDatabase(ctx, c.Database, c.Logger(e.stderr), checkDatabase)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := c.to(e.stdout, func(w io.Writer) error { return c.write(ctx, db, w) }); err != nil {
		return fmt.Errorf("export %s of %v: %w", c.What, db, err)
	}
	return nil
}

// to has a file written, which is there when it is whole and not before.
func (c *exportCommand) to(stdout io.Writer, write func(io.Writer) error) (err error) {
	if c.Output == "" || c.Output == "-" {
		return write(stdout)
	}
	if info, err := os.Stat(c.Output); err == nil && !info.Mode().IsRegular() { // a pipe or a device, which cannot be replaced
		f, err := os.OpenFile(c.Output, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(c.Output), "."+filepath.Base(c.Output)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), c.Output)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the reason is err
	}
	return err
}

func (c *exportCommand) write(ctx context.Context, db *database.DB, w io.Writer) error {
	ctx = rules.WithCaller(ctx, rules.Everyone())
	name, zipped := strings.CutSuffix(c.Output, ".gz")
	format := transfer.Format(c.Format)
	if c.Format == formatAuto {
		format = transfer.CSV
		if strings.HasSuffix(name, ".jsonl") || strings.HasSuffix(name, ".ndjson") {
			format = transfer.JSONLines
		}
	}
	if !zipped && !c.Gzip {
		_, err := transfer.Export(ctx, db, c.What, format, w)
		return err
	}
	z := gzip.NewWriter(w) // its header has no time, so that the same rows stay the same bytes
	_, err := transfer.Export(ctx, db, c.What, format, z)
	return errors.Join(err, z.Close())
}
