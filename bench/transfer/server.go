package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"roster/internal/dbtest/servers"
)

// figures are the resources of one program, and of the database server for it.
type figures struct {
	Seconds   float64 `json:"seconds"`
	CPU       float64 `json:"cpu"`       // seconds
	ServerCPU float64 `json:"serverCPU"` // seconds; 0 is unknown
	Peak      float64 `json:"peakMemory"`
}

// server is a database server of a run.
type server struct {
	*servers.Server
	binary string
	url    *url.URL
	admin  *sql.DB
	pid    string // the file with the number of its process
}

// start starts a server. Tests share the machine's memory, so that their servers have small buffers. This one has the defaults.
func (b *bench) start(ctx context.Context, engine string) (_ *server, err error) {
	start, pid, settings := servers.StartPostgres, "SELECT current_setting('data_directory') || '/postmaster.pid'", []string{"shared_buffers=128MB"}
	switch engine {
	case "postgres":
		settings = append(settings, b.settings...)
	case "mysql":
		start, pid, settings = servers.StartMariaDB, "SELECT @@pid_file", []string{"--innodb-buffer-pool-size=128M"}
		for _, s := range b.settings {
			settings = append(settings, "--"+s)
		}
	default:
		return nil, errors.New("-engines must be some of postgres, sqlite and mysql")
	}
	running, err := start(ctx, settings...)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, running.Stop())
		}
	}()
	s := &server{Server: running, binary: b.binary}
	if s.url, err = url.Parse(running.URL()); err != nil {
		return nil, err
	}
	if s.admin, err = servers.Open(running.URL()); err != nil {
		return nil, err
	}
	return s, s.admin.QueryRowContext(ctx, pid).Scan(&s.pid)
}

// Stop ends the server and removes its data.
func (s *server) Stop() error { return errors.Join(s.admin.Close(), s.Server.Stop()) }

// measure measures a program on a new database with empty tables.
func (s *server) measure(ctx context.Context, program func(ctx context.Context, url string) *exec.Cmd) (_ figures, err error) {
	database := *s.url
	database.Path = "/transfer"
	if _, err := s.admin.ExecContext(ctx, "CREATE DATABASE transfer"); err != nil {
		return figures{}, err
	}
	defer func() {
		_, dropErr := s.admin.ExecContext(context.WithoutCancel(ctx), "DROP DATABASE transfer")
		err = errors.Join(err, dropErr)
	}()
	migrate := exec.CommandContext(ctx, s.binary, "migrate", "up", "--database-url="+database.String()) //nolint:gosec // G204: our own program
	if out, err := migrate.CombinedOutput(); err != nil {
		return figures{}, fmt.Errorf("migrate: %w: %s", err, out)
	}
	if s.url.Scheme == "postgres" { // no round writes the pages of another one
		if _, err := s.admin.ExecContext(ctx, "CHECKPOINT"); err != nil {
			return figures{}, err
		}
	}
	before := serverTime(s.pid)
	used, err := measure(program(ctx, database.String()))
	if err != nil {
		return figures{}, err
	}
	used.ServerCPU = (serverTime(s.pid) - before).Seconds()
	return used, nil
}

// intoSQLite measures an import into a new file. There is no server: the program writes the file.
func (b *bench) intoSQLite(ctx context.Context) (figures, error) {
	address := "sqlite:" + b.path("roster.db")
	migrate := exec.CommandContext(ctx, b.binary, "migrate", "up", "--database-url="+address) //nolint:gosec // G204: our own program
	if out, err := migrate.CombinedOutput(); err != nil {
		return figures{}, fmt.Errorf("migrate: %w: %s", err, out)
	}
	return measure(b.importer(ctx, address))
}

// mariadb returns the command by which MariaDB's client runs statements. A file has the password, because other users see the
// arguments of a program.
func (b *bench) mariadb(ctx context.Context, address, statements string) *exec.Cmd {
	u, err := url.Parse(address)
	password, _ := u.User.Password()
	err = errors.Join(err, os.WriteFile(b.path("client.cnf"), []byte("[client]\npassword="+password+"\n"), 0o600))
	cmd := exec.CommandContext(ctx, "mariadb", "--defaults-file="+b.path("client.cnf"), "--local-infile=1", "--host="+u.Hostname(), //nolint:gosec // G204: its own statements
		"--port="+u.Port(), "--user="+u.User.Username(), "--execute="+statements, strings.TrimPrefix(u.Path, "/"))
	cmd.Err = errors.Join(cmd.Err, err)
	return cmd
}

// serverTime returns the CPU time of a server on this machine with its processes, also those that have ended. A file has the number
// of the server's process. An unknown time is 0.
func serverTime(file string) (total time.Duration) {
	text, _ := os.ReadFile(file) //nolint:gosec // G304: what the server says
	pid, _, _ := strings.Cut(string(text), "\n")
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, _ := os.ReadFile(stat) //nolint:gosec // G304: a file of the kernel
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if len(fields) < endOfTimes {
			continue // the process has just ended
		}
		if of := filepath.Base(filepath.Dir(stat)); of != strings.TrimSpace(pid) && fields[parent] != strings.TrimSpace(pid) {
			continue
		}
		for _, field := range fields[startOfTimes:endOfTimes] {
			ticks, _ := strconv.Atoi(field)
			total += time.Duration(ticks) * tick
		}
	}
	return total
}

// The places in /proc/PID/stat, after the name: the parent's number, and the CPU times of a process and of its ended children, in
// ticks.
const (
	parent       = 1
	startOfTimes = 11
	endOfTimes   = 15
	tick         = 10 * time.Millisecond
)

// measure runs a program, and returns its own figures.
func measure(cmd *exec.Cmd) (figures, error) {
	started := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(started)
	if err != nil {
		return figures{}, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, out)
	}
	system, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return figures{}, errors.New("the system does not tell the resources of a program")
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return figures{Seconds: took.Seconds(), CPU: cpu.Seconds(), Peak: float64(system.Maxrss) / 1024}, nil
}
