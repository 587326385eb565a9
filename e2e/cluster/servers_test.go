//go:build cluster

package cluster

import (
	"testing"
	"time"

	"roster/e2e/program"
	"roster/internal/dbtest"
	"roster/internal/dbtest/servers"
)

// manyServers is the number of servers of Roster that docs/scaling.md has figures for.
const manyServers = 10

// TestServers runs ten servers of Roster on one PostgreSQL server. Clients write through all of them. The subscribers of each one get
// the same changes in the same order, and each change once.
func TestServers(t *testing.T) {
	sideBySide(t)
	binary := program.Build(t)
	database := dbtest.Keep(t)(servers.StartPostgres(t.Context()))
	execute(t, database.URL(), "CREATE DATABASE roster TEMPLATE template0")
	address, err := servers.Hosts("roster", database)
	if err != nil {
		t.Fatal(err)
	}
	var roster []*server
	for range manyServers {
		roster = append(roster, start(t, binary, address, "--slow-statement=0s", "--slow-operation=0s")) // a busy machine is no complaint
	}
	began := time.Now()
	l := newLoad(t, roster...)
	for l.busy(); time.Since(began) < *length; {
		l.busy()
	}
	l.finish()
	contiguous(t, address)
	for _, p := range roster {
		p.complainsLittle(t, 0)
		p.stop(t)
	}
}
