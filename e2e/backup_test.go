package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"roster/internal/dbtest"
)

// creation returns a mutation that creates a user.
func creation(name string) string {
	return fmt.Sprintf(`mutation { createUser(input: { username: %q, email: "%s@example.com" }) { user { username } } }`, name, name)
}

// created is the answer to a creation.
func created(name string) string {
	return fmt.Sprintf(`{"data":{"createUser":{"user":{"username":%q}}}}`, name)
}

// create creates a user.
func create(t *testing.T, p *process, name string) {
	t.Helper()
	if got := p.ask(t, creation(name)); got != created(name) {
		t.Errorf("got %s, want %s", got, created(name))
	}
}

// writeUntil creates users until stop is closed, or an answer is an error.
func writeUntil(ctx context.Context, p *process, stop <-chan struct{}) error {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		name := fmt.Sprintf("writer%d", n)
		body, err := json.Marshal(map[string]string{"query": creation(name)})
		if err != nil {
			return err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/graphql", bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return err
		}
		if string(answer) != created(name) {
			return fmt.Errorf("got %s, want %s", answer, created(name))
		}
	}
}

// cursorOf returns the cursor of the end of the change feed.
func cursorOf(t *testing.T, p *process) string {
	t.Helper()
	var answer struct {
		Data struct {
			ChangesCursor string `json:"changesCursor"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(p.ask(t, "{ changesCursor }")), &answer); err != nil || answer.Data.ChangesCursor == "" {
		t.Fatalf("got %v, %+v, want a cursor", err, answer)
	}
	return answer.Data.ChangesCursor
}

// readsOn sends a query of changes after a cursor, and returns the answer.
func readsOn(t *testing.T, p *process, after string) string {
	t.Helper()
	return p.ask(t, fmt.Sprintf(`{ changes(first: 10, after: %q) { caughtUp } }`, after))
}

// usernames returns the usernames of a database.
func usernames(t *testing.T, binary, database string) string {
	t.Helper()
	out := rosterOn(t.Context(), t, binary, database, "export", "users", "--log-level=error")
	return strings.Join(regexp.MustCompile(`(?m)^user_\w+,(\w+),`).FindAllString(out, -1), "\n")
}

// TestBackupBesideServer makes backups while a server writes all the time. It restores one when the server has stopped, and
// not before.
func TestBackupBesideServer(t *testing.T) {
	t.Parallel()
	binary, dir := build(t), t.TempDir()
	file, backup := filepath.Join(dir, "roster.db"), filepath.Join(dir, "backup.db")
	database := "sqlite:" + file
	rosterOn(t.Context(), t, binary, database, "migrate", "up")
	rosterOn(t.Context(), t, binary, database, "seed", "--users=300", "--log-level=error")
	server := start(t, binary, database, "SQLite ("+file+")")
	create(t, server, "before")
	stopping, wrote := make(chan struct{}), make(chan error, 1)
	go func() { wrote <- writeUntil(t.Context(), server, stopping) }()
	for range 3 {
		code, stdout, stderr := command(t, binary, database, "backup", backup, "--replace", "--log-level=error")
		if code != 0 || !strings.HasPrefix(stdout, backup+" is a backup of SQLite ("+file+")") || stderr != "" {
			t.Errorf("got code %d, stdout %q, stderr %q, want a backup", code, stdout, stderr)
		}
	}
	if code, stdout, stderr := command(t, binary, database, "check", "--listen="+strings.TrimPrefix(server.URL, "http://")); code != 0 || strings.Contains(stdout, "warning ") {
		t.Errorf("check beside a server: got code %d, stdout\n%s\nstderr %q, want neither failures nor warnings", code, stdout, stderr)
	}
	create(t, server, "after")
	close(stopping)
	if err := <-wrote; err != nil {
		t.Errorf("writing beside backups: %v", err)
	}
	cursor := cursorOf(t, server)
	if got := readsOn(t, server, cursor); got != `{"data":{"changes":{"caughtUp":true}}}` {
		t.Errorf("the cursor before the restore: got %s, want the end of the feed", got)
	}
	code, stdout, stderr := command(t, binary, database, "restore", backup, "--replace", "--log-level=error")
	if code != 1 || stdout != "" || stderr != "roster: restore "+backup+": "+file+": another program has the database open: stop the server, and everything else that uses the database\n" {
		t.Errorf("under a running server: got code %d, stdout %q, stderr %q, want a refusal", code, stdout, stderr)
	}
	if got := server.ask(t, `{ user(by: { username: "after" }) { username } }`); got != `{"data":{"user":{"username":"after"}}}` {
		t.Errorf("after the refusal: got %s, want the user", got)
	}
	create(t, server, "last")
	server.stop(t, syscall.SIGTERM)
	all := usernames(t, binary, database)

	code, stdout, stderr = command(t, binary, database, "restore", backup, "--replace", "--log-level=error")
	old := regexp.MustCompile(`The old database is (\S+)\. Delete`).FindStringSubmatch(stdout)
	if code != 0 || old == nil || stderr != "" {
		t.Fatalf("got code %d, stdout %q, stderr %q, want a restored database", code, stdout, stderr)
	}
	if got := usernames(t, binary, "sqlite:"+old[1]); got != all {
		t.Errorf("the old database: got %d users, want %d", strings.Count(got, "\n"), strings.Count(all, "\n"))
	}
	// The counts, the feed and the rows of the backup are those of one moment.
	if code, stdout, stderr := command(t, binary, database, "check", "--listen=127.0.0.1:0"); code != 0 || strings.Contains(stdout, "failed ") {
		t.Errorf("got code %d, stdout\n%s\nstderr %q, want no failed check", code, stdout, stderr)
	}
	if got := usernames(t, binary, database); !strings.Contains(got, ",before,") || strings.Contains(got, ",after,") {
		t.Errorf("got %.200s, want the users of the backup", got)
	}
	restored := start(t, binary, database, "SQLite ("+file+")")
	if got := readsOn(t, restored, cursor); !strings.Contains(got, `"CURSOR_EXPIRED"`) {
		t.Errorf("the cursor after the restore: got %s, want CURSOR_EXPIRED", got)
	}
	create(t, restored, "after")
	restored.stop(t, syscall.SIGTERM)
}

// TestRestoreAfterKill kills a server, which leaves a -wal file. It restores a copy of both files, and then restores a
// backup over them.
func TestRestoreAfterKill(t *testing.T) {
	t.Parallel()
	binary, dir := build(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	file, database := at("roster.db"), "sqlite:"+at("roster.db")
	server := start(t, binary, database, "SQLite ("+file+")")
	create(t, server, "ada")
	rosterOn(t.Context(), t, binary, database, "backup", at("backup.db"), "--log-level=error")
	create(t, server, "grace")
	if err := server.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.Cmd.Wait() // it was killed
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(file + suffix)
		if err != nil || len(content) == 0 {
			t.Fatalf("%s: got %d bytes, %v, want some", file+suffix, len(content), err)
		}
		if err := os.WriteFile(at("copy.db"+suffix), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rosterOn(t.Context(), t, binary, "sqlite:"+at("fresh.db"), "restore", at("copy.db"), "--log-level=error")
	if got := usernames(t, binary, "sqlite:"+at("fresh.db")); !strings.Contains(got, ",grace,") {
		t.Errorf("a copy with its -wal file: got %s, want grace", got)
	}
	out := rosterOn(t.Context(), t, binary, database, "restore", at("backup.db"), "--replace", "--log-level=error")
	if got := usernames(t, binary, database); !strings.Contains(got, ",ada,") || strings.Contains(got, ",grace,") {
		t.Errorf("the restored database: got %s, want ada alone", got)
	}
	old := regexp.MustCompile(`The old database is (\S+)\. Delete`).FindStringSubmatch(out)
	if old == nil {
		t.Fatalf("got %s, want the name of the old database", out)
	}
	if got := usernames(t, binary, "sqlite:"+old[1]); !strings.Contains(got, ",grace,") {
		t.Errorf("the old database with its -wal file: got %s, want grace", got)
	}
}

// TestBackupFullDisk lets no file of the program grow beyond a hundred kilobytes, which is what a full disk is to SQLite.
func TestBackupFullDisk(t *testing.T) {
	t.Parallel()
	binary, dir := build(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	database := dbtest.Empty(t, dbtest.SQLite)
	rosterOn(t.Context(), t, binary, database, "migrate", "up")
	rosterOn(t.Context(), t, binary, database, "seed", "--users=300", "--log-level=error")
	rosterOn(t.Context(), t, binary, database, "backup", at("backup.db"), "--log-level=error")
	want := usernames(t, binary, database)
	for _, args := range [][]string{{"backup", at("other.db")}, {"backup", at("backup.db"), "--replace"}, {"restore", at("backup.db"), "--replace"}} {
		cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `trap "" XFSZ; ulimit -f 200; exec "$0" "$@" --log-level=error`, binary}, args...)...)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+database)
		out, err := cmd.CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() != 1 || args[0] == "backup" && !strings.Contains(string(out), "the disk is full, or a quota or limit of files is reached: make room") {
			t.Errorf("%v: got %v, %s, want code 1, and that there is no room", args, err, out)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("got %v, %v, want the first backup alone", files, err)
	}
	rosterOn(t.Context(), t, binary, "sqlite:"+at("restored.db"), "restore", at("backup.db"), "--log-level=error")
	for _, url := range []string{database, "sqlite:" + at("restored.db")} {
		if got := usernames(t, binary, url); got != want {
			t.Errorf("%s: got %d users, want %d", url, strings.Count(got, "\n"), strings.Count(want, "\n"))
		}
	}
}

// commandsOf returns the shell commands of a section of docs/operations.md, a text for each block.
func commandsOf(t *testing.T, title string) []string {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n### "+title+"\n")
	if !ok {
		t.Fatalf("docs/operations.md: got no section %s, want one", title)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	section, _, _ = strings.Cut(section, "\n### ")
	var blocks []string
	for _, part := range strings.Split(section, "```sh\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		blocks = append(blocks, block)
	}
	return blocks
}

// TestOperationsBackup runs the commands of docs/operations.md: the first block beside a running server, and the second one,
// which restores, in another database.
func TestOperationsBackup(t *testing.T) {
	t.Parallel()
	binary := build(t)
	for title, e := range map[string]dbtest.Engine{"SQLite": dbtest.SQLite, "PostgreSQL": dbtest.PostgreSQL, "MariaDB": dbtest.MySQL} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			blocks := commandsOf(t, title)
			if len(blocks) != 2 || e != dbtest.SQLite && !strings.HasSuffix(blocks[1], "\nroster changes reset --yes\n") {
				t.Fatalf("got the commands %q, want one block that backs up, and one that restores and then resets the feed", blocks)
			}
			dir := t.TempDir()
			from, to := dbtest.Empty(t, e), dbtest.Empty(t, e)
			server := start(t, binary, from, displayName(t, e, from))
			create(t, server, "ada")
			runDocumented(t, dir, binary, from, blocks[0])
			create(t, server, "grace")
			cursor := cursorOf(t, server)
			server.stop(t, syscall.SIGTERM)

			runDocumented(t, dir, binary, to, blocks[1])
			restored := start(t, binary, to, displayName(t, e, to))
			if got := readsOn(t, restored, cursor); !strings.Contains(got, `"CURSOR_EXPIRED"`) {
				t.Errorf("the cursor after the restore: got %s, want CURSOR_EXPIRED", got)
			}
			if got := restored.ask(t, `{ users { totalCount nodes { username } } }`); got != `{"data":{"users":{"totalCount":1,"nodes":[{"username":"ada"}]}}}` {
				t.Errorf("after the restore: got %s, want ada alone", got)
			}
			create(t, restored, "grace")
			restored.stop(t, syscall.SIGTERM)
			if code, stdout, stderr := command(t, binary, to, "check", "--listen=127.0.0.1:0"); code != 0 {
				t.Errorf("check: got code %d, stdout\n%s\nstderr %q, want code 0", code, stdout, stderr)
			}
			if code, stdout, stderr := command(t, binary, from, "check", "--listen=127.0.0.1:0"); code != 0 || !strings.Contains(stdout, "ok        backup ") {
				t.Errorf("check of the old database: got code %d, stdout\n%s\nstderr %q, want a recorded backup", code, stdout, stderr)
			}
		})
	}
}

// runDocumented runs commands of the documentation in a directory, with roster in PATH and what the documentation says of the
// database in files and variables.
func runDocumented(t *testing.T, dir, binary, database, commands string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	settings := fmt.Sprintf("[client]\nhost=%s\nport=%s\nuser=%s\npassword=%q\n", u.Hostname(), u.Port(), u.User.Username(), password)
	if err := os.WriteFile(filepath.Join(dir, "roster.cnf"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", commands)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"), "DATABASE_URL="+database, "DATABASE="+name,
		"PGHOST="+u.Hostname(), "PGPORT="+u.Port(), "PGUSER="+u.User.Username(), "PGPASSWORD="+password, "PGDATABASE="+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s\ngot %v, %s, want no error", commands, err, out)
	}
}
