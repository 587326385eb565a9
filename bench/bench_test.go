package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roster/e2e/abuse"
)

// TestBench sees to it that every workload is answered rightly, by Roster and by the floor, on every engine.
func TestBench(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	results := filepath.Join(t.TempDir(), "results")
	args := []string{"-users=1000", "-n=20", "-c=2", "-rounds=1", "-results", results}
	if code := run(t.Context(), args, os.Getenv, &stdout, &stderr); code != 0 { //nolint:forbidigo // main passes it too
		t.Fatalf("%v: got code %d, stderr %s, stdout\n%s\nwant code 0", args, code, &stderr, &stdout)
	}
	for _, w := range []string{"W1", "W2", "W3", "W4", "W5", "W6", "W7"} {
		if n := strings.Count(stdout.String(), "\n"+w+" "); n < 3 {
			t.Errorf("%s: got reports for %d engines, want 3", w, n)
		}
	}
	if n := strings.Count(stdout.String(), "\nwith to without "); n != 3 {
		t.Errorf("W1 with a token: got reports for %d engines, want 3", n)
	}
	if n := strings.Count(stdout.String(), "\nFrom the start of a server to its first answer"); n != 1 {
		t.Errorf("the start: got %d reports, want 1", n)
	}
	requests, err := abuse.Requests()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range requests {
		if n := strings.Count(stdout.String(), "\n"+r.Name+" "); n != 1 {
			t.Errorf("the hostile request %s: got %d reports, want 1", r.Name, n)
		}
	}
	for _, program := range []string{"floor", "pgbench"} {
		if n := strings.Count(stdout.String(), program+"  "); n != 7 {
			t.Errorf("%s: got reports for %d workloads, want 7", program, n)
		}
	}
	compares(t, results)
}

// compares checks the file of a run, and compares it with itself.
func compares(t *testing.T, results string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(results, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got the files %v, %v, want one", files, err)
	}
	r, err := readReport(files[0])
	if err != nil || len(r.Results) != 21 || r.Commit == "" || r.Date == "" {
		t.Fatalf("got the report %+v, %v, want 7 results of 3 engines, with commit and date", r, err)
	}
	for _, got := range r.Results {
		floor := got.Engine == postgres
		if got.Roster.PerSecond <= 0 || got.Allocations <= 0 || got.Statements <= 0 || (got.Floor.PerSecond > 0) != floor || (got.CPURatio > 0) != floor {
			t.Errorf("got %+v, want the figures of Roster, and on PostgreSQL those of the floor", got)
		}
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	compare := func() int {
		stdout.Reset()
		stderr.Reset()
		return run(t.Context(), []string{"-compare", "-results", results}, os.Getenv, &stdout, &stderr) //nolint:forbidigo // main passes it too
	}
	if code := compare(); code != 1 || !strings.Contains(stderr.String(), "has 1 reports") {
		t.Errorf("one report: got code %d, %s, want code 1", code, &stderr)
	}
	if err := os.WriteFile(filepath.Join(results, "9.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if code := compare(); code != 0 || strings.Count(stdout.String(), " +0%") < 21 || !strings.Contains(stdout.String(), "\npostgres W3 ") {
		t.Errorf("two reports: got code %d, %s%s, want each workload", code, &stdout, &stderr)
	}
}

func TestProfile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var stdout, stderr strings.Builder
	args := []string{"-users=1000", "-n=20", "-c=2", "-engines=sqlite", "-workloads=W1,W4", "-cpuprofile", dir}
	if code := run(t.Context(), args, os.Getenv, &stdout, &stderr); code != 0 { //nolint:forbidigo // main passes it too
		t.Fatalf("%v: got code %d, stderr %s, want code 0", args, code, &stderr)
	}
	for _, name := range []string{"sqlite-W1.pprof", "sqlite-W4.pprof"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: got %v, want a file with a profile", name, err)
		}
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"-n=0":             "-n, -c and -rounds must be 1 or more",
		"-rounds=0":        "-n, -c and -rounds must be 1 or more",
		"-compare":         "-compare needs -results",
		"-users=1500":      "-users must be a multiple of 1000",
		"-engines=oracle":  `-engines must be some of sqlite,postgres,mysql, not "oracle"`,
		"-workloads=W1,W8": `-workloads must be some of W1,W2,W3,W4,W5,W6,W7,token,changes,abuse, not "W8"`,
		"W1":               `unexpected argument "W1"`,
	} {
		var stderr strings.Builder
		code := run(t.Context(), strings.Fields(line), func(string) string { return "" }, &stderr, &stderr)
		if code != 2 || stderr.String() != "bench: "+want+"\n" {
			t.Errorf("%s: got code %d, %s, want code 2, %s", line, code, &stderr, want)
		}
	}
}
