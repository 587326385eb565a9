package cli_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"roster/internal/cli"
)

// feedIn runs a command line with an input.
func feedIn(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = cli.Run(t.Context(), append(args, "--log-level=error"), noEnvironment, strings.NewReader(stdin), &out, &err, "1.2.3")
	took := regexp.MustCompile(` in \d+\.\d s\n`)
	return code, took.ReplaceAllString(out.String(), " in 0.1 s\n"), took.ReplaceAllString(err.String(), " in 0.1 s\n")
}

const table = "          created    updated  unchanged    skipped   rejected\n"

// TestImport imports one file after the other into one database.
func TestImport(t *testing.T) {
	t.Parallel()
	url, dir := "--database-url=sqlite:"+filepath.Join(t.TempDir(), "roster.db"), t.TempDir()
	rejected := filepath.Join(dir, "rejected.csv")
	for _, step := range []struct {
		name, flags, stdin string
		code               int
		stdout, stderr     string
		rejected           string
	}{
		{
			name:  "a spreadsheet",
			stdin: "\ufeffE-Mail;Phone;Username\r\nada@example.com;1;Ada\r\ngrace@example.com;\"2\r\n3\";grace\r\n;;\r\n",
			stdout: table + "users           2          0          0          0          0\nposts           0          0          0          0          0\n" +
				"Not imported, since no field has the name: \"Phone\".\n2 rows in 0.1 s\n",
		},
		{
			name:  "faults",
			stdin: "username,email\nada,ada@example.org\n,x\nbob,BOB@example.com\nBob,bob@example.com\n",
			code:  1,
			stderr: "line 2: username is taken\nline 3: username must not be blank\nline 3: email must be an address such as ada@example.com\n" +
				"line 5: username is taken\nline 5: email is taken\n" +
				"roster: import -: rows are rejected: nothing is imported; --errors=FILE imports the other rows and writes the reasons\n",
		},
		{
			name:  "faults that are kept",
			flags: "--errors=" + rejected,
			stdin: "username,email\nada,ada@example.org\n,x\nbob,BOB@example.com\nBob,bob@example.com\n\"x\"y,z\n",
			code:  3,
			stdout: table + "users           1          0          0          0          4\nposts           0          0          0          0          0\n" +
				"5 rows in 0.1 s\n",
			stderr: "roster: import -: 4 rows are rejected: " + rejected + " has the reasons\n",
			rejected: "line,field,code,reason\n2,username,TAKEN,is taken\n3,username,BLANK,must not be blank\n3,email,INVALID,must be an address such as ada@example.com\n" +
				"5,username,TAKEN,is taken\n5,email,TAKEN,is taken\n" +
				"6,,INVALID,\"has a quote in the wrong place: a field with quotes in it is written \"\"like \"\"\"\"this\"\"\"\"\"\"\"\n",
		},
		{
			name:   "faults on the standard output",
			flags:  "--errors=- --dry-run",
			stdin:  "username,email\nada,x@example.org\ny,y@example.com\n",
			code:   3,
			stdout: "line,field,code,reason\n2,username,TAKEN,is taken\n",
			stderr: table + "users           1          0          0          0          1\nposts           0          0          0          0          0\n" +
				"This was a dry run: nothing is imported.\n2 rows in 0.1 s\nroster: import -: 1 row is rejected: the standard output has the reasons\n",
		},
		{
			name:  "columns that are ignored",
			flags: "--ignore=phone,ID --dry-run",
			stdin: "id,Phone,Fax,username,email\nx,1,2,y,y@example.com\n",
			stdout: table + "users           1          0          0          0          0\nposts           0          0          0          0          0\n" +
				"Not imported, since no field has the name: \"Fax\".\nThis was a dry run: nothing is imported.\n1 rows in 0.1 s\n",
		},
		{
			name:  "dry run of an update",
			flags: "--on-conflict=update --dry-run",
			stdin: "username,email\nADA,ada@example.org\nbob,BOB@example.com\ncleo,cleo@example.com\n",
			stdout: table + "users           1          1          1          0          0\nposts           0          0          0          0          0\n" +
				"This was a dry run: nothing is imported.\n3 rows in 0.1 s\n",
		},
		{
			name:  "users with posts, some of whom are there",
			flags: "--on-conflict=skip",
			stdin: `{"username": "ada", "email": "other@example.com", "posts": [{"title": "Engines"}]}` + "\n" + `{"username": "dora", "email": "dora@example.com", "posts": [{"title": "x"}, {"title": "y"}]}`,
			stdout: table + "users           1          0          0          1          0\nposts           2          0          0          1          0\n" +
				"5 rows in 0.1 s\n",
		},
		{
			name:   "a header alone",
			stdin:  "username,email\n",
			stdout: table + "users           0          0          0          0          0\nposts           0          0          0          0          0\n0 rows in 0.1 s\n",
		},
		{name: "nothing", code: 1, stderr: "roster: import -: the file is empty: nothing is imported\n"},
		{
			name: "no email", stdin: "username;phone\nada;1\n", code: 1,
			stderr: "roster: import -: line 1: there is no column email: the columns are \"username\", \"phone\"; users need username and email, posts authorId and title: nothing is imported\n",
		},
		{
			name: "batches", flags: "--batch=2", stdin: "username,email\ne,e@example.com\nf,f@example.com\nF,g@example.com\n", code: 1,
			stderr: "line 4: username is taken\nroster: import -: rows are rejected: the first 2 rows are imported, the others are not: run it again with --on-conflict=skip; " +
				"--errors=FILE imports the other rows and writes the reasons\n",
		},
		{
			name: "a long row", flags: "--max-row-bytes=20", stdin: "username,email\n" + strings.Repeat("x", 21) + ",x\n", code: 1,
			stderr: "line 2: has more than 20 bytes\nroster: import -: rows are rejected: nothing is imported; --errors=FILE imports the other rows and writes the reasons\n",
		},
		{
			name: "no room for the faults", flags: "--errors=/dev/full", stdin: "username,email\nx,\ny,y@example.com\n", code: 1,
			stderr: "roster: import -: write the rejected rows: write /dev/full: no space left on device\n",
		},
	} {
		code, stdout, stderr := feedIn(t, step.stdin, append([]string{"import", url}, strings.Fields(step.flags)...)...)
		if code != step.code || stdout != step.stdout || stderr != step.stderr {
			t.Errorf("%s: got code %d, stdout\n%s\nwant\n%s\nstderr\n%s\nwant\n%s", step.name, code, stdout, step.stdout, stderr, step.stderr)
		}
		if step.rejected != "" {
			if got, err := os.ReadFile(rejected); err != nil || string(got) != step.rejected {
				t.Errorf("%s: %v, rejected\n%s\nwant\n%s", step.name, err, got, step.rejected)
			}
		}
	}
	_, stdout, _ := run(t, "export", "users", url)
	var names []string
	for line := range strings.Lines(stdout) {
		names = append(names, strings.Split(line, ",")[1])
	}
	const want = "username Ada grace bob dora e f"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got the users %s in the end, want %s", got, want)
	}
}

func TestImportFile(t *testing.T) {
	t.Parallel()
	url := "--database-url=sqlite:" + filepath.Join(t.TempDir(), "roster.db")
	for _, file := range []string{"export-users.csv", "export-posts.jsonl"} {
		if code, _, stderr := feedIn(t, "", "import", url, filepath.Join("testdata", file)); code != 0 || stderr != "" {
			t.Fatalf("%s: got code %d, stderr %q, want code 0 and nothing", file, code, stderr)
		}
	}
	for line, file := range map[string]string{"export users --format=jsonl": "export-users.jsonl", "export posts": "export-posts.csv"} {
		want := golden(t, file)
		if _, got, _ := run(t, append(strings.Fields(line), url)...); got != want {
			t.Errorf("%s: got %s, want %s", line, got, want)
		}
	}
	code, stdout, stderr := feedIn(t, "", "import", url, "missing.csv")
	if code != 1 || stdout != "" || stderr != "roster: import missing.csv: there is no such file: correct the path\n" {
		t.Errorf("a missing file: got code %d, stdout %q, stderr %q, want code 1 and advice", code, stdout, stderr)
	}
	code, stdout, stderr = feedIn(t, "", "import", url, "testdata")
	if code != 1 || stdout != "" || stderr != "roster: import testdata: this is a directory: give the path of a file\n" {
		t.Errorf("a directory: got code %d, stdout %q, stderr %q, want code 1 and advice", code, stdout, stderr)
	}
}

// TestImportInterrupted ends the context while the input has not ended: as a signal does, before and after there is
// something to import.
func TestImportInterrupted(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{"", "username,email\nada,ada@example.com\n"} {
		url := "--database-url=sqlite:" + filepath.Join(t.TempDir(), "roster.db")
		ctx, interrupt := context.WithCancel(t.Context())
		in, input := io.Pipe()
		defer in.Close()
		var stdout, stderr bytes.Buffer
		done := make(chan int)
		go func() {
			done <- cli.Run(ctx, []string{"import", url, "--log-level=error"}, noEnvironment, in, &stdout, &stderr, "1.2.3")
		}()
		if _, err := io.WriteString(input, sent+"x"); err != nil {
			t.Fatal(err)
		}
		interrupt()
		if code := <-done; code != 130 || stdout.String() != "" || stderr.String() != "roster: import -: interrupted: nothing is imported\n" {
			t.Errorf("got code %d, stdout %q, stderr %q, want code 130 and that it was interrupted", code, stdout.String(), stderr.String())
		}
	}
}
