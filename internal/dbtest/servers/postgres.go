package servers

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// FindPostgres returns a *MissingError if PostgreSQL is not installed.
func FindPostgres() error {
	_, err := findInitdb()
	return err
}

// findInitdb returns the path of initdb. The server's program lies beside it.
func findInitdb() (string, error) {
	if dir := given(PostgresPrograms); dir != "" {
		path, ok := inFolder(dir, "initdb")
		if !ok {
			return "", &MissingError{Software: "PostgreSQL", Program: "initdb", Folder: dir}
		}
		return path, nil
	}
	path, ok := find(versions("/usr/lib/postgresql", "bin"), "initdb")
	if !ok {
		return "", &MissingError{Software: "PostgreSQL", Program: "initdb"}
	}
	// PATH may have a link to initdb only.
	return filepath.EvalSymlinks(path)
}

// StartPostgres runs a PostgreSQL server with additional settings, each as name=value. It returns a *MissingError if
// PostgreSQL is not installed.
func StartPostgres(ctx context.Context, settings ...string) (*Server, error) {
	initdb, err := findInitdb()
	if err != nil {
		return nil, err
	}
	collation, err := postgresCollation(ctx, initdb)
	if err != nil {
		return nil, err
	}
	return postgres(initdb, func(s *site) (program, error) {
		passwordFile, err := s.write("password", s.password+"\n")
		if err != nil {
			return program{}, err
		}
		return program{initdb, append([]string{
			"--pgdata=" + s.path("data"), "--no-sync",
			"--username=" + userName, "--pwfile=" + passwordFile, "--auth=scram-sha-256",
			"--encoding=UTF8",
		}, collation...)}, nil
	}, settings).start(ctx)
}

// postgres returns the software of a server whose data prepare makes.
func postgres(initdb string, prepare func(*site) (program, error), settings []string) software {
	return software{
		name:    "postgres",
		account: "postgres",
		prepare: prepare,
		serve: func(s *site, port int) program {
			args := []string{"-D", s.path("data")}
			for _, setting := range []string{
				"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(port), "unix_socket_directories=",
				"max_connections=" + maxConnections, "shared_buffers=32MB",
				// The data need not survive a crash.
				"fsync=off", "full_page_writes=off", "synchronous_commit=off",
				"wal_level=minimal", "max_wal_senders=0",
				// Far from UTC, and not by whole hours: tests fail for code that relies on the server's zone.
				"timezone=Asia/Kathmandu",
			} {
				args = append(args, "-c", setting)
			}
			for _, setting := range settings { // the last one counts
				args = append(args, "-c", setting)
			}
			return program{filepath.Join(filepath.Dir(initdb), "postgres"), args}
		},
		address: func(password string, port int) *url.URL {
			return &url.URL{
				Scheme: "postgres", User: url.UserPassword(userName, password), Host: loopback(port),
				Path: "/postgres", RawQuery: "sslmode=disable",
			}
		},
		stop:   syscall.SIGINT,  // "fast shutdown": ends open sessions
		orphan: syscall.SIGQUIT, // "immediate shutdown"
	}
}

// postgresCollation returns options of initdb for a default collation that is not byte order, as most servers have. So
// tests fail for a column or an order without COLLATE "C". PostgreSQL before 15 only has the system's locales, of which
// only C is certain.
func postgresCollation(ctx context.Context, initdb string) ([]string, error) {
	const icu = "--icu-locale"
	help, err := exec.CommandContext(ctx, initdb, "--help").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --help: %w", initdb, err)
	}
	options := []string{"--locale=C"}
	if strings.Contains(string(help), icu) {
		options = append(options, "--locale-provider=icu", icu+"=en-US")
	}
	return options, nil
}

// Standby turns the data of a PostgreSQL server into those of a standby, for Restart.
func Standby(data string) error {
	path := filepath.Join(data, "standby.signal")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	info, err := os.Stat(data)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t) //nolint:errcheck // it is one on Unix
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}
