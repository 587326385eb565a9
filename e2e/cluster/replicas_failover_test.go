//go:build cluster

package cluster

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"roster/e2e/program"
	"roster/internal/dbtest"
	"roster/internal/dbtest/servers"
)

// TestReplicasFailover lets the primary of two replicas fail under load, again and again. One replica is promoted. The other one
// stays with the old primary for a while, and then follows the new one. The old primary comes back as a replica. Two servers of
// Roster have all three database servers in both settings, as docs/replicas.md advises. Both answer reads, and only the first
// one takes mutations: the second one learns of the failover by its reads alone.
func TestReplicasFailover(t *testing.T) {
	sideBySide(t)
	binary := program.Build(t)
	for name, start := range map[string]func(*testing.T) operator{"postgres": newPostgresOperator, "mariadb": newMariaDBOperator} {
		t.Run(name, func(t *testing.T) {
			sideBySide(t)
			failOver(t, binary, start(t))
		})
	}
}

// operator does what people, or a program such as Patroni, do with the servers of one engine.
type operator interface {
	// servers are the primary and its replicas, at the start.
	servers() (primary *servers.Server, replicas [2]*servers.Server)
	// primary is the address of the primary, wherever it is, and address that of one server, both for a server of Roster.
	primary(roster int) string
	address(roster int, of ...*servers.Server) string
	// ends are the ways in which a primary ends.
	ends() []end
	// best returns the replica that has all acknowledged mutations, and the other one, after the end of the primary.
	best(primary *servers.Server, replicas [2]*servers.Server) (next, other *servers.Server)
	promote(next *servers.Server)
	// follow lets a replica of the old primary follow the new one.
	follow(other, next *servers.Server)
	// settle lets all of Roster see that a server follows the new primary, if only time would.
	settle(next, other *servers.Server)
	// synchronise makes each later commit of the primary wait for one of the replicas.
	synchronise(primary *servers.Server, replicas [2]*servers.Server)
}

// end is a way in which a primary ends.
type end struct {
	name string
	fail func(primary *servers.Server) error
	// rejoin makes the old primary a replica of the new one.
	rejoin func(old, next *servers.Server) error
}

// behind is the time for which a replica stays with the old primary: longer than reads without a token may be behind.
const behind = maxStaleness + time.Second

func failOver(t *testing.T, binary string, o operator) {
	primary, replicas := o.servers()
	o.synchronise(primary, replicas)
	var roster []*server
	for i := range 2 {
		var all []string
		for _, s := range []*servers.Server{primary, replicas[0], replicas[1]} {
			all = append(all, o.address(i, s))
		}
		roster = append(roster, start(t, binary, o.primary(i), "--database-replica-urls="+strings.Join(all, ","), "--replica-max-staleness="+maxStaleness.String()))
	}
	l := newReadLoad(t, roster, roster[:1])
	reads := l.shares()
	began, failures := time.Now(), 0
	for ; failures == 0 || time.Since(began) < *length || l.lacksReads(); failures++ {
		l.acknowledged(patience)
		end := o.ends()[failures%len(o.ends())]
		l.fails()
		failed := time.Now()
		if err := end.fail(primary); err != nil {
			t.Fatal(err)
		}
		next, other := o.best(primary, replicas)
		o.promote(next)
		l.promoted()
		promoted := time.Since(failed)
		first := l.acknowledged(serviceLimit)
		l.replaces()
		t.Logf("%v: after %s: back %v after the promotion, which came %v after the failure", failed.Sub(began).Round(time.Second), end.name,
			first.Round(time.Millisecond), promoted.Round(time.Millisecond))
		l.idle(behind)
		o.follow(other, next)
		l.awaitReads(other, roster[1:])
		o.settle(next, other)
		l.awaitReads(other, roster)
		reads.begin() // before, there is a time without a replica
		if err := end.rejoin(primary, next); err != nil {
			t.Fatal(err)
		}
		primary, replicas = next, [2]*servers.Server{other, primary}
		o.synchronise(primary, replicas)
		l.awaitReads(other, roster)
		reads.end()
	}
	l.finish(failures)
	reads.atLeast(0.2)
	for _, p := range roster {
		p.stop(t)
	}
}

// awaitReads waits until servers of Roster read from a replica.
func (l *readLoad) awaitReads(replica *servers.Server, roster []*server) {
	l.Helper()
	ticker := time.NewTicker(rest)
	defer ticker.Stop()
	for _, p := range roster {
		before := p.readsOf(l.T, replica.Addr())
		for deadline := time.Now().Add(patience); p.readsOf(l.T, replica.Addr()) == before; <-ticker.C {
			if l.Failed() || time.Now().After(deadline) {
				l.Fatalf("%s: got no reads of the replica %s within %v, want some", p.URL, replica.Addr(), patience)
			}
		}
	}
}

// value returns the first value of a query on a server.
func value(t *testing.T, s *servers.Server, query string) (text string) {
	t.Helper()
	administer(t, s.URL(), func(db *sql.DB) {
		if err := db.QueryRowContext(t.Context(), query).Scan(&text); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	})
	return text
}

func run(t *testing.T, s *servers.Server, statements ...string) {
	t.Helper()
	if err := s.Execute(t.Context(), statements...); err != nil {
		t.Fatal(err)
	}
}

// as returns a URL for another user.
func as(t *testing.T, address, user string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("a URL is malformed")
	}
	u.User = url.UserPassword(user, user)
	return u.String()
}

// postgresOperator has three servers, of which each commit reaches two.
type postgresOperator struct {
	*testing.T
	all [3]*servers.Server
}

func newPostgresOperator(t *testing.T) operator {
	t.Helper()
	o := &postgresOperator{T: t}
	o.all[0] = dbtest.Keep(t)(servers.StartPostgresPrimary(t.Context()))
	for i := range o.all[1:] {
		o.all[i+1] = dbtest.Keep(t)(servers.StartPostgresStandby(t.Context(), o.all[0], o.name(i+1)))
	}
	run(t, o.all[0], "CREATE ROLE app LOGIN PASSWORD 'app'", "CREATE ROLE monitor LOGIN PASSWORD 'monitor' IN ROLE app, pg_read_all_stats",
		"CREATE DATABASE roster TEMPLATE template0 OWNER app")
	return o
}

// name is the application_name of a server as a standby.
func (*postgresOperator) name(i int) string { return "server" + strconv.Itoa(i) }

func (o *postgresOperator) nameOf(s *servers.Server) string {
	for i := range o.all {
		if o.all[i] == s {
			return o.name(i)
		}
	}
	panic("an unknown server")
}

func (o *postgresOperator) servers() (primary *servers.Server, replicas [2]*servers.Server) {
	return o.all[0], [2]*servers.Server(o.all[1:])
}

// address implements operator. The first server of Roster has a user that sees only the timelines of restart points.
func (o *postgresOperator) address(roster int, of ...*servers.Server) string {
	o.Helper()
	address, err := servers.Hosts("roster", of...)
	if err != nil {
		o.Fatal(err)
	}
	return as(o.T, address, []string{"app", "monitor"}[roster])
}

func (o *postgresOperator) primary(roster int) string { return o.address(roster, o.all[:]...) }

func (o *postgresOperator) ends() []end {
	rejoin := func(old, next *servers.Server) error {
		return errors.Join(old.Kill(), old.Follow(o.Context(), next, o.nameOf(old))) // a frozen primary must not go on
	}
	return []end{
		{"SIGKILL", (*servers.Server).Kill, rejoin},
		{"SIGSTOP", (*servers.Server).Pause, rejoin},
		{"an orderly end", (*servers.Server).End, rejoin},
	}
}

// best implements operator. Each acknowledged commit is on one of the replicas, and so on the one that has received more.
func (o *postgresOperator) best(_ *servers.Server, replicas [2]*servers.Server) (next, other *servers.Server) {
	o.Helper()
	received := func(s *servers.Server) int {
		n, err := strconv.Atoi(value(o.T, s, "SELECT (pg_last_wal_receive_lsn() - '0/0')::bigint"))
		if err != nil {
			o.Fatal(err)
		}
		return n
	}
	if received(replicas[0]) >= received(replicas[1]) {
		return replicas[0], replicas[1]
	}
	return replicas[1], replicas[0]
}

func (o *postgresOperator) promote(next *servers.Server) {
	o.Helper()
	if err := next.Promote(o.Context()); err != nil {
		o.Fatal(err)
	}
}

func (o *postgresOperator) follow(other, next *servers.Server) {
	o.Helper()
	if err := other.FollowOn(o.Context(), next, o.nameOf(other)); err != nil {
		o.Fatal(err)
	}
}

// settle implements operator: it makes a restart point, as the replica itself does after its checkpoint_timeout.
func (o *postgresOperator) settle(next, other *servers.Server) {
	o.Helper()
	run(o.T, next, "CHECKPOINT")
	end := value(o.T, next, "SELECT pg_current_wal_insert_lsn()")
	await(o.T, "the replica has the checkpoint", func() bool {
		return value(o.T, other, "SELECT pg_last_wal_replay_lsn() >= '"+end+"'") == "true"
	})
	run(o.T, other, "CHECKPOINT")
}

func (o *postgresOperator) synchronise(primary *servers.Server, replicas [2]*servers.Server) {
	o.Helper()
	synchronise(o.T, primary, o.nameOf(replicas[0]), o.nameOf(replicas[1]))
}

// mariadbOperator has three servers whose commits reach two (semi-synchronous replication), and an address that is moved to the
// primary.
type mariadbOperator struct {
	*testing.T
	all     [3]*servers.Server
	moved   *dbtest.Proxy
	numbers int // the server_id of the last server
}

// mariadbSettings make a commit wait for a replica for ever, as soon as the server is told to wait.
func mariadbSettings() []string {
	return []string{"--rpl-semi-sync-slave-enabled=ON", "--rpl-semi-sync-master-wait-point=AFTER_SYNC", "--rpl-semi-sync-master-timeout=3600000"}
}

func newMariaDBOperator(t *testing.T) operator {
	t.Helper()
	o := &mariadbOperator{T: t, numbers: 3}
	o.all[0] = dbtest.Keep(t)(servers.StartMariaDBPrimary(t.Context(), mariadbSettings()...))
	for i := range o.all[1:] {
		o.all[i+1] = dbtest.Keep(t)(servers.StartMariaDBReplica(t.Context(), o.all[0], i+2, mariadbSettings()...))
		run(t, o.all[i+1], "SET GLOBAL read_only = 1")
	}
	run(t, o.all[0], "CREATE DATABASE roster CHARACTER SET utf8mb4", "CREATE USER app@'%' IDENTIFIED BY 'app'", "GRANT ALL ON roster.* TO app@'%'")
	o.moved = dbtest.NewProxy(t, o.all[0].Addr())
	return o
}

func (o *mariadbOperator) servers() (primary *servers.Server, replicas [2]*servers.Server) {
	return o.all[0], [2]*servers.Server(o.all[1:])
}

func (o *mariadbOperator) address(_ int, of ...*servers.Server) string {
	return as(o.T, database(o.T, of[0]), "app")
}

func (o *mariadbOperator) primary(int) string {
	u, err := url.Parse(o.address(0, o.all[0]))
	if err != nil {
		o.Fatal("a URL is malformed")
	}
	u.Host = o.moved.Addr()
	return u.String()
}

func (o *mariadbOperator) ends() []end {
	return []end{
		{"SIGKILL", (*servers.Server).Kill, func(old, next *servers.Server) error {
			o.numbers++ // it can have transactions that nobody else has, and so begins anew
			if err := old.RebuildMariaDB(o.Context(), next, o.numbers, mariadbSettings()...); err != nil {
				return err
			}
			return old.Execute(o.Context(), "SET GLOBAL read_only = 1")
		}},
		// The connections to the old primary live on.
		{"read_only", func(primary *servers.Server) error {
			return primary.Execute(o.Context(), "SET GLOBAL read_only = 1", "SET GLOBAL rpl_semi_sync_master_enabled = OFF")
		}, func(old, next *servers.Server) error {
			if err := old.Execute(o.Context(), "SET GLOBAL gtid_slave_pos = @@global.gtid_binlog_pos"); err != nil {
				return err
			}
			return old.FollowMariaDB(o.Context(), next)
		}},
	}
}

// best implements operator. The replica that has received more has all acknowledged transactions. It is the best one when it has
// applied them.
func (o *mariadbOperator) best(primary *servers.Server, replicas [2]*servers.Server) (next, other *servers.Server) {
	o.Helper()
	var received [2]uint64
	if o.runs(primary) {
		end := value(o.T, primary, "SELECT @@global.gtid_binlog_pos")
		for _, r := range replicas {
			run(o.T, r, fmt.Sprintf("DO MASTER_GTID_WAIT('%s', 60)", end))
		}
		return replicas[0], replicas[1]
	}
	for i, r := range replicas {
		await(o.T, "the replica has received all from a primary that has ended", func() bool { return o.status(r, "Slave_IO_Running") != "Yes" })
		end := o.status(r, "Gtid_IO_Pos")
		run(o.T, r, fmt.Sprintf("DO MASTER_GTID_WAIT('%s', 60)", end))
		if _, err := fmt.Sscanf(end, "0-%d-%d", new(int), &received[i]); err != nil {
			o.Fatalf("%q: %v", end, err)
		}
	}
	if received[0] >= received[1] {
		return replicas[0], replicas[1]
	}
	return replicas[1], replicas[0]
}

// runs reports whether a server answers.
func (o *mariadbOperator) runs(s *servers.Server) (answers bool) {
	administer(o.T, s.URL(), func(db *sql.DB) { answers = db.PingContext(o.Context()) == nil })
	return answers
}

// status returns a field of SHOW SLAVE STATUS.
func (o *mariadbOperator) status(s *servers.Server, field string) (text string) {
	o.Helper()
	administer(o.T, s.URL(), func(db *sql.DB) {
		rows, err := db.QueryContext(o.Context(), "SHOW SLAVE STATUS")
		if err != nil {
			o.Fatal(err)
		}
		defer rows.Close()
		names, err := rows.Columns()
		if err != nil || !rows.Next() {
			o.Fatalf("SHOW SLAVE STATUS: got no row, %v", errors.Join(err, rows.Err()))
		}
		values, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			o.Fatal(err)
		}
		text = values[slices.Index(names, field)].String
	})
	return text
}

func (o *mariadbOperator) promote(next *servers.Server) {
	o.Helper()
	run(o.T, next, "STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0")
	o.moved.Redirect(next.Addr())
}

func (o *mariadbOperator) follow(other, next *servers.Server) {
	o.Helper()
	if err := other.FollowMariaDB(o.Context(), next); err != nil {
		o.Fatal(err)
	}
}

func (*mariadbOperator) settle(_, _ *servers.Server) {}

func (o *mariadbOperator) synchronise(primary *servers.Server, _ [2]*servers.Server) {
	o.Helper()
	await(o.T, "the replicas are semi-synchronous", func() bool {
		return value(o.T, primary, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'Rpl_semi_sync_master_clients'") == "2"
	})
	run(o.T, primary, "SET GLOBAL rpl_semi_sync_master_enabled = ON")
}
