// Package cli is the command line of Roster, with a file for each command. It is the only package that knows all
// others. It wires them.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"roster/ent/rules"
	"roster/internal/database"
)

// The exit codes of the program.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	// Of import: some rows were rejected, the others are imported.
	exitRejected = 3
	// Of import, export and seed: a signal ended them. Shells use this code for programs that SIGINT ends.
	exitInterrupted = 130
)

// commands is the grammar of the command line.
type commands struct {
	Serve   serveCommand   `cmd:"" help:"Run the server."`
	Ready   readyCommand   `cmd:"" help:"Ask a server whether it is ready, for a health check."`
	Migrate migrateCommand `cmd:"" help:"Change the database's schema or show its state."`
	Seed    seedCommand    `cmd:"" help:"Create sample users and posts, all or none."`
	Import  importCommand  `cmd:"" help:"Create or update users and posts from a file."`
	Export  exportCommand  `cmd:"" help:"Write all users or all posts as CSV or JSON lines."`
	Stats   statsCommand   `cmd:"" help:"Print counts, and sign-ups by day, week or month."`
	Changes changesCommand `cmd:"" help:"Manage the change feed."`
	Check   checkCommand   `cmd:"" help:"Check the settings and the database, and say what to mend."`
	Backup  backupCommand  `cmd:"" help:"Write a backup of an SQLite database, also while servers run."`
	Restore restoreCommand `cmd:"" help:"Put a backup in place of an SQLite database."`
	Token   tokenCommand   `cmd:"" help:"Make and explain tokens."`
	Keys    keysCommand    `cmd:"" help:"Manage API keys."`
	User    userCommand    `cmd:"" help:"Export or erase the data of one person."`
	Schema  schemaCommand  `cmd:"" help:"Print the GraphQL schema."`
	Version versionCommand `cmd:"" help:"Print the version."`

	// For packages. They are hidden, so that the help of the program fits a screen.
	Completion completionCommand `cmd:"" hidden:"" help:"Print the completion script of a shell."`
	Man        manCommand        `cmd:"" hidden:"" help:"Print the manual page, in the language of man(7)."`
}

// environment has the streams of the process, and the version. Commands get it beside their flags.
type environment struct {
	getenv         func(name string) string // for secrets, OpenTelemetry, and what a service manager passes: the flags have the settings
	stdin          io.Reader
	stdout, stderr io.Writer
	version        string
	// For the checks of check:
	clock func() time.Time
	free  func(path string) (int64, error) // the number of bytes by which a file may grow
}

// Validate checks the bounds of the flags of a command, which package config describes. kong calls it.
func (*commands) Validate(ctx *kong.Context) error {
	for _, flag := range ctx.Flags() {
		if err := checkBounds(flag); err != nil {
			return err
		}
	}
	return nil
}

func checkBounds(flag *kong.Flag) error {
	if d, ok := reflect.TypeAssert[time.Duration](flag.Target); ok {
		return checkDuration(flag, d)
	}
	least, err := strconv.ParseInt(flag.Tag.Get("min"), 10, 64)
	if err != nil {
		return nil //nolint:nilerr // a flag without bounds
	}
	target := reflect.Indirect(flag.Target)
	if !target.IsValid() { // the flag is not given, and has no default
		return nil
	}
	value := target.Int()
	switch most, err := strconv.ParseInt(flag.Tag.Get("max"), 10, 64); {
	case err == nil && (value < least || value > most):
		return fmt.Errorf("--%s must be from %d to %d, not %d", flag.Name, least, most, value)
	case value < least:
		return fmt.Errorf("--%s must be %d or more, not %d", flag.Name, least, value)
	}
	return nil
}

// checkDuration checks the bounds of a duration, whose only possible tag is min:"0s".
func checkDuration(flag *kong.Flag, d time.Duration) error {
	switch zero := flag.Tag.Get("min") == "0s"; {
	case zero && d < 0:
		return fmt.Errorf("--%s must be 0s or longer, not %s", flag.Name, d)
	case !zero && d <= 0:
		return fmt.Errorf("--%s must be longer than 0s, not %s", flag.Name, d)
	}
	return nil
}

// Run runs a command line, without the program's name, and returns the exit code. 0: success. 1: the command failed. 2:
// the command line is wrong. No command line at all is --help. Some commands have more codes. Errors go to stderr, in
// one line. serve ends with success when ctx ends. getenv returns a variable of the environment that has a secret or is of OpenTelemetry. version
// is the version of this build.
func Run(
	ctx context.Context, args []string, getenv func(name string) string, stdin io.Reader, stdout, stderr io.Writer, version string,
) int {
	return run(ctx, args, &environment{
		getenv: getenv, stdin: stdin, stdout: stdout, stderr: stderr, version: version, clock: time.Now, free: database.Space,
	})
}

func run(ctx context.Context, args []string, e *environment) int {
	stderr := e.stderr
	if len(args) == 0 {
		args = []string{"--help"}
	}
	helped := false
	parser, err := kong.New(&commands{},
		kong.Name("roster"),
		kong.Description("A GraphQL server for users and posts, on SQLite, PostgreSQL, MySQL and MariaDB."),
		kong.DefaultEnvars("ROSTER"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: helpWidth}),
		kong.Help(printHelp),
		kong.ValueFormatter(describe),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), mapper(readDuration)),
		kong.TypeMapper(reflect.TypeFor[time.Time](), mapper(readTime)),
		kong.Writers(e.stdout, stderr),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Exit(func(int) { helped = true }),
	)
	if err != nil {
		return fail(stderr, exitFailure, err)
	}
	parser.Model.HelpFlag.Help = "Show help. With a command: its flags."
	command, err := parser.Parse(args)
	if helped {
		return exitOK
	}
	if err != nil {
		return fail(stderr, exitUsage, usageError(err))
	}
	if err := command.Run(e); err != nil {
		if errors.Is(err, errSilent) {
			return exitFailure
		}
		if coded, ok := errors.AsType[*exitError](err); ok {
			if coded.code == exitUsage {
				err = seeHelp(err, command)
			}
			return fail(stderr, coded.code, err)
		}
		return fail(stderr, exitFailure, err)
	}
	return exitOK
}

// printHelp prints the help of a command. That of the program leaves out the flag --help, which its last line names too: all
// of it fits a screen.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	ctx.Model.HelpFlag.Hidden = ctx.Selected() == nil
	return kong.DefaultHelpPrinter(options, ctx)
}

// helpWidth is the maximum width of a line of help, in characters.
const helpWidth = 80

// describe returns the help of a flag or an argument, with its default and its environment variables.
func describe(value *kong.Value) string {
	text := value.Help
	if value.Flag != nil && value.HasDefault {
		text += " Default: " + value.Default + "."
	}
	if len(value.Tag.Envs) > 0 {
		text += " Environment: " + strings.Join(value.Tag.Envs, ", ") + "."
	}
	return text
}

// mapper returns the reader of the flags of one type, in place of kong's own, which shows errors of package time.
func mapper[T any](read func(text string) (T, error)) kong.MapperFunc {
	return func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto("value", &text); err != nil {
			return err
		}
		value, err := read(text)
		target.Set(reflect.ValueOf(value))
		return err
	}
}

func readDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("must be a number with its unit, such as 500ms, 5s or 2m, not %q", text)
	}
	return d, nil
}

// readTime reads a time, or a date, which is its start in UTC. The zero time is for an empty text alone.
func readTime(text string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t, _ = rules.Time(text) // zero for a fault
	}
	if t.IsZero() && text != "" {
		return t, fmt.Errorf("must be a date or an RFC 3339 time, such as 2026-01-31 or 2026-01-31T09:30:00Z, not %q", text)
	}
	return t, nil
}

// await returns the result of do, or the cause of the end of ctx. do may be reading or writing a pipe whose other side
// does nothing; then it goes on without its caller.
func await[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := do()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// exitError is an error with an exit code of its own.
type exitError struct {
	error
	code int
}

// failed returns the error of a command. If a signal ended the command, the error has an exit code of its own.
func failed(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return &exitError{fmt.Errorf("%s: interrupted", doing), exitInterrupted}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// fail writes err to stderr, in one line, and returns code. If stderr cannot be written, the code is all that is left.
func fail(stderr io.Writer, code int, err error) int {
	_, _ = fmt.Fprintf(stderr, "roster: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	return code
}
