package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// startWorkload is the name of the start of a server in -workloads.
const startWorkload = "start"

const (
	starts    = 11
	startGoal = 150 // milliseconds
)

// reportStart prints how long after its start a server on the migrated database answers W1 for the first time, and adds the result
// to r. The files of the program and of the database are in the cache of the system.
func (b *bench) reportStart(ctx context.Context, engine string, w1 workload, dir string, r *report, out, stderr io.Writer) error {
	var times latencies
	for i := range starts + 1 {
		took, err := b.firstAnswer(ctx, w1, i, dir, stderr)
		if err != nil {
			return err
		}
		if i > 0 { // the first one fills the cache
			times = append(times, took)
		}
	}
	slices.Sort(times)
	median, longest := milliseconds(times.at(0.5)), milliseconds(times.at(1))
	fmt.Fprintf(out, "\nFrom the start of a server to its first answer of W1, %d times: p50 %s ms, longest %s ms\n",
		starts, decimal(0, median), decimal(0, longest))
	r.Results = append(r.Results, &result{Engine: engine, Workload: startWorkload, Roster: numbers{P50: median, P99: longest}})
	return nil
}

// firstAnswer starts a server, makes one request, and stops the server.
func (b *bench) firstAnswer(ctx context.Context, w workload, i int, dir string, stderr io.Writer) (took time.Duration, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "roster"), "serve", "--listen=127.0.0.1:0") //nolint:gosec // what build has built
	cmd.Env = append([]string{"DATABASE_URL=" + b.store.url}, b.environment...)
	cmd.Stderr = stderr
	began := time.Now()
	p, err := start(cmd)
	if err != nil {
		return 0, err
	}
	one := load{n: 1, connections: 1, check: w.check, request: func(int) (request, string) { return w.roster(w.key(i)), w.key(i) }}
	_, err = one.drive(ctx, p.address)
	took = time.Since(began)
	return took, errors.Join(err, p.stop())
}
