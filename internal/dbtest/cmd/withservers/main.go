// Command withservers runs another command with database servers. Their addresses are in TEST_POSTGRES_URL and
// TEST_MYSQL_URL. If a variable already names a server, the command uses that one. Other servers are started for the
// command and ended after it. As root on Debian or Ubuntu, withservers installs missing programs.
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
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"roster/internal/dbtest/process"
	"roster/internal/dbtest/servers"
)

// Exit codes beside the command's own. Package flag uses 2 too.
const (
	exitFailure = 1
	exitUsage   = 2
	exitSignal  = 128 // plus the number of the signal that ended the command, as in shells
)

// parentInterval is the time between two checks whether the parent still runs.
const parentInterval = time.Second

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// database is one kind of server.
type database struct {
	variable string // the environment variable with a server's URL
	packages string // the packages to install on Debian and Ubuntu
	find     func() error
	start    func(context.Context, ...string) (*servers.Server, error)
}

func databases() []database {
	return []database{
		{servers.PostgresVariable, "postgresql", servers.FindPostgres, servers.StartPostgres},
		{servers.MySQLVariable, "mariadb-server", servers.FindMySQL, servers.StartMySQL},
	}
}

// run returns the exit code.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("withservers", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "usage: withservers -- COMMAND ARGUMENT...\nRuns COMMAND with database servers in %s and %s.\n",
			servers.PostgresVariable, servers.MySQLVariable)
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	case flags.NArg() == 0:
		flags.Usage()
		return exitUsage
	}

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go endWithParent(ctx, os.Getppid(), signals)

	code, err := withServers(ctx, environ, stderr, signals, func(environ []string) (int, error) {
		cmd := exec.CommandContext(ctx, flags.Arg(0), flags.Args()[1:]...)
		cmd.Env = environ
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
		return command(ctx, cmd, signals)
	})
	if err != nil {
		fmt.Fprintf(stderr, "withservers: %v\n", err)
		if code == 0 {
			code = exitFailure
		}
	}
	return code
}

// withServers calls f with the environment and the addresses of the servers, and returns f's exit code.
func withServers(
	ctx context.Context, environ []string, stderr io.Writer, signals <-chan os.Signal,
	f func(environ []string) (int, error),
) (code int, err error) {
	var needed []database
	for _, d := range databases() {
		if lookup(environ, d.variable) == "" {
			needed = append(needed, d)
		}
	}
	running, err := prepare(ctx, needed, stderr, signals)
	defer func() {
		for _, s := range running {
			if s != nil {
				err = errors.Join(err, s.Stop())
			}
		}
	}()
	if err != nil {
		return 0, err
	}
	for i, s := range running {
		environ = append(environ, needed[i].variable+"="+s.URL())
	}
	return f(environ)
}

// prepare installs and starts the servers, unless a signal comes first. It returns running servers even when others
// failed.
func prepare(
	ctx context.Context, needed []database, stderr io.Writer, signals <-chan os.Signal,
) (running []*servers.Server, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ready, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case s := <-signals:
			cancel(fmt.Errorf("ended by a signal before the servers were ready: %v", s))
		case <-ready:
		}
	}()
	if err = ensure(ctx, needed, thisHost(stderr)); err == nil {
		running, err = startAll(ctx, needed)
	}
	close(ready)
	<-watched
	if cause := context.Cause(ctx); cause != nil {
		return running, cause
	}
	return running, err
}

// startAll starts the servers side by side. A server that fails is nil in the result.
func startAll(ctx context.Context, needed []database) ([]*servers.Server, error) {
	running := make([]*servers.Server, len(needed))
	failures := make([]error, len(needed))
	var starts sync.WaitGroup
	for i, d := range needed {
		starts.Go(func() { running[i], failures[i] = d.start(ctx) })
	}
	starts.Wait()
	return running, errors.Join(failures...)
}

const (
	// killGroup is the shell script that ends the remaining processes of the group $0.
	killGroup = `kill -s KILL -- "-$0" 2>/dev/null || true`
	// launch is the shell script that runs its arguments after it has read a line from descriptor 3. If the descriptor
	// is closed first, the script ends and runs nothing.
	launch = `read -r line <&3 && exec "$@" 3<&-`
)

// command runs cmd to its end, passes signals on to it and returns its exit code.
func command(ctx context.Context, cmd *exec.Cmd, signals <-chan os.Signal) (code int, err error) {
	// With a terminal, the command stays in the foreground group: it can read from the terminal, and Ctrl-Z stops it.
	// Without a terminal, it gets its own group: signals reach its children too, and none outlives it.
	if hasTerminal() {
		p, err := process.Start(cmd, process.Options{Orphaned: syscall.SIGKILL})
		if err != nil {
			return 0, err
		}
		return wait(p, signals)
	}
	// A guard ends the group. It needs the number of the group, so the command waits in a shell until the guard runs.
	// Otherwise its children would stay when this process is killed before that.
	reader, writer, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer writer.Close() //nolint:errcheck // nobody reads any more
	cmd.ExtraFiles = []*os.File{reader}
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", launch, "sh", cmd.Path}, cmd.Args[1:]...)
	p, err := process.Start(cmd, process.Options{Group: true, Orphaned: syscall.SIGKILL})
	err = errors.Join(err, reader.Close())
	if p == nil {
		return 0, err
	}
	guard, failure := process.NewGuard(ctx, killGroup, strconv.Itoa(p.ID()))
	if failure != nil {
		return 0, errors.Join(err, failure, p.Signal(syscall.SIGKILL))
	}
	defer func() { err = errors.Join(err, guard.Release()) }()
	if _, failure := writer.WriteString("\n"); err != nil || failure != nil {
		return 0, errors.Join(err, failure)
	}
	return wait(p, signals)
}

// wait passes signals on to the process and returns its exit code.
func wait(p *process.Process, signals <-chan os.Signal) (int, error) {
	for {
		select {
		case s := <-signals:
			if s, ok := s.(syscall.Signal); ok {
				if err := p.Signal(s); err != nil {
					return 0, err
				}
			}
		case <-p.Done():
			return exitCode(p.Err()), nil
		}
	}
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return exitSignal + int(status.Signal())
		}
		return exit.ExitCode()
	default:
		return exitFailure
	}
}

// endWithParent raises a signal when the parent has died. The parent is often "go run", which does not pass on the
// signal that ends it.
func endWithParent(ctx context.Context, parent int, signals chan<- os.Signal) {
	ticker := time.NewTicker(parentInterval)
	defer ticker.Stop()
	for os.Getppid() == parent {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
	signals <- syscall.SIGTERM
}

func hasTerminal() bool {
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	return terminal.Close() == nil
}

// lookup returns the value of a variable in an environment; the last one counts.
func lookup(environ []string, variable string) string {
	for _, v := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(v, variable+"="); ok {
			return value
		}
	}
	return ""
}
