package main

import (
	"fmt"
	"io"
	"slices"
)

// The goals. The floor is that on the same tables.
const (
	readLimit   = 1.3 // CPU of server and database, to the floor's: W1, W2, W3 and W6
	writeLimit  = 1.5 // the same: W4 and W5
	p99Limit    = 2.0 // to the floor's: W1 to W6
	memoryLimit = 128 // MiB, at any workload
)

// A verdict compares a figure with its goal.
type verdict struct {
	what         string
	value, limit float64
	open         bool // the limit itself is too much
}

func (v verdict) met() bool {
	return v.value > 0 && (v.value < v.limit || !v.open && v.value == v.limit)
}

// verdicts compares the results with the goals.
func (r *report) verdicts() (all []verdict) {
	for _, res := range r.Results {
		name := res.Engine + " " + res.Workload
		limit := 0.0
		switch {
		case slices.Contains([]string{"W1", "W2", "W3", "W6"}, res.Workload):
			limit = readLimit
		case slices.Contains([]string{"W4", "W5"}, res.Workload):
			limit = writeLimit
		}
		if res.Floor.PerSecond > 0 {
			if limit > 0 {
				all = append(all, verdict{name + ": CPU to the floor's", res.CPURatio, limit, false}, verdict{name + ": p99 to the floor's", res.P99Ratio, p99Limit, true})
			}
			all = append(all, verdict{name + ": the floor's CPU of the database to pgbench's", res.FloorToPgbench, floorLimit, false})
		}
		if res.Workload == startWorkload {
			all = append(all, verdict{name + ": milliseconds to the first answer", res.Roster.P50, startGoal, false})
		}
		if res.WithoutRatio > 0 {
			all = append(all, verdict{name + ": CPU of the server to that without authentication", res.WithoutRatio, tokenLimit, false})
		}
		if res.Roster.PeakMemory > 0 {
			all = append(all, verdict{name + ": peak memory of the server in MiB", res.Roster.PeakMemory, memoryLimit, true})
		}
	}
	return all
}

// judge prints the verdicts: those that are met in short.
func (r *report) judge(out io.Writer) {
	met := 0
	fmt.Fprintln(out)
	for _, v := range r.verdicts() {
		if word := "at most"; v.met() {
			met++
			if v.open {
				word = "less than"
			}
			fmt.Fprintf(out, "%-72s%8.2f, goal: %s %.2f\n", v.what, v.value, word, v.limit)
		}
	}
	fmt.Fprintf(out, "%d goals are met.\n", met)
	for _, v := range r.verdicts() {
		if !v.met() {
			fmt.Fprintf(out, "NOT MET: %-63s%8.2f, goal: %.2f\n", v.what, v.value, v.limit)
		}
	}
}
