// Command bench measures Roster and prints a table. For each engine, it fills a database with the same users and posts, runs the
// real program on it, and sends requests over HTTP. On PostgreSQL it also measures package floor, which gives the same answers
// with the least work that a Go program can do. Compare ratios to that floor between machines, not times: clients, server and
// database share the machine.
//
// workload.go has the workloads. CPU times come from /proc, so they exist only on Linux. The temporary servers of "make bench"
// do not wait for the disk, but SQLite does: compare creations only within an engine. Use a machine that does nothing else.
// Otherwise, CPU times are more reliable than latencies.
//
// Run it with "make bench", or with flags:
//
//	go run ./internal/dbtest/cmd/withservers -- go run ./bench -engines postgres -workloads W1,W3 -n 20000
//
// With -cpuprofile=DIRECTORY it shows where the time goes: go tool pprof -top DIRECTORY/postgres-W3.pprof.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"roster/ent/rules"
)

// settings are the flags.
type settings struct {
	requests    int
	connections int
	users       int
	rounds      int
	results     string
	compare     bool
	engines     []string
	workloads   []string
	environment []string
	profiles    string
	growth      string
	largest     int
	servers     int
	idle        time.Duration
}

const (
	usersStep = 1000
	runLimit  = 30 * time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 0, 1 when something failed or answered wrongly, 2 when the command line is wrong.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if s.compare {
		if err := compareLast(s.results, stdout); err != nil {
			fmt.Fprintf(stderr, "bench: %v\n", err)
			return 1
		}
		return 0
	}
	limit, work := runLimit, measure
	if s.growth != "" {
		limit, work = growthLimit, measureGrowth
	}
	if s.servers > 0 {
		work = measureServers
	}
	ctx, cancel := context.WithTimeout(rules.WithCaller(ctx, rules.Everyone()), limit)
	defer cancel()
	if err := work(ctx, s, getenv, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

// parse reads the flags. It reports errors to the user itself.
func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&s.requests, "n", 10_000, "requests of the lightest workload; the others make do with a part of them")
	flags.IntVar(&s.connections, "c", 16, "connections, each with one request at a time")
	flags.IntVar(&s.rounds, "rounds", 3, "rounds of each workload; the programs take turns, and the medians count")
	flags.StringVar(&s.results, "results", "", "write the figures into a new file of this `directory`")
	flags.BoolVar(&s.compare, "compare", false, "instead of measuring, compare the last two files of the directory in -results")
	flags.IntVar(&s.users, "users", 10_000, "users in the database, with 10 posts each")
	engines := flags.String("engines", "sqlite,postgres,mysql", "engines to measure, or some of them")
	workloads := flags.String("workloads", "W1,W2,W3,W4,W5,W6,W7,"+startWorkload+","+tokenWorkload+","+changesWorkload+","+abuseWorkload, "workloads to measure, or some of them")
	flags.Func("env", "`setting` in the environment of Roster, such as GOGC=400; again for another one",
		func(setting string) error {
			s.environment = append(s.environment, setting)
			return nil
		})
	flags.StringVar(&s.profiles, "cpuprofile", "", "instead of measuring, run each workload in this process and write its "+
		"CPU profile into this `directory`, as ENGINE-WORKLOAD.pprof")
	flags.StringVar(&s.growth, "growth", "", "instead of measuring, measure how latencies grow with the database on PostgreSQL, and draw them into this SVG `file`")
	flags.IntVar(&s.largest, "largest", 10_000_000, "users at the largest size of -growth; 10,000,000 need 15 GB")
	flags.IntVar(&s.servers, "servers", 0, "instead of measuring the workloads, measure what this number of servers on one database costs, and how soon subscribers get changes")
	flags.DurationVar(&s.idle, "idle", 16*time.Second, "how long -servers watches servers without requests")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.engines, s.workloads = strings.Split(*engines, ","), strings.Split(*workloads, ",")
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.requests < 1 || s.connections < 1 || s.rounds < 1:
		err = errors.New("-n, -c and -rounds must be 1 or more")
	case s.servers < 0 || s.servers > 0 && s.results != "":
		err = errors.New("-servers must be 1 or more, and writes no -results")
	case s.compare && s.results == "":
		err = errors.New("-compare needs -results")
	case s.largest < 10*smallest:
		err = fmt.Errorf("-largest must be %d or more: growth needs two sizes", 10*smallest)
	case s.users < 1 || s.users%usersStep > 0: // W6 reads whole pages of 100 after nine tenths of the users
		err = fmt.Errorf("-users must be a multiple of %d", usersStep)
	default:
		err = errors.Join(someOf(flags, "engines", s.engines), someOf(flags, "workloads", s.workloads))
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
	}
	return s, err
}

// someOf checks that the values of a flag are among its default ones.
func someOf(flags *flag.FlagSet, name string, values []string) error {
	known := flags.Lookup(name).DefValue
	for _, v := range values {
		if !slices.Contains(strings.Split(known, ","), v) {
			return fmt.Errorf("-%s must be some of %s, not %q", name, known, v)
		}
	}
	return nil
}
