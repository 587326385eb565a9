package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// smallest is the number of users of the first size of growth. Each further size has ten times as many.
const smallest = 1_000

// All requests of one size are measured growthPasses times, and the pass with the lowest median counts: other work of the machine
// makes some of them slow. In one pass, a request is sent for about growthTime: at most -n / growthPart times, and at least growthLeast
// times. A request that takes longer than growthSlow is measured growthFirst times, in the first pass.
const (
	growthPasses = 3
	growthTime   = 100 * time.Millisecond
	growthPart   = 100
	growthLeast  = 10
	growthFirst  = 3
	growthSlow   = time.Second
)

// growthStatement is the time of one statement, and growthLimit that of a run.
const (
	growthStatement = 2 * time.Minute
	growthLimit     = 3 * time.Hour
)

// A series is one request, whose latency is measured at each size.
type series struct {
	chart, name string
	without     string // why it claims no index that serves it, however many rows there are; empty: it claims one
	points      []point
}

// A point is the latency of a series at one size.
type point struct {
	users int
	p50   time.Duration
}

// growth measures the latency of what the schema offers, while the database grows.
type growth struct {
	settings

	dir     string
	stdout  io.Writer
	stderr  io.Writer
	series  []*series
	largest int
}

// measureGrowth measures on PostgreSQL, writes the figures into a file of the results, and draws them.
func measureGrowth(ctx context.Context, s settings, getenv func(string) string, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "roster-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := build(ctx, dir); err != nil {
		return err
	}
	g := &growth{settings: s, dir: dir, stdout: stdout, stderr: stderr, largest: s.largest}
	s.users = 0 // the store begins empty
	st, err := newStore(ctx, postgres, dir, s, getenv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for users := smallest; users <= g.largest; users *= 10 {
		if err := g.size(ctx, st, users); err != nil {
			return fmt.Errorf("%d users: %w", users, err)
		}
	}
	g.judge()
	if s.results != "" {
		r := newReport(ctx, s, time.Now())
		if err := g.write(filepath.Join(s.results, "growth-"+r.name()+".csv")); err != nil {
			return err
		}
	}
	return drawGrowth(s.growth, g.series)
}

// size fills the store up to a number of users, and measures all series.
func (g *growth) size(ctx context.Context, st *store, users int) (err error) {
	started := time.Now()
	f, err := newFiller(ctx, st)
	if err != nil {
		return err
	}
	if err := errors.Join(f.fill(ctx, users), f.Close()); err != nil {
		return err
	}
	bytes, err := st.text(ctx, "SELECT pg_database_size(current_database())")
	if err != nil {
		return err
	}
	gigabytes, err := strconv.ParseFloat(bytes, 64)
	if err != nil {
		return err
	}
	fmt.Fprintf(g.stdout, "%d users: filled in %.0f s, %.1f GB\n", users, time.Since(started).Seconds(), gigabytes/1e9)
	//nolint:gosec // what build has built
	cmd := exec.CommandContext(ctx, filepath.Join(g.dir, "roster"), "serve", "--listen=127.0.0.1:0",
		"--statement-timeout="+growthStatement.String(), "--request-timeout="+growthStatement.String())
	cmd.Env = append([]string{"DATABASE_URL=" + st.url}, g.environment...)
	cmd.Stderr = g.stderr
	p, err := start(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	started = time.Now()
	w := &walker{ctx: ctx, address: p.address, users: users}
	requests, err := w.requests()
	if err != nil {
		return err
	}
	best := make([]time.Duration, len(requests))
	for pass := range growthPasses {
		for i, r := range requests {
			if best[i] > growthSlow {
				continue
			}
			p50, err := r.latency(ctx, p.address, max(g.requests/growthPart, growthFirst))
			if err != nil {
				return fmt.Errorf("%s: %s: %w", r.chart, r.name, err)
			}
			if pass == 0 || p50 < best[i] {
				best[i] = p50
			}
		}
	}
	for i, r := range requests {
		g.add(r, point{users, best[i]})
	}
	fmt.Fprintf(g.stdout, "%d users: measured %d requests in %.0f s\n", users, len(requests), time.Since(started).Seconds())
	return nil
}

// add adds a point to the series of a request.
func (g *growth) add(r growthRequest, p point) {
	i := slices.IndexFunc(g.series, func(s *series) bool { return s.chart == r.chart && s.name == r.name })
	if i < 0 {
		i, g.series = len(g.series), append(g.series, &series{chart: r.chart, name: r.name, without: r.without})
	}
	g.series[i].points = append(g.series[i].points, p)
}

// A growthRequest is one request of growth.
type growthRequest struct {
	chart, name string
	without     string // as in series
	finds       bool   // at least one node
	ask         func(i int) (request, string)
	check       func(key string, status int, body []byte) error
}

// latency returns the median latency of a request on one connection, which is sent at most so many times.
func (r growthRequest) latency(ctx context.Context, address string, most int) (time.Duration, error) {
	l := load{n: growthFirst, connections: 1, request: r.ask, limit: growthStatement, check: func(key string, status int, body []byte) error {
		switch {
		case r.check != nil:
			return r.check(key, status, body)
		case status != http.StatusOK || !bytes.HasPrefix(body, []byte(`{"data":{`)):
			return fmt.Errorf("status %d: %.500s", status, body)
		case r.finds && !bytes.Contains(body, []byte(`"id":"`)):
			return errors.New("found nothing")
		}
		return nil
	}}
	first, err := l.drive(ctx, address)
	if err != nil || first.at(0) > growthSlow {
		return first.at(0.5), err
	}
	l.n = min(most, max(growthLeast, int(growthTime/max(first.at(0), 1))))
	all, err := l.drive(ctx, address)
	return all.at(0.5), err
}

// growthFactor is the greatest latency at the largest size, in that at the smallest one, of a request that an index serves. The
// levels of an index and cold caches are below it. A request that reads all rows is far above it.
const growthFactor = 5

// judge prints which series grow.
func (g *growth) judge() {
	fmt.Fprintf(g.stdout, "\n%-20s%-32s%12s%12s%10s\n", "", "", "p50 ms, first", "last", "ratio")
	for _, s := range g.series {
		first, last := s.points[0].p50, s.points[len(s.points)-1].p50
		ratio := float64(last) / float64(max(first, 1))
		remark := ""
		switch {
		case s.without != "":
			remark = "  no index: " + s.without
		case ratio > growthFactor:
			remark = "  GROWS, although it claims an index"
		}
		fmt.Fprintf(g.stdout, "%-20s%-32s%12.2f%12.2f%10.1f%s\n", s.chart, s.name, milliseconds(first), milliseconds(last), ratio, remark)
	}
}

// write writes the figures as CSV.
func (g *growth) write(path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil { //nolint:gosec // where the user says
		return err
	}
	file, err := os.Create(path) //nolint:gosec // where the user says
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := csv.NewWriter(file)
	rows := [][]string{{"chart", "request", "without_index", "users", "p50_ms"}}
	for _, s := range g.series {
		for _, p := range s.points {
			rows = append(rows, []string{s.chart, s.name, s.without, strconv.Itoa(p.users), decimal(3, milliseconds(p.p50))})
		}
	}
	fmt.Fprintf(g.stdout, "\nThe figures are in %s.\n", path)
	return out.WriteAll(rows)
}

// title returns the chart of a connection.
func title(what, connection string) string {
	return what + " of " + strings.ToLower(connection[:1]) + connection[1:]
}
