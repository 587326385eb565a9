//go:build cluster

package cluster

import (
	"database/sql"
	"testing"
	"time"

	"roster/e2e/program"
	"roster/internal/dbtest"
	"roster/internal/dbtest/servers"
)

// serviceLimit is the time after a promotion within which the service is back by itself.
const serviceLimit = 15 * time.Second

// TestFailover lets a PostgreSQL primary with a synchronous standby fail under load, again and again: by SIGKILL, by a freeze, by
// an orderly end and, in a run of full length, by a network that drops its packets. Each time the standby is promoted, and the old
// primary becomes its standby. Two servers of Roster know both hosts.
func TestFailover(t *testing.T) {
	ends := []end{
		{name: "SIGKILL", fail: (*servers.Server).Kill},
		{name: "SIGSTOP", fail: (*servers.Server).Pause},
		{name: "an orderly end", fail: (*servers.Server).End},
	}
	if *length >= fullLength {
		if err := servers.CheckIsolate(); err != nil {
			t.Fatalf("a run of %v or more cuts the network of a server: %v", fullLength, err)
		}
		ends = append(ends, end{name: "a cut network", fail: (*servers.Server).Isolate})
	}
	binary := program.Build(t)
	primary := dbtest.Keep(t)(servers.StartPostgresPrimary(t.Context()))
	standby := dbtest.Keep(t)(servers.StartPostgresStandby(t.Context(), primary, "standby"))
	execute(t, primary.URL(), "CREATE DATABASE roster")
	synchronise(t, primary, "standby")
	address, err := servers.Hosts("roster", primary, standby)
	if err != nil {
		t.Fatal(err)
	}
	roster := []*server{start(t, binary, address), start(t, binary, address, "--log-level=error")}
	l := newLoad(t, roster...)
	deadline := time.Now().Add(*length)
	for round := 0; round == 0 || time.Now().Before(deadline); round++ {
		l.busy()
		end := ends[round%len(ends)]
		if err := end.fail(primary); err != nil {
			t.Fatal(err)
		}
		if err := standby.Promote(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.back(end.name, serviceLimit)
		if err := primary.Kill(); err != nil { // a primary that is frozen or isolated must not go on
			t.Fatal(err)
		}
		if err := primary.Follow(t.Context(), standby, "standby"); err != nil {
			t.Fatal(err)
		}
		primary, standby = standby, primary
		synchronise(t, primary, "standby")
	}
	l.finish()
	if address, err = servers.Hosts("roster", primary); err != nil {
		t.Fatal(err)
	}
	contiguous(t, address)
	for _, p := range roster {
		p.stop(t)
	}
}

func synchronise(t *testing.T, primary *servers.Server, names ...string) {
	t.Helper()
	if err := primary.Synchronise(t.Context(), names...); err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, address string, statements ...string) {
	t.Helper()
	administer(t, address, func(db *sql.DB) {
		for _, statement := range statements {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	})
}

// administer calls f with a connection of an administrator.
func administer(t *testing.T, address string, f func(*sql.DB)) {
	t.Helper()
	db, err := servers.Open(address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f(db)
}

// contiguous checks that the numbers of all changes are 1, 2 and so on.
func contiguous(t *testing.T, address string) {
	t.Helper()
	administer(t, address, func(db *sql.DB) {
		var all, numbered, first, last int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*), count(DISTINCT number), min(number), max(number) FROM changes").
			Scan(&all, &numbered, &first, &last); err != nil {
			t.Fatal(err)
		}
		if first != 1 || last != all || numbered != all {
			t.Errorf("got %d changes with %d numbers from %d to %d, want each number from 1 once", all, numbered, first, last)
		}
	})
}
