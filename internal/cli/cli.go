// Package cli is the command line of Roster, with a file for each command. It is the only package that knows all others. It
// wires them.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
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
	Migrate migrateCommand `cmd:"" help:"Change the database's schema or show its state."`
	Seed    seedCommand    `cmd:"" help:"Create sample users and posts, all or none."`
	Import  importCommand  `cmd:"" help:"Create or update users and posts from a file."`
	Export  exportCommand  `cmd:"" help:"Write all users or all posts as CSV or JSON lines."`
	Stats   statsCommand   `cmd:"" help:"Print counts, and sign-ups by day, week or month."`
	Changes changesCommand `cmd:"" help:"Manage the change feed."`
	Schema  schemaCommand  `cmd:"" help:"Print the GraphQL schema."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// environment has the streams of the process, and the version. Commands get it beside their flags.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	version        string
}

// Run runs a command line, without the program's name, and returns the exit code. 0: success. 1: the command failed. 2: the
// command line is wrong. Some commands have more codes. Errors go to stderr, in one line. serve ends with success when ctx ends.
// version is the version of this build.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, version string) int {
	helpTo, code := stdout, exitOK
	if len(args) == 0 {
		args, helpTo, code = []string{"--help"}, stderr, exitUsage
	}
	helped := false
	parser, err := kong.New(&commands{},
		kong.Name("roster"),
		kong.Description("A GraphQL server for users and their posts, on SQLite, PostgreSQL, MySQL and MariaDB."),
		kong.DefaultEnvars("ROSTER"),
		kong.Help(printHelp),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(readDuration)),
		kong.Writers(helpTo, stderr),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Exit(func(int) { helped = true }),
	)
	if err != nil {
		return fail(stderr, exitFailure, err)
	}
	parser.Model.HelpFlag.Help = "Show help. With a command: its flags."
	command, err := parser.Parse(args)
	if helped {
		return code
	}
	if err != nil {
		return fail(stderr, exitUsage, usageError(err))
	}
	if err := command.Run(&environment{stdin: stdin, stdout: stdout, stderr: stderr, version: version}); err != nil {
		if errors.Is(err, errSilent) {
			return exitFailure
		}
		if coded, ok := errors.AsType[*exitError](err); ok {
			return fail(stderr, coded.code, err)
		}
		return fail(stderr, exitFailure, err)
	}
	return exitOK
}

// readDuration reads the duration of a flag. kong's own reader would show the error of package time.
func readDuration(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("must be a number with its unit, such as 500ms, 5s or 2m, not %q", text)
	}
	target.Set(reflect.ValueOf(d))
	return nil
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
