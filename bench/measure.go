package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"roster/internal/feed"
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
	r := newReport(ctx, s, time.Now())
	for _, engine := range s.engines {
		if err := measureEngine(ctx, engine, dir, s, r, getenv, stdout, stderr); err != nil {
			return fmt.Errorf("%s: %w", engine, err)
		}
	}
	r.judge(stdout)
	if s.results == "" {
		return nil
	}
	path, err := r.write(s.results)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nThe figures are in %s.\n", path)
	return nil
}

func measureEngine(
	ctx context.Context, engine, dir string, s settings, r *report, getenv func(string) string, stdout, stderr io.Writer,
) (err error) {
	started := time.Now()
	st, err := newStore(ctx, engine, dir, s, getenv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	cursor, id, err := st.ninetyPercent(ctx)
	if err != nil {
		return err
	}
	all := newWorkloads(st.users, cursor, id)
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
	named := func(name string) workload {
		return all[slices.IndexFunc(all, func(w workload) bool { return w.name == name })]
	}
	if engine == sqlite && slices.Contains(s.workloads, startWorkload) {
		if err := b.reportStart(ctx, engine, named("W1"), dir, r, stdout, stderr); err != nil {
			return err
		}
	}
	if b.databaseServer, err = st.serverProcess(ctx); err != nil {
		return err
	}
	defer func() {
		for _, p := range b.programs {
			err = errors.Join(err, p.stop())
		}
	}()
	if err := b.startAll(ctx, engine, dir, stderr); err != nil {
		return err
	}
	if len(chosen) > 0 {
		if err := b.report(ctx, engine, chosen, r, stdout); err != nil {
			return err
		}
	}
	if slices.Contains(s.workloads, tokenWorkload) {
		if err := b.reportToken(ctx, engine, named("W1"), dir, r, stdout, stderr); err != nil {
			return err
		}
	}
	if slices.Contains(s.workloads, changesWorkload) {
		if err := b.reportChanges(ctx, engine, named("W4"), r, stdout); err != nil {
			return err
		}
	}
	if engine == s.engines[0] && slices.Contains(s.workloads, abuseWorkload) { // they never reach the database: one engine is enough
		return b.reportAbuse(ctx, dir, stdout, stderr)
	}
	return nil
}

// A bench has the programs on one store. Roster has authentication, the change feed and its limits. Each request has a token.
type bench struct {
	settings

	store          *store
	programs       []*program // all of them
	roster, floor  *program   // the floor is nil without PostgreSQL
	tokens         tokens
	databaseServer int      // its process, or 0
	pgbench        *pgbench // only on PostgreSQL
}

// startAll starts Roster and, on PostgreSQL, the floor.
func (b *bench) startAll(ctx context.Context, engine, dir string, stderr io.Writer) (err error) {
	if err := b.startRoster(ctx, dir, stderr, nil); err != nil || engine != postgres {
		return err
	}
	if b.floor, err = b.start(ctx, stderr, nil, filepath.Join(dir, "floor")); err != nil {
		return err
	}
	b.pgbench, err = newPgbench(ctx, b.store, dir)
	return err
}

// startRoster starts a server for each list of settings of its own. All of them accept the same tokens.
func (b *bench) startRoster(ctx context.Context, dir string, stderr io.Writer, settings ...[]string) (err error) {
	secret := rand.Text() + rand.Text() // 52 bytes
	environment := append(slices.Clone(b.environment), "ROSTER_AUTH_HS256_SECRET="+secret, "ROSTER_AUTH_ISSUER="+issuer, "ROSTER_AUTH_AUDIENCE="+audience)
	for _, own := range settings {
		if b.roster, err = b.start(ctx, stderr, append(slices.Clone(environment), own...), filepath.Join(dir, "roster"), "serve", "--listen=127.0.0.1:0"); err != nil {
			return err
		}
	}
	b.tokens, err = newTokens(ctx, secret, b.roster.address)
	return err
}

// start adds a program.
func (b *bench) start(ctx context.Context, stderr io.Writer, environment []string, path string, args ...string) (*program, error) {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // what build has built
	cmd.Env = append([]string{"DATABASE_URL=" + b.store.url}, environment...)
	cmd.Stderr = stderr
	p, err := start(cmd)
	if err == nil {
		b.programs = append(b.programs, p)
	}
	return p, err
}

// figures are the results of one program under one workload.
type figures struct {
	perSecond        float64
	latencies        latencies     // nil if they are not known
	server, database time.Duration // CPU of a request, or unknown
	peak             int64         // greatest memory of the server in bytes, or 0
}

// cpu returns the CPU of the server and the database together, if both are known.
func (f figures) cpu() float64 { return milliseconds(f.server + max(f.database, 0)) }

// report measures the workloads, prints a table, and adds the results to r.
func (b *bench) report(ctx context.Context, engine string, workloads []workload, r *report, out io.Writer) error {
	executor, err := newExecutor(b.store)
	if err != nil {
		return err
	}
	line(out, "", "", "requests", "latency ms", "", "CPU ms a request", "", "peak", "SQL", "allocations", "to the floor's", "", "", "")
	line(out, "", "", "a second", "p50", "p99", "server", "database", "MiB", "", "a request", "requests", "CPU", "p50", "p99")
	for _, w := range workloads {
		res := &result{Engine: engine, Workload: w.name}
		if res.Statements, err = b.store.count(func() error { return ask(ctx, executor, w, 0) }); err != nil {
			return err
		}
		if err := b.equal(ctx, w); err != nil {
			return err
		}
		if err := b.rounds(ctx, w, res); err != nil {
			return err
		}
		a, err := b.allocated(ctx, executor, w)
		if err != nil {
			return err
		}
		res.Allocations, res.Allocated = a.objects, a.bytes
		res.print(out, w.title)
		r.Results = append(r.Results, res)
	}
	if i := slices.IndexFunc(workloads, func(w workload) bool { return w.name == "W3" }); i >= 0 {
		return b.compareW3(ctx, executor, workloads[i], out)
	}
	return nil
}

// rounds lets the programs take turns, so that other work of the machine slows all of them, and sets the medians.
func (b *bench) rounds(ctx context.Context, w workload, res *result) error {
	var roster, floor, raw []figures
	for range b.settings.rounds {
		f, err := b.run(ctx, w, b.roster, b.authorised(w))
		if err != nil {
			return err
		}
		if roster = append(roster, f); b.floor == nil {
			continue
		}
		err = b.without(ctx, w, func() error {
			f, err := b.run(ctx, w, b.floor, w.floor)
			if err != nil {
				return err
			}
			p, err := b.pgbench.run(ctx, b, w, max(b.requests/w.part, 1))
			floor, raw = append(floor, f), append(raw, p)
			return err
		})
		if err != nil {
			return err
		}
	}
	res.Roster = medians(roster)
	if len(floor) > 0 {
		res.Floor, res.Pgbench = medians(floor), medians(raw)
		res.CPURatio, res.RateRatio = ratio(roster, floor, figures.cpu), ratio(roster, floor, rate)
		res.P50Ratio, res.P99Ratio = ratio(roster, floor, p50), ratio(roster, floor, p99)
		res.FloorToPgbench = ratio(floor, raw, func(f figures) float64 { return float64(f.database) })
	}
	return nil
}

// without calls f while Roster stands still. Otherwise it would number the changes that f writes, and the CPU of the database
// would be counted for others. Then they get their numbers, so that Roster does not pay for them in its next turn.
func (b *bench) without(ctx context.Context, w workload, f func() error) error {
	if err := b.roster.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := errors.Join(f(), b.roster.Signal(syscall.SIGCONT)) // it may hold the lock of the feed until it goes on
	if err == nil && w.writes > 0 {
		err = feed.Number(ctx, b.store.DB)
	}
	return err
}

// authorised returns the requests of a workload with a token: that of an ADMIN for writes, and otherwise that of a MEMBER.
func (b *bench) authorised(w workload) func(key string) request {
	token := b.tokens.member
	if w.writes > 0 {
		token = b.tokens.admin
	}
	return func(key string) request {
		r := w.roster(key)
		r.token = token
		return r
	}
}

// medians returns the medians of some rounds.
func medians(list []figures) numbers {
	cpu := func(of func(f figures) time.Duration) float64 {
		return max(median(list, func(f figures) float64 { return milliseconds(of(f)) }), 0)
	}
	return numbers{
		PerSecond:   median(list, rate),
		P50:         median(list, p50),
		P99:         median(list, p99),
		ServerCPU:   cpu(func(f figures) time.Duration { return f.server }),
		DatabaseCPU: cpu(func(f figures) time.Duration { return f.database }),
		PeakMemory:  median(list, func(f figures) float64 { return float64(f.peak) / (1 << 20) }),
	}
}

// print prints the lines of a result.
func (r *result) print(out io.Writer, title string) {
	ratios := []any{"", "", "", ""}
	if r.CPURatio > 0 {
		ratios = []any{decimal(2, r.RateRatio), decimal(2, r.CPURatio), decimal(2, r.P50Ratio), decimal(2, r.P99Ratio)}
	}
	r.Roster.print(out, r.Workload+" "+title, "roster", append([]any{strconv.FormatInt(r.Statements, 10), strconv.FormatUint(r.Allocations, 10)}, ratios...)...)
	if r.Floor.PerSecond == 0 {
		return
	}
	r.Floor.print(out, "", "floor", "", "", "", "", "", "")
	remark := ""
	if r.FloorToPgbench > floorLimit {
		remark = "  the floor needs more of the database than it may"
	}
	fmt.Fprintf(out, "%-32s%-8s%9s%38s  the floor's to it: %s%s\n", "", "pgbench", decimal(0, r.Pgbench.PerSecond),
		decimal(3, r.Pgbench.DatabaseCPU), decimal(2, r.FloorToPgbench), remark)
}

// equal checks that the floor gives the same answer as Roster, byte by byte.
func (b *bench) equal(ctx context.Context, w workload) error {
	if w.writes > 0 || b.floor == nil {
		return nil
	}
	var answers [2][]byte
	for i, request := range []func(string) request{b.authorised(w), w.floor} {
		l := load{n: 1, connections: 1, request: asks(w, request), check: func(key string, status int, body []byte) error {
			answers[i] = bytes.Clone(body)
			return w.check(key, status, body)
		}}
		if _, err := l.drive(ctx, []*program{b.roster, b.floor}[i].address); err != nil {
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
	users, changes, err := b.rows(ctx)
	if err != nil {
		return figures{}, err
	}
	l.n = max(b.requests/w.part, 1)
	forgetPeak(p.ID())
	server, database, start := processTime(p.ID()), familyTime(b.databaseServer), time.Now()
	times, err := l.drive(ctx, p.address)
	if err != nil {
		return figures{}, err
	}
	took := time.Since(start)
	if p == b.roster && w.writes > 0 { // the last changes are part of the work
		if err := feed.Number(ctx, b.store.DB); err != nil {
			return figures{}, err
		}
	}
	f := figures{
		perSecond: float64(l.n) / took.Seconds(),
		latencies: times,
		server:    share(server, processTime(p.ID()), l.n),
		database:  share(database, familyTime(b.databaseServer), l.n),
		peak:      peakMemory(p.ID()),
	}
	usersAfter, changesAfter, err := b.rows(ctx)
	if written := l.n * w.writes; err == nil && (usersAfter != users+written || changesAfter != changes+written) {
		err = fmt.Errorf("%s: %d users and %d changes after %d and %d, and %d requests", w.name, usersAfter, changesAfter, users, changes, l.n)
	}
	return f, err
}

// rows counts the users in the database, and the changes.
func (b *bench) rows(ctx context.Context) (users, changes int, err error) {
	text, err := b.store.text(ctx, "SELECT count(*) FROM users")
	if err != nil {
		return 0, 0, err
	}
	if users, err = strconv.Atoi(text); err != nil {
		return 0, 0, err
	}
	if text, err = b.store.text(ctx, "SELECT count(*) FROM changes"); err != nil {
		return 0, 0, err
	}
	changes, err = strconv.Atoi(text)
	return users, changes, err
}

// print prints a line of the table.
func (n numbers) print(out io.Writer, what, program string, more ...any) {
	known := func(digits int, value float64) string {
		if value == 0 {
			return "-"
		}
		return decimal(digits, value)
	}
	line(out, what, program, append([]any{
		decimal(0, n.PerSecond), decimal(2, n.P50), decimal(2, n.P99), known(3, n.ServerCPU), known(3, n.DatabaseCPU), known(0, n.PeakMemory),
	}, more...)...)
}

// line prints a line of the table.
func line(out io.Writer, what, program string, cells ...any) {
	text := fmt.Sprintf("%-32s%-8s%9s%11s%9s%18s%9s%6s%5s%13s%16s%6s%6s%6s", append([]any{what, program}, cells...)...)
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
