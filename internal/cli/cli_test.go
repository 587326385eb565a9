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
	"slices"
	"strings"
	"syscall"
	"testing"

	"roster/internal/cli"
)

// run runs a command line to its end.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = cli.Run(t.Context(), args, noEnvironment, strings.NewReader(""), &out, &err, "1.2.3")
	return code, out.String(), err.String()
}

// noEnvironment is an environment without secrets.
func noEnvironment(string) string { return "" }

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
		{nil, "help.txt"},
		{[]string{"--help"}, "help.txt"},
		{[]string{"serve", "--help"}, "help-serve.txt"},
		{[]string{"ready", "--help"}, "help-ready.txt"},
		{[]string{"migrate", "--help"}, "help-migrate.txt"},
		{[]string{"seed", "--help"}, "help-seed.txt"},
		{[]string{"import", "--help"}, "help-import.txt"},
		{[]string{"export", "--help"}, "help-export.txt"},
		{[]string{"stats", "--help"}, "help-stats.txt"},
		{[]string{"changes", "--help"}, "help-changes.txt"},
		{[]string{"check", "--help"}, "help-check.txt"},
		{[]string{"backup", "--help"}, "help-backup.txt"},
		{[]string{"restore", "--help"}, "help-restore.txt"},
		{[]string{"token", "mint", "--help"}, "help-token-mint.txt"},
		{[]string{"token", "explain", "--help"}, "help-token-explain.txt"},
		{[]string{"keys", "--help"}, "help-keys.txt"},
		{[]string{"keys", "create", "--help"}, "help-keys-create.txt"},
		{[]string{"keys", "list", "--help"}, "help-keys-list.txt"},
		{[]string{"keys", "revoke", "--help"}, "help-keys-revoke.txt"},
		{[]string{"user", "--help"}, "help-user.txt"},
		{[]string{"user", "export", "--help"}, "help-user-export.txt"},
		{[]string{"user", "erase", "--help"}, "help-user-erase.txt"},
		{[]string{"schema", "-h"}, "help-schema.txt"},
	} {
		code, stdout, stderr := run(t, test.args...)
		if want := golden(t, test.golden); code != 0 || stdout != want || stderr != "" {
			t.Errorf("%v: got code %d, stderr %q, stdout\n%s\nwant code 0 and\n%s", test.args, code, stderr, stdout, want)
		}
	}
}

// TestHelpOfProgram checks that the help of the program fits a screen of 80 columns and 24 lines.
func TestHelpOfProgram(t *testing.T) {
	t.Parallel()
	_, help, _ := run(t, "--help")
	if got := strings.Count(help, "\n"); got > 24 {
		t.Errorf("got %d lines, want at most 24", got)
	}
	for line := range strings.Lines(help) {
		if got := len(strings.TrimSuffix(line, "\n")); got > 80 {
			t.Errorf("got %d columns, want at most 80: %s", got, line)
		}
	}
	if got := regexp.MustCompile(`--\w[\w-]+`).FindAllString(help, -1); !slices.Equal(slices.Compact(got), []string{"--help"}) {
		t.Errorf("got the flags %v, want the global --help alone", got)
	}
}

// TestHelpOfCommands checks that the help of each command starts with at most ten flags, and that every other flag has a
// group.
func TestHelpOfCommands(t *testing.T) {
	t.Parallel()
	section := regexp.MustCompile(`(?m)^([A-Z][^\n]*):\n((?: .*\n|\n )+)`)
	flag := regexp.MustCompile(`(?m)^ +(-\w|--[\w\[\]-]+)`)
	for command, groups := range map[string]string{
		"serve": "Flags, Used most, Listening and requests, Authentication, Access and TLS, Clients, WebSockets and event streams, GraphQL, Limits of a request, Retention, " +
			"Database, Replicas of the database, Admin listener, Slow operations and traces, Logging",
		"check": "Flags, Used most, Listening and requests, Authentication, Access and TLS, Clients, WebSockets and event streams, GraphQL, Limits of a request, Retention, " +
			"Database, Replicas of the database, Admin listener, Slow operations and traces, Logging, Checks",
		"backup":         "Arguments, Flags, Used most, Database, Logging",
		"restore":        "Arguments, Flags, Used most, Database, Logging",
		"migrate up":     "Flags, Used most, Database, Logging",
		"migrate down":   "Flags, Used most, Database, Logging",
		"migrate status": "Flags, Used most, Database, Logging",
		"migrate":        "Flags, Used most, Database, Logging, Commands",
		"seed":           "Flags, Used most, Database, Logging",
		"import":         "Arguments, Flags, Used most, Rows, Database, Logging",
		"export":         "Arguments, Flags, Used most, Database, Logging",
		"stats":          "Flags, Used most, Database, Logging",
		"changes reset":  "Flags, Used most, Database, Logging",
		"token mint":     "Flags, Used most, Authentication",
		"token explain":  "Flags, Authentication",
		"keys create":    "Flags, Used most, Database, Logging",
		"keys list":      "Flags, Used most, Database, Logging",
		"keys revoke":    "Arguments, Flags, Used most, Database, Logging",
		"user export":    "Arguments, Flags, Used most, Database, Logging",
		"user erase":     "Arguments, Flags, Used most, Database, Logging",
		"ready":          "Arguments, Flags, Used most",
		"schema":         "Flags",
		"version":        "Flags",
		"completion":     "Arguments, Flags",
		"man":            "Flags",
	} {
		_, help, _ := run(t, append(strings.Fields(command), "--help")...)
		var titles []string
		for _, match := range section.FindAllStringSubmatch(help, -1) {
			title, flags := match[1], flag.FindAllString(match[2], -1)
			titles = append(titles, title)
			if title == "Used most" && len(flags) > 10 {
				t.Errorf("%s: got %d flags that are used most, want at most 10", command, len(flags))
			}
			if title == "Flags" && !slices.Equal(flags, []string{"  -h"}) {
				t.Errorf("%s: got the flags %q without a group, want --help alone", command, flags)
			}
		}
		if got := strings.Join(titles, ", "); got != groups {
			t.Errorf("%s: got the groups %s, want %s", command, got, groups)
		}
		for line := range strings.Lines(help) {
			if len(line) > 81 && len(strings.Fields(line)) > 1 {
				t.Errorf("%s: got %d columns, want at most 80: %s", command, len(line)-1, line)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if code, stdout, stderr := run(t, "version"); code != 0 || stdout != "roster 1.2.3\n" || stderr != "" {
		t.Errorf("got code %d, stdout %q, stderr %q, want code 0 and the version", code, stdout, stderr)
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := run(t, "schema")
	if code != 0 || !strings.Contains(stdout, "type Query") || stderr != "" {
		t.Errorf("got code %d, stdout %q, stderr %q, want code 0 and the schema", code, stdout, stderr)
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"bogus":                                              `unexpected argument bogus; see roster --help`,
		"migrate":                                            `the command is missing: up, down or status; see roster migrate --help`,
		"serve --listne=x":                                   `unknown flag --listne, did you mean "--listen"?; see roster serve --help`,
		"serve --listen=here":                                `--listen must be HOST:PORT, such as 127.0.0.1:8080, not "here"; see roster serve --help`,
		"serve --listen=:http":                               `--listen must have a port from 0 to 65535, not "http"; see roster serve --help`,
		"serve --listen=:70000":                              `--listen must have a port from 0 to 65535, not "70000"; see roster serve --help`,
		"serve --admin-listen=here":                          `--admin-listen must be HOST:PORT, such as 127.0.0.1:9090, or unix:PATH, not "here"; see roster serve --help`,
		"serve --admin-listen=unix:":                         `--admin-listen must have a path after unix:, such as unix:/run/roster/admin.sock; see roster serve --help`,
		"serve --admin-public":                               `--admin-public has no effect without the admin listener: also set --admin-listen; see roster serve --help`,
		"serve --max-body-bytes=0":                           `--max-body-bytes must be 1 or more, not 0; see roster serve --help`,
		"serve --keep-idempotency-keys=0s":                   `--keep-idempotency-keys must be longer than 0s, not 0s; see roster serve --help`,
		"serve --max-requests=-1":                            `--max-requests must be 0 or more, not -1; see roster serve --help`,
		"serve --max-cost=-1":                                `--max-cost must be 0 or more, not -1; see roster serve --help`,
		"serve --max-expanded=0":                             `--max-expanded must be from 1 to 1000000, not 0; see roster serve --help`,
		"serve --max-repeats=10000001":                       `--max-repeats must be from 1 to 10000000, not 10000001; see roster serve --help`,
		"serve --document-cache-bytes=-1":                    `--document-cache-bytes must be 0 or more, not -1; see roster serve --help`,
		"serve --request-timeout=0s":                         `--request-timeout must be longer than 0s, not 0s; see roster serve --help`,
		"serve --shutdown-timeout=-1s":                       `--shutdown-timeout must be longer than 0s, not -1s; see roster serve --help`,
		"serve --cors-origins=app.example.com":               `--cors-origins must be * or origins such as https://app.example.com, without a path, not "app.example.com"; see roster serve --help`,
		"serve --max-streams=-1":                             `--max-streams must be 0 or more, not -1; see roster serve --help`,
		"serve --max-operations-per-socket=0":                `--max-operations-per-socket must be 1 or more, not 0; see roster serve --help`,
		"serve --ping-interval=0s":                           `--ping-interval must be longer than 0s, not 0s; see roster serve --help`,
		"serve --request-timeout=5":                          `--request-timeout must be a number with its unit, such as 500ms, 5s or 2m, not "5"; see roster serve --help`,
		"serve --ping-interval=9999999999h":                  `--ping-interval must be a number with its unit, such as 500ms, 5s or 2m, not "9999999999h"; see roster serve --help`,
		"serve --log-level=loud":                             `--log-level must be debug, info, warn or error, not "loud"; see roster serve --help`,
		"serve --log-format=xml":                             `--log-format must be text or json, not "xml"; see roster serve --help`,
		"serve --database-max-connections=0":                 `--database-max-connections must be 1 or more, not 0; see roster serve --help`,
		"serve --database-max-connections=x":                 `--database-max-connections must be a whole number of at most 64 bits, not "x"; see roster serve --help`,
		"serve --database-pool-wait=0s":                      `--database-pool-wait must be longer than 0s, not 0s; see roster serve --help`,
		"serve --database-connect-timeout=0s":                `--database-connect-timeout must be longer than 0s, not 0s; see roster serve --help`,
		"serve --database-connection-lifetime=-1s":           `--database-connection-lifetime must be 0s or longer, not -1s; see roster serve --help`,
		"serve --database-connection-lifetime=30":            `--database-connection-lifetime must be a number with its unit, such as 500ms, 5s or 2m, not "30"; see roster serve --help`,
		"migrate status --database-connection-lifetime=-1ms": `--database-connection-lifetime must be 0s or longer, not -1ms; see roster migrate status --help`,
		"serve --database-statement-cache=-1":                `--database-statement-cache must be 0 or more, not -1; see roster serve --help`,
		"seed --users=0":                                     `--users must be from 1 to 1000000, not 0; see roster seed --help`,
		"seed --users=1000001":                               `--users must be from 1 to 1000000, not 1000001; see roster seed --help`,
		"seed --posts-per-user=-1":                           `--posts-per-user must be from 0 to 1000, not -1; see roster seed --help`,
		"seed --posts-per-user=1001":                         `--posts-per-user must be from 0 to 1000, not 1001; see roster seed --help`,
		"seed --seed=-1":                                     `--seed must be a whole number of at most 64 bits without a sign, not "-1"; see roster seed --help`,
		"seed --database-pool-wait=0s":                       `--database-pool-wait must be longer than 0s, not 0s; see roster seed --help`,
		"import --batch=-1":                                  `--batch must be 0 or more, not -1; see roster import --help`,
		"import --max-row-bytes=0":                           `--max-row-bytes must be from 1 to 1073741824, not 0; see roster import --help`,
		"import --on-conflict=ask":                           `--on-conflict must be fail, skip or update, not "ask"; see roster import --help`,
		"import --format=xml":                                `--format must be auto, csv or jsonl, not "xml"; see roster import --help`,
		"import a.csv b.csv":                                 `unexpected argument b.csv; see roster import --help`,
		"import --spreadsheet --format=jsonl":                `--spreadsheet is for CSV: leave it out for JSON lines; see roster import --help`,
		"export users --spreadsheet -o a.JSON":               `--spreadsheet is for CSV: leave it out for JSON lines; see roster export --help`,
		"export":                                             `the argument <what> is missing; see roster export --help`,
		"completion":                                         `the argument <shell> is missing; see roster completion --help`,
		"completion csh":                                     `<shell> must be bash, zsh or fish, not "csh"; see roster completion --help`,
		"export things":                                      `<what> must be users or posts, not "things"; see roster export --help`,
		"export users --format=xml":                          `--format must be auto, csv or jsonl, not "xml"; see roster export --help`,
		"stats --by=year":                                    `--by must be day, week or month, not "year"; see roster stats --help`,
		"stats --from=yesterday":                             `--from must be a date or an RFC 3339 time, such as 2026-01-31 or 2026-01-31T09:30:00Z, not "yesterday"; see roster stats --help`,
		"stats --from=0001-01-01":                            `--from must be a date or an RFC 3339 time, such as 2026-01-31 or 2026-01-31T09:30:00Z, not "0001-01-01"; see roster stats --help`,
		"stats --to=2026-02-30":                              `--to must be a date or an RFC 3339 time, such as 2026-01-31 or 2026-01-31T09:30:00Z, not "2026-02-30"; see roster stats --help`,
		"migrate --statement-timeout=0s status":              `--statement-timeout must be longer than 0s, not 0s; see roster migrate status --help`,
		"migrate down --to=-1":                               `--to must be a version that roster migrate status lists, or 0, not -1; see roster migrate down --help`,
		"migrate upp":                                        `unexpected argument upp, did you mean "up"?; see roster migrate --help`,
		"serve --listen":                                     `--listen needs a value; see roster serve --help`,
		"serve --cors-origins":                               `--cors-origins needs a value; see roster serve --help`,
		"serve --introspection=maybe":                        `--introspection must be true or false, not "maybe"; see roster serve --help`,
		"changes":                                            `the command is missing: reset; see roster changes --help`,
		"keys":                                               `the command is missing: create, list or revoke; see roster keys --help`,
		"keys create":                                        `missing flags: --name=TEXT, --role=ROLE,...; see roster keys create --help`,
		"keys create --name=a":                               `missing flags: --role=ROLE,...; see roster keys create --help`,
		"keys create --name=a --role=BOSS":                   `--role must be ADMIN or MEMBER, not "BOSS"; see roster keys create --help`,
		"keys create --expires-in=0s":                        `--expires-in must be longer than 0s, not 0s; see roster keys create --help`,
		"keys create --expires-in=30d":                       `--expires-in must be a number with its unit, such as 500ms, 5s or 2m, not "30d"; see roster keys create --help`,
		"serve --drain=-1s":                                  `--drain must be 0s or longer, not -1s; see roster serve --help`,
		"serve --drain=1":                                    `--drain must be a number with its unit, such as 500ms, 5s or 2m, not "1"; see roster serve --help`,
		"serve --handover-timeout=0s":                        `--handover-timeout must be longer than 0s, not 0s; see roster serve --help`,
		"backup":                                             `<file> is missing: give the path of the backup to write; see roster backup --help`,
		"backup -":                                           `<file> must be the path of a file: a backup is checked after it is written, which the standard output cannot be; see roster backup --help`,
		"backup --record a.db":                               `--record writes no file: leave out <file>; see roster backup --help`,
		"backup --record --replace":                          `--record writes no file: leave out --replace; see roster backup --help`,
		"restore":                                            `the argument <file> is missing; see roster restore --help`,
		"check --listen=here":                                `--listen must be HOST:PORT, such as 127.0.0.1:8080, not "here"; see roster check --help`,
		"keys create --name=a --role=MEMBER --expires-in=1h --expires-at=2999-01-01": `--expires-in and --expires-at can't be used together; see roster keys create --help`,
		"keys list --format=xml": `--format must be table or jsonl, not "xml"; see roster keys list --help`,
		"keys revoke":            `the argument <id> is missing; see roster keys revoke --help`,
		"keys revoke rost_4mLqZ0cYk2WvTn8bRxJd5HsE1aAgUo6PiFwab": `<id> must be the ID of the API key, and not its secret: roster keys list has the IDs; see roster keys revoke --help`,
		"token eyJhbGciOiJFUzI1NiIsImtpZCI6ImtleSAxIn0.e30.c2ln": `unexpected argument eyJhbGciOiJF…; see roster token --help`,
		"keys revoke ci": `<id> must be the ID of an API key, such as api_key_01jvsz5r0xe3k8m1p4s6t9w2yb, not "ci"; see roster keys revoke --help`,
		"keys revoke user_01jvsz5r0xe3k8m1p4s6t9w2yb": `<id> must be the ID of an API key, such as api_key_01jvsz5r0xe3k8m1p4s6t9w2yb, not "user_01jvsz5r0xe3k8m1p4s6t9w2yb"; see roster keys revoke --help`,

		"serve --admin-public --admin-listen=unix:/a": `--admin-public has no effect on a Unix socket: leave it out; see roster serve --help`,

		"serve --slow-traces=a --slow-operation=0s": `--slow-traces has no effect with --slow-operation=0s: leave one of them out; see roster serve --help`,
		"check --slow-traces=a --slow-operation=0s": `--slow-traces has no effect with --slow-operation=0s: leave one of them out; see roster check --help`,
	} {
		code, stdout, stderr := run(t, strings.Fields(line)...)
		if code != 2 || stdout != "" || stderr != "roster: "+want+"\n" {
			t.Errorf("%s: got code %d, stdout %q, stderr\n%s, want code 2 and\n%s", line, code, stdout, stderr, want)
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
		{"serve", 2, `roster: --listen must be HOST:PORT, such as 127.0.0.1:8080, not "here"`},
		{"serve --listen=127.0.0.1:0", 1, "roster: database URL: no scheme"},
		{"migrate status", 1, "roster: database URL: no scheme"},
	} {
		code, _, stderr := run(t, strings.Fields(test.line)...)
		if code != test.code || !strings.HasPrefix(stderr, test.want) {
			t.Errorf("%s: got code %d, stderr %q, want %d, %q", test.line, code, stderr, test.code, test.want)
		}
	}
	t.Setenv("ROSTER_DATABASE_MAX_CONNECTIONS", "many")
	const want = `roster: --database-max-connections must be a whole number of at most 64 bits, not "many" (from the environment variable ROSTER_DATABASE_MAX_CONNECTIONS)`
	if code, _, stderr := run(t, "migrate", "status"); code != 2 || !strings.HasPrefix(stderr, want) {
		t.Errorf("got code %d, stderr %q, want code 2 and %q", code, stderr, want)
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
			t.Errorf("%v: got code %d, stdout %q, stderr %q, want code 1 and an error of one line without the password", args, code, stdout, stderr)
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
		code, stdout, stderr := run(t, "serve", "--log-level=error", "--insecure-no-auth", "--listen="+address,
			"--database-url=sqlite:"+filepath.Join(t.TempDir(), "roster.db"))
		if want := "roster: cannot listen on " + address + ": " + reason + ": choose another address with --listen\n"; code != 1 || stdout != "" || stderr != want {
			t.Errorf("got code %d, stdout %q, stderr %q, want %q", code, stdout, stderr, want)
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
		{"serve --listen=127.0.0.1:0 --admin-listen=" + taken.Addr().String(), "another program listens there: choose another address with --admin-listen"},
		{"serve --listen=127.0.0.1:0 --admin-listen=192.0.2.1:0", "can be reached from other machines"},
		{"serve --listen=127.0.0.1:0 --admin-listen=:0", "ROSTER_ADMIN_PUBLIC=true allows it"},
		{"serve --listen=127.0.0.1:0 --admin-listen=0.0.0.0:0", "listen on 127.0.0.1 or on a Unix socket"},
		{"serve --listen=127.0.0.1:0 --admin-public --admin-listen=192.0.2.1:0", "this machine does not have the address"},
		{"serve --listen=127.0.0.1:0 --admin-listen=nowhere.invalid:0", "no host of this name"},
		{"serve --listen=127.0.0.1:0 --admin-listen=unix:" + at("text"), "there is a file that is no socket"},
		{"serve --listen=127.0.0.1:0 --admin-listen=unix:" + at("missing/x"), "its directory does not exist"},
		{"serve --listen=127.0.0.1:0 --admin-listen=unix:" + at(strings.Repeat("x", 120)), "the path is too long"},
		{"serve --insecure-no-auth --listen=192.0.2.1:0", "this machine does not have the address"},
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
			t.Errorf("%s: got code %d, stdout %q, stderr\n%s, want %s", test.line, code, stdout, stderr, test.says)
		}
	}
}

func TestTrustedDocuments(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	for name, test := range map[string]struct{ text, want string }{
		"missing.json": {"", "--trusted-documents: FILE: there is no such file: correct the path"},
		"broken.json":  {`{"a": `, "--trusted-documents: FILE: unexpected EOF at byte 6"},
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
			t.Errorf("%s: got code %d, stdout %q, stderr\n%s, want\n%s", name, code, stdout, stderr, want)
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
			t.Fatalf("%s: got code %d, stderr %q, stdout\n%s\nwant code 0 and\n%s", step.line, code, stderr, stdout, step.want)
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
		t.Errorf("got code %d, stdout %q, stderr %q, want code 1 and advice to migrate", code, stdout, stderr)
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
				t.Errorf("%s: got code %d, stdout %q, stderr %q, want code 1 and %q", line, code, stdout, stderr, want)
			}
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("got the files %v, %v, want none", files, err)
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stderr bytes.Buffer
	stdout := &onWrite{first: stop}
	code := cli.Run(ctx, []string{
		"serve", "--listen=localhost:0", "--drain=0s", "--database-url=sqlite:" + filepath.Join(t.TempDir(), "roster.db"),
	}, noEnvironment, strings.NewReader(""), stdout, &stderr, "1.2.3")
	want := regexp.MustCompile(`^Roster 1\.2\.3 is running on SQLite \(.*roster\.db\)\.
  playground  http://localhost:[1-9]\d*/
  endpoint    http://localhost:[1-9]\d*/graphql
Roster has stopped\.
$`)
	if code != 0 || !want.MatchString(stdout.String()) {
		t.Errorf("got code %d, stderr %q, stdout\n%s\nwant code 0 and\n%s", code, stderr.String(), stdout, want)
	}
}

// TestServeUntilHangUp stops a server whose terminal is gone: that is no failure.
func TestServeUntilHangUp(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stderr bytes.Buffer
	code := cli.Run(ctx, []string{
		"serve", "--listen=localhost:0", "--drain=0s", "--log-level=error", "--database-url=sqlite:" + filepath.Join(t.TempDir(), "roster.db"),
	}, noEnvironment, strings.NewReader(""), &hungUp{first: stop}, &stderr, "1.2.3")
	if code != 0 || stderr.Len() > 0 {
		t.Errorf("got code %d, stderr %q, want code 0 and nothing", code, &stderr)
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
