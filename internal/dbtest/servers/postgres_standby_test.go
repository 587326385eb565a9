package servers_test

import (
	"context"
	"database/sql"
	"net"
	"slices"
	"testing"

	"roster/internal/dbtest/servers"
)

// TestStandby kills a primary and promotes its synchronous standby, which has all that was committed. Then the old primary
// follows the new one.
func TestStandby(t *testing.T) {
	t.Setenv("TMPDIR", publicDir(t))
	first := keep(t)(servers.StartPostgresPrimary(t.Context()))
	second := keep(t)(servers.StartPostgresStandby(t.Context(), first, "second"))
	if err := first.Synchronise(t.Context(), "second"); err != nil {
		t.Fatal(err)
	}
	both, err := servers.Hosts("postgres", first, second)
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, both+"&target_session_attrs=read-write")
	exec(t, db, "CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (1)")
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := second.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "INSERT INTO kept VALUES (2)")
	if err := first.Follow(t.Context(), second, "first"); err != nil {
		t.Fatal(err)
	}
	if err := second.Synchronise(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "INSERT INTO kept VALUES (3)")
	if err := second.Kill(); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, open(t, first.URL())); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("on the standby: got %v, want 1, 2 and 3", got)
	}
	if err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, db); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("on the primary that was started again: got %v, want 1, 2 and 3", got)
	}
}

// TestPause pauses a server: it takes connections, but does not answer until it goes on.
func TestPause(t *testing.T) {
	for name, engine := range map[string]struct {
		start   func(context.Context, ...string) (*servers.Server, error)
		setting string // the limit of the wait for an answer
	}{
		"postgres": {servers.StartPostgres, "&connect_timeout=1"}, "mariadb": {servers.StartMariaDB, "?readTimeout=1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", publicDir(t))
			s := keep(t)(engine.start(t.Context()))
			if err := s.Pause(); err != nil {
				t.Fatal(err)
			}
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Addr())
			if err != nil {
				t.Errorf("a connection to the paused server: got %v, want one", err)
			} else {
				defer conn.Close()
			}
			if _, err := open(t, s.URL()+engine.setting).ExecContext(t.Context(), "SELECT 1"); err == nil {
				t.Error("a statement: got an answer of the paused server, want none")
			}
			if err := s.Resume(); err != nil {
				t.Fatal(err)
			}
			exec(t, open(t, s.URL()), "SELECT 1")
			if err := s.Pause(); err != nil { // Stop lets it go on
				t.Fatal(err)
			}
		})
	}
}

// keep returns a function that stops a server at the end of the test.
func keep(t *testing.T) func(*servers.Server, error) *servers.Server {
	t.Helper()
	return func(s *servers.Server, err error) *servers.Server {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
}

func open(t *testing.T, address string) *sql.DB {
	t.Helper()
	db, err := servers.Open(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func ids(t *testing.T, db *sql.DB) (all []int) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT id FROM kept ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		all = append(all, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
