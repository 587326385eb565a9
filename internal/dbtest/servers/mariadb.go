package servers

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
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
	return mariadb(programs, func(s *site) []string {
		return append([]string{"--init-file=" + s.path("init.sql"), "--skip-log-bin"}, settings...)
	}).start(ctx)
}

// mariadb returns a MariaDB server with additional settings.
func mariadb(programs mariadbPrograms, settings func(*site) []string) software {
	return software{
		name:    "mariadb",
		account: "mysql",
		prepare: func(s *site) (program, error) {
			// One statement a line, and no comments.
			_, err := s.write("init.sql", fmt.Sprintf("CREATE USER IF NOT EXISTS '%[1]s'@'%%' IDENTIFIED BY '%[2]s';\n"+
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
				"--sync-binlog=0", "--sync-frm=0",
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
