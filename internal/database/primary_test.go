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

// TestFormerPrimary reads with a position of the new primary while all connections of a pool lead to the former one, which takes changes
// too. Sessions of each kind read at the same time.
func TestFormerPrimary(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]bool{"known": false, "ahead": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readsAfterFailover(t, ahead)
		})
	}
}

// readsAfterFailover reads with the position of a commit on the new primary, or with one that is ahead.
func readsAfterFailover(t *testing.T, ahead bool) {
	t.Helper()
	former := dbtest.Keep(t)(dbservers.StartPostgresPrimary(t.Context()))
	promoted := dbtest.Keep(t)(dbservers.StartPostgresStandby(t.Context(), former, "promoted"))
	other := dbtest.Keep(t)(dbservers.StartPostgresStandby(t.Context(), former, "other"))
	behind, proxy := dbtest.ProxyURL(t, former.URL())
	db := open(t, options(behind))
	if _, err := db.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, db, "CREATE TABLE things (n int NOT NULL)", "INSERT INTO things (n) VALUES (1)")
	settings := database.ReplicaOptions{URLs: []string{other.URL()}, MaxStaleness: time.Hour, Wait: time.Millisecond}
	if err := db.UseReplicas(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
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
	eventually(t, func() error { return promoted.Execute(t.Context(), read) })
	if err := promoted.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Redirect(promoted.Addr())
	now := open(t, options(promoted.URL()))
	settings.URLs = []string{former.URL()}
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
		// Its commit was not told, by a server that knew only the former primary.
		after.Branch, after = 1, consistency.Ahead(after)
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
// began, and the replica answers. Reads of the same moment share a new connection.
func TestAheadPosition(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) (primary, replica *dbservers.Server){
		"postgres": func(t *testing.T) (primary, replica *dbservers.Server) {
			t.Helper()
			primary = dbtest.Keep(t)(dbservers.StartPostgresPrimary(t.Context()))
			return primary, dbtest.Keep(t)(dbservers.StartPostgresStandby(t.Context(), primary, "replica"))
		},
		"mysql": func(t *testing.T) (primary, replica *dbservers.Server) {
			t.Helper()
			primary = dbtest.Keep(t)(dbservers.StartMariaDBPrimary(t.Context()))
			return primary, dbtest.Keep(t)(dbservers.StartMariaDBReplica(t.Context(), primary, 2))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary, replica := start(t)
			create := map[string]string{"postgres": "CREATE DATABASE ahead TEMPLATE template0", "mysql": "CREATE DATABASE ahead CHARACTER SET utf8mb4"}[name]
			if err := primary.Execute(t.Context(), create); err != nil {
				t.Fatal(err)
			}
			o := options(named(t, primary, "ahead"))
			o.MaxConnections = 16
			db, other := open(t, o), open(t, o)
			if _, err := db.MigrateUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			write(t, db, "CREATE TABLE things (n int NOT NULL)", "INSERT INTO things (n) VALUES (0)")
			settings := database.ReplicaOptions{URLs: []string{named(t, replica, "ahead")}, MaxStaleness: time.Hour, Wait: 10 * time.Second}
			if err := db.UseReplicas(t.Context(), settings); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() error {
				if out := db.Replication().Replicas[0].Out; out != "" {
					return fmt.Errorf("the replica is left out: %s", out)
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
			ahead := s.Position(t.Context())
			ahead.Number += 1 << 20
			ahead = consistency.Ahead(ahead)
			const writes, readers = 20, 8
			for n := 1; n <= writes; n++ {
				write(t, other, fmt.Sprintf("UPDATE things SET n = %d", n))
				var reading sync.WaitGroup
				for i := range readers {
					reading.Go(func() {
						s := db.ReadSession([]database.Mode{database.Single, database.Snapshot}[i%2], ahead)
						defer s.Rollback()
						if got, err := number(t.Context(), s, "SELECT n FROM things"); got != n || err != nil {
							t.Errorf("got %d, %v, want %d", got, err, n)
						}
					})
				}
				reading.Wait()
			}
			if got := db.Replication(); got.Replicas[0].Reads < writes*readers/2 {
				t.Errorf("got %+v, want most of %d reads on the replica", got, writes*readers)
			}
		})
	}
}

// named returns the URL of a database on a server.
func named(t *testing.T, s *dbservers.Server, name string) string {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal("a URL is malformed")
	}
	u.Path = "/" + name
	return u.String()
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
