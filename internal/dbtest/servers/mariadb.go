package servers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// mariadbPrograms are the paths of the programs of a MariaDB server.
type mariadbPrograms struct{ install, server string }

func findMariaDB() (mariadbPrograms, error) {
	dirs := []string{"/usr/sbin", "/usr/libexec"}
	install, ok := find(dirs, "mariadb-install-db", "mysql_install_db")
	if !ok {
		return mariadbPrograms{}, &MissingError{Software: "MariaDB", Program: "mariadb-install-db"}
	}
	server, ok := find(dirs, "mariadbd", "mysqld")
	if !ok {
		return mariadbPrograms{}, &MissingError{Software: "MariaDB", Program: "mariadbd"}
	}
	return mariadbPrograms{install: install, server: server}, nil
}

// FindMariaDB returns a *MissingError if MariaDB is not installed.
func FindMariaDB() error {
	_, err := findMariaDB()
	return err
}

// StartMariaDB runs a MariaDB server with additional settings, each as --name=value. It returns a *MissingError if
// MariaDB is not installed.
func StartMariaDB(ctx context.Context, settings ...string) (*Server, error) {
	programs, err := findMariaDB()
	if err != nil {
		return nil, err
	}
	return mariadb(programs, "", alone(settings)).start(ctx)
}

// StartMariaDBPrimary runs a MariaDB server that replicas can follow, with additional settings.
func StartMariaDBPrimary(ctx context.Context, settings ...string) (*Server, error) {
	return StartMariaDB(ctx, append(replicating(1), settings...)...)
}

// StartMariaDBReplica runs a replica of a primary, which has the user and the password of the primary, with additional settings.
// Each replica of a primary has another number, from 2.
func StartMariaDBReplica(ctx context.Context, primary *Server, number int, settings ...string) (_ *Server, err error) {
	programs, err := findMariaDB()
	if err != nil {
		return nil, err
	}
	s, err := mariadb(programs, primary.site.password, alone(append(replicating(number), settings...))).start(ctx)
	if err != nil {
		return nil, err
	}
	return s, s.FollowMariaDB(ctx, primary)
}

// RebuildMariaDB makes the server a replica of a primary at the same address: it throws its data away, and gets everything from
// the primary's log. The number is another one than before: a server skips what it has written itself. The server may be
// running or not.
func (s *Server) RebuildMariaDB(ctx context.Context, primary *Server, number int, settings ...string) error {
	programs, err := findMariaDB()
	if err != nil {
		return err
	}
	if err := s.end(); err != nil {
		return err
	}
	if err := os.RemoveAll(s.site.path("data")); err != nil {
		return err
	}
	s.software = mariadb(programs, primary.site.password, alone(append(replicating(number), settings...)))
	if err := s.software.initialise(ctx, s.site); err != nil {
		return err
	}
	if err := s.again(ctx); err != nil {
		return err
	}
	return s.FollowMariaDB(ctx, primary)
}

// replicating returns the settings of a server that writes a binary log with its own number, and applies that of others to it.
func replicating(number int) []string {
	return []string{
		"--log-bin=binlog", "--binlog-format=ROW", "--log-slave-updates=1", "--innodb-flush-log-at-trx-commit=2",
		"--innodb-doublewrite=1", "--server-id=" + strconv.Itoa(number),
	}
}

// FollowMariaDB makes the server a replica of a primary, from the position that it has.
func (s *Server) FollowMariaDB(ctx context.Context, primary *Server) error {
	return s.Execute(ctx, "STOP SLAVE", fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='%s', MASTER_PASSWORD='%s', "+
		"MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=1, MASTER_USE_GTID=slave_pos", primary.port, userName, primary.site.password), "START SLAVE")
}

// Execute runs statements as the administrator, one after the other on one connection.
func (s *Server) Execute(ctx context.Context, statements ...string) (err error) {
	db, err := Open(s.url)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			verb, _, _ := strings.Cut(statement, " ")
			return fmt.Errorf("%s: %s …: %w", s.site.name, verb, err) // the rest may have a password
		}
	}
	return nil
}

// alone returns the settings of a server that is no node of a cluster.
func alone(settings []string) func(*site) []string {
	return func(s *site) []string { return append([]string{"--init-file=" + s.path("init.sql")}, settings...) }
}

// mariadb returns a server with a password or, without one, with a random one.
func mariadb(programs mariadbPrograms, password string, settings func(*site) []string) software {
	return software{
		name:     "mariadb",
		account:  "mysql",
		password: password,
		prepare: func(s *site) (program, error) {
			// One statement a line, and no comments. The account is not replicated: each server creates it.
			_, err := s.write("init.sql", fmt.Sprintf("SET SESSION sql_log_bin = 0;\nCREATE USER IF NOT EXISTS '%[1]s'@'%%' IDENTIFIED BY '%[2]s';\n"+
				"GRANT ALL PRIVILEGES ON *.* TO '%[1]s'@'%%' WITH GRANT OPTION;\n", userName, s.password))
			return program{programs.install, []string{
				"--no-defaults", "--datadir=" + s.path("data"), "--skip-test-db", "--skip-name-resolve",
				// The other method creates accounts that need no password.
				"--auth-root-authentication-method=socket",
			}}, err
		},
		serve: func(s *site, port int) program {
			return program{programs.server, append([]string{
				"--no-defaults", "--datadir=" + s.path("data"),
				"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(port), "--skip-name-resolve",
				"--socket=" + s.path("socket"), "--pid-file=" + s.path("pid"),
				"--max-connections=" + maxConnections, "--character-set-server=utf8mb4",
				"--innodb-buffer-pool-size=64M", "--key-buffer-size=1M", "--aria-pagecache-buffer-size=8M",
				// The data need not survive a crash.
				"--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--innodb-fast-shutdown=2",
				"--skip-log-bin", "--sync-binlog=0", "--sync-frm=0",
				// As for PostgreSQL: tests fail for code that relies on the server's zone.
				"--default-time-zone=+05:45",
			}, settings(s)...)}
		},
		address: func(password string, port int) *url.URL {
			return &url.URL{Scheme: "mysql", User: url.UserPassword(userName, password), Host: loopback(port), Path: "/"}
		},
		stop:   syscall.SIGTERM,
		orphan: syscall.SIGKILL,
	}
}
