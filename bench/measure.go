package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"roster/ent"
	"roster/internal/database"
)

// measure does what the settings ask for, engine by engine.
func measure(ctx context.Context, s settings, getenv func(string) string, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "roster-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := build(ctx, dir); err != nil {
		return err
	}
	for _, engine := range s.engines {
		if err := measureEngine(ctx, engine, dir, s, getenv, stdout, stderr); err != nil {
			return fmt.Errorf("%s: %w", engine, err)
		}
	}
	return nil
}

func measureEngine(
	ctx context.Context, engine, dir string, s settings, getenv func(string) string, stdout, stderr io.Writer,
) (err error) {
	started := time.Now()
	st, err := newStore(ctx, engine, dir, s, getenv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	all, err := newWorkloads(ctx, st)
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(all, func(w workload) bool { return !slices.Contains(s.workloads, w.name) })
	fmt.Fprintf(stdout, "\n%v: %d users with %d posts each, made in %.1f s; %d connections\n",
		st, st.users, postsPerUser, time.Since(started).Seconds(), s.connections)
	if s.profiles != "" {
		for _, w := range chosen {
			if err := profile(ctx, st, w, s, engine); err != nil {
				return err
			}
		}
		return nil
	}

	b := &bench{settings: s, store: st}
	if b.databaseServer, err = st.serverProcess(ctx); err != nil {
		return err
	}
	programs := []string{roster}
	if engine == postgres {
		programs = append(programs, floor)
	}
	for _, name := range programs {
		p, err := start(ctx, dir, name, st.url, stderr)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.stop()) }()
		b.programs = append(b.programs, p)
	}
	return b.report(ctx, chosen, stdout)
}

// A bench is the programs that run on one store; the floor, where there is one, after Roster.
type bench struct {
	settings

	store          *store
	programs       []*program
	databaseServer int // its process, or 0
}

// figures are what one program did under one workload.
type figures struct {
	perSecond        float64
	latencies        latencies
	server, database time.Duration // CPU of a request, or unknown
}

// cpu is that of the server and of the database together, where both are known.
func (f figures) cpu() float64 { return milliseconds(f.server + max(f.database, 0)) }

// report measures the workloads and prints a table.
func (b *bench) report(ctx context.Context, workloads []workload, out io.Writer) error {
	handler := newHandler(b.store)
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "workload\tof\trequests/s\tp50 ms\tp99 ms\tCPU ms: server\tdatabase\tstatements\trequests/s to floor's\tCPU to floor's\t")
	for _, w := range workloads {
		statements, err := b.store.count(func() error { return ask(ctx, handler, w, 0) })
		if err != nil {
			return err
		}
		if err := b.equal(ctx, w); err != nil {
			return err
		}
		results := make([]figures, len(b.programs))
		for i, p := range b.programs {
			request := w.roster
			if i > 0 {
				request = w.floor
			}
			if results[i], err = b.run(ctx, w, p, request); err != nil {
				return err
			}
		}
		for i, r := range results {
			name, count, rate, cpu := w.name+" "+w.title+"\t"+roster, fmt.Sprint(statements), "", ""
			if i > 0 {
				name, count = "\t"+floor, ""
			} else if len(results) > 1 {
				rate = fmt.Sprintf("%.2f", r.perSecond/results[1].perSecond)
				cpu = fmt.Sprintf("%.2f", r.cpu()/results[1].cpu())
			}
			fmt.Fprintf(table, "%s\t%.0f\t%.2f\t%.2f\t%s\t%s\t%s\t%s\t%s\t\n", name, r.perSecond,
				milliseconds(r.latencies.at(0.5)), milliseconds(r.latencies.at(0.99)), cell(r.server), cell(r.database), count, rate, cpu)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if i := slices.IndexFunc(workloads, func(w workload) bool { return w.name == "W3" }); i >= 0 {
		return compareW3(ctx, b.store, handler, workloads[i], out)
	}
	return nil
}

// equal checks that the floor gives the same answer as Roster, byte by byte.
func (b *bench) equal(ctx context.Context, w workload) error {
	if w.writes || len(b.programs) < 2 {
		return nil
	}
	var answers [2][]byte
	for i, request := range []func(string) request{w.roster, w.floor} {
		l := load{n: 1, connections: 1, request: asks(w, request), check: func(key string, status int, body []byte) error {
			answers[i] = bytes.Clone(body)
			return w.check(key, status, body)
		}}
		if _, err := l.drive(ctx, b.programs[i].address); err != nil {
			return err
		}
	}
	if !bytes.Equal(answers[0], answers[1]) {
		return fmt.Errorf("%s: the floor answers %.500s instead of %.500s", w.name, answers[1], answers[0])
	}
	return nil
}

// asks makes requests of a workload in one of its languages.
func asks(w workload, language func(string) request) func(i int) (request, string) {
	return func(i int) (request, string) {
		key := w.key(i)
		return language(key), key
	}
}

// run drives a program: first a tenth of the requests as a warm-up, then all of them.
func (b *bench) run(ctx context.Context, w workload, p *program, language func(string) request) (figures, error) {
	l := load{n: max(b.requests/w.part/10, 2*b.connections), connections: b.connections, request: asks(w, language), check: w.check}
	if _, err := l.drive(ctx, p.address); err != nil {
		return figures{}, err
	}
	rows, err := b.users(ctx)
	if err != nil {
		return figures{}, err
	}
	l.n = max(b.requests/w.part, 1)
	server, database, start := processTime(p.ID()), familyTime(b.databaseServer), time.Now()
	times, err := l.drive(ctx, p.address)
	if err != nil {
		return figures{}, err
	}
	took := time.Since(start)
	f := figures{
		perSecond: float64(l.n) / took.Seconds(),
		latencies: times,
		server:    each(server, processTime(p.ID()), l.n),
		database:  each(database, familyTime(b.databaseServer), l.n),
	}
	after, err := b.users(ctx)
	if err == nil && w.writes && after != rows+l.n {
		err = fmt.Errorf("%s: %d users after %d and %d requests", w.name, after, rows, l.n)
	}
	return f, err
}

// users counts the users in the database.
func (b *bench) users(ctx context.Context) (int, error) {
	return ent.NewClient(ent.Driver(b.store.Session(database.Single))).User.Query().Count(ctx)
}

// each is the part of one of n requests in the time between two readings.
func each(before, after time.Duration, n int) time.Duration {
	if before == unknown || after == unknown {
		return unknown
	}
	return (after - before) / time.Duration(n)
}

func cell(d time.Duration) string {
	if d == unknown {
		return "-"
	}
	return fmt.Sprintf("%.3f", milliseconds(d))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
