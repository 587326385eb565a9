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
	args := []string{"-users=1000", "-n=20", "-c=2"}
	if code := run(t.Context(), args, os.Getenv, &stdout, &stderr); code != 0 { //nolint:forbidigo // main passes it too
		t.Fatalf("%v: got code %d, stderr %s, stdout\n%s\nwant code 0", args, code, &stderr, &stdout)
	}
	for _, w := range []string{"W1", "W2", "W3", "W4", "W5", "W6"} {
		if n := strings.Count(stdout.String(), "\n"+w+" "); n < 3 {
			t.Errorf("%s: got reports for %d engines, want 3", w, n)
		}
	}
	if n := strings.Count(stdout.String(), "\nwith to without "); n != 3 {
		t.Errorf("W1 with a token: got reports for %d engines, want 3", n)
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
	if n := strings.Count(stdout.String(), "floor  "); n != 6 {
		t.Errorf("the floor: got reports for %d workloads, want 6", n)
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
		"-n=0":             "-n and -c must be 1 or more",
		"-users=1500":      "-users must be a multiple of 1000",
		"-engines=oracle":  `-engines must be some of sqlite,postgres,mysql, not "oracle"`,
		"-workloads=W1,W7": `-workloads must be some of W1,W2,W3,W4,W5,W6,token,changes,abuse, not "W7"`,
		"W1":               `unexpected argument "W1"`,
	} {
		var stderr strings.Builder
		code := run(t.Context(), strings.Fields(line), func(string) string { return "" }, &stderr, &stderr)
		if code != 2 || stderr.String() != "bench: "+want+"\n" {
			t.Errorf("%s: got code %d, %s, want code 2, %s", line, code, &stderr, want)
		}
	}
}
