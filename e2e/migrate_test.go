package e2e

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// command runs a command on a database and returns its exit code, -1 when it was killed, and what it printed.
func command(t *testing.T, binary, url string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	return finish(t, cmd, url, func() {})
}

// killAt runs a command through a proxy and kills it when it has sent a statement with a piece of text. The server may or
// may not have run that when this returns.
func killAt(t *testing.T, binary, url, piece string, args ...string) {
	t.Helper()
	behind, proxy := dbtest.ProxyURL(t, url)
	cmd := exec.CommandContext(t.Context(), binary, args...)
	started := make(chan struct{})
	proxy.LoseAnswers(func(request []byte) bool {
		if !bytes.Contains(request, []byte(piece)) {
			return false
		}
		<-started
		_ = cmd.Process.Kill()
		return true
	})
	if code, stdout, stderr := finish(t, cmd, behind, func() { close(started) }); code != -1 {
		t.Fatalf("%q: got code %d, want the kill; stdout %q, stderr %q", args, code, stdout, stderr)
	}
}

func finish(t *testing.T, cmd *exec.Cmd, url string, started func()) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), "DATABASE_URL="+url), &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started()
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	} else if ok {
		code = exit.ExitCode()
	}
	return code, out.String(), errs.String()
}

// prints runs a command and checks its exit code, and what it prints on each output by a pattern.
func prints(t *testing.T, binary, url, line string, code int, stdout, stderr string) {
	t.Helper()
	gotCode, gotOut, gotErr := command(t, binary, url, strings.Fields(line)...)
	if gotCode != code || !regexp.MustCompile(`^(?s:`+stdout+`)$`).MatchString(gotOut) || !regexp.MustCompile(`^(?s:`+stderr+`)$`).MatchString(gotErr) {
		t.Errorf("%s: code %d, stdout %q, stderr %q; want %d, %s, %s", line, gotCode, gotOut, gotErr, code, stdout, stderr)
	}
}

// TestMigrateKilled kills the program while it migrates a MariaDB database, whose tables do not roll back.
func TestMigrateKilled(t *testing.T) {
	t.Parallel()
	binary := build(t)
	url := dbtest.Empty(t, dbtest.MySQL)
	const time = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`

	killAt(t, binary, url, "CREATE TABLE `posts`", "migrate", "up")
	prints(t, binary, url, "migrate status", 0,
		`VERSION +NAME +APPLIED AT\n\d{14}  initial +interrupted while it was applied\n\d{14}  changes +pending\n\d{14}  idempotency_keys +pending\n\d{14}  fold_addresses +pending\n\d{14}  authentication +pending\n\d{14}  feed_counts +pending\n\d{14}  backups +pending\n`, "")
	prints(t, binary, url, "serve --no-migrate --listen=127.0.0.1:0", 1, "",
		`roster: MySQL \(.*\): a migration was interrupted: run roster migrate up, or roster migrate down again\n`)
	prints(t, binary, url, "migrate up", 0, `applied  \d{14} initial\napplied  \d{14} changes\napplied  \d{14} idempotency_keys\napplied  \d{14} fold_addresses\napplied  \d{14} authentication\napplied  \d{14} feed_counts\napplied  \d{14} backups\n`, "")
	prints(t, binary, url, "migrate up", 0, `nothing to apply\n`, "")

	killAt(t, binary, url, "DROP TABLE `feed`", "migrate", "down", "--to", "0")
	prints(t, binary, url, "migrate status", 0,
		`VERSION +NAME +APPLIED AT\n\d{14}  initial +`+time+`\n\d{14}  changes +interrupted while it was undone\n\d{14}  idempotency_keys +pending\n\d{14}  fold_addresses +pending\n\d{14}  authentication +pending\n\d{14}  feed_counts +pending\n\d{14}  backups +pending\n`, "")
	prints(t, binary, url, "serve --no-migrate --listen=127.0.0.1:0", 1, "", `roster: .*: a migration was interrupted: .*\n`)
	prints(t, binary, url, "migrate up", 0, `undone   \d{14} changes\napplied  \d{14} changes\napplied  \d{14} idempotency_keys\napplied  \d{14} fold_addresses\napplied  \d{14} authentication\napplied  \d{14} feed_counts\napplied  \d{14} backups\n`, "")

	killAt(t, binary, url, "DROP TABLE `posts`", "migrate", "down", "--to", "0")
	prints(t, binary, url, "migrate down", 0, `undone   \d{14} initial\n`, "")
	prints(t, binary, url, "migrate down", 0, `nothing to undo\n`, "")

	killAt(t, binary, url, "CREATE TABLE `feed`", "serve", "--listen=127.0.0.1:0")
	server := start(t, binary, url, displayName(t, dbtest.MySQL, url))
	const create = `mutation { createUser(input: {username: "Ada", email: "ada@example.com", posts: [{title: "On the engine"}]}) { user { version } } }`
	if got := server.ask(t, create); got != `{"data":{"createUser":{"user":{"version":1}}}}` {
		t.Errorf("createUser: got %s, want version 1", got)
	}
	if got := server.get(t, "/readyz"); got != `{"status":"ready"}` {
		t.Errorf("/readyz: got %s, want ready", got)
	}
	server.stop(t, syscall.SIGTERM)
}

// TestTablesMissing takes a table from a database whose version says that it is complete, under a server and before one
// starts.
func TestTablesMissing(t *testing.T) {
	t.Parallel()
	binary := build(t)
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := dbtest.Empty(t, e)
		server := start(t, binary, url, displayName(t, e, url))
		if code := ready(t, server); code != http.StatusOK {
			t.Errorf("/readyz: got %d, want 200", code)
		}
		db, err := database.Open(t.Context(), database.Options{
			URL: url, MaxConnections: 2, PoolWait: time.Minute, ConnectTimeout: time.Minute, StatementTimeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		s := db.Session(database.Write)
		err = s.Exec(t.Context(), "DROP TABLE idempotency_keys", []any{}, nil)
		if err := errors.Join(err, s.Commit(), db.Close()); err != nil {
			t.Fatal(err)
		}
		if code := ready(t, server); code != http.StatusServiceUnavailable {
			t.Errorf("/readyz without a table: got %d, want 503", code)
		}
		server.stop(t, syscall.SIGTERM)
		const why = `the version says that the schema is complete, but it lacks the table idempotency_keys: ` +
			`if a roster migrate down was interrupted, run it again, then roster migrate up; otherwise restore a backup, or grant the user what it may not see`
		if log := server.Log.String(); !strings.Contains(log, "idempotency_keys") || !strings.Contains(log, "run roster migrate up, or restore") {
			t.Errorf("got the log %s, want the missing table and advice", log)
		}
		for _, line := range []string{"serve --listen=127.0.0.1:0", "serve --no-migrate --listen=127.0.0.1:0", "migrate up", "stats", "export users"} {
			prints(t, binary, url, line, 1, "", "roster: .*: "+why+"\n")
		}
		prints(t, binary, url, "migrate status", 1, `VERSION .*(\d{14}  \w+ +\d{4}-\d\d-\d\dT\S+\n)+`, "roster: .*: "+why+"\n")
	})
}

// ready is the status of /readyz.
func ready(t *testing.T, p *process) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/readyz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	return response.StatusCode
}
