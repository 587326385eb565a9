package cli

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"roster/ent/rules"
	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/transfer"
)

type exportCommand struct {
	What            transfer.Kind `arg:"" enum:"users,posts" help:"What to export: users or posts."`
	config.Export   `group:"File:"`
	config.Database `group:"Database:"`
	config.Log      `group:"Logging:"`
}

// formatAuto is the value of --format that takes the format from the name or the content of the file.
const formatAuto = "auto"

var errSpreadsheet = errors.New("--spreadsheet is for CSV: leave it out for JSON lines")

// Validate checks that the flags fit each other. kong calls it.
func (c *exportCommand) Validate() error {
	if format, _ := c.form(); c.Spreadsheet && format == transfer.JSONLines {
		return errSpreadsheet
	}
	return nil
}

// form returns the format of the file, and whether it is compressed.
func (c *exportCommand) form() (format transfer.Format, zipped bool) {
	name, zipped := strings.CutSuffix(strings.ToLower(c.Output), ".gz")
	format = transfer.Format(c.Format)
	if c.Format == formatAuto {
		format = transfer.CSV
		for _, suffix := range []string{".json", ".jsonl", ".ndjson"} {
			if strings.HasSuffix(name, suffix) {
				format = transfer.JSONLines
			}
		}
	}
	if c.Spreadsheet && format == transfer.CSV {
		format = transfer.Spreadsheet
	}
	return format, zipped || c.Gzip
}

// Run writes the rows to the output.
func (c *exportCommand) Run(ctx context.Context, e *environment) (err error) {
	used := filesOf(c.DatabaseURL)
	if err := e.clash(used); err != nil {
		return err
	}
	to, err := e.destination(ctx, c.Output, used, false)
	if err != nil {
		return fmt.Errorf("export %s: %w", c.What, err)
	}
	logger := c.Logger(e.stderr)
	db, err := e.openDatabase(ctx, c.Database, logger, checking)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows := 0
	err = to(func(w io.Writer) (err error) {
		rows, err = c.write(ctx, db, w)
		return err
	})
	record(ctx, logger, "exported", cmp.Or(c.Output, "-"), err, "kind", c.What, "rows", rows)
	if err != nil {
		return failed(ctx, fmt.Sprintf("export %s of %v", c.What, db), err)
	}
	return nil
}

// write writes the rows, and returns their number.
func (c *exportCommand) write(ctx context.Context, db *database.DB, w io.Writer) (rows int, err error) {
	ctx = rules.WithCaller(ctx, rules.Everyone())
	format, zipped := c.form()
	if !zipped {
		return transfer.Export(ctx, db, c.What, format, w)
	}
	z := gzip.NewWriter(w) // its header has no time: the same rows give the same bytes
	rows, err = transfer.Export(ctx, db, c.What, format, z)
	return rows, errors.Join(err, z.Close())
}
