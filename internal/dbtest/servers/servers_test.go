package servers_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"roster/internal/dbtest/servers"
)

func TestServers(t *testing.T) {
	// The temporary directory is this test's own, so that what a server leaves in it can be told.
	for name, start := range map[string]func(context.Context, ...string) (*servers.Server, error){
		"postgres": servers.StartPostgres, "mysql": servers.StartMySQL,
	} {
		t.Run(name, func(t *testing.T) {
			dir := publicDir(t)
			t.Setenv("TMPDIR", dir)
			s, err := start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Stop(); err != nil {
					t.Error(err)
				}
			})
			u, err := url.Parse(s.URL())
			if err != nil {
				t.Fatal(err)
			}
			if got := u.Hostname(); got != "127.0.0.1" {
				t.Errorf("got the host %q, want 127.0.0.1", got)
			}
			if err := ping(t, u); err != nil {
				t.Errorf("with the URL's password: got %v, want no error", err)
			}
			for what, account := range map[string]*url.Userinfo{
				"a wrong password": url.UserPassword(u.User.Username(), "wrong"),
				"no password":      url.User(u.User.Username()),
				"a stranger":       url.UserPassword("stranger", ""),
				"no name":          url.UserPassword("", ""),
			} {
				other := *u
				other.User = account
				if err := ping(t, &other); err == nil {
					t.Errorf("%s: got a connection, want a refusal", what)
				}
			}
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", u.Host); err == nil {
				t.Errorf("%s: got a connection (%v), want none", u.Host, conn.Close())
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != 0 {
				t.Errorf("after the end: got the files %v, %v, want none", left, err)
			}
		})
	}
}

// TestCrash crashes a server: what was committed is still there at the same address, and nothing else.
func TestCrash(t *testing.T) {
	for name, start := range map[string]func(context.Context) (*servers.Server, error){
		"postgres": func(ctx context.Context) (*servers.Server, error) {
			return servers.StartPostgres(ctx, "synchronous_commit=on")
		},
		"mysql": func(ctx context.Context) (*servers.Server, error) {
			return servers.StartMySQL(ctx, "--innodb-flush-log-at-trx-commit=2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Stop(); err != nil {
					t.Error(err)
				}
			})
			before := s.URL() // of MySQL, it names no database
			db, err := servers.Open(regexp.MustCompile(`/(\?|$)`).ReplaceAllString(before, "/mysql$1"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for _, statement := range []string{"CREATE TABLE crashed (id int)", "INSERT INTO crashed VALUES (7)"} {
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(t.Context(), "INSERT INTO crashed VALUES (8)"); err != nil {
				t.Fatal(err)
			}
			if err := s.Crash(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(); err == nil {
				t.Error("the commit after the crash: got success, want an error")
			}
			var sum int
			if err := db.QueryRowContext(t.Context(), "SELECT SUM(id) FROM crashed").Scan(&sum); err != nil || sum != 7 || s.URL() != before {
				t.Errorf("after the crash: got %d, %v at %s, want 7 at the same address", sum, err, s.URL())
			}
		})
	}
}

func TestStartIsCancelled(t *testing.T) {
	for name, start := range map[string]func(context.Context, ...string) (*servers.Server, error){
		"postgres": servers.StartPostgres, "mysql": servers.StartMySQL,
	} {
		t.Run(name, func(t *testing.T) {
			dir := publicDir(t)
			t.Setenv("TMPDIR", dir)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { // in the middle of it: when the log is there, the first program runs
				for ticker := time.NewTicker(time.Millisecond); ctx.Err() == nil; <-ticker.C {
					if logs, err := filepath.Glob(filepath.Join(dir, "*", "log")); err != nil || len(logs) > 0 {
						cancel()
					}
				}
			}()
			if _, err := start(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("after a failed start: got the files %v, %v, want none", left, err)
			}
		})
	}
}

// publicDir returns a temporary directory that the servers' accounts can reach.
func publicDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func ping(t *testing.T, address *url.URL) error {
	t.Helper()
	db, err := servers.Open(address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return db.PingContext(t.Context())
}
