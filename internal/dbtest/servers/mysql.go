package servers

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"syscall"
)

// FindMySQL returns a *MissingError if StartMySQL does not find its programs.
func FindMySQL() error {
	_, err := findMySQL()
	return err
}

// findMySQL returns the path of MySQL's mysqld, or nothing if the server under test is MariaDB.
func findMySQL() (string, error) {
	dir := given(MySQLPrograms)
	if dir == "" {
		return "", FindMariaDB()
	}
	mysqld, ok := inFolder(dir, "mysqld")
	if !ok {
		return "", &MissingError{Software: "MySQL", Program: "mysqld", Folder: dir}
	}
	return mysqld, nil
}

// StartMySQL runs a server of the MySQL family: MySQL if the variable MySQLPrograms names a folder, and MariaDB
// otherwise. Both take the additional settings, each as --name=value. It returns a *MissingError if the programs are
// missing.
func StartMySQL(ctx context.Context, settings ...string) (*Server, error) {
	mysqld, err := findMySQL()
	switch {
	case err != nil:
		return nil, err
	case mysqld == "":
		return StartMariaDB(ctx, settings...)
	}
	return software{
		name:    "mysql",
		account: "mysql",
		prepare: func(s *site) (program, error) {
			// One statement a line, and no comments. The account root exists already.
			_, err := s.write("init.sql", fmt.Sprintf("CREATE USER IF NOT EXISTS '%[1]s'@'%%' IDENTIFIED BY '%[2]s';\n"+
				"GRANT ALL PRIVILEGES ON *.* TO '%[1]s'@'%%' WITH GRANT OPTION;\n"+
				"ALTER USER 'root'@'localhost' ACCOUNT LOCK;\n", userName, s.password))
			return program{mysqld, []string{"--no-defaults", "--datadir=" + s.path("data"), "--initialize-insecure"}}, err
		},
		serve: func(s *site, port int) program {
			return program{mysqld, append([]string{
				"--no-defaults", "--datadir=" + s.path("data"), "--init-file=" + s.path("init.sql"),
				"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(port), "--skip-name-resolve", "--mysqlx=OFF",
				"--socket=" + s.path("socket"), "--pid-file=" + s.path("pid"), "--secure-file-priv=",
				"--max-connections=" + maxConnections,
				"--innodb-buffer-pool-size=64M", "--innodb-redo-log-capacity=64M",
				// The data need not survive a crash.
				"--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-doublewrite=0",
				"--innodb-fast-shutdown=2", "--skip-log-bin",
				// As for PostgreSQL: tests fail for code that relies on the server's zone.
				"--default-time-zone=+05:45",
			}, settings...)}
		},
		address: func(password string, port int) *url.URL {
			return &url.URL{Scheme: "mysql", User: url.UserPassword(userName, password), Host: loopback(port), Path: "/"}
		},
		stop:   syscall.SIGTERM,
		orphan: syscall.SIGKILL,
	}.start(ctx)
}
