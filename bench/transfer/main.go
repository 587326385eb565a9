// Transfer measures the import of users from a CSV file with "roster import" on each engine. On PostgreSQL it also measures psql's
// \copy of the same rows into the same table. "make bench-import" runs it.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/dbtest/servers"
	"roster/internal/typeid"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/transfer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("bench/transfer", flag.ContinueOnError)
	users := flags.Int("users", 1_000_000, "how many users to import")
	engines := flags.String("engines", "postgres,sqlite,mysql", "engines to measure")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "roster-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{dir: dir, binary: filepath.Join(dir, "roster"), users: *users, getenv: getenv, out: stdout}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "roster").CombinedOutput(); err != nil { //nolint:gosec // G204: its own directory
		return fmt.Errorf("build: %w: %s", err, out)
	}
	if err := b.files(); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d users\n\n%-28s %9s %9s %11s %9s\n", *users, "", "seconds", "CPU s", "server's", "peak MiB")
	for engine := range strings.SplitSeq(*engines, ",") {
		if err := b.engine(ctx, engine); err != nil {
			return fmt.Errorf("%s: %w", engine, err)
		}
	}
	return nil
}

// bench is one run.
type bench struct {
	dir, binary string
	users       int
	getenv      func(string) string
	out         io.Writer
}

// files writes the same rows twice: for "roster import", and for the table.
func (b *bench) files() error {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // G404: it has to come out the same every time
	now := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	ids := typeid.NewSource(func() time.Time { return now }, rand.NewChaCha8([32]byte{}))
	return errors.Join(write(b.path("import.csv"), func(imports io.Writer) error {
		return write(b.path("copy.csv"), func(copies io.Writer) error {
			fmt.Fprintln(imports, "id,username,email,createdAt,updatedAt,version")
			for i := range b.users {
				now = now.Add(time.Second)
				id := ids.New(user.Label)
				name := fmt.Sprintf("%x.User%d", random.Uint32(), i)
				email := name + "@example.com"
				username, _ := rules.Username(name)
				address, _ := rules.Email(email)
				at := now.Format(rules.TimeFormat)
				fmt.Fprintf(imports, "%s,%s,%s,%s,%s,1\n", id, name, email, at, at)
				fmt.Fprintf(copies, "%s,%s,%s,1,%s,%s,%s,%s\n", id.UUID(), at, at, name, username, email, address)
			}
			return nil
		})
	}))
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// write writes a file.
func write(name string, to func(io.Writer) error) error {
	f, err := os.Create(name) //nolint:gosec // G304: its own file
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	return errors.Join(to(w), w.Flush(), f.Close())
}

// engine measures one engine: an import into an empty database, with a change for each row; on PostgreSQL also \copy
// into an empty table with the same indexes.
func (b *bench) engine(ctx context.Context, engine string) error {
	variable := map[string]string{"postgres": servers.PostgresVariable, "mysql": servers.MySQLVariable}[engine]
	if engine == "sqlite" {
		used, err := measure(b.importer(ctx, "sqlite:"+b.path("roster.db")))
		b.print("sqlite: roster import", used, 0)
		return err
	}
	server, err := url.Parse(b.getenv(variable))
	if err != nil || server.Host == "" {
		return fmt.Errorf("no server: run make bench-import")
	}
	if engine == "postgres" {
		columns := strings.Join([]string{
			user.FieldID, user.FieldCreatedAt, user.FieldUpdatedAt, user.FieldVersion,
			user.FieldUsername, user.FieldEmail, user.FieldUsernameKey, user.FieldEmailKey,
		}, ",")
		err := b.in(ctx, server, `postgres: psql \copy`, func(url string) *exec.Cmd {
			return exec.CommandContext(ctx, "psql", url, "-qc", `\copy users (`+columns+`) from '`+b.path("copy.csv")+`' with (format csv)`) //nolint:gosec // G204: its own file
		})
		if err != nil {
			return err
		}
	}
	return b.in(ctx, server, engine+": roster import", func(url string) *exec.Cmd { return b.importer(ctx, url) })
}

func (b *bench) importer(ctx context.Context, url string) *exec.Cmd {
	return exec.CommandContext(ctx, b.binary, "import", "--log-level=error", "--database-url="+url, b.path("import.csv")) //nolint:gosec // G204: our own program
}

// in measures a program on a new database of a server.
func (b *bench) in(ctx context.Context, server *url.URL, name string, program func(url string) *exec.Cmd) (err error) {
	admin, err := servers.Open(server.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	query := "SELECT @@pid_file"
	if strings.HasPrefix(server.Scheme, "postgres") {
		query = "SELECT current_setting('data_directory') || '/postmaster.pid'"
	}
	var file string
	if err := admin.QueryRowContext(ctx, query).Scan(&file); err != nil {
		return err
	}
	database := *server
	database.Path = fmt.Sprintf("/roster_bench_transfer_%d", os.Getpid())
	if _, err := admin.ExecContext(ctx, "CREATE DATABASE "+database.Path[1:]); err != nil {
		return err
	}
	migrate := exec.CommandContext(ctx, b.binary, "migrate", "up", "--database-url="+database.String()) //nolint:gosec // G204: our own program
	out, err := migrate.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("migrate: %w: %s", err, out)
	}
	before := serverTime(file)
	var used usage
	if err == nil {
		used, err = measure(program(database.String()))
	}
	// The processes of its connections end with the database. Their time counts only after their end.
	_, dropErr := admin.ExecContext(context.WithoutCancel(ctx), "DROP DATABASE "+database.Path[1:])
	if err == nil {
		b.print(name, used, serverTime(file)-before)
	}
	return errors.Join(err, dropErr)
}

// serverTime returns the CPU time of a server on this machine, with its ended processes. A file has the number of the server's
// process. An unknown time is 0.
func serverTime(file string) time.Duration {
	text, _ := os.ReadFile(file) //nolint:gosec // G304: what the server says
	number, _, _ := strings.Cut(string(text), "\n")
	stat, _ := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(number), "stat")) //nolint:gosec // G304: a file of the kernel
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < lastTime {
		return 0
	}
	var ticks time.Duration
	for _, field := range fields[firstTime:lastTime] {
		n, _ := strconv.Atoi(field)
		ticks += time.Duration(n)
	}
	return ticks * (time.Second / ticksPerSecond)
}

// The places of the CPU times of a process and of its ended children in /proc/PID/stat, after its name.
const (
	firstTime      = 11
	lastTime       = 15
	ticksPerSecond = 100
)

// usage has the resources that a program used.
type usage struct {
	took, cpu time.Duration
	peak      int64 // KiB of memory
}

func measure(cmd *exec.Cmd) (usage, error) {
	started := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(started)
	if err != nil {
		return usage{}, fmt.Errorf("%w: %s", err, out)
	}
	system, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return usage{}, errors.New("the system does not tell what a program has used")
	}
	return usage{took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), system.Maxrss}, nil
}

func (b *bench) print(name string, u usage, server time.Duration) {
	fmt.Fprintf(b.out, "%-28s %9.1f %9.1f %11.1f %9d\n", name, u.took.Seconds(), u.cpu.Seconds(), server.Seconds(), u.peak>>10)
}
