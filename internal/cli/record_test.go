package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"roster/internal/cli"
)

// operatorName is the name of the user that runs the tests, as a value in the log.
func operatorName(t *testing.T) string {
	t.Helper()
	u, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if err != nil {
		return strconv.Quote("uid " + strconv.Itoa(os.Getuid()))
	}
	return u.Username
}

// logged returns the lines of the log about imports and exports, without the time, and how many lines follow them.
func logged(stderr string) (lines []string, after int) {
	for line := range strings.Lines(stderr) {
		_, text, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " level=INFO ")
		switch {
		case ok && (strings.HasPrefix(text, "msg=imported ") || strings.HasPrefix(text, "msg=exported ")):
			lines = append(lines, text)
		case len(lines) > 0:
			after++
		}
	}
	return lines, after
}

// TestRecord imports and exports with each result: the log has one line of it, with the person and the numbers.
func TestRecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url, by := "--database-url=sqlite:"+filepath.Join(dir, "roster.db"), " by="+operatorName(t)
	file := func(name, text string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	odd := file("odd\x1b[2J\nlevel=INFO name=\".csv", "username,email\nada,ada@example.com\n")
	long := file(strings.Repeat("é", 120)+".csv", "username,email\n")
	escaped := strconv.Quote(odd)
	for _, step := range []struct {
		name, stdin string
		args        []string
		code        int
		want        string // without the person
	}{
		{
			name: "an import", stdin: "username,email,title\nbob,bob@example.com,x\ncleo,cleo@example.com,\n", args: []string{"import"},
			want: "msg=imported file=- result=complete dry_run=false rows=3 users_created=2 users_updated=0 posts_created=1 posts_updated=0 rejected=0",
		},
		{
			name: "a dry run with updates", stdin: "username,email\nbob,b@example.com\n,x\n", args: []string{"import", "--on-conflict=update", "--errors=" + filepath.Join(dir, "rejected.csv"), "--dry-run"}, code: 3,
			want: "msg=imported file=- result=complete dry_run=true rows=2 users_created=0 users_updated=1 posts_created=0 posts_updated=0 rejected=1",
		},
		{
			name: "batches before a rejected row", stdin: "username,email\nd,d@example.com\ne,e@example.com\nE,x@example.com\n", args: []string{"import", "--batch=2"}, code: 1,
			want: "msg=imported file=- result=failed dry_run=false rows=2 users_created=2 users_updated=0 posts_created=0 posts_updated=0 rejected=0",
		},
		{
			name: "no header", stdin: "x\n", args: []string{"import"}, code: 1,
			want: "msg=imported file=- result=failed dry_run=false rows=0 users_created=0 users_updated=0 posts_created=0 posts_updated=0 rejected=0",
		},
		{
			name: "a file with an odd name", args: []string{"import", odd},
			want: "msg=imported file=" + escaped + " result=complete dry_run=false rows=1 users_created=1 users_updated=0 posts_created=0 posts_updated=0 rejected=0",
		},
		{name: "an export", args: []string{"export", "users"}, want: "msg=exported file=- result=complete kind=users rows=5"},
		{name: "an export of posts to a file", args: []string{"export", "posts", "-o", filepath.Join(dir, "posts.jsonl.gz")}, want: "msg=exported file=" + filepath.Join(dir, "posts.jsonl.gz") + " result=complete kind=posts rows=1"},
		{name: "an export to a full disk", args: []string{"export", "users", "-o", "/dev/full"}, code: 1, want: "msg=exported file=/dev/full result=failed kind=users rows=5"},
	} {
		var stdout, stderr bytes.Buffer
		code := cli.Run(t.Context(), append(step.args, url), noEnvironment, strings.NewReader(step.stdin), &stdout, &stderr, "1.2.3")
		lines, after := logged(stderr.String())
		message, rest, _ := strings.Cut(step.want, " ")
		if want := message + by + " " + rest; code != step.code || len(lines) != 1 || lines[0] != want || after > 1 {
			t.Errorf("%s: got code %d, stderr\n%s\nwant code %d, and in the log\n%s", step.name, code, &stderr, step.code, want)
		}
		stderr.Reset()
		if step.code == 0 {
			again := slices.Concat(step.args, []string{url, "--log-level=warn"})
			if step.args[0] == "import" {
				again = append(again, "--on-conflict=skip")
			}
			if code := cli.Run(t.Context(), again, noEnvironment, strings.NewReader(step.stdin), &stdout, &stderr, "1.2.3"); code != 0 || stderr.Len() > 0 {
				t.Errorf("%s with --log-level=warn: got code %d, stderr %q, want code 0 and nothing", step.name, code, &stderr)
			}
		}
	}
	_, _, stderr := run(t, "import", url, long, "--log-format=json")
	var line map[string]any
	if err := json.Unmarshal([]byte(stderr), &line); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	name, _ := line["file"].(string)
	if !strings.HasSuffix(name, "é…") || len(name) > 256+len("…") || line["users_created"] != 0.0 {
		t.Errorf("a long name: got %v, want at most 256 bytes of it", line)
	}
}

// TestRecordInterrupted interrupts an import after its first batch, and an export.
func TestRecordInterrupted(t *testing.T) {
	t.Parallel()
	url, by := "--database-url=sqlite:"+filepath.Join(t.TempDir(), "roster.db"), " by="+operatorName(t)
	ctx, interrupt := context.WithCancel(t.Context())
	in, input := io.Pipe()
	defer in.Close()
	var stdout, stderr bytes.Buffer
	done := make(chan int)
	go func() {
		done <- cli.Run(ctx, []string{"import", url, "--batch=1000", "--on-conflict=skip"}, noEnvironment, in, &stdout, &stderr, "1.2.3")
	}()
	if _, err := io.WriteString(input, "username,email\n"+strings.Repeat("ada,ada@example.com\n", 50_000)); err != nil { // more than the import reads ahead
		t.Fatal(err)
	}
	interrupt()
	code := <-done
	lines, _ := logged(stderr.String())
	want := "msg=imported" + by + " file=- result=interrupted dry_run=false rows="
	if code != 130 || len(lines) != 1 || !strings.HasPrefix(lines[0], want) || !strings.Contains(lines[0], " users_created=1 ") {
		t.Errorf("an import: got code %d, stderr\n%s\nwant code 130, and in the log\n%s", code, &stderr, want)
	}

	ctx, interrupt = context.WithCancel(t.Context())
	stderr.Reset()
	code = cli.Run(ctx, []string{"export", "users", url}, noEnvironment, strings.NewReader(""), &hungUp{first: interrupt}, &stderr, "1.2.3")
	lines, _ = logged(stderr.String())
	want = "msg=exported" + by + " file=- result=interrupted kind=users rows=1"
	if code != 130 || len(lines) != 1 || lines[0] != want {
		t.Errorf("an export: got code %d, stderr\n%s\nwant code 130, and in the log\n%s", code, &stderr, want)
	}
}

// TestOperator names users by their numbers.
func TestOperator(t *testing.T) {
	t.Parallel()
	if got := cli.Operator(0); got != "root" {
		t.Errorf("got %q, want root", got)
	}
	if got := cli.Operator(4_000_000_001); got != "uid 4000000001" {
		t.Errorf("got %q, want the number of a user without a name", got)
	}
}
