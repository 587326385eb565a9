package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A report has the results of a run, as a file in bench/results/import.
type report struct {
	Date       string    `json:"date"`
	Commit     string    `json:"commit"` // "+" at its end: with changes that are not committed
	Go         string    `json:"go"`
	Processors int       `json:"processors"`
	Load       string    `json:"load,omitempty"` // of the machine before the run, as in /proc/loadavg
	Users      int       `json:"users"`
	Settings   []string  `json:"settings,omitempty"` // of the servers
	Results    []*result `json:"results"`
}

// A result has the medians of the rounds of one engine.
type result struct {
	Engine   string  `json:"engine"`
	Rounds   int     `json:"rounds"`
	Import   figures `json:"import"`
	Baseline figures `json:"baseline,omitzero"` // of the database's own client
	// Ratio is the median of the ratios of each round: the time of the import to that of the baseline.
	Ratio float64 `json:"ratio,omitzero"`
}

// newReport returns a report without results. Outside a git repository, the commit is "unknown".
func newReport(ctx context.Context, b *bench, now time.Time) *report {
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
	load, _ := os.ReadFile("/proc/loadavg") // only Linux has it
	return &report{
		Date: now.UTC().Format(time.RFC3339), Commit: commit, Go: runtime.Version(), Processors: runtime.NumCPU(),
		Load: strings.TrimSpace(string(load)), Users: b.users, Settings: b.settings,
	}
}

// write writes the report into a directory, which it makes if it is missing, and returns the name of its file. The names sort by
// their dates.
func (r *report) write(dir string) (string, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	name := strings.NewReplacer(":", "", "-", "").Replace(strings.TrimSuffix(r.Date, "Z")) + "-" + strings.TrimSuffix(r.Commit, "+") + ".json"
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, append(text, '\n'), 0o600)
}
