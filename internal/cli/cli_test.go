package cli_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"roster/internal/cli"
)

// run runs a command line to its end.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = cli.Run(t.Context(), args, strings.NewReader(""), &out, &err, "1.2.3")
	return code, out.String(), err.String()
}

func golden(t *testing.T, name string) string {
	t.Helper()
	text, err := fs.ReadFile(os.DirFS("testdata"), name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args   []string
		golden string
	}{
		{[]string{"--help"}, "help.txt"},
		{[]string{"serve", "--help"}, "help-serve.txt"},
		{[]string{"migrate", "--help"}, "help-migrate.txt"},
		{[]string{"seed", "--help"}, "help-seed.txt"},
		{[]string{"import", "--help"}, "help-import.txt"},
		{[]string{"export", "--help"}, "help-export.txt"},
		{[]string{"stats", "--help"}, "help-stats.txt"},
		{[]string{"schema", "-h"}, "help-schema.txt"},
	} {
		code, stdout, stderr := run(t, test.args...)
		if want := golden(t, test.golden); code != 0 || stdout != want || stderr != "" {
			t.Errorf("%v: code %d, stderr %q, stdout\n%s\nwant\n%s", test.args, code, stderr, stdout, want)
		}
	}
}

func TestNothingAsked(t *testing.T) {
	t.Parallel()
	if code, stdout, stderr := run(t); code != 2 || stdout != "" || stderr != golden(t, "help.txt") {
		t.Errorf("code %d, stdout %q, stderr\n%s", code, stdout, stderr)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if code, stdout, stderr := run(t, "version"); code != 0 || stdout != "roster 1.2.3\n" || stderr != "" {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := run(t, "schema")
	if code != 0 || !strings.Contains(stdout, "type Query") || stderr != "" {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	const hint = "; see roster --help\n"
	for line, want := range map[string]string{
		"bogus":                                 `unexpected argument bogus`,
		"migrate":                               `expected one of "up", "down", "status"`,
		"serve --listne=x":                      `unknown flag --listne, did you mean "--listen"?`,
		"serve --listen=here":                   `serve: --listen must be HOST:PORT, such as 127.0.0.1:8080, not "here"`,
		"serve --listen=:http":                  `serve: --listen must have a port from 0 to 65535, not "http"`,
		"serve --listen=:70000":                 `serve: --listen must have a port from 0 to 65535, not "70000"`,
		"serve --max-body-bytes=0":              `serve: --max-body-bytes must be 1 or more, not 0`,
		"serve --keep-idempotency-keys=0s":      `serve: --keep-idempotency-keys must be longer than 0s, not 0s`,
		"serve --max-requests=-1":               `serve: --max-requests must be 0 or more, not -1`,
		"serve --max-cost=-1":                   `serve: --max-cost must be 0 or more, not -1`,
		"serve --max-expanded=0":                `serve: --max-expanded must be from 1 to 1000000, not 0`,
		"serve --max-repeats=10000001":          `serve: --max-repeats must be from 1 to 10000000, not 10000001`,
		"serve --document-cache-bytes=-1":       `serve: --document-cache-bytes must be 0 or more, not -1`,
		"serve --request-timeout=0s":            `serve: --request-timeout must be longer than 0s, not 0s`,
		"serve --shutdown-timeout=-1s":          `serve: --shutdown-timeout must be longer than 0s, not -1s`,
		"serve --cors-origins=app.example.com":  `serve: --cors-origins must be * or origins as browsers send them, such as https://app.example.com, not "app.example.com"`,
		"serve --max-streams=-1":                `serve: --max-streams must be 0 or more, not -1`,
		"serve --max-operations-per-socket=0":   `serve: --max-operations-per-socket must be 1 or more, not 0`,
		"serve --ping-interval=0s":              `serve: --ping-interval must be longer than 0s, not 0s`,
		"serve --request-timeout=5":             `--request-timeout: must be a number with its unit, such as 500ms, 5s or 2m, not "5"`,
		"serve --ping-interval=9999999999h":     `--ping-interval: must be a number with its unit, such as 500ms, 5s or 2m, not "9999999999h"`,
		"serve --log-level=loud":                `--log-level must be one of "debug","info","warn","error" but got "loud"`,
		"serve --log-format=xml":                `--log-format must be one of "text","json" but got "xml"`,
		"serve --database-max-connections=0":    `serve: --database-max-connections must be 1 or more, not 0`,
		"serve --database-max-connections=x":    `--database-max-connections: expected a valid 64 bit int but got "x"`,
		"serve --database-pool-wait=0s":         `serve: --database-pool-wait must be longer than 0s, not 0s`,
		"serve --database-connect-timeout=0s":   `serve: --database-connect-timeout must be longer than 0s, not 0s`,
		"serve --database-statement-cache=-1":   `serve: --database-statement-cache must be 0 or more, not -1`,
		"seed --users=0":                        `seed: --users must be from 1 to 1000000, not 0`,
		"seed --users=1000001":                  `seed: --users must be from 1 to 1000000, not 1000001`,
		"seed --posts-per-user=-1":              `seed: --posts-per-user must be from 0 to 1000, not -1`,
		"seed --posts-per-user=1001":            `seed: --posts-per-user must be from 0 to 1000, not 1001`,
		"seed --seed=-1":                        `--seed: expected a valid 64 bit uint but got "-1"`,
		"seed --database-pool-wait=0s":          `seed: --database-pool-wait must be longer than 0s, not 0s`,
		"import --batch=-1":                     `import: --batch must be 0 or more, not -1`,
		"import --max-row-bytes=0":              `import: --max-row-bytes must be from 1 to 1073741824, not 0`,
		"import --on-conflict=ask":              `--on-conflict must be one of "fail","skip","update" but got "ask"`,
		"import --format=xml":                   `--format must be one of "auto","csv","jsonl" but got "xml"`,
		"import a.csv b.csv":                    `unexpected argument b.csv`,
		"import --spreadsheet --format=jsonl":   `import: --spreadsheet is for CSV: leave it out for JSON lines`,
		"export users --spreadsheet -o a.JSON":  `export: --spreadsheet is for CSV: leave it out for JSON lines`,
		"export":                                `expected "<what>"`,
		"export things":                         `<what> must be one of "users","posts" but got "things"`,
		"export users --format=xml":             `--format must be one of "auto","csv","jsonl" but got "xml"`,
		"stats --by=year":                       `--by must be one of "day","week","month" but got "year"`,
		"stats --from=yesterday":                `stats: --from must be a date or an RFC 3339 time, such as 2026-01-31 or 2026-01-31T09:30:00Z, not "yesterday"`,
		"stats --to=2026-02-30":                 `stats: --to must be a date or an RFC 3339 time, such as 2026-01-31 or 2026-01-31T09:30:00Z, not "2026-02-30"`,
		"migrate --statement-timeout=0s status": `migrate: --statement-timeout must be longer than 0s, not 0s`,
		"migrate down --to=-1":                  `migrate down: --to must be a version that roster migrate status lists, or 0, not -1`,
	} {
		code, stdout, stderr := run(t, strings.Fields(line)...)
		if code != 2 || stdout != "" || stderr != "roster: "+want+hint {
			t.Errorf("%s: code %d, stdout %q, stderr\n%s, want\n%s", line, code, stdout, stderr, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("ROSTER_LISTEN", "here")
	t.Setenv("DATABASE_URL", "nowhere")
	t.Setenv("ROSTER_DATABASE_MAX_CONNECTIONS", "1")
	for _, test := range []struct {
		line string
		code int
		want string
	}{
		{"version", 0, ""},
		{"serve", 2, `roster: serve: --listen must be HOST:PORT, such as 127.0.0.1:8080, not "here"`},
		{"serve --listen=127.0.0.1:0", 1, "roster: database URL: no scheme"},
		{"migrate status", 1, "roster: database URL: no scheme"},
	} {
		code, _, stderr := run(t, strings.Fields(test.line)...)
		if code != test.code || !strings.HasPrefix(stderr, test.want) {
			t.Errorf("%s: code %d, stderr %q, want %d, %q", test.line, code, stderr, test.code, test.want)
		}
	}
	t.Setenv("ROSTER_DATABASE_MAX_CONNECTIONS", "many")
	const want = `roster: --database-max-connections: expected a valid 64 bit int but got "many" (from envar ROSTER_DATABASE_MAX_CONNECTIONS="many")`
	if code, _, stderr := run(t, "migrate", "status"); code != 2 || !strings.HasPrefix(stderr, want) {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	missing := "sqlite:" + filepath.Join(t.TempDir(), "missing", "roster.db")
	for _, args := range [][]string{
		{"serve", "--listen=127.0.0.1:0", "--database-url", missing},
		{"migrate", "up", "--database-url", missing},
		{"migrate", "--database-url", missing, "status"},
		{"seed", "--database-url", missing},
		{"import", "--database-url", missing},
		{"export", "users", "--database-url", missing},
		{"stats", "--database-url", missing},
		{"serve", "--database-url=oracle://u:s3cret@h/d"},
	} {
		code, stdout, stderr := run(t, args...)
		if code != 1 || stdout != "" || !strings.HasPrefix(stderr, "roster: ") || strings.Count(stderr, "\n") != 1 || strings.Contains(stderr, "s3cret") {
			t.Errorf("%v: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}

// TestListenOn has addresses that cannot be listened on: the error says why, in no words of Go.
func TestListenOn(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for address, reason := range map[string]string{
		taken.Addr().String(): "another program listens there",
		"192.0.2.1:0":         "this machine does not have the address", // of RFC 5737, which no machine has
		"no such host:0":      "there is no host of this name, or it cannot be looked up",
	} {
		code, stdout, stderr := run(t, "serve", "--log-level=error", "--listen="+address,
			"--database-url=sqlite:"+filepath.Join(t.TempDir(), "roster.db"))
		if want := "roster: cannot listen on " + address + ": " + reason + ": choose another address with --listen\n"; code != 1 || stdout != "" || stderr != want {
			t.Errorf("code %d, stdout %q, stderr %q, want %q", code, stdout, stderr, want)
		}
	}
}

// TestStartErrors gives the program wrong settings, one at a time. It says what to do, in no words of Go, and shows no
// password.
func TestStartErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	closed, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(closed.Close(), os.WriteFile(at("text"), []byte("text\n"), 0o600), os.Symlink("loop", at("loop"))); err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile(`strconv|ParseAddr|parse "|time: |dial |tcp |: bind|connect: |syscall|no such file or directory|open /|stat /|lookup |EOF|0x|s3cret|\(\*`)
	for _, test := range []struct{ line, says string }{
		{"serve --listen=" + taken.Addr().String(), "another program listens there"},
		{"serve --listen=192.0.2.1:0", "this machine does not have the address"},
		{"serve --listen=nowhere.invalid:0", "no host of this name"},
		{"serve --listen=127.0.0.1:0 --trusted-documents=" + dir, "is a directory"},
		{"serve --listen=127.0.0.1:0 --trusted-documents=" + at("missing"), "no such file: correct the path"},
		{"serve --listen=127.0.0.1:0 --trusted-documents=" + at("loop"), "cannot be read"},
		{"serve --listen=127.0.0.1:0 --request-timeout=1y", "must be a number with its unit"},
		{"import " + at("missing"), "no such file: correct the path"},
		{"import " + at("text/below"), "cannot be read"},
		{"import " + dir, "is a directory"},
		{"import " + at("text") + " --errors=" + at("missing/x"), "its directory does not exist"},
		{"export users -o " + at("text/x"), "cannot be written"},
		{"migrate up --database-url=sqlite:" + at("missing/x"), "does not exist: create it"},
		{"migrate up --database-url=sqlite:" + dir, "is a directory"},
		{"migrate up --database-url=sqlite:" + at("text"), "not an SQLite database"},
		{"migrate up --database-url=sqlite:" + at("loop"), "cannot be written"},
		{"migrate up --database-url=sqlite://u:s3cret@h/d", "has a user or a password"},
		{"migrate up --database-url=u:s3cret@tcp(h:1)/d", "unknown scheme"},
		{"migrate up --database-url=postgres://u:s3cret@" + closed.Addr().String() + "/d", "nothing answers there"},
		{"migrate up --database-url=postgres://u:s3cret@h/d?connect_timeout=x", "connect_timeout"},
		{"migrate up --database-url=postgres://u:s3cret%zz@h/d", "write special characters"},
		{"migrate up --database-url=postgres://u:s3cret@h:x/d", "the port"},
		{"migrate up --database-url=mysql://u:s3cret@" + closed.Addr().String() + "/d", "nothing answers there"},
		{"migrate up --database-url=mysql://u:s3cret@h/d?timeout=x", "a wrong value"},
		{"migrate up --database-url=mysql:u:s3cret@tcp(h:1)/d", "no host"},
	} {
		args := append(strings.Fields(test.line), "--log-level=error")
		if !strings.Contains(test.line, "--database-url") {
			args = append(args, "--database-url=sqlite:"+at("roster.db"))
		}
		code, stdout, stderr := run(t, args...)
		_, message, _ := strings.Cut(stderr, "roster: ")
		if code == 0 || stdout != "" || !strings.Contains(message, test.says) || words.MatchString(message) || strings.Count(message, "\n") != 1 {
			t.Errorf("%s: code %d, stdout %q, stderr\n%s, want %s", test.line, code, stdout, stderr, test.says)
		}
	}
}

func TestTrustedDocuments(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	for name, test := range map[string]struct{ text, want string }{
		"missing.json": {"", "--trusted-documents: FILE: there is no such file: correct the path"},
		"broken.json":  {`{"a": `, "--trusted-documents: FILE: no value at byte 6"},
		"empty.json":   {`{}`, "--trusted-documents: FILE: no document: nothing would be executed"},
		"invalid.json": {`{"a": "{ nothing }"}`, `--trusted-documents: FILE: trusted document "a": line 1, column 3: Cannot query field "nothing" on type "Query".`},
	} {
		file := filepath.Join(directory, name)
		if test.text != "" {
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		code, stdout, stderr := run(t, "serve", "--listen=127.0.0.1:0", "--log-level=error",
			"--database-url=sqlite:"+filepath.Join(directory, name+".db"), "--trusted-documents="+file)
		if want := "roster: " + strings.ReplaceAll(test.want, "FILE", file) + "\n"; code != 1 || stdout != "" || stderr != want {
			t.Errorf("%s: code %d, stdout %q, stderr\n%s, want\n%s", name, code, stdout, stderr, want)
		}
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	url := "--database-url=sqlite:" + filepath.Join(t.TempDir(), "roster.db")
	for _, step := range []struct{ line, want string }{
		{"migrate up", `^(applied  \d{14} \w+\n)+$`},
		{"migrate up", `^nothing to apply\n$`},
		{"migrate status", `^VERSION +NAME +APPLIED AT\n(\d{14}  \w+ +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n)+$`},
		{"migrate down", `^undone   \d{14} \w+\n$`},
		{"migrate up", `^applied  \d{14} \w+\n$`},
		{"migrate down --to 0", `^(undone   \d{14} \w+\n)+$`},
		{"migrate down", `^nothing to undo\n$`},
		{"migrate status", `^VERSION +NAME +APPLIED AT\n(\d{14}  \w+ +pending\n)+$`},
	} {
		code, stdout, stderr := run(t, append(strings.Fields(step.line), url)...)
		if code != 0 || stderr != "" || !regexp.MustCompile(step.want).MatchString(stdout) {
			t.Fatalf("%s: code %d, stderr %q, stdout\n%s", step.line, code, stderr, stdout)
		}
	}
}

func TestServeWithoutMigrationsWantsThem(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "roster.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := run(t, "serve", "--no-migrate", "--listen=127.0.0.1:0", "--database-url=sqlite:"+file)
	if code != 1 || stdout != "" || !strings.Contains(stderr, "roster migrate up") {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// TestNoDatabase runs the commands that make no database where none is: none is there afterwards.
func TestNoDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "roster.db"), filepath.Join(dir, "a?b.db")} {
		for _, line := range []string{
			"export users", "export posts -o " + filepath.Join(dir, "posts.csv"), "stats", "migrate status", "migrate down", "changes reset --yes",
			"serve --no-migrate --listen=127.0.0.1:0",
		} {
			code, stdout, stderr := run(t, append(strings.Fields(line), "--database-url=sqlite:"+path)...)
			want := "roster: SQLite (" + path + "): there is no such file: correct the path, or create the database with roster migrate up\n"
			if code != 1 || stdout != "" || !strings.HasSuffix(stderr, want) {
				t.Errorf("%s: code %d, stdout %q, stderr %q", line, code, stdout, stderr)
			}
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("the directory holds %v, %v", files, err)
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stderr bytes.Buffer
	stdout := &onWrite{first: stop}
	code := cli.Run(ctx, []string{
		"serve", "--listen=localhost:0", "--database-url=sqlite:" + filepath.Join(t.TempDir(), "roster.db"),
	}, strings.NewReader(""), stdout, &stderr, "1.2.3")
	want := regexp.MustCompile(`^Roster 1\.2\.3 is running on SQLite \(.*roster\.db\)\.
  playground  http://localhost:[1-9]\d*/
  endpoint    http://localhost:[1-9]\d*/graphql
Roster has stopped\.
$`)
	if code != 0 || !want.MatchString(stdout.String()) {
		t.Errorf("code %d, stderr %q, stdout\n%s", code, stderr.String(), stdout)
	}
}

// TestServeUntilHangUp stops a server whose terminal is gone: that is no failure.
func TestServeUntilHangUp(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stderr bytes.Buffer
	code := cli.Run(ctx, []string{
		"serve", "--listen=localhost:0", "--log-level=error", "--database-url=sqlite:" + filepath.Join(t.TempDir(), "roster.db"),
	}, strings.NewReader(""), &hungUp{first: stop}, &stderr, "1.2.3")
	if code != 0 || stderr.Len() > 0 {
		t.Errorf("code %d, stderr %q", code, &stderr)
	}
}

// hungUp is a terminal that is gone after the first thing written to it.
type hungUp struct{ first func() }

func (h *hungUp) Write(p []byte) (int, error) {
	if h.first == nil {
		return 0, syscall.EIO
	}
	h.first()
	h.first = nil
	return len(p), nil
}

// onWrite calls first when something is written to it for the first time.
type onWrite struct {
	bytes.Buffer
	first func()
}

func (w *onWrite) Write(p []byte) (int, error) {
	w.first()
	return w.Buffer.Write(p)
}
