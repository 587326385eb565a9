//go:build cluster

package cluster

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"roster/e2e/program"
	"roster/internal/dbtest"
	"roster/internal/dbtest/servers"
)

// maxStaleness is the limit of reads without a token.
const maxStaleness = 2 * time.Second

// replicated is a primary with two replicas.
type replicated struct {
	primary  *servers.Server
	replicas [2]*servers.Server
	create   string // the statement that creates the database
	hold     string // the statement that stops a replica from replaying the log
	goOn     string
	promote  func(ctx context.Context, s *servers.Server) error
}

// TestReplicas lets clients write through one server and read through two, with the token of what they have written, while the
// replicas of the database are killed, paused and lag, and one is promoted. No read is stale, and no client gets an error.
func TestReplicas(t *testing.T) {
	sideBySide(t)
	binary := program.Build(t)
	for name, start := range map[string]func(*testing.T) *replicated{"postgres": postgresReplicas, "mariadb": mariadbReplicas} {
		t.Run(name, func(t *testing.T) {
			sideBySide(t)
			start(t).test(t, binary)
		})
	}
}

func postgresReplicas(t *testing.T) *replicated {
	t.Helper()
	r := &replicated{
		create: "CREATE DATABASE roster TEMPLATE template0", hold: "SELECT pg_wal_replay_pause()", goOn: "SELECT pg_wal_replay_resume()",
		promote: func(ctx context.Context, s *servers.Server) error { return s.Promote(ctx) },
	}
	r.primary = dbtest.Keep(t)(servers.StartPostgresPrimary(t.Context()))
	for i := range r.replicas {
		// The second replica is always a little late, so that reads have to wait for it.
		settings := []string{}
		if i == 1 {
			settings = []string{"recovery_min_apply_delay=50ms"}
		}
		r.replicas[i] = dbtest.Keep(t)(servers.StartPostgresStandby(t.Context(), r.primary, "replica"+strconv.Itoa(i), settings...))
	}
	return r
}

func mariadbReplicas(t *testing.T) *replicated {
	t.Helper()
	r := &replicated{
		create: "CREATE DATABASE roster CHARACTER SET utf8mb4", hold: "STOP SLAVE SQL_THREAD", goOn: "START SLAVE",
		promote: func(ctx context.Context, s *servers.Server) error {
			return s.Execute(ctx, "STOP SLAVE", "RESET SLAVE ALL", "CREATE DATABASE own")
		},
	}
	r.primary = dbtest.Keep(t)(servers.StartMariaDBPrimary(t.Context()))
	for i := range r.replicas {
		r.replicas[i] = dbtest.Keep(t)(servers.StartMariaDBReplica(t.Context(), r.primary, i+2))
	}
	return r
}

// database returns the URL of the database roster on a server.
func database(t *testing.T, s *servers.Server) string {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal("a URL is malformed")
	}
	u.Path = "/roster"
	return u.String()
}

func (r *replicated) test(t *testing.T, binary string) {
	t.Helper()
	if err := r.primary.Execute(t.Context(), r.create); err != nil {
		t.Fatal(err)
	}
	flags := []string{
		"--database-replica-urls=" + database(t, r.replicas[0]) + "," + database(t, r.replicas[1]),
		"--replica-max-staleness=" + maxStaleness.String(),
	}
	roster := []*server{start(t, binary, database(t, r.primary), flags...), start(t, binary, database(t, r.primary), flags...)}
	l := newReadLoad(t, roster, roster)
	reads := l.shares() // from the start
	began := time.Now()
	failures := 1
	for round := 0; round == 0 || time.Since(began) < *length*3/4 || l.lacksReads(); round++ {
		failures += r.fail(t, round, *length/16)
	}
	if err := r.promote(t.Context(), r.replicas[1]); err != nil {
		t.Error(err)
	}
	l.idle(*length - time.Since(began))
	l.finish(failures)
	reads.end()
	reads.atLeast(0.5)
	for _, s := range roster {
		if log := s.Log.String(); !strings.Contains(log, "a replica answers queries") || !strings.Contains(log, "it takes changes itself") {
			t.Errorf("the log does not have that replicas were used, and that the promoted one was left out:\n%s", log)
		}
		s.stop(t)
	}
}

// fail makes one replica fail, and then the other one, each for a time. It returns the number of failures.
func (r *replicated) fail(t *testing.T, round int, each time.Duration) int {
	t.Helper()
	first, second := r.replicas[round%2], r.replicas[(round+1)%2]
	for _, step := range []func() error{
		first.Kill,
		func() error { return first.Start(t.Context()) },
		second.Pause,
		second.Resume,
		func() error { return first.Execute(t.Context(), r.hold) },
		func() error { return first.Execute(t.Context(), r.goOn) },
	} {
		if err := step(); err != nil {
			t.Error(err)
		}
		<-time.After(each)
	}
	return 3
}
