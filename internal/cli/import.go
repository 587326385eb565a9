package cli

import (
	"context"
	"crypto/rand"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"roster/ent/rules"
	"roster/internal/config"
	"roster/internal/database"
	"roster/internal/directory"
	"roster/internal/transfer"
	"roster/internal/typeid"
)

type importCommand struct {
	File            string `arg:"" optional:"" default:"-" help:"File to read. It may be compressed by gzip. - is the standard input."`
	config.Import   `group:"Rows:"`
	config.Database `group:"Database:"`
	config.Log      `group:"Logging:"`
}

// Validate checks that the flags fit each other. kong calls it.
func (c *importCommand) Validate() error {
	if c.Spreadsheet && c.Format == string(transfer.JSONLines) {
		return errSpreadsheet
	}
	return nil
}

// Run imports the file and prints a summary of its rows.
func (c *importCommand) Run(ctx context.Context, e *environment) (err error) {
	used := filesOf(c.DatabaseURL)
	if err := e.clash(used); err != nil {
		return fmt.Errorf("import %s: %w", c.File, err)
	}
	in, size, err := c.open(ctx, e.stdin)
	if err != nil {
		return failed(ctx, "import "+c.File, err)
	}
	defer func() { _ = in.Close() }() // reading has ended
	if f, ok := in.(*os.File); ok {
		used = append(used, usedFile{placeOf(f), "the file that is imported"})
	}
	if err := e.clash(used); err != nil {
		return fmt.Errorf("import %s: %w", c.File, err)
	}
	var errorsTo *output
	if c.Errors != "" && c.Errors != "-" {
		if errorsTo, err = newOutput(c.Errors, used); err != nil {
			return fmt.Errorf("import %s: --errors: %w", c.File, err)
		}
	}
	logger := c.Logger(e.stderr)
	db, err := e.openDatabase(ctx, c.Database, logger, migrating)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rejects, err := c.rejects(ctx, errorsTo, e)
	if err != nil {
		return failed(ctx, "import "+c.File, err)
	}
	defer func() { err = errors.Join(err, rejects.Close()) }()
	return c.run(ctx, e, logger, db, in, size, rejects)
}

// open opens the file. An unknown size is 0.
func (c *importCommand) open(ctx context.Context, stdin io.Reader) (in io.ReadCloser, size int64, err error) {
	if c.File == "-" {
		if f, ok := stdin.(*os.File); ok {
			return f, 0, nil
		}
		return io.NopCloser(stdin), 0, nil
	}
	f, err := openWaiting(ctx, c.File, os.O_RDONLY)
	if err != nil {
		return nil, 0, unreadable(err)
	}
	info, err := f.Stat()
	switch {
	case err == nil && info.IsDir():
		return nil, 0, errors.Join(errDirectory, f.Close())
	case err == nil && info.Mode().IsRegular():
		size = info.Size()
	}
	return f, size, nil
}

func (c *importCommand) run(ctx context.Context, e *environment, logger *slog.Logger, db *database.DB, in io.Reader, size int64, rejects *rejects) error {
	counted := &countingReader{Reader: in}
	progress := newProgress(e.stderr, size, time.Now)
	started := time.Now()
	format := transfer.Format(c.Format)
	switch {
	case c.Spreadsheet:
		format = transfer.Spreadsheet
	case c.Format == formatAuto:
		format = ""
	}
	var summary transfer.Summary
	rows, err := await(ctx, func() (*transfer.Reader, error) {
		return transfer.NewReader(counted, format, c.MaxRowBytes, c.Ignore...) // reads the start of the input
	})
	if err == nil {
		summary, err = transfer.Import(rules.WithCaller(ctx, rules.Everyone()), db, rows, transfer.ImportOptions{
			OnConflict:   directory.OnConflict(c.OnConflict),
			DryRun:       c.DryRun,
			Batch:        c.Batch,
			Tolerant:     c.Errors != "",
			Reject:       rejects.add,
			BeforeCommit: rejects.Flush,
			Progress:     func(s transfer.Summary) { progress.update(s.Rows(), counted.n.Load()) },
			Now:          started,
			IDs:          typeid.NewSource(time.Now, rand.Reader),
		})
	}
	progress.clear()
	c.record(ctx, logger, summary, err)
	if err != nil {
		return c.failed(ctx, err, summary)
	}
	out, reasons := e.stdout, c.Errors
	if c.Errors == "-" {
		out, reasons = e.stderr, "the standard output"
	}
	if _, err := io.WriteString(out, c.summary(summary, rows.Unknown(), time.Since(started))); err != nil {
		return err
	}
	if n := summary.Rejected(); n > 0 {
		return &exitError{fmt.Errorf("import %s: %s rejected: %s has the reasons", c.File, are(n, "row"), reasons), exitRejected}
	}
	return nil
}

// record logs the end of an import, with the numbers of the rows that are committed.
func (c *importCommand) record(ctx context.Context, logger *slog.Logger, s transfer.Summary, err error) {
	record(ctx, logger, "imported", c.File, err, "dry_run", c.DryRun, "rows", s.Rows(),
		"users_created", s.Users[directory.Created], "users_updated", s.Users[directory.Updated],
		"posts_created", s.Posts[directory.Created], "posts_updated", s.Posts[directory.Updated], "rejected", s.Rejected())
}

// failed returns the error of an import. It says which rows are committed.
func (c *importCommand) failed(ctx context.Context, err error, committed transfer.Summary) error {
	left := "nothing is imported"
	if n := committed.Rows(); n > 0 {
		left = fmt.Sprintf("the first %d rows are imported, the others are not: run it again with --on-conflict=skip", n)
	}
	failure := database.AsFailure(err)
	switch {
	case ctx.Err() != nil:
		return &exitError{fmt.Errorf("import %s: interrupted: %s", c.File, left), exitInterrupted}
	case errors.Is(err, transfer.ErrRejected):
		left += "; --errors=FILE imports the other rows and writes the reasons"
	case failure == nil:
	case failure.Kind == database.Unknown:
		left = "the connection broke during the last commit, which may have happened: run it again with --on-conflict=skip"
	case failure.Kind == database.Unique, failure.Kind == database.ForeignKey, failure.Kind == database.Retry:
		left += "; another program changed the same rows: run it again"
	}
	return fmt.Errorf("import %s: %w: %s", c.File, err, left)
}

// summary returns a table of the rows, for people.
func (c *importCommand) summary(s transfer.Summary, unknown []string, took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-6s  %9s  %9s  %9s  %9s  %9s\n", "", "created", "updated", "unchanged", "skipped", "rejected")
	for _, line := range []struct {
		name string
		of   transfer.Counts
	}{{"users", s.Users}, {"posts", s.Posts}} {
		fmt.Fprintf(&b, "%-6s  %9d  %9d  %9d  %9d  %9d\n", line.name,
			line.of[directory.Created], line.of[directory.Updated], line.of[directory.Unchanged], line.of[directory.Skipped], line.of[directory.Rejected])
	}
	if len(unknown) > 0 {
		for i := range unknown {
			unknown[i] = strconv.Quote(unknown[i])
		}
		fmt.Fprintf(&b, "Not imported, since no field has the name: %s.\n", strings.Join(unknown, ", "))
	}
	if c.DryRun {
		b.WriteString("This was a dry run: nothing is imported.\n")
	}
	fmt.Fprintf(&b, "%d rows in %.1f s\n", s.Rows(), took.Seconds())
	return b.String()
}

func are(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}

// maxTold is the number of faults that are printed without --errors.
const maxTold = 10

// rejects records the faults of rows: in a file, or else the first few for people.
type rejects struct {
	file io.WriteCloser
	out  *csv.Writer
	told io.Writer
	n    int
}

// rejects opens the record of faults: in the file to, on the standard output, or on the standard error output.
func (c *importCommand) rejects(ctx context.Context, to *output, e *environment) (*rejects, error) {
	if c.Errors == "" {
		return &rejects{told: e.stderr}, nil
	}
	f := io.WriteCloser(interruptible{ctx, shared{e.stdout}})
	if to != nil {
		var err error
		if f, err = to.open(ctx); err != nil {
			return nil, unwritable(to.name, err)
		}
	}
	r := &rejects{file: f, out: csv.NewWriter(f)}
	if err := r.write("line", "field", "code", "reason"); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, r.Flush()
}

func (r *rejects) write(fields ...string) error {
	if err := r.out.Write(fields); err != nil {
		return fmt.Errorf("write the rejected rows: %w", err)
	}
	return nil
}

// add records the faults of a row.
func (r *rejects) add(faults []transfer.Fault) error {
	for _, f := range faults {
		if r.n++; r.file != nil {
			if err := r.write(strconv.Itoa(f.Line), f.Field, string(f.Code), f.Message); err != nil {
				return err
			}
		} else if r.n <= maxTold {
			fmt.Fprintf(r.told, "line %d: %s%s\n", f.Line, strings.TrimPrefix(f.Field+" ", " "), f.Message)
		}
	}
	return nil
}

// Flush writes the buffered faults.
func (r *rejects) Flush() error {
	if r.file == nil {
		return nil
	}
	r.out.Flush()
	if err := r.out.Error(); err != nil {
		return fmt.Errorf("write the rejected rows: %w", err)
	}
	return nil
}

// Close writes the buffered faults and closes the file.
func (r *rejects) Close() error {
	if r.file == nil {
		return nil
	}
	return errors.Join(r.Flush(), r.file.Close())
}
