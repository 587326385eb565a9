package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/dbtest/servers"
	"roster/internal/feed"
	"roster/internal/typeid"
)

const (
	fleetPause  = 100 * time.Millisecond // between two single mutations, on average
	numberFew   = 20                     // changes that get their numbers together under load
	numberMany  = 10_000                 // changes that get their numbers together after an import
	numberParts = 10                     // of both kinds
)

// A fleet is several servers on one database, on a database server of its own that counts statements.
type fleet struct {
	*bench

	out    io.Writer
	engine string
	admin  *sql.DB
}

// measureServers measures what several servers on one database cost, how soon subscribers of one get the changes of another, and
// what a replica answers.
func measureServers(ctx context.Context, s settings, _ func(string) string, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "roster-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := build(ctx, dir); err != nil {
		return err
	}
	for _, engine := range s.engines {
		if engine == sqlite { // its servers share one machine
			continue
		}
		if err := measureFleet(ctx, engine, dir, s, stdout, stderr); err != nil {
			return fmt.Errorf("%s: %w", engine, err)
		}
		if err := measureReplica(ctx, engine, dir, s, stdout, stderr); err != nil {
			return fmt.Errorf("a replica of %s: %w", engine, err)
		}
	}
	return nil
}

func measureFleet(ctx context.Context, engine, dir string, s settings, out, stderr io.Writer) (err error) {
	start, variable, settings := servers.StartPostgres, servers.PostgresVariable, []string{"shared_preload_libraries=pg_stat_statements", "shared_buffers=128MB"}
	if engine == mysql {
		start, variable, settings = servers.StartMariaDB, servers.MySQLVariable, []string{"--innodb-buffer-pool-size=128M"}
	}
	running, err := start(ctx, settings...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.Stop()) }()
	st, err := newStore(ctx, engine, dir, s, func(name string) string {
		if name == variable {
			return running.URL()
		}
		return ""
	})
	if err != nil {
		return err
	}
	f := &fleet{bench: &bench{settings: s, store: st}, out: out, engine: engine}
	defer func() {
		for _, p := range f.programs {
			err = errors.Join(err, p.stop())
		}
		err = errors.Join(err, st.Close())
	}()
	if f.admin, err = servers.Open(running.URL()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.admin.Close()) }()
	if f.databaseServer, err = st.serverProcess(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%v: %d servers on one database\n", st, s.servers)
	if err := f.numbering(ctx); err != nil {
		return err
	}
	if err := f.startServers(ctx, dir, stderr); err != nil {
		return err
	}
	return f.report(ctx)
}

// startServers starts the servers. All of them accept the same tokens.
func (f *fleet) startServers(ctx context.Context, dir string, stderr io.Writer) error {
	if f.engine == postgres {
		if _, err := f.admin.ExecContext(ctx, "CREATE EXTENSION pg_stat_statements"); err != nil {
			return err
		}
	}
	return f.startRoster(ctx, dir, stderr, make([][]string, f.servers)...)
}

// report prints the figures of the servers.
func (f *fleet) report(ctx context.Context) error {
	create := newWorkloads(f.users, "", typeid.ID{})[3]
	create.roster = f.authorised(create)
	fmt.Fprintf(f.out, "%-44s%14s%12s%12s%12s%12s%12s\n", "all servers together, for each", "statements", "in a second", "CPU ms", "database ms", "p50 ms", "p99 ms")
	for _, subscribers := range []bool{false, true} {
		what := "no subscriber"
		var follow *watch
		if subscribers {
			what = "a subscriber on each"
			var err error
			if follow, err = f.watch(ctx); err != nil {
				return err
			}
		}
		err := f.idle(ctx, "second without requests, "+what)
		if err == nil {
			err = f.single(ctx, create, follow, "mutation with pauses, "+what)
		}
		if err == nil {
			err = f.load(ctx, create, follow, "mutation under load, "+what)
		}
		if follow != nil {
			follow.stop()
		}
		if err != nil {
			return err
		}
	}
	return f.memory(ctx)
}

// cost is what has been spent until now.
type cost struct {
	statements       int64
	server, database time.Duration
	at               time.Time
}

func (f *fleet) cost(ctx context.Context) (c cost, err error) {
	query := "SELECT CAST(variable_value AS INT) FROM information_schema.global_status WHERE variable_name = 'QUESTIONS'"
	if f.engine == postgres {
		query = "SELECT COALESCE(sum(calls), 0) FROM pg_stat_statements WHERE dbid <> (SELECT oid FROM pg_database WHERE datname = current_database())"
	}
	c.at = time.Now()
	if err := f.admin.QueryRowContext(ctx, query).Scan(&c.statements); err != nil {
		return c, err
	}
	for _, p := range f.programs {
		c.server += processTime(p.ID())
	}
	c.database = familyTime(f.databaseServer)
	return c, nil
}

// since prints the cost since an earlier one for each of n.
func (f *fleet) since(ctx context.Context, before cost, n float64, what string, delays latencies) error {
	after, err := f.cost(ctx)
	if err != nil {
		return err
	}
	statements := float64(after.statements - before.statements)
	if f.engine == mysql {
		statements-- // the one that counts
	}
	p50, p99 := "", ""
	if slices.Sort(delays); len(delays) > 0 {
		p50, p99 = decimal(1, milliseconds(delays.at(0.5))), decimal(1, milliseconds(delays.at(0.99)))
	}
	fmt.Fprintf(f.out, "%-44s%14s%12s%12s%12s%12s%12s\n", what, decimal(2, statements/n), decimal(0, n/after.at.Sub(before.at).Seconds()),
		decimal(3, milliseconds(after.server-before.server)/n), decimal(3, milliseconds(after.database-before.database)/n), p50, p99)
	return nil
}

// idle waits, and prints what the servers did meanwhile.
func (f *fleet) idle(ctx context.Context, what string) error {
	if err := wait(ctx, f.settings.idle/4); err != nil { // the servers are at rest by then
		return err
	}
	before, err := f.cost(ctx)
	if err != nil {
		return err
	}
	if err := wait(ctx, f.settings.idle); err != nil {
		return err
	}
	return f.since(ctx, before, f.settings.idle.Seconds(), what, nil)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// single makes mutations one after the other, each on the next server, with pauses between them.
func (f *fleet) single(ctx context.Context, create workload, follow *watch, what string) error {
	commits := max(f.requests/100, 2)
	before, err := f.cost(ctx)
	if err != nil {
		return err
	}
	for i := range commits {
		l := load{n: 1, connections: 1, request: asks(create, create.roster), check: follow.answered(create.check)}
		if _, err := l.drive(ctx, f.programs[i%len(f.programs)].address); err != nil {
			return err
		}
		if err := wait(ctx, time.Duration(mathrand.Int64N(int64(2*fleetPause)))); err != nil { //nolint:gosec // any pause will do
			return err
		}
	}
	delays, err := follow.delays()
	if err != nil {
		return err
	}
	return f.since(ctx, before, float64(commits), what, delays)
}

// load makes mutations on all servers at the same time.
func (f *fleet) load(ctx context.Context, create workload, follow *watch, what string) error {
	before, err := f.cost(ctx)
	if err != nil {
		return err
	}
	each := max(f.requests/create.part/len(f.programs), 1)
	clients, running := errgroup.WithContext(ctx)
	for _, p := range f.programs {
		clients.Go(func() error {
			l := load{
				n: each, connections: max(f.connections/len(f.programs), 1),
				request: asks(create, create.roster), check: follow.answered(create.check),
			}
			_, err := l.drive(running, p.address)
			return err
		})
	}
	if err := clients.Wait(); err != nil {
		return err
	}
	delays, err := follow.delays()
	if err != nil {
		return err
	}
	return f.since(ctx, before, float64(each*len(f.programs)), what, delays)
}

// memory prints the connections, and the memory of servers and of connections.
func (f *fleet) memory(ctx context.Context) error {
	var most, sum int64
	for _, p := range f.programs {
		peak := peakMemory(p.ID())
		most, sum = max(most, peak), sum+peak
	}
	fmt.Fprintf(f.out, "peak memory of a server: %d MiB, at most %d\n", sum/int64(len(f.programs))>>20, most>>20)
	if f.engine != postgres {
		var n int
		if err := f.admin.QueryRowContext(ctx, "SELECT count(*) FROM information_schema.processlist").Scan(&n); err != nil {
			return err
		}
		fmt.Fprintf(f.out, "open connections: %d\n", n-2) // of this process
		return nil
	}
	rows, err := f.admin.QueryContext(ctx, "SELECT pid FROM pg_stat_activity WHERE datname <> current_database()")
	if err != nil {
		return err
	}
	defer rows.Close()
	n, private := int64(0), int64(0)
	for rows.Next() {
		var pid int
		if err := rows.Scan(&pid); err != nil {
			return err
		}
		n, private = n+1, private+privateMemory(pid)
	}
	fmt.Fprintf(f.out, "open connections: %d, with %.1f MiB of their own in PostgreSQL each\n", n, float64(private)/float64(max(n, 1))/(1<<20))
	return rows.Err()
}

// privateMemory returns the memory that a process shares with no other, in bytes, or 0 if it is unknown.
func privateMemory(pid int) (total int64) {
	rollup, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
	if err != nil {
		return 0
	}
	for _, name := range []string{"Private_Clean:", "Private_Dirty:"} {
		_, after, _ := bytes.Cut(rollup, []byte(name))
		var kibibytes int64
		_, _ = fmt.Sscan(string(after), &kibibytes)
		total += kibibytes << 10
	}
	return total
}

// numbering prints how many changes get their numbers in a second: in small batches as under load, and in large ones as after an
// import.
func (f *fleet) numbering(ctx context.Context) error {
	for _, size := range []int{numberFew, numberMany} {
		parts := numberParts
		if size == numberFew {
			parts *= numberParts
		}
		took, spent := time.Duration(0), time.Duration(0)
		for range parts {
			if err := f.write(ctx, size); err != nil {
				return err
			}
			database, began := familyTime(f.databaseServer), time.Now()
			if err := feed.Number(ctx, f.store.DB); err != nil {
				return err
			}
			took, spent = took+time.Since(began), spent+familyTime(f.databaseServer)-database
		}
		n := parts * size
		fmt.Fprintf(f.out, "numbers for changes, %d together: %s in a second, %s ms of the database each\n", size,
			decimal(0, float64(n)/took.Seconds()), decimal(4, milliseconds(spent)/float64(n)))
	}
	return nil
}

// write commits changes without numbers.
func (f *fleet) write(ctx context.Context, n int) error {
	tx := f.store.Session(database.Write)
	defer tx.Rollback()
	changes := make([]feed.Change, n)
	for i := range changes {
		changes[i] = feed.Change{NodeID: typeid.New(user.Label, uuid.New()), Kind: feed.Updated, Version: 2, Fields: []string{"email"}, At: time.Now()}
	}
	if err := feed.Write(ctx, tx, changes); err != nil {
		return err
	}
	return tx.Commit()
}

// watch is a subscriber on each server, with the times of the mutations. A nil watch has none.
type watch struct {
	followers []*followers
	mu        sync.Mutex
	answers   map[string]time.Time // by the name of the user
}

func (f *fleet) watch(ctx context.Context) (*watch, error) {
	w := &watch{answers: map[string]time.Time{}}
	for _, p := range f.programs {
		one, err := newFollowers(ctx, p.address, f.tokens.admin, 1)
		if err != nil {
			w.stop()
			return nil, err
		}
		w.followers = append(w.followers, one)
	}
	return w, nil
}

func (w *watch) stop() {
	for _, f := range w.followers {
		f.stop()
	}
}

// answered returns a check of answers that notes their times.
func (w *watch) answered(check func(key string, status int, body []byte) error) func(key string, status int, body []byte) error {
	if w == nil {
		return check
	}
	return func(key string, status int, body []byte) error {
		if status == http.StatusOK {
			w.mu.Lock()
			w.answers[key] = time.Now()
			w.mu.Unlock()
		}
		return check(key, status, body)
	}
}

// delays returns the times from the answer of each mutation until each subscriber had its change, and forgets the mutations.
func (w *watch) delays() (delays latencies, err error) {
	if w == nil {
		return nil, nil
	}
	for _, f := range w.followers {
		for range w.answers {
			select {
			case a, ok := <-f.arrivals:
				if !ok {
					return nil, errors.New("a subscription has ended")
				}
				answered, ok := w.answers[a.username]
				if !ok {
					return nil, fmt.Errorf("a change of %q comes, which is none of these mutations", a.username)
				}
				delays = append(delays, max(a.at.Sub(answered), 0))
			case <-time.After(answerLimit):
				return nil, errors.New("a change does not come")
			}
		}
	}
	clear(w.answers)
	return delays, nil
}
