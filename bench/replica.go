package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"roster/internal/database"
	"roster/internal/dbtest/servers"
	"roster/internal/typeid"
)

const (
	catchUpPause = 100 * time.Millisecond
	catchUpLimit = time.Minute
	// idleCPU is the CPU that a database server may take while another one answers.
	idleCPU = 200 * time.Millisecond
)

// A reader is a server of Roster, and the process of the database server that answers its queries.
type reader struct {
	program *program
	process int
}

// measureReplica prints how many reads a replica answers, in shares of those of its primary. Both run on this machine, and take
// turns.
func measureReplica(ctx context.Context, engine, dir string, s settings, out, stderr io.Writer) (err error) {
	start, follow := servers.StartPostgresPrimary, func(ctx context.Context, primary *servers.Server) (*servers.Server, error) {
		return servers.StartPostgresStandby(ctx, primary, "replica")
	}
	if engine == mysql {
		start, follow = servers.StartMariaDBPrimary, func(ctx context.Context, primary *servers.Server) (*servers.Server, error) {
			return servers.StartMariaDBReplica(ctx, primary, 2)
		}
	}
	primary, err := start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, primary.Stop()) }()
	replica, err := follow(ctx, primary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, replica.Stop()) }()
	st, err := newStore(ctx, engine, dir, s, func(string) string { return primary.URL() })
	if err != nil {
		return err
	}
	b := &bench{settings: s, store: st}
	defer func() {
		for _, p := range b.programs {
			err = errors.Join(err, p.stop())
		}
		err = errors.Join(err, st.Close())
	}()
	address, err := url.Parse(st.url)
	if err != nil {
		return err
	}
	address.Host = replica.Addr()
	copied, err := st.copied(ctx, address.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, copied.DB.Close()) }()
	var readers [2]reader // of the replica, and of the primary
	// The last one creates the callers, and reads them at once.
	if err := b.startRoster(ctx, dir, stderr, []string{"DATABASE_REPLICA_URLS=" + address.String()}, nil); err != nil {
		return err
	}
	for i, of := range []*store{copied, st} {
		readers[i].program = b.programs[i]
		if readers[i].process, err = of.serverProcess(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\n%v: reads of a replica, in shares of those of its primary\n%-32s%14s%20s\n", st, "", "in a second", "CPU of the database")
	for _, w := range newWorkloads(s.users, "", typeid.ID{})[:3] {
		if err := b.compareReaders(ctx, w, readers, out); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// copied opens the store on a replica, as soon as it has all that has been written.
func (st *store) copied(ctx context.Context, address string) (*store, error) {
	last := st.Session(database.Write)
	defer last.Rollback()
	if err := errors.Join(last.Exec(ctx, "CREATE TABLE last_of_all (n int)", []any{}, nil), last.Commit()); err != nil {
		return nil, err
	}
	for began := time.Now(); ; {
		db, err := database.Open(ctx, database.Options{
			URL: address, MaxConnections: 1, PoolWait: fillTimeout, ConnectTimeout: fillTimeout, StatementTimeout: fillTimeout,
		})
		if err == nil {
			copied := &store{DB: db, url: address, users: st.users}
			if _, err = copied.text(ctx, "SELECT count(*) FROM last_of_all"); err == nil {
				return copied, nil
			}
			err = errors.Join(err, db.Close())
		}
		if time.Since(began) > catchUpLimit {
			return nil, errors.Join(errors.New("the replica does not catch up"), err)
		}
		if err := wait(ctx, catchUpPause); err != nil {
			return nil, err
		}
	}
}

// compareReaders lets the servers take turns with a workload.
func (b *bench) compareReaders(ctx context.Context, w workload, readers [2]reader, out io.Writer) error {
	var all [2][]figures
	for range b.settings.rounds {
		for i, r := range readers {
			other := readers[1-i].process
			b.roster, b.databaseServer = r.program, r.process
			before := familyTime(other)
			f, err := b.run(ctx, w, r.program, b.authorised(w))
			if err != nil {
				return err
			}
			took, n := familyTime(other)-before, time.Duration(max(b.requests/w.part, 1))
			if took > idleCPU+n*max(f.database, 0) {
				return fmt.Errorf("the other database server took %v of CPU, and this one %v for each of %d requests: the other one has answered", took, f.database, n)
			}
			all[i] = append(all[i], f)
		}
	}
	fmt.Fprintf(out, "%-32s%14s%20s\n", w.name+" "+w.title, decimal(2, ratio(all[0], all[1], rate)),
		decimal(2, ratio(all[0], all[1], func(f figures) float64 { return float64(f.database) })))
	return nil
}
