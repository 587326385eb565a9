package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"roster/internal/dbtest"
	"roster/internal/dbtest/servers"
)

// ailment is something that is wrong with a database.
type ailment struct {
	name        string
	begin, end  func(t *testing.T)
	body        int    // bytes of the post that meets it; 1 when 0
	code        string // of the answer to a mutation
	ready       string // the status in /readyz; 503 unless it is "ready"
	reads       string // the same for /readyz?for=reads
	log, advice string // parts of the one line in the log; none when empty
}

// catch has a server meet ailments one after the other, and recover.
func catch(t *testing.T, p *process, ailments []ailment) {
	t.Helper()
	user := p.mutation(t, 0)
	if user.code != "" {
		t.Fatalf("a mutation before: got %s, want data", user.text)
	}
	for _, a := range ailments {
		a.begin(t)
		got := answer{}
		for range 3 {
			got = p.mutation(t, max(a.body, 1))
			if got.code != a.code {
				t.Errorf("%s: a mutation: got %s, want the code %q", a.name, got.text, a.code)
			}
			p.readyz(t, a.name, "", a.ready)
			p.readyz(t, a.name, "?for=reads", a.reads)
		}
		if a.reads == "ready" && !strings.Contains(p.ask(t, "{ users { totalCount } }"), `"data":{"users":{"totalCount":`) {
			t.Errorf("%s: a query: got no count, want one", a.name)
		}
		a.end(t)
		p.readyz(t, a.name+", after it", "", "ready")
		if got := p.mutation(t, 1); got.code != "" {
			t.Errorf("%s: a mutation after it: got %s, want data", a.name, got.text)
		}
	}
	p.stop(t, syscall.SIGTERM)
	log := p.Log.String()
	for _, a := range ailments {
		lines, ends := 0, 0
		for line := range strings.Lines(log) {
			if a.log != "" && strings.Contains(line, a.log) && strings.Contains(line, a.advice) {
				lines++
			}
			if strings.Contains(line, "the database works again") {
				ends++
			}
		}
		if a.log != "" && lines != 1 || a.ready != "ready" && ends != len(ailments) {
			t.Errorf("%s: got %d lines with %q and %q, and %d ends, want 1 and %d in the log:\n%s", a.name, lines, a.log, a.advice, ends, len(ailments), log)
		}
	}
}

type answer struct{ code, text string }

// mutation creates a user, and a post with a body of so many bytes unless that is 0.
func (p *process) mutation(t *testing.T, body int) answer {
	t.Helper()
	id := strings.ToLower(time.Now().Format("150405.000000000"))
	name := "u" + strings.ReplaceAll(id, ".", "")
	text, err := json.Marshal(map[string]any{
		"query":     "mutation ($n: String!, $e: String!) { createUser(input: {username: $n, email: $e}) { user { id } } }",
		"variables": map[string]any{"n": name, "e": name + "@example.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, got := p.post(t, string(text), "")
	var made struct {
		Data struct {
			CreateUser struct{ User struct{ ID string } }
		}
		Errors []struct{ Extensions struct{ Code string } }
	}
	if err := json.Unmarshal([]byte(got), &made); err != nil {
		t.Fatalf("got %v, %s, want JSON", err, got)
	}
	if len(made.Errors) > 0 || body == 0 {
		if len(made.Errors) > 0 {
			return answer{made.Errors[0].Extensions.Code, got}
		}
		return answer{"", got}
	}
	if body == 1 {
		return answer{"", got}
	}
	text, err = json.Marshal(map[string]any{
		"query":     "mutation ($a: ID!, $b: String!) { createPost(input: {authorId: $a, title: \"t\", body: $b}) { post { id } } }",
		"variables": map[string]any{"a": made.Data.CreateUser.User.ID, "b": strings.Repeat("x", body)},
	})
	if err != nil {
		t.Fatal(err)
	}
	made.Errors = nil
	_, got = p.post(t, string(text), "")
	if err := json.Unmarshal([]byte(got), &made); err != nil {
		t.Fatalf("got %v, %s, want JSON", err, got)
	}
	if len(made.Errors) > 0 {
		return answer{made.Errors[0].Extensions.Code, got}
	}
	return answer{"", got}
}

// readyz checks the status code and the body of /readyz.
func (p *process) readyz(t *testing.T, when, query, status string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/readyz"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	code := http.StatusServiceUnavailable
	if status == "ready" {
		code = http.StatusOK
	}
	if err != nil || response.StatusCode != code || string(body) != `{"status":"`+status+`"}` {
		t.Errorf("%s: /readyz%s is %d %s, %v; want %d and %q", when, query, response.StatusCode, body, err, code, status)
	}
}

// administrator runs statements on a server until the test ends.
func administrator(t *testing.T, address string) func(t *testing.T, statements ...string) {
	t.Helper()
	db, err := servers.Open(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return func(t *testing.T, statements ...string) {
		t.Helper()
		for _, statement := range statements {
			err := execute(t.Context(), db, statement)
			if err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
}

// connectionsOf returns the IDs of the connections of a user to a server of the MySQL family.
func connectionsOf(t *testing.T, address, user string) (ids []string) {
	t.Helper()
	db, err := servers.Open(address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT id FROM "+dbtest.Processes(t)+" WHERE user = '"+user+"'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

func execute(ctx context.Context, db *sql.DB, statement string) error {
	_, err := db.ExecContext(ctx, statement)
	return err
}

// own starts a server of the test's own, since what is done to it concerns all who use it.
func own(t *testing.T, startServer func(context.Context, ...string) (*servers.Server, error), settings ...string) *servers.Server {
	t.Helper()
	s, err := startServer(t.Context(), settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// as is an address with another user and database, whose password is "p".
func as(t *testing.T, address, user, database string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.Path = url.UserPassword(user, "p"), "/"+database
	return u.String()
}

func TestMySQLTakesNoChanges(t *testing.T) {
	t.Parallel()
	binary := build(t)
	s := own(t, servers.StartMySQL, "--max-allowed-packet=1M")
	admin := administrator(t, s.URL())
	// end ends the connections of the user, which keep the rights that they have.
	end := func(t *testing.T) {
		t.Helper()
		for _, id := range connectionsOf(t, s.URL(), "u") {
			admin(t, "KILL "+id)
		}
	}
	admin(t, "CREATE DATABASE d CHARACTER SET utf8mb4", "CREATE USER 'u'@'%' IDENTIFIED BY 'p'", "GRANT ALL ON d.* TO 'u'@'%'")
	database := as(t, s.URL(), "u", "d")
	p := start(t, binary, database, displayName(t, dbtest.MySQL, database), "--max-body-bytes=8388608")
	sqlAilment := func(a ailment, begin, end []string) ailment {
		a.begin = func(t *testing.T) { t.Helper(); admin(t, begin...) }
		a.end = func(t *testing.T) { t.Helper(); admin(t, end...) }
		return a
	}
	catch(t, p, []ailment{
		sqlAilment(ailment{name: "read_only", code: "UNAVAILABLE", ready: "read only", reads: "ready", log: "the database is read only", advice: "end its read_only mode"},
			[]string{"SET GLOBAL read_only = 1"}, []string{"SET GLOBAL read_only = 0"}),
		{
			name: "revoked grant", code: "UNAVAILABLE", ready: "read only", reads: "ready", log: "the database is read only", advice: "lacks a right",
			begin: func(t *testing.T) {
				t.Helper()
				admin(t, "REVOKE ALL ON d.* FROM 'u'@'%'", "GRANT SELECT ON d.* TO 'u'@'%'")
				end(t)
			},
			end: func(t *testing.T) { t.Helper(); admin(t, "GRANT ALL ON d.* TO 'u'@'%'"); end(t) },
		},
		sqlAilment(ailment{name: "no table", code: "UNAVAILABLE", ready: "unavailable", reads: "unavailable", log: "the database cannot be used", advice: "migrate up"},
			[]string{"RENAME TABLE d.users TO d.gone"}, []string{"RENAME TABLE d.gone TO d.users"}),
	})

	p = start(t, binary, database, displayName(t, dbtest.MySQL, database), "--max-body-bytes=8388608")
	nothing := func(*testing.T) {}
	catch(t, p, []ailment{{name: "packet", begin: nothing, end: nothing, body: 2 << 20, code: "COST_LIMIT", ready: "ready", reads: "ready"}})
	if !strings.Contains(p.Log.String(), "raise its max_allowed_packet") {
		t.Errorf("got the log %s, want advice on max_allowed_packet", p.Log)
	}
}

func TestPostgreSQLTakesNoChanges(t *testing.T) {
	t.Parallel()
	binary := build(t)
	s := own(t, servers.StartPostgres, "wal_level=replica", "max_wal_senders=2")
	admin := administrator(t, s.URL())
	admin(t, "CREATE ROLE u LOGIN PASSWORD 'p'", "CREATE DATABASE d OWNER u TEMPLATE template0 ENCODING 'UTF8'")
	database := as(t, s.URL(), "u", "d")
	of := func() func(*testing.T, ...string) {
		u, err := url.Parse(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/d"
		return administrator(t, u.String())
	}()
	p := start(t, binary, database, displayName(t, dbtest.PostgreSQL, database))
	catch(t, p, []ailment{
		{
			name: "revoked grant", code: "UNAVAILABLE", ready: "read only", reads: "ready", log: "the database is read only", advice: "lacks a right",
			begin: func(t *testing.T) {
				t.Helper()
				of(t, "ALTER TABLE users OWNER TO roster", "GRANT SELECT ON users TO u")
			},
			end: func(t *testing.T) { t.Helper(); of(t, "ALTER TABLE users OWNER TO u") },
		},
		{
			name: "no table", code: "UNAVAILABLE", ready: "unavailable", reads: "unavailable", log: "the database cannot be used", advice: "migrate up",
			begin: func(t *testing.T) { t.Helper(); of(t, "ALTER TABLE users RENAME TO gone") },
			end:   func(t *testing.T) { t.Helper(); of(t, "ALTER TABLE gone RENAME TO users") },
		},
		{
			name: "standby", code: "UNAVAILABLE", ready: "read only", reads: "ready", log: "the database is read only", advice: "is a standby",
			begin: func(t *testing.T) {
				t.Helper()
				if err := s.Restart(t.Context(), servers.Standby); err != nil {
					t.Fatal(err)
				}
			},
			end: func(t *testing.T) {
				t.Helper()
				atStart(t, binary, database)
				admin(t, "SELECT pg_promote()")
			},
		},
	})
}

// atStart starts servers on a standby: with its schema, and without.
func atStart(t *testing.T, binary, database string) {
	t.Helper()
	p := start(t, binary, database, displayName(t, dbtest.PostgreSQL, database))
	if got := p.mutation(t, 0); got.code != "UNAVAILABLE" {
		t.Errorf("a mutation on a standby: got %s, want UNAVAILABLE", got.text)
	}
	p.readyz(t, "started on a standby", "", "read only")
	p.readyz(t, "started on a standby", "?for=reads", "ready")
	if got := p.ask(t, "{ users { totalCount } }"); !strings.Contains(got, `"totalCount"`) {
		t.Errorf("a query on a standby: got %s, want a count", got)
	}
	p.stop(t, syscall.SIGTERM)
	if log := p.Log.String(); strings.Count(log, "the database is read only") != 1 {
		t.Errorf("a server on a standby: got the log %s, want one line that the database is read only", log)
	}
	cmd := exec.CommandContext(t.Context(), binary, "serve", "--listen=127.0.0.1:0")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+strings.Replace(database, "/d?", "/postgres?", 1))
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), "the server is a standby") ||
		strings.Count(string(out), "\n") != 1 {
		t.Errorf("a standby without a schema: got %v: %s, want code 1 and one line", err, out)
	}
}

func TestSQLiteFilesReplaced(t *testing.T) {
	t.Parallel()
	binary := build(t)
	database := dbtest.Empty(t, dbtest.SQLite)
	path := strings.TrimPrefix(database, "sqlite:")
	must := func(t *testing.T, errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	gone := ailment{code: "UNAVAILABLE", ready: "unavailable", reads: "unavailable", log: "the database cannot be used", advice: "was deleted, moved or replaced under the running server"}
	deleted := func(file string) ailment {
		a := gone
		a.name = filepath.Ext(file) + " deleted"
		a.begin = func(t *testing.T) { t.Helper(); must(t, os.Link(file, file+".kept"), os.Remove(file)) }
		a.end = func(t *testing.T) { t.Helper(); must(t, os.Rename(file+".kept", file)) }
		return a
	}
	replaced, renamed := gone, gone
	replaced.name = "replaced"
	replaced.begin = func(t *testing.T) {
		t.Helper()
		content, err := os.ReadFile(path)
		must(t, err, os.Rename(path, path+".kept"), os.WriteFile(path, content, 0o600))
	}
	replaced.end = func(t *testing.T) { t.Helper(); must(t, os.Rename(path+".kept", path)) }
	renamed.name = "directory renamed"
	renamed.begin = func(t *testing.T) { t.Helper(); must(t, os.Rename(filepath.Dir(path), filepath.Dir(path)+".kept")) }
	renamed.end = func(t *testing.T) { t.Helper(); must(t, os.Rename(filepath.Dir(path)+".kept", filepath.Dir(path))) }
	for _, a := range []ailment{deleted(path), deleted(path + "-wal"), deleted(path + "-shm"), replaced, renamed} {
		t.Run(a.name, func(t *testing.T) {
			p := start(t, binary, database, displayName(t, dbtest.SQLite, database))
			catch(t, p, []ailment{a})
		})
	}
	t.Run("restart", func(t *testing.T) {
		p := start(t, binary, database, displayName(t, dbtest.SQLite, database))
		must(t, os.Remove(path))
		if got := p.mutation(t, 0); got.code != "UNAVAILABLE" {
			t.Errorf("a mutation: got %s, want UNAVAILABLE", got.text)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the removed file: got %v, want %v", err, os.ErrNotExist)
		}
		p.stop(t, syscall.SIGTERM)
		p = start(t, binary, database, displayName(t, dbtest.SQLite, database))
		if got := p.mutation(t, 0); got.code != "" {
			t.Errorf("a mutation after a restart: got %s, want data", got.text)
		}
		p.stop(t, syscall.SIGTERM)
	})
}

// TestSQLiteDiskFull has the database alone on a disk of a few megabytes, which is there for the server alone: in a name
// space of mounts, and without root in one of users.
func TestSQLiteDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := filepath.Join(t.TempDir(), "on-small-disk")
	flags := "--mount"
	if os.Getuid() != 0 {
		flags += " --map-root-user"
	}
	text := fmt.Sprintf("#!/bin/sh\nexec unshare %s sh -c 'mount -t tmpfs -o size=4m tmpfs %s && exec %s \"$@\"' sh \"$@\"\n", flags, dir, build(t))
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	database := "sqlite:" + filepath.Join(dir, "roster.db")
	p := start(t, script, database, displayName(t, dbtest.SQLite, database))
	filler := filepath.Join("/proc", fmt.Sprint(p.Cmd.Process.Pid), "root", dir, "filler")
	catch(t, p, []ailment{{
		name: "full", body: 600_000, code: "UNAVAILABLE", ready: "read only", reads: "ready", log: "the database is read only", advice: "make room",
		begin: func(t *testing.T) {
			t.Helper()
			if err := os.WriteFile(filler, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("got %v, want a full disk", err)
			}
		},
		end: func(t *testing.T) {
			t.Helper()
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
		},
	}})
}
