package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roster/e2e/abuse"
	"roster/ent"
	"roster/ent/rules"
)

// runMain runs the command as main does, with the environment of the tests.
func runMain(t *testing.T, args []string, stdout, stderr io.Writer) int {
	t.Helper()
	return run(t.Context(), args, os.Getenv, stdout, stderr) //nolint:forbidigo // main passes it too
}

// TestBench sees to it that every workload is answered rightly, by Roster and by the floor, on every engine.
func TestBench(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	results := filepath.Join(t.TempDir(), "results")
	args := []string{"-users=1000", "-n=20", "-c=2", "-rounds=1", "-results", results}
	if code := runMain(t, args, &stdout, &stderr); code != 0 {
		t.Fatalf("%v: got code %d, stderr %s, stdout\n%s\nwant code 0", args, code, &stderr, &stdout)
	}
	for _, w := range []string{"W1", "W2", "W3", "W4", "W5", "W6", "W7"} {
		if n := strings.Count(stdout.String(), "\n"+w+" "); n < 3 {
			t.Errorf("%s: got reports for %d engines, want 3", w, n)
		}
	}
	for what, want := range map[string]int{"\nwith to without ": 3, "\n       1000 ": 3, " goals are met.\n": 1} {
		if n := strings.Count(stdout.String(), what); n != want {
			t.Errorf("%q: got %d, want %d", what, n, want)
		}
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
	const workloads, others = 7, 5 // others: with a token, with 0 and 1 followers, to 1 and 1,000 of them
	if err != nil || len(r.Results) != 3*(workloads+others)+1 || r.Commit == "" || r.Date == "" {
		t.Fatalf("got the report %+v, %v, want %d results of 3 engines and the start, with commit and date", r, err, workloads+others)
	}
	for _, got := range r.Results {
		if got.Workload == startWorkload {
			if got.Engine != sqlite || got.Roster.P50 <= 0 {
				t.Errorf("got the start %+v, want its time", got)
			}
			continue
		}
		of := strings.HasPrefix(got.Workload, "W")
		floor := got.Engine == postgres && of
		if got.Roster.PerSecond <= 0 || (got.Allocations > 0) != of || (got.Statements > 0) != of || (got.Floor.PerSecond > 0) != floor ||
			(got.CPURatio > 0) != floor || (got.P50Ratio > 0) != floor || (got.Without.PerSecond > 0) != (got.Workload == tokenWorkload) {
			t.Errorf("got %+v, want the figures of Roster, and on PostgreSQL those of the floor", got)
		}
	}
	if n := len(r.verdicts()); n < 3*(workloads+2)+2*6+workloads {
		t.Errorf("got %d verdicts, want one of the memory for each result but those with followers, and those of the ratios", n)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	compare := func() int {
		stdout.Reset()
		stderr.Reset()
		return runMain(t, []string{"-compare", "-results", results}, &stdout, &stderr)
	}
	if code := compare(); code != 1 || !strings.Contains(stderr.String(), "has 1 reports") {
		t.Errorf("one report: got code %d, %s, want code 1", code, &stderr)
	}
	if err := os.WriteFile(filepath.Join(results, "9.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if code := compare(); code != 0 || strings.Count(stdout.String(), " +0%") < 3*(workloads+others) || !strings.Contains(stdout.String(), "\npostgres W3 ") {
		t.Errorf("two reports: got code %d, %s%s, want each workload", code, &stdout, &stderr)
	}
}

// TestGrowth measures and draws each condition and each order of the schema at two sizes.
func TestGrowth(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	drawing := filepath.Join(dir, "growth.svg")
	var stdout, stderr strings.Builder
	args := []string{"-growth", drawing, "-largest=10000", "-n=20", "-results", dir}
	if code := runMain(t, args, &stdout, &stderr); code != 0 {
		t.Fatalf("%v: got code %d, stderr %s, stdout\n%s\nwant code 0", args, code, &stderr, &stdout)
	}
	svg, err := os.ReadFile(drawing)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "growth-*.csv"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got the files %v, %v, want one", files, err)
	}
	figures, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range ent.Kinds() {
		connection := k.GraphQL
		for _, f := range served().Query.Fields {
			if f.Type.Name() == k.GraphQL+"Connection" {
				connection = f.Name
			}
		}
		for _, chart := range []string{"filters of " + connection, "orders of " + connection} {
			if !strings.Contains(string(svg), ">"+chart+"<") {
				t.Errorf("the drawing has no chart of %s", chart)
			}
		}
		for _, f := range served().Types[k.GraphQL+"Where"].Fields {
			if f.Type.Name() == k.GraphQL+"Where" {
				continue
			}
			if n := strings.Count(string(figures), "\nfilters of "+connection+","+f.Name); n < 2 || n%2 > 0 {
				t.Errorf("%s of %s: got %d figures, want those of two sizes", f.Name, connection, n)
			}
		}
		for _, v := range served().Types[k.GraphQL+"OrderField"].EnumValues {
			if n := strings.Count(string(figures), "\norders of "+connection+",\""+v.Name+" ") + strings.Count(string(figures), "\norders of "+connection+","+v.Name+" "); n != 2*2*2 {
				t.Errorf("the order %s of %s: got %d figures, want those of two sizes, two directions and two pages", v.Name, connection, n)
			}
		}
	}
	for _, name := range []string{"W1", "W2", "W3", "W6", "users { totalCount }", "the last 100"} {
		if !strings.Contains(string(svg), ">"+name) {
			t.Errorf("the drawing has no line of %s", name)
		}
	}
}

func TestProfile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var stdout, stderr strings.Builder
	args := []string{"-users=1000", "-n=20", "-c=2", "-engines=sqlite", "-workloads=W1,W4", "-cpuprofile", dir}
	if code := runMain(t, args, &stdout, &stderr); code != 0 {
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
		"-workloads=W1,W8": `-workloads must be some of W1,W2,W3,W4,W5,W6,W7,start,token,changes,abuse, not "W8"`,
		"-largest=1000":    "-largest must be 10000 or more: growth needs two sizes",
		"W1":               `unexpected argument "W1"`,
	} {
		var stderr strings.Builder
		code := run(t.Context(), strings.Fields(line), func(string) string { return "" }, &stderr, &stderr)
		if code != 2 || stderr.String() != "bench: "+want+"\n" {
			t.Errorf("%s: got code %d, %s, want code 2, %s", line, code, &stderr, want)
		}
	}
}

// TestVerdicts compares figures with the goals of the issue.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	r := &report{Results: []*result{
		{Engine: postgres, Workload: "W1", Roster: numbers{PeakMemory: 127}, Floor: numbers{PerSecond: 1}, CPURatio: 1.3, P99Ratio: 1.9, FloorToPgbench: 1.15},
		{Engine: postgres, Workload: "W4", Roster: numbers{PeakMemory: 128}, Floor: numbers{PerSecond: 1}, CPURatio: 1.51, P99Ratio: 2, FloorToPgbench: 1.16},
		{Engine: sqlite, Workload: tokenWorkload, WithoutRatio: 1.2},
	}}
	var out strings.Builder
	r.judge(&out)
	if text := out.String(); !strings.Contains(text, "\n4 goals are met.\n") || strings.Count(text, "NOT MET: ") != 5 ||
		!strings.Contains(text, "NOT MET: postgres W4: CPU to the floor's") {
		t.Errorf("got %s\nwant 4 goals of W1 that are met, and 5 others that are not", text)
	}
}

// BenchmarkWorkloads makes the requests of each workload in this process, on SQLite, without HTTP.
func BenchmarkWorkloads(b *testing.B) {
	ctx := rules.WithCaller(b.Context(), rules.Everyone())
	st, err := newStore(ctx, sqlite, b.TempDir(), settings{users: usersStep, connections: 1}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := st.Close(); err != nil {
			b.Error(err)
		}
	})
	cursor, id, err := st.ninetyPercent(ctx)
	if err != nil {
		b.Fatal(err)
	}
	executor, err := newExecutor(st)
	if err != nil {
		b.Fatal(err)
	}
	for _, w := range newWorkloads(st.users, cursor, id) {
		b.Run(w.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := ask(ctx, executor, w, i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestServers measures two servers on one database of each engine that has several.
func TestServers(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	args := []string{"-servers=2", "-users=1000", "-n=20", "-c=2", "-idle=10ms"}
	if code := runMain(t, args, &stdout, &stderr); code != 0 {
		t.Fatalf("%v: got code %d, stderr %s, stdout\n%s\nwant code 0", args, code, &stderr, &stdout)
	}
	for what, want := range map[string]int{
		": 2 servers on one database\n": 2, ": reads of a replica, in shares of those of its primary\n": 2, "\nW1 one user by name": 2, "\nnumbers for changes, ": 4, "\nsecond without requests, ": 4, "\nmutation with pauses, ": 4,
		"\nmutation under load, ": 4, "\npeak memory of a server: ": 2, "\nopen connections: ": 2,
	} {
		if n := strings.Count(stdout.String(), what); n != want {
			t.Errorf("%q: got %d, want %d, in\n%s", what, n, want, &stdout)
		}
	}
	if code := runMain(t, []string{"-servers=-1"}, &stdout, &stderr); code != 2 {
		t.Errorf("a negative number of servers: got code %d, want 2", code)
	}
}
