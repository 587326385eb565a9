// Transfer measures the import of new users from a CSV file with "roster import" into an empty database of each engine. On
// PostgreSQL, psql's \copy writes the same rows and the same changes in one transaction. On MariaDB, the client's LOAD DATA does.
// The two take turns, and the medians of the rounds count. "make bench-import" runs it.
//
// The time of an import is that of the whole program: it opens the database, reads and checks the records, looks for conflicts,
// writes users and changes, and commits. Neither an import nor its baseline numbers the changes: a server does that later.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench/transfer:", err)
		os.Exit(1)
	}
}

// limit is the greatest time of an import into PostgreSQL, to that of \copy.
const limit = 2.0

// bench is one run.
type bench struct {
	dir, binary   string
	users, rounds int
	settings      []string
	out           io.Writer
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	b := &bench{out: stdout}
	flags := flag.NewFlagSet("bench/transfer", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&b.users, "users", 1_000_000, "users to import")
	flags.IntVar(&b.rounds, "rounds", 3, "rounds of PostgreSQL; the other engines, which have no limit, get one")
	engines := flags.String("engines", "postgres,sqlite,mysql", "engines to measure, or some of them")
	results := flags.String("results", "", "write the figures into a new file of this `directory`")
	flags.Func("setting", "`setting` of the database servers, instead of their defaults, such as innodb-buffer-pool-size=1G; again for another one",
		func(setting string) error {
			b.settings = append(b.settings, setting)
			return nil
		})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if b.users < 1 || b.rounds < 1 || flags.NArg() > 0 {
		return errors.New("-users and -rounds must be 1 or more, and no argument may follow the flags")
	}
	if b.dir, err = os.MkdirTemp("", "roster-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	b.binary = b.path("roster")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "roster").CombinedOutput(); err != nil { //nolint:gosec // G204: its own directory
		return fmt.Errorf("build: %w: %s", err, out)
	}
	if err := b.files(); err != nil {
		return err
	}
	report := newReport(ctx, b, time.Now())
	fmt.Fprintf(stdout, "%d users\n\n%-26s%10s%10s%12s%11s\n", b.users, "", "seconds", "CPU s", "server's", "peak MiB")
	for engine := range strings.SplitSeq(*engines, ",") {
		measured, err := b.engine(ctx, engine)
		if err != nil {
			return fmt.Errorf("%s: %w", engine, err)
		}
		report.Results = append(report.Results, measured)
	}
	if *results == "" {
		return nil
	}
	path, err := report.write(*results)
	if err == nil {
		fmt.Fprintf(stdout, "\nThe figures are in %s.\n", path)
	}
	return err
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// engine measures an engine.
func (b *bench) engine(ctx context.Context, engine string) (*result, error) {
	r := &result{Engine: engine, Rounds: 1}
	if engine == "sqlite" {
		used, err := b.intoSQLite(ctx)
		r.Import = used
		b.print("sqlite: roster import", used)
		return r, err
	}
	s, err := b.start(ctx, engine)
	if err != nil {
		return nil, err
	}
	if engine == "postgres" {
		r.Rounds = b.rounds
	}
	var imports, baselines []figures
	var ratios []float64
	for range r.Rounds {
		baseline, err := s.measure(ctx, b.baseline(engine))
		if err != nil {
			return nil, errors.Join(err, s.Stop())
		}
		used, err := s.measure(ctx, b.importer)
		if err != nil {
			return nil, errors.Join(err, s.Stop())
		}
		imports, baselines, ratios = append(imports, used), append(baselines, baseline), append(ratios, used.Seconds/baseline.Seconds)
	}
	r.Import, r.Baseline, r.Ratio = medians(imports), medians(baselines), median(ratios)
	b.print(engine+": "+map[string]string{"postgres": `\copy`, "mysql": "LOAD DATA"}[engine], r.Baseline)
	b.print(engine+": roster import", r.Import)
	verdict := ""
	if engine == "postgres" {
		verdict = fmt.Sprintf(": within the limit of %.1f", limit)
		if r.Ratio > limit {
			verdict = fmt.Sprintf(": BEYOND the limit of %.1f", limit)
		}
	}
	fmt.Fprintf(b.out, "The import takes %.2f times as long (rounds: %.2f)%s. Its CPU time is %.2f times as long.\n",
		r.Ratio, ratios, verdict, (r.Import.CPU+r.Import.ServerCPU)/(r.Baseline.CPU+r.Baseline.ServerCPU))
	return r, s.Stop()
}

func (b *bench) print(name string, f figures) {
	fmt.Fprintf(b.out, "%-26s%10.1f%10.1f%12.1f%11.0f\n", name, f.Seconds, f.CPU, f.ServerCPU, f.Peak)
}

// medians returns the medians of some rounds.
func medians(list []figures) figures {
	of := func(figure func(figures) float64) float64 {
		values := make([]float64, len(list))
		for i, f := range list {
			values[i] = figure(f)
		}
		return median(values)
	}
	return figures{
		Seconds: of(func(f figures) float64 { return f.Seconds }), CPU: of(func(f figures) float64 { return f.CPU }),
		ServerCPU: of(func(f figures) float64 { return f.ServerCPU }), Peak: of(func(f figures) float64 { return f.Peak }),
	}
}

func median(values []float64) float64 {
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare)
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
