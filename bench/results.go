package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A report has the results of a run, as a file in bench/results.
type report struct {
	Date        string    `json:"date"`
	Commit      string    `json:"commit"` // "+" at its end: with changes that are not committed
	Go          string    `json:"go"`
	Processors  int       `json:"processors"`
	Users       int       `json:"users"`
	Requests    int       `json:"requests"`
	Connections int       `json:"connections"`
	Rounds      int       `json:"rounds"`
	Environment []string  `json:"environment,omitempty"` // of Roster
	Results     []*result `json:"results"`
}

// A result has the medians of one workload on one engine. Times are in milliseconds, memory in MiB. A figure that is not known
// is 0. The ratios are the medians of those of each round.
type result struct {
	Engine      string  `json:"engine"`
	Workload    string  `json:"workload"`
	Statements  int64   `json:"statements"`
	Allocations uint64  `json:"allocations"`
	Allocated   uint64  `json:"allocatedBytes"`
	Roster      numbers `json:"roster"`
	Floor       numbers `json:"floor,omitzero"`
	Pgbench     numbers `json:"pgbench,omitzero"`
	// CPU of server and database, requests a second, and latencies, to those of the floor.
	CPURatio  float64 `json:"cpuRatio,omitzero"`
	RateRatio float64 `json:"rateRatio,omitzero"`
	P50Ratio  float64 `json:"p50Ratio,omitzero"`
	P99Ratio  float64 `json:"p99Ratio,omitzero"`
	// FloorToPgbench is the CPU of the database for the floor, to that for pgbench.
	FloorToPgbench float64 `json:"floorToPgbench,omitzero"`
	// Without has the figures of a server without authentication, and WithoutRatio the CPU of the server to that.
	Without      numbers `json:"without,omitzero"`
	WithoutRatio float64 `json:"withoutRatio,omitzero"`
}

type numbers struct {
	PerSecond   float64 `json:"perSecond"`
	P50         float64 `json:"p50"`
	P99         float64 `json:"p99"`
	ServerCPU   float64 `json:"serverCPU"`
	DatabaseCPU float64 `json:"databaseCPU"`
	PeakMemory  float64 `json:"peakMemory"`
}

// newReport returns a report without results. Outside a git repository, the commit is "unknown".
func newReport(ctx context.Context, s settings, now time.Time) *report {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", args...).Output() //nolint:gosec // the arguments are below
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("rev-parse", "--short=12", "HEAD")
	changes, err2 := git("status", "--porcelain", "--untracked-files=no")
	switch {
	case err != nil || err2 != nil:
		commit = "unknown"
	case changes != "":
		commit += "+"
	}
	return &report{
		Date: now.UTC().Format(time.RFC3339), Commit: commit, Go: runtime.Version(), Processors: runtime.NumCPU(), Users: s.users,
		Requests: s.requests, Connections: s.connections, Rounds: s.rounds, Environment: s.environment, Results: []*result{},
	}
}

// write writes the report into a directory, which it makes if it is missing, and returns the name of its file. The names sort by their dates.
func (r *report) write(dir string) (string, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	path := filepath.Join(dir, r.name()+".json")
	return path, os.WriteFile(path, append(text, '\n'), 0o600) //nolint:gosec // where the user says
}

// name returns the name of the file of the report, without its extension.
func (r *report) name() string {
	return strings.NewReplacer(":", "", "-", "").Replace(strings.TrimSuffix(r.Date, "Z")) + "-" + strings.TrimSuffix(r.Commit, "+")
}

// readReport reads the report of a file.
func readReport(path string) (*report, error) {
	text, err := os.ReadFile(path) //nolint:gosec // where the user says
	if err != nil {
		return nil, err
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	r := new(report)
	if err := in.Decode(r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// compareLast prints the last report of a directory beside the one before.
func compareLast(dir string, out io.Writer) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return err
	}
	if slices.Sort(files); len(files) < 2 {
		return fmt.Errorf("%s has %d reports: run make bench until it has two", dir, len(files))
	}
	before, err := readReport(files[len(files)-2])
	if err != nil {
		return err
	}
	after, err := readReport(files[len(files)-1])
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s of %s against %s of %s\n", after.Commit, after.Date, before.Commit, before.Date)
	if before.Go != after.Go || before.Processors != after.Processors || before.Users != after.Users || before.Connections != after.Connections {
		fmt.Fprintln(out, "The machines or the settings differ: compare only the ratios to the floor.")
	}
	fmt.Fprintf(out, "%-24s%24s%22s%22s%22s%22s%22s\n", "", "CPU ms", "CPU to the floor's", "p99 to the floor's", "p99 ms", "allocations", "peak MiB")
	for _, a := range after.Results {
		i := slices.IndexFunc(before.Results, func(b *result) bool { return b.Engine == a.Engine && b.Workload == a.Workload })
		if i < 0 {
			continue
		}
		b := before.Results[i]
		fmt.Fprintf(out, "%-24s%24s%22s%22s%22s%22s%22s\n", a.Engine+" "+a.Workload,
			change(3, b.Roster.ServerCPU+b.Roster.DatabaseCPU, a.Roster.ServerCPU+a.Roster.DatabaseCPU), change(2, b.CPURatio, a.CPURatio),
			change(2, b.P99Ratio, a.P99Ratio), change(2, b.Roster.P99, a.Roster.P99), change(0, float64(b.Allocations), float64(a.Allocations)), change(0, b.Roster.PeakMemory, a.Roster.PeakMemory))
	}
	return nil
}

// change shows a figure before and after.
func change(digits int, before, after float64) string {
	if before == 0 || after == 0 {
		return "-"
	}
	return fmt.Sprintf("%s → %s %+.0f%%", decimal(digits, before), decimal(digits, after), 100*(after/before-1))
}
