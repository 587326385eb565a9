// Package servers finds database servers on this machine and runs temporary ones. They use a free loopback port and a
// temporary directory. They are fast, since they may lose their data in a crash. The package is independent of tests
// and of the data.
package servers

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"roster/internal/dbtest/process"
)

// These environment variables have the URLs of running servers, with an administrator.
const (
	PostgresVariable = "TEST_POSTGRES_URL"
	MySQLVariable    = "TEST_MYSQL_URL"
)

// These environment variables name folders with the programs of PostgreSQL and MySQL, in place of the installed
// PostgreSQL and MariaDB. internal/dbtest/cmd/newest sets them.
const (
	PostgresPrograms = "TEST_POSTGRES_PROGRAMS"
	MySQLPrograms    = "TEST_MYSQL_PROGRAMS"
)

const (
	// userName is the account of a server's URL. It has all rights.
	userName = "roster"
	// prepareLimit bounds the creation of an empty data directory, readyLimit the wait for the first connection, and
	// stopLimit the wait for a server that is ending.
	prepareLimit = 2 * time.Minute
	readyLimit   = time.Minute
	stopLimit    = 30 * time.Second
	// pollInterval is the time between two attempts to connect to a server that is starting.
	pollInterval = 50 * time.Millisecond
	// portAttempts is the number of ports to try: another program may take a free port before the server binds it.
	portAttempts = 3
	// maxConnections is the limit of both servers. Many tests run side by side, each with a pool.
	maxConnections = "300"
)

// MissingError says that a program of a database server was not found.
type MissingError struct {
	Software string // its usual name: "PostgreSQL"
	Program  string // the name of the missing program
	Folder   string // where it must be, or empty if it may be anywhere
}

func (e *MissingError) Error() string {
	if e.Folder != "" {
		return fmt.Sprintf("%s is incomplete: no program %s in %s", e.Software, e.Program, e.Folder)
	}
	return fmt.Sprintf("%s is not installed: no %s found", e.Software, e.Program)
}

// Server is a running temporary server.
type Server struct {
	url      string
	port     int
	software software
	site     *site
	process  *process.Process
	stop     syscall.Signal
	paused   bool
	once     sync.Once
	err      error
}

// URL returns the address of the server with the user and password of an administrator, in the form of DATABASE_URL.
func (s *Server) URL() string { return s.url }

// Stop ends the server and removes its data. Another call returns the same result.
func (s *Server) Stop() error {
	s.once.Do(func() { s.err = errors.Join(s.end(), s.site.remove()) })
	return s.err
}

// Restart ends the server, lets change alter its data directory, and runs it again at the same address.
func (s *Server) Restart(ctx context.Context, change func(data string) error) error {
	if err := s.end(); err != nil {
		return err
	}
	if err := change(s.site.path("data")); err != nil {
		return err
	}
	return s.again(ctx)
}

// Crash ends the server at once, without notice to its clients, and runs it again at the same address. What it has written
// to files stays, since the operating system goes on.
func (s *Server) Crash(ctx context.Context) error {
	if err := s.process.Signal(s.software.orphan); err != nil {
		return err
	}
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()
	select {
	case <-s.process.Done():
	case <-timer.C:
		return fmt.Errorf("%s did not end within %s of %v", s.site.name, stopLimit, s.software.orphan)
	}
	return s.again(ctx)
}

// again runs the server at the same address, after its end.
func (s *Server) again(ctx context.Context) error {
	again, err := s.software.run(ctx, s.site, s.port)
	if err != nil {
		return err
	}
	s.process = again.process
	return nil
}

func (s *Server) end() error {
	if err := errors.Join(s.rejoin(), s.Resume()); err != nil {
		return err
	}
	if err := s.process.Signal(s.stop); err != nil {
		return err
	}
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()
	select {
	case <-s.process.Done():
		return nil
	case <-timer.C:
	}
	if err := s.process.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-s.process.Done()
	return fmt.Errorf("%s did not end within %s of %v and was killed", s.site.name, stopLimit, s.stop)
}

// software has what one kind of server needs to be prepared, run, reached and ended.
type software struct {
	name    string // for messages and the name of the directory
	account string // the system user whose account the server's package creates
	// password is that of userName. "": a random one.
	password string
	prepare  func(*site) (program, error)
	serve    func(s *site, port int) program
	address  func(password string, port int) *url.URL
	stop     syscall.Signal // orderly and fast
	orphan   syscall.Signal // immediate; leaves neither processes nor shared memory
	// ready returns an error while the server cannot be used. nil: it can as soon as a connection opens.
	ready func(context.Context, *sql.DB) error
}

type program struct {
	path string
	args []string
}

func (sw software) start(ctx context.Context) (_ *Server, err error) {
	s, err := newSite(ctx, sw.name, sw.account)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", sw.name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start %s: %w", sw.name, err), s.remove())
		}
	}()
	s.password = cmp.Or(sw.password, s.password)
	if err := sw.initialise(ctx, s); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		server, err := sw.attempt(ctx, s)
		if err == nil {
			return server, nil
		}
		if attempt == portAttempts || !strings.Contains(err.Error(), "ddress already in use") {
			return nil, err
		}
	}
}

func (sw software) initialise(ctx context.Context, s *site) error {
	ctx, cancel := context.WithTimeout(ctx, prepareLimit)
	defer cancel()
	p, err := sw.prepare(s)
	if err != nil {
		return err
	}
	running, err := s.run(ctx, p, process.Options{Account: s.account, Group: true, Orphaned: syscall.SIGKILL})
	if err != nil {
		return err
	}
	select {
	case <-running.Done():
	case <-ctx.Done():
		if err := running.Signal(syscall.SIGKILL); err != nil {
			return errors.Join(ctx.Err(), err)
		}
		<-running.Done()
		return ctx.Err()
	}
	if err := running.Err(); err != nil {
		return fmt.Errorf("%s: %w; it wrote:\n%s", filepath.Base(p.path), err, s.logTail())
	}
	return nil
}

// attempt runs the server on a port that was just free, and waits until a connection opens.
func (sw software) attempt(ctx context.Context, s *site) (_ *Server, err error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	return sw.run(ctx, s, port)
}

// run runs the server on a port, and waits until a connection opens.
func (sw software) run(ctx context.Context, s *site, port int) (_ *Server, err error) {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	running, err := s.run(ctx, sw.serve(s, port), process.Options{Account: s.account, Group: true, Orphaned: sw.orphan})
	if err != nil {
		return nil, err
	}
	server := &Server{url: sw.address(s.password, port).String(), port: port, software: sw, site: s, process: running, stop: sw.stop}
	defer func() {
		if err != nil {
			err = errors.Join(err, server.end())
		}
	}()
	db, err := Open(server.url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		refusal := db.PingContext(ctx)
		if refusal == nil && sw.ready != nil {
			refusal = sw.ready(ctx, db)
		}
		if refusal == nil {
			return server, nil
		}
		select {
		case <-running.Done():
			return nil, fmt.Errorf("the server ended: %w; it wrote:\n%s", running.Err(), s.logTail())
		case <-ctx.Done():
			return nil, fmt.Errorf("no connection: %w: %w; it wrote:\n%s", ctx.Err(), refusal, s.logTail())
		case <-ticker.C:
		}
	}
}

// freePorts returns different ports.
func freePorts(ctx context.Context, n int) (ports []int, err error) {
	for len(ports) < n {
		port, err := freePort(ctx)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// The ports of servers lie below those that Linux and other systems give to connections. So no connection takes the port of
// a server that is down for a while.
const (
	lowestPort = 15_000
	ports      = 17_000
)

// FreeAddress returns a loopback address on which nothing listens.
func FreeAddress(ctx context.Context) (string, error) {
	port, err := freePort(ctx)
	return loopback(port), err
}

func freePort(ctx context.Context) (port int, err error) {
	for range 100 {
		port = lowestPort + mathrand.N(ports) //nolint:gosec // G404: no secret
		var l net.Listener
		if l, err = new(net.ListenConfig).Listen(ctx, "tcp4", loopback(port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// removal is the shell script that removes the directory $0. Ending programs may still create files there, so it tries
// again for a while. A PostgreSQL server that was killed has left shared memory. One that was paused can end when it goes on. The
// table of an isolated server would cut the next server on its port off.
const removal = `if [ -e "$0/isolation" ]; then nft delete table inet "$(cat "$0/isolation")"; fi 2>/dev/null
if read -r pid 2>/dev/null <"$0/data/postmaster.pid"; then
	kill -CONT "$pid"
	ipcrm -m "$(sed -n '7s/.* //p' "$0/data/postmaster.pid")"
fi 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$0" && exit; sleep 1; done; exit 1`

// site has the directory, the account and the password of one server.
type site struct {
	name     string
	dir      string
	account  *user.User // nil: as this process
	password string
	guard    *process.Guard
}

// newSite creates a directory for a server. Database servers refuse to run as root. So root runs them as the named
// account, or as nobody if the account does not exist.
func newSite(ctx context.Context, name, account string) (_ *site, err error) {
	s := &site{name: name, password: strings.ToLower(rand.Text())}
	if os.Geteuid() == 0 {
		if s.account, err = user.Lookup(account); err != nil {
			if s.account, err = user.Lookup("nobody"); err != nil {
				return nil, fmt.Errorf("no account to run it as: %w", err)
			}
		}
	}
	if s.dir, err = os.MkdirTemp("", "roster-"+name+"-"); err != nil {
		return nil, err
	}
	if s.guard, err = process.NewGuard(ctx, removal, s.dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.give(s.dir); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// give makes the server's account the owner of a path.
func (s *site) give(path string) error {
	if s.account == nil {
		return nil
	}
	uid, gid, err := process.IDs(s.account)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

// path returns the path of a name in the directory.
func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// write creates a file in the directory that only the server may read, and returns its path.
func (s *site) write(name, content string) (string, error) {
	path := s.path(name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return "", err
	}
	return path, s.give(path)
}

// run starts a program in the directory, with its output in the log. Of the environment, the program gets only PATH:
// settings of the user's own servers must not reach it.
func (s *site) run(ctx context.Context, p program, o process.Options) (*process.Process, error) {
	log, err := os.OpenFile(s.path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // it is the program that writes
	// The program does not end with ctx: a server runs on after the call that started it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.path, p.args...)
	cmd.Dir = s.dir
	cmd.Env = append(slices.DeleteFunc(cmd.Environ(), func(variable string) bool {
		return !strings.HasPrefix(variable, "PATH=")
	}), "LC_ALL=C", "TMPDIR="+s.dir)
	cmd.Stdout, cmd.Stderr = log, log
	return process.Start(cmd, o)
}

// logTail returns the last lines that the programs wrote.
func (s *site) logTail() string {
	const limit = 4096
	content, err := os.ReadFile(s.path("log"))
	if err != nil {
		return err.Error()
	}
	if len(content) > limit {
		content = content[len(content)-limit:]
	}
	return strings.TrimSpace(string(content))
}

func (s *site) remove() error {
	if err := s.guard.Release(); err != nil {
		return fmt.Errorf("remove %s: %w", s.dir, err)
	}
	return nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
