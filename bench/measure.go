package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"roster/ent"
	"roster/internal/database"
)

// measure measures engine by engine, as the settings say.
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
	chosen := slices.DeleteFunc(slices.Clone(all), func(w workload) bool { return !slices.Contains(s.workloads, w.name) })
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
	defer func() {
		for _, p := range b.programs {
			err = errors.Join(err, p.stop())
		}
	}()
	if err := b.start(ctx, stderr, s.environment, filepath.Join(dir, "roster"), "serve", "--listen=127.0.0.1:0"); err != nil {
		return err
	}
	if engine == postgres {
		if err := b.start(ctx, stderr, nil, filepath.Join(dir, "floor")); err != nil {
			return err
		}
	}
	if len(chosen) > 0 {
		if err := b.report(ctx, chosen, stdout); err != nil {
			return err
		}
	}
	if slices.Contains(s.workloads, tokenWorkload) {
		i := slices.IndexFunc(all, func(w workload) bool { return w.name == "W1" })
		if err := b.reportToken(ctx, all[i], dir, stdout, stderr); err != nil {
			return err
		}
	}
	if slices.Contains(s.workloads, changesWorkload) {
		i := slices.IndexFunc(all, func(w workload) bool { return w.name == "W4" })
		if err := b.reportChanges(ctx, all[i], stdout); err != nil {
			return err
		}
	}
	if engine == s.engines[0] && slices.Contains(s.workloads, abuseWorkload) { // they never reach the database: one engine is enough
		return b.reportAbuse(ctx, stdout)
	}
	return nil
}

// A bench has the programs on one store: Roster, then the floor, if there is one, then Roster with authentication.
type bench struct {
	settings

	store          *store
	programs       []*program
	databaseServer int // its process, or 0
}

// start adds a program.
func (b *bench) start(ctx context.Context, stderr io.Writer, environment []string, path string, args ...string) error {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // what build has built
	cmd.Env = append([]string{"DATABASE_URL=" + b.store.url}, environment...)
	cmd.Stderr = stderr
	p, err := start(cmd)
	if err == nil {
		b.programs = append(b.programs, p)
	}
	return err
}

// figures are the results of one program under one workload.
type figures struct {
	perSecond        float64
	latencies        latencies
	server, database time.Duration // CPU of a request, or unknown
}

// cpu returns the CPU of the server and the database together, if both are known.
func (f figures) cpu() float64 { return milliseconds(f.server + max(f.database, 0)) }

// report measures the workloads and prints a table.
func (b *bench) report(ctx context.Context, workloads []workload, out io.Writer) error {
	executor, err := newExecutor(b.store)
	if err != nil {
		return err
	}
	line(out, "", "", "requests", "latency ms", "", "CPU ms a request", "", "SQL", "to the floor's", "")
	line(out, "", "", "a second", "p50", "p99", "server", "database", "", "requests", "CPU")
	for _, w := range workloads {
		statements, err := b.store.count(func() error { return ask(ctx, executor, w, 0) })
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
		rate, cpu := "", ""
		if len(results) > 1 {
			rate = decimal(2, results[0].perSecond/results[1].perSecond)
			cpu = decimal(2, results[0].cpu()/results[1].cpu())
		}
		results[0].line(out, w.name+" "+w.title, "roster", strconv.FormatInt(statements, 10), rate, cpu)
		for _, r := range results[1:] {
			r.line(out, "", "floor", "", "", "")
		}
	}
	if i := slices.IndexFunc(workloads, func(w workload) bool { return w.name == "W3" }); i >= 0 {
		return compareW3(ctx, b.store, executor, workloads[i], out)
	}
	return nil
}

// equal checks that the floor gives the same answer as Roster, byte by byte.
func (b *bench) equal(ctx context.Context, w workload) error {
	if w.writes > 0 || len(b.programs) < 2 {
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

// asks sends requests of a workload in one of its languages.
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
	if err == nil && after != rows+l.n*w.writes {
		err = fmt.Errorf("%s: %d users after %d and %d requests", w.name, after, rows, l.n)
	}
	return f, err
}

// users counts the users in the database.
func (b *bench) users(ctx context.Context) (int, error) {
	return ent.NewClient(ent.Driver(b.store.Session(database.Single))).User.Query().Count(ctx)
}

// each returns the share of one of n requests in the time between two readings.
func each(before, after time.Duration, n int) time.Duration {
	if before == unknown || after == unknown {
		return unknown
	}
	return (after - before) / time.Duration(n)
}

// line prints figures.
func (f figures) line(out io.Writer, what, program, statements, rate, cpu string) {
	line(out, what, program, decimal(0, f.perSecond), decimal(2, milliseconds(f.latencies.at(0.5))),
		decimal(2, milliseconds(f.latencies.at(0.99))), cpuTime(f.server), cpuTime(f.database), statements, rate, cpu)
}

// line prints a line of the table.
func line(out io.Writer, what, program string, cells ...any) {
	text := fmt.Sprintf("%-32s%-7s%9s%11s%9s%18s%9s%5s%16s%6s", append([]any{what, program}, cells...)...)
	fmt.Fprintln(out, strings.TrimRight(text, " "))
}

func cpuTime(d time.Duration) string {
	if d == unknown {
		return "-"
	}
	return decimal(3, milliseconds(d))
}

func decimal(digits int, f float64) string { return strconv.FormatFloat(f, 'f', digits, 64) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
