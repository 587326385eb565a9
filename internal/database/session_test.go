package database_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	entsql "entgo.io/ent/dialect/sql"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// eachMode runs f in each engine and mode.
func eachMode(t *testing.T, f func(t *testing.T, e dbtest.Engine, mode database.Mode)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		for name, mode := range map[string]database.Mode{
			"single": database.Single, "snapshot": database.Snapshot, "write": database.Write,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f(t, e, mode)
			})
		}
	})
}

// journal has lines in the order of their events. Safe for concurrent use.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// taken returns the lines and forgets them.
func (j *journal) taken() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

func TestSessionBeginsLazily(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, e dbtest.Engine, mode database.Mode) {
		var seen journal
		db := things(t, e, func(o *database.Options) { o.Observe = seen.note })
		seen.taken()

		for end, f := range map[string]func(*database.Session) error{
			"commit":   (*database.Session).Commit,
			"rollback": func(s *database.Session) error { s.Rollback(); return nil },
		} {
			s := db.Session(mode)
			if err := db.Leaked(); err != nil {
				t.Errorf("before the first statement: got %v, want all connections free", err)
			}
			err := f(s)
			if sent := seen.taken(); err != nil || len(sent) > 0 {
				t.Errorf("%s of nothing: got %v and the statements %q, want neither", end, err, sent)
			}
		}

		const statement = "SELECT count(*) FROM things"
		s := db.Session(mode)
		if n, err := number(t.Context(), s, statement); n != 3 || err != nil {
			t.Errorf("got %d, %v, want 3", n, err)
		}
		if held := db.Leaked() != nil; held != (mode != database.Single) {
			t.Errorf("the session keeps its connection: got %t, want %t", held, !held)
		}
		if err := s.Commit(); err != nil {
			t.Error(err)
		}
		if got := seen.taken(); !slices.Equal(got, []string{statement}) {
			t.Errorf("got the statements %q, want %q", got, statement)
		}
	})
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, e dbtest.Engine, mode database.Mode) {
		db := things(t, e)
		for end, f := range map[string]func(*database.Session) error{
			"commit":   (*database.Session).Commit,
			"rollback": func(s *database.Session) error { s.Rollback(); return nil },
		} {
			s := db.Session(mode)
			if _, err := number(t.Context(), s, "SELECT 1"); err != nil {
				t.Error(err)
			}
			if err := f(s); err != nil {
				t.Errorf("%s: got %v, want no error", end, err)
			}
			s.Rollback()
			_, queryErr := number(t.Context(), s, "SELECT 1")
			for what, err := range map[string]error{
				"commit": s.Commit(), "query": queryErr, "exec": run(t.Context(), s, "UPDATE things SET n = 1"),
			} {
				failure := database.AsFailure(err)
				if failure == nil || failure.Kind != database.Other || !strings.Contains(err.Error(), "the session has ended") {
					t.Errorf("%s after %s: got %v, want the end of the session", what, end, err)
				}
			}
			s.Rollback()
		}
		if got := texts(t, db, "SELECT sum(n) FROM things"); !slices.Equal(got, []string{"0"}) {
			t.Errorf("the sum of n: got %v, want 0", got)
		}
	})
}

func TestSessionCommitsAndRollsBack(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := things(t, e)
		for _, c := range []struct {
			commits bool
			want    string
		}{{false, "0"}, {true, "6"}} {
			s := db.Session(database.Write)
			for id := range 3 {
				if err := run(t.Context(), s, "UPDATE things SET n = ? WHERE id = ?", id+1, id+1); err != nil {
					t.Fatal(err)
				}
			}
			if n, err := number(t.Context(), s, "SELECT sum(n) FROM things"); n != 6 || err != nil {
				t.Errorf("the sum in the session: got %d, %v, want 6", n, err)
			}
			if c.commits {
				if err := s.Commit(); err != nil {
					t.Error(err)
				}
			}
			s.Rollback()
			if got := texts(t, db, "SELECT sum(n) FROM things"); got[0] != c.want {
				t.Errorf("the sum, committed: %t: got %v, want %s", c.commits, got, c.want)
			}
		}
	})
}

// TestSessionTakesTurns lets a statement wait for the rows of another one, and not longer.
func TestSessionTakesTurns(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		for name, mode := range map[string]database.Mode{"snapshot": database.Snapshot, "write": database.Write} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var seen journal
				db := things(t, e, func(o *database.Options) { o.Observe = seen.note })
				seen.taken()
				s := db.Session(mode)
				defer s.Rollback()
				rows, err := query(t.Context(), s, "SELECT id FROM things")
				if err != nil {
					t.Fatal(err)
				}
				if !rows.Next() {
					t.Fatalf("got no row, %v, want one", rows.Err())
				}
				var other sync.WaitGroup
				other.Go(func() {
					if n, err := number(t.Context(), s, "SELECT count(*) FROM things"); n != 3 || err != nil {
						t.Errorf("got %d, %v, want 3", n, err)
					}
				})
				for rows.Next() {
					seen.note("row")
				}
				seen.note("end")
				if err := errors.Join(rows.Err(), rows.Close(), rows.Close()); err != nil {
					t.Error(err)
				}
				other.Wait()
				// The rows end with the last call of Next, before "end" is noted.
				got := slices.DeleteFunc(seen.taken(), func(line string) bool { return line == "end" })
				want := []string{"SELECT id FROM things", "row", "row", "SELECT count(*) FROM things"}
				if !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	})
}

// TestSessionIsSafe runs many statements at the same time, mainly for the race detector.
func TestSessionIsSafe(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, e dbtest.Engine, mode database.Mode) {
		db := things(t, e)
		s := db.Session(mode)
		defer s.Rollback()
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				statement := fmt.Sprintf("SELECT count(*) + %d FROM things WHERE id > ?", i%5)
				if n, err := number(t.Context(), s, statement, 1); n != 2+i%5 || err != nil {
					t.Errorf("got %d, %v, want %d", n, err, 2+i%5)
				}
				if mode == database.Write {
					if err := run(t.Context(), s, "UPDATE things SET n = n + ?", 1); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if err := s.Commit(); err != nil {
			t.Error(err)
		}
		if s.Failure() != nil {
			t.Errorf("got the failure %v, want none", s.Failure())
		}
		want := "0"
		if mode == database.Write {
			want = "48"
		}
		if got := texts(t, db, "SELECT sum(n) FROM things"); got[0] != want {
			t.Errorf("the sum of n: got %v, want %s", got, want)
		}
	})
}

// TestSessionRowsLeftOpen never closes rows. Nothing waits for them after the end of their context.
func TestSessionRowsLeftOpen(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, e dbtest.Engine, mode database.Mode) {
		t.Run("until the context ends", func(t *testing.T) {
			t.Parallel()
			db := things(t, e)
			ctx, cancel := context.WithCancel(t.Context())
			s := db.Session(mode)
			if _, err := query(ctx, s, "SELECT id FROM things WHERE id > ?", 0); err != nil {
				t.Fatal(err)
			}
			var ended sync.WaitGroup
			ended.Go(s.Rollback)
			cancel()
			ended.Wait()
			eventually(t, db.Leaked) // what ends with a context ends a little later
		})
		t.Run("until the statement is out of time", func(t *testing.T) {
			t.Parallel()
			db := things(t, e, func(o *database.Options) { o.StatementTimeout = time.Second })
			s := db.Session(mode)
			if _, err := query(t.Context(), s, "SELECT id FROM things WHERE id > ?", 0); err != nil {
				t.Fatal(err)
			}
			_, err := number(t.Context(), s, "SELECT 1") // on MySQL the connection has gone with the rows
			if f := database.AsFailure(err); err != nil && (f == nil || f.Kind != database.Timeout && f.Kind != database.Lost) {
				t.Errorf("got %v, want no error, or Timeout or Lost", err)
			}
			s.Rollback()
			eventually(t, db.Leaked) // what ends with a context ends a little later
		})
	})
}

// eventually waits until f succeeds.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-ticker.C {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestSnapshot reads before and after the commit of another.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := things(t, e)
		s := db.Session(database.Snapshot)
		defer s.Rollback()
		for _, want := range []int{3, 3} {
			if n, err := number(t.Context(), s, "SELECT count(*) FROM things"); n != want || err != nil {
				t.Errorf("things in the snapshot: got %d, %v, want %d", n, err, want)
			}
			write(t, db, fmt.Sprintf("INSERT INTO things (id, n) VALUES (%d, 0)", time.Now().UnixNano()%1e9+10))
		}
		if got := texts(t, db, "SELECT count(*) FROM things"); got[0] != "5" {
			t.Errorf("things: got %v, want 5", got)
		}
		if err := s.Commit(); err != nil {
			t.Error(err)
		}
	})
}

// TestSnapshotOnlyReads writes in a session that only reads.
func TestSnapshotOnlyReads(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := things(t, e)
		modes := []database.Mode{database.Snapshot}
		if e == dbtest.SQLite {
			modes = append(modes, database.Single) // its connections only read
		}
		for _, mode := range modes {
			s := db.Session(mode)
			err := run(t.Context(), s, "UPDATE things SET n = 1")
			if f := database.AsFailure(err); f == nil || f.Kind != database.Other || f != s.Failure() {
				t.Errorf("got %v, want the failure of the session, of kind Other", err)
			}
			s.Rollback()
		}
		if got := texts(t, db, "SELECT sum(n) FROM things"); got[0] != "0" {
			t.Errorf("the sum of n: got %v, want 0", got)
		}
	})
}

// TestWriteIsReadCommitted reads what others commit meanwhile. SQLite has one writer, which sees all.
func TestWriteIsReadCommitted(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			db := things(t, e)
			s := db.Session(database.Write)
			defer s.Rollback()
			for want := 3; want < 5; want++ {
				if n, err := number(t.Context(), s, "SELECT count(*) FROM things"); n != want || err != nil {
					t.Errorf("there are %d things, want %d, %v", n, want, err)
				}
				write(t, db, fmt.Sprintf("INSERT INTO things (id, n) VALUES (%d, 0)", want+1))
			}
		})
	}
}

func TestPoolIsBounded(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := things(t, e, func(o *database.Options) { o.MaxConnections, o.PoolWait = 3, time.Millisecond })
		for _, mode := range []database.Mode{database.Snapshot, database.Write} {
			size := 3
			if e == dbtest.SQLite && mode == database.Write {
				size = 1
			}
			var holders []*database.Session
			for range size {
				s := db.Session(mode)
				if _, err := number(t.Context(), s, "SELECT count(*) FROM things"); err != nil {
					t.Fatal(err)
				}
				holders = append(holders, s)
			}
			late := db.Session(mode)
			_, err := number(t.Context(), late, "SELECT 1")
			if f := database.AsFailure(err); f == nil || f.Kind != database.Busy || late.Failure() != f {
				t.Errorf("got %v, want the failure of the session, of kind Busy", err)
			}
			late.Rollback()
			if mode == database.Snapshot {
				_, err := number(t.Context(), db.Session(database.Single), "SELECT 1")
				if f := database.AsFailure(err); f == nil || f.Kind != database.Busy {
					t.Errorf("got %v, want a failure of kind Busy", err)
				}
			}
			if err := db.Ping(t.Context()); err != nil {
				t.Errorf("ping of a busy database: got %v, want no error", err)
			}
			for _, s := range holders {
				s.Rollback()
			}
			if err := db.Leaked(); err != nil {
				t.Error(err)
			}
		}
		for _, p := range db.Pools() { // one operation of each mode has waited in vain, and one more without a transaction
			want := database.PoolStats{Name: "write", Max: 3, Idle: p.Idle, Waits: 3, Timeouts: 3, Waited: p.Waited}
			switch {
			case e == dbtest.SQLite && p.Name == "write":
				want.Max, want.Waits, want.Timeouts = 1, 1, 1
			case e == dbtest.SQLite:
				want.Name, want.Waits, want.Timeouts = "read", 2, 2
			}
			if p != want || p.Waited < time.Duration(p.Waits)*time.Millisecond || p.Idle == 0 {
				t.Errorf("got %+v, want %+v, and the time of the waits", p, want)
			}
		}
	})
}

func TestPoolWaitEndsWithContext(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := things(t, e, func(o *database.Options) { o.MaxConnections, o.PoolWait = 1, time.Hour })
		holder := db.Session(database.Write)
		defer holder.Rollback()
		if _, err := number(t.Context(), holder, "SELECT count(*) FROM things"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var waiters sync.WaitGroup
		for range 4 {
			waiters.Go(func() {
				s := db.Session(database.Write)
				defer s.Rollback()
				_, err := number(ctx, s, "SELECT 1")
				if f := database.AsFailure(err); f == nil || f.Kind != database.Timeout || !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		for waiting := int64(0); waiting < 4; { // all wait, on the pool that writes
			waiting = db.Pools()[0].Waiting
			if ctx.Err() != nil {
				t.Fatal(ctx.Err())
			}
			<-time.After(time.Millisecond)
		}
		if p := db.Pools()[0]; p.Used != 1 {
			t.Errorf("got %d used connections, want that of the holder", p.Used)
		}
		cancel()
		waiters.Wait()
		if p := db.Pools()[0]; p.Waiting != 0 || p.Waits != 4 || p.Timeouts != 0 {
			t.Errorf("got %+v, want 4 waits that have ended before their time", p)
		}
	})
}

// TestRowsCutOff ends the context of a statement before the last of its rows. The rows return an error, not their end.
func TestRowsCutOff(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, e dbtest.Engine, mode database.Mode) {
		db := things(t, e, func(o *database.Options) { o.MaxConnections = 1 })
		for range 20 {
			s := db.Session(mode)
			ctx, cancel := context.WithCancel(t.Context())
			rows := new(entsql.Rows)
			if err := s.Query(ctx, "SELECT id FROM things", []any{}, rows); err != nil {
				t.Fatal(err)
			}
			if !rows.Next() {
				t.Fatalf("got no row, %v, want one", rows.Err())
			}
			cancel()
			next := s
			if mode == database.Single {
				next = db.Session(mode)
			}
			_, _ = number(t.Context(), next, "SELECT 1") // when it has its turn, the rows are closed
			var id int
			_, columns := rows.Columns()
			scanned, more, err := rows.Scan(&id), rows.Next(), rows.Err()
			for _, err := range []error{columns, scanned, err} {
				if f := database.AsFailure(err); more || f == nil || f.Kind != database.Timeout || !errors.Is(err, context.Canceled) {
					t.Errorf("got another row: %t, and %v, want none, and a canceled Timeout", more, err)
				}
			}
			if f := s.Failure(); f == nil || f.Kind != database.Timeout {
				t.Errorf("got the failure %v, want one of kind Timeout", f)
			}
			_ = rows.Close()
			s.Rollback()
		}
	})
}

// TestPoolIsHandedOn has more sessions than connections. All sessions succeed.
func TestPoolIsHandedOn(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, e dbtest.Engine, mode database.Mode) {
		db := things(t, e)
		var all sync.WaitGroup
		for range 24 {
			all.Go(func() {
				s := db.Session(mode)
				defer s.Rollback()
				if n, err := number(t.Context(), s, "SELECT count(*) FROM things WHERE id > ?", 0); n != 3 || err != nil {
					t.Errorf("got %d, %v, want 3", n, err)
				}
				if err := s.Commit(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}
