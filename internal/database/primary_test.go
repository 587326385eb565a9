package database_test

import (
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"roster/internal/consistency"
	"roster/internal/database"
	"roster/internal/dbtest"
	dbservers "roster/internal/dbtest/servers"
)

// TestEndOfRecord corrects the place where the next record goes: behind the header of a page, or the longer one of a segment.
func TestEndOfRecord(t *testing.T) {
	t.Parallel()
	const page, segment = 8 << 10, 16 << 20
	for next, want := range map[int64]int64{
		segment + 40:          segment,
		segment + page + 24:   segment + page,
		segment + page + 40:   segment + page + 40,
		segment + 3*page + 48: segment + 3*page + 48,
		segment + 48:          segment + 48,
	} {
		if got := database.EndOfRecord(next, page, segment); got != want {
			t.Errorf("%d: got %d, want %d", next, got, want)
		}
	}
}

// TestSegmentSwitch wants that a replica is not left out on a primary that has begun a new segment of its log and then writes nothing.
func TestSegmentSwitch(t *testing.T) {
	t.Parallel()
	primary := dbtest.Keep(t)(dbservers.StartPostgresPrimary(t.Context()))
	replica := dbtest.Keep(t)(dbservers.StartPostgresStandby(t.Context(), primary, "replica"))
	db := open(t, options(primary.URL()))
	if _, err := db.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.UseReplicas(t.Context(), database.ReplicaOptions{URLs: []string{replica.URL()}, MaxStaleness: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	state := func() database.ReplicaStats { return db.Replication().Replicas[0] }
	eventually(t, func() error {
		if out := state().Out; out != "" {
			return fmt.Errorf("the replica is left out: %s", out)
		}
		return nil
	})
	// The server may write something else just then.
	eventually(t, func() error {
		if err := primary.Execute(t.Context(), "SELECT pg_logical_emit_message(true, 'roster', 'a commit')", "SELECT pg_switch_wal()"); err != nil {
			t.Fatal(err)
		}
		const place = "SELECT ((pg_current_wal_insert_lsn() - '0/0') % pg_size_bytes(current_setting('wal_segment_size')))::int"
		if got, err := number(t.Context(), db.Session(database.Single), place); got != 40 || err != nil {
			return fmt.Errorf("got the place %d in the segment, %w, want that behind the header", got, err)
		}
		return nil
	})
	switched := time.Now()
	eventually(t, func() error {
		r := state()
		if r.Out != "" {
			t.Fatalf("the replica is left out: %s", r.Out)
		}
		if r.Staleness > time.Since(switched) {
			return fmt.Errorf("the replica is known to have what is %v old, and not the new segment", r.Staleness)
		}
		return nil
	})
}

// TestReplicasWithoutPrimary wants that a server starts while the primary is away, and knows positions when it is there again.
func TestReplicasWithoutPrimary(t *testing.T) {
	t.Parallel()
	url := dbtest.Empty(t, dbtest.PostgreSQL)
	behind, proxy := dbtest.ProxyURL(t, url)
	db := open(t, options(behind))
	if _, err := db.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	if err := db.UseReplicas(t.Context(), database.ReplicaOptions{URLs: []string{url}, MaxStaleness: 5 * time.Second}); err != nil {
		t.Fatalf("got %v, want no error: the primary can come back", err)
	}
	if got := db.Replication().Replicas[0]; got.Reason != database.TakesChanges {
		t.Errorf("got %+v, want a replica that takes changes", got)
	}
	proxy.Restore()
	eventually(t, func() error {
		s := db.PrimarySession(database.Single, consistency.Position{})
		if _, err := number(t.Context(), s, "SELECT 1"); err != nil {
			return err
		}
		s.Rollback()
		if p := s.Position(t.Context()); p.IsAhead() {
			return fmt.Errorf("got the position %+v, want a known one", p)
		}
		return nil
	})
	for _, p := range db.Pools() {
		if p.Max != 4 || p.Used != 0 {
			t.Errorf("the pool %s: got %+v, want 4 connections and none in use", p.Name, p)
		}
	}
	if names := len(db.Pools()); names != 2 {
		t.Errorf("got %d pools, want those of the primary and of the replica", names)
	}
}

// replicated are the servers of an engine that has replicas.
type replicated struct {
	primary func(t *testing.T) *dbservers.Server
	// replica starts the replica with a number, from 2 on.
	replica func(t *testing.T, primary *dbservers.Server, number int) *dbservers.Server
	promote func(t *testing.T, replica *dbservers.Server)
	create  string // a database
}

// eachReplicated runs f for each engine that has replicas.
func eachReplicated(t *testing.T, f func(t *testing.T, servers replicated)) {
	t.Helper()
	for name, servers := range map[string]replicated{
		"postgres": {
			primary: func(t *testing.T) *dbservers.Server {
				t.Helper()
				return dbtest.Keep(t)(dbservers.StartPostgresPrimary(t.Context()))
			},
			replica: func(t *testing.T, primary *dbservers.Server, number int) *dbservers.Server {
				t.Helper()
				return dbtest.Keep(t)(dbservers.StartPostgresStandby(t.Context(), primary, fmt.Sprintf("replica%d", number)))
			},
			promote: func(t *testing.T, replica *dbservers.Server) {
				t.Helper()
				if err := replica.Promote(t.Context()); err != nil {
					t.Fatal(err)
				}
			},
			create: "CREATE DATABASE roster TEMPLATE template0",
		},
		"mysql": {
			primary: func(t *testing.T) *dbservers.Server {
				t.Helper()
				return dbtest.Keep(t)(dbservers.StartMariaDBPrimary(t.Context()))
			},
			replica: func(t *testing.T, primary *dbservers.Server, number int) *dbservers.Server {
				t.Helper()
				return dbtest.Keep(t)(dbservers.StartMariaDBReplica(t.Context(), primary, number))
			},
			promote: func(t *testing.T, replica *dbservers.Server) {
				t.Helper()
				if err := replica.Execute(t.Context(), "STOP SLAVE", "RESET SLAVE ALL", "CREATE DATABASE taken"); err != nil {
					t.Fatal(err)
				}
			},
			create: "CREATE DATABASE roster CHARACTER SET utf8mb4",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, servers)
		})
	}
}

// databaseOn returns the URL of the database roster on a server.
func databaseOn(t *testing.T, s *dbservers.Server) string {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal("a URL is malformed")
	}
	u.Path = "/roster"
	return u.String()
}

// start starts a primary with the database roster and two replicas.
func (r replicated) start(t *testing.T) (primary, second, third *dbservers.Server) {
	t.Helper()
	primary = r.primary(t)
	if err := primary.Execute(t.Context(), r.create); err != nil {
		t.Fatal(err)
	}
	return primary, r.replica(t, primary, 2), r.replica(t, primary, 3)
}

// TestFormerPrimary reads with a position of the new primary while all connections of a pool lead to the former one, which takes changes
// too. The position is known, or it is ahead, and comes from a server that knew only the former primary. Sessions of each kind read at
// the same time.
func TestFormerPrimary(t *testing.T) {
	t.Parallel()
	eachReplicated(t, func(t *testing.T, servers replicated) {
		for name, ahead := range map[string]bool{"known": false, "ahead": true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				servers.readAfterFailover(t, ahead)
			})
		}
	})
}

func (r replicated) readAfterFailover(t *testing.T, ahead bool) {
	t.Helper()
	former, promoted, other := r.start(t)
	behind, proxy := dbtest.ProxyURL(t, databaseOn(t, former))
	db := open(t, options(behind))
	if _, err := db.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, db, "CREATE TABLE things (n int NOT NULL)", "INSERT INTO things (n) VALUES (1)")
	settings := database.ReplicaOptions{URLs: []string{databaseOn(t, other)}, MaxStaleness: time.Hour, Wait: time.Millisecond}
	if err := db.UseReplicas(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	latest := db.PrimarySession(database.Single, consistency.Position{})
	if _, err := number(t.Context(), latest, "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	before := latest.Position(t.Context())
	const read = "SELECT n FROM things"
	sessions := map[string]func(after consistency.Position) *database.Session{
		"reads":   func(after consistency.Position) *database.Session { return db.ReadSession(database.Single, after) },
		"reads 2": func(after consistency.Position) *database.Session { return db.ReadSession(database.Snapshot, after) },
		"primary": func(after consistency.Position) *database.Session { return db.PrimarySession(database.Single, after) },
		"writes":  db.WriteSession,
	}
	// All connections are open, and idle.
	var began, running sync.WaitGroup
	began.Add(4)
	for range 4 {
		running.Go(func() {
			s := db.Session(database.Snapshot)
			defer s.Rollback()
			if n, err := number(t.Context(), s, read); n != 1 || err != nil {
				t.Errorf("before: got %d, %v, want 1", n, err)
			}
			began.Done()
			began.Wait()
		})
	}
	running.Wait()
	// The promoted server has the table.
	eventually(t, func() error {
		there, err := dbservers.Open(databaseOn(t, promoted))
		if err != nil {
			return err
		}
		defer there.Close()
		_, err = there.ExecContext(t.Context(), read)
		return err
	})
	r.promote(t, promoted)
	proxy.Redirect(promoted.Addr())
	now := open(t, options(databaseOn(t, promoted)))
	settings.URLs = []string{databaseOn(t, former)}
	if err := now.UseReplicas(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	s := now.WriteSession(consistency.Position{})
	if err := run(t.Context(), s, "UPDATE things SET n = 2"); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	after := s.Position(t.Context())
	if ahead {
		before.Number += 1 << 20
		after = consistency.Ahead(before)
	}
	for range 3 {
		for name, session := range sessions {
			running.Go(func() {
				s := session(after)
				defer s.Rollback()
				if n, err := number(t.Context(), s, read); n != 2 || err != nil {
					t.Errorf("%s: got %d, %v, want 2", name, n, err)
				}
			})
		}
	}
	running.Wait()
}

// TestAheadPosition reads with a position that is ahead while another program writes. Each read has all that was committed before it
// began, and the replicas answer.
func TestAheadPosition(t *testing.T) {
	t.Parallel()
	eachReplicated(t, func(t *testing.T, servers replicated) {
		primary, second, third := servers.start(t)
		o := options(databaseOn(t, primary))
		o.MaxConnections = 16
		db, other := open(t, o), open(t, o)
		if _, err := db.MigrateUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		write(t, db, "CREATE TABLE things (n int NOT NULL)", "INSERT INTO things (n) VALUES (0)")
		settings := database.ReplicaOptions{URLs: []string{databaseOn(t, second), databaseOn(t, third)}, MaxStaleness: time.Hour, Wait: 10 * time.Second}
		if err := db.UseReplicas(t.Context(), settings); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			for _, r := range db.Replication().Replicas {
				if r.Out != "" {
					return fmt.Errorf("%s is left out: %s", r.Name, r.Out)
				}
			}
			return nil
		})
		s := db.WriteSession(consistency.Position{})
		if err := run(t.Context(), s, "UPDATE things SET n = 0"); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(); err != nil {
			t.Fatal(err)
		}
		far := s.Position(t.Context())
		far.Number += 1 << 20
		positions := []consistency.Position{
			consistency.Ahead(far), consistency.Ahead(s.Position(t.Context())),
			consistency.Ahead(consistency.Position{Log: far.Log}), // from a server that has never seen the primary
		}
		const writes, readers = 20, 9
		for n := 1; n <= writes; n++ {
			write(t, other, fmt.Sprintf("UPDATE things SET n = %d", n))
			var reading sync.WaitGroup
			for i := range readers {
				reading.Go(func() {
					s := db.ReadSession([]database.Mode{database.Single, database.Snapshot}[i%2], positions[i%len(positions)])
					defer s.Rollback()
					if got, err := number(t.Context(), s, "SELECT n FROM things"); got != n || err != nil {
						t.Errorf("got %d, %v, want %d", got, err, n)
					}
				})
			}
			reading.Wait()
		}
		if got := db.Replication(); got.Replicas[0].Reads+got.Replicas[1].Reads < writes*readers/2 {
			t.Errorf("got %+v, want most of %d reads on the replicas", got, writes*readers)
		}
	})
}

// TestReadOnlyPrimary wants that the connections to a primary stay open that takes no changes for a while.
func TestReadOnlyPrimary(t *testing.T) {
	t.Parallel()
	primary := dbtest.Keep(t)(dbservers.StartMariaDBPrimary(t.Context()))
	replica := dbtest.Keep(t)(dbservers.StartMariaDBReplica(t.Context(), primary, 2))
	if err := primary.Execute(t.Context(), "CREATE DATABASE roster CHARACTER SET utf8mb4"); err != nil {
		t.Fatal(err)
	}
	o := options(databaseOn(t, primary))
	db := open(t, o)
	if _, err := db.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	settings := database.ReplicaOptions{URLs: []string{databaseOn(t, replica)}, MaxStaleness: time.Second}
	if err := db.UseReplicas(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	state := func() database.ReplicaStats { return db.Replication().Replicas[0] }
	eventually(t, func() error {
		if r := state(); r.Out != "" {
			return fmt.Errorf("the replica is left out: %s", r.Out)
		}
		return nil
	})
	if err := primary.Execute(t.Context(), "SET GLOBAL read_only = 1"); err != nil {
		t.Fatal(err)
	}
	connections := map[int]bool{}
	eventually(t, func() error {
		id, err := number(t.Context(), db.Session(database.Single), "SELECT CONNECTION_ID()")
		if err != nil {
			t.Fatal(err)
		}
		connections[id] = true
		if r := state(); r.Reason != database.PrimaryUnknown {
			return fmt.Errorf("got the reason %v, want that ten measurements have found no primary", r.Reason)
		}
		return nil
	})
	if most := o.MaxConnections + 2; len(connections) > most {
		t.Errorf("reads used %d connections, want at most %d, which a pool has", len(connections), most)
	}
	if err := primary.Execute(t.Context(), "SET GLOBAL read_only = 0"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if r := state(); r.Out != "" {
			return fmt.Errorf("the replica is left out: %s", r.Out)
		}
		return nil
	})
}

// TestPositionOnOwnSeat wants that a session reads its position before another one gets its connection, also if it has changed nothing.
func TestPositionOnOwnSeat(t *testing.T) {
	t.Parallel()
	url := dbtest.Empty(t, dbtest.PostgreSQL)
	o := options(url)
	o.MaxConnections = 1
	db := open(t, o)
	if _, err := db.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A primary is no replica, but that is not needed here.
	if err := db.UseReplicas(t.Context(), database.ReplicaOptions{URLs: []string{url}, MaxStaleness: time.Hour}); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*database.Session{
		"a mutation that is rolled back": db.WriteSession(consistency.Position{}),
		"a query of the feed":            db.FeedSession(database.Single, consistency.Position{}),
		"several queries of the feed":    db.FeedSession(database.Snapshot, consistency.Position{}),
	} {
		if _, err := number(t.Context(), s, "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		s.Rollback()
		holder := db.Session(database.Snapshot)
		if _, err := number(t.Context(), holder, "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		if p := s.Position(t.Context()); p.IsZero() || p.IsAhead() {
			t.Errorf("%s: got the position %+v while another session has the connection, want a known one", name, p)
		}
		holder.Rollback()
	}
}
