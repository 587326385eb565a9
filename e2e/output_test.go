package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"entgo.io/ent/dialect/sql"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// outcome is how a program ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// end waits for a program that was started with these outputs; a nil one goes elsewhere.
func end(t *testing.T, cmd *exec.Cmd, stdout, stderr *bytes.Buffer) outcome {
	t.Helper()
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok && err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	} else if ok && exit.ExitCode() < 0 {
		t.Errorf("%v: got %v, want an exit code", cmd.Args, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// open opens a file for a program to use.
func open(t *testing.T, path string, flag int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// inherit is which files a program finds open; nil stands for a pipe.
type inherit struct{ stdin, stdout, stderr, three *os.File }

// runWith runs a command to its end.
func runWith(t *testing.T, binary, url string, files inherit, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+url, "ROSTER_LOG_LEVEL=error")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if files.stdin != nil {
		cmd.Stdin = files.stdin
	}
	if files.stdout != nil {
		cmd.Stdout = files.stdout
	}
	if files.stderr != nil {
		cmd.Stderr = files.stderr
	}
	if files.three != nil {
		cmd.ExtraFiles = []*os.File{files.three}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return end(t, cmd, &stdout, &stderr)
}

// TestOutput checks where the program writes, and how signals end it.
func TestOutput(t *testing.T) {
	t.Parallel()
	binary := build(t)
	for name, test := range map[string]func(*testing.T, string){
		"in use": outputInUse, "open": outputOpen, "not permitted": outputNotPermitted, "signals": signals, "nohup": hangUp,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, binary)
		})
	}
}

// outputInUse redirects what a command writes into a file in use, where the shell has not emptied it: the command
// is refused, and the file stays.
func outputInUse(t *testing.T, binary string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "roster.db")
	url := "sqlite:" + file
	rosterOn(t.Context(), t, binary, url, "seed", "--users=1")
	hard, input, trusted := filepath.Join(dir, "hard.db"), filepath.Join(dir, "users.csv"), filepath.Join(dir, "trusted.json")
	write(t, input, "username,email\nada,ada@example.com\n")
	write(t, trusted, `{"a": "{ users { totalCount } }"}`)
	if err := os.Link(file, hard); err != nil {
		t.Fatal(err)
	}
	stays := map[string]string{file: read(t, file), input: read(t, input), trusted: read(t, trusted), file + "-migrate": ""}
	appending := func(path string) *os.File { return open(t, path, os.O_WRONLY|os.O_APPEND) }
	const elsewhere = ": write to another file\n"
	for _, test := range []struct {
		line  string
		files inherit
		says  string
	}{
		{"export users", inherit{stdout: appending(file)}, "roster: the standard output is the database" + elsewhere},
		{"export users -o -", inherit{stdout: appending(hard)}, "roster: the standard output is the database" + elsewhere},
		{"export users", inherit{stdout: appending(file + "-migrate")}, "roster: the standard output is a file of the database" + elsewhere},
		{"stats", inherit{stdout: appending(hard)}, "roster: the standard output is the database" + elsewhere},
		{"seed --users=1", inherit{stdout: appending(file)}, "roster: the standard output is the database" + elsewhere},
		{"migrate status", inherit{stdout: appending(file)}, "roster: the standard output is the database" + elsewhere},
		{"changes reset --yes", inherit{stdout: appending(file)}, "roster: the standard output is the database" + elsewhere},
		{"check", inherit{stdout: appending(file)}, "roster: the standard output is the database" + elsewhere},
		{"check --trusted-documents=" + trusted, inherit{stdout: appending(trusted)}, "roster: the standard output is the file of trusted documents" + elsewhere},
		{"check", inherit{stderr: appending(hard)}, ""},
		{"backup " + file + "-backup", inherit{stdout: appending(file)}, "roster: the standard output is the database" + elsewhere},
		{"backup " + file + "-backup", inherit{stderr: appending(file)}, ""},
		{"backup /proc/self/fd/3 --replace", inherit{three: open(t, file, os.O_RDWR)}, "roster: backup: /proc/self/fd/3 is the database" + elsewhere},
		{"restore " + input + " --replace", inherit{stdout: appending(file)}, "roster: the standard output is the database" + elsewhere},
		{"serve --listen=127.0.0.1:0", inherit{stdout: appending(file)}, "roster: the standard output is the database" + elsewhere},
		{"serve --listen=127.0.0.1:0 --trusted-documents=" + trusted, inherit{stdout: appending(trusted)}, "roster: --trusted-documents: the standard output is the file of trusted documents" + elsewhere},
		{"export users", inherit{stderr: appending(file)}, ""}, // it has nowhere to say why
		{"import " + input, inherit{stderr: appending(hard)}, ""},
		{"import " + input, inherit{stdout: appending(file)}, "roster: import " + input + ": the standard output is the database" + elsewhere},
		{"import " + input, inherit{stdout: appending(input)}, "roster: import " + input + ": the standard output is the file that is imported" + elsewhere},
		{"import", inherit{stdin: open(t, input, os.O_RDONLY), stdout: appending(input)}, "roster: import -: the standard output is the file that is imported" + elsewhere},
		{"import --errors=" + input, inherit{stdin: open(t, input, os.O_RDONLY)}, "roster: import -: --errors: " + input + " is the file that is imported" + elsewhere},
		{"import --errors=/dev/stdin", inherit{stdin: open(t, input, os.O_RDWR)}, "roster: import -: --errors: /dev/stdin is the file that is imported" + elsewhere},
		{"import --errors=/dev/fd/3 " + input, inherit{three: appending(file)}, "roster: import " + input + ": --errors: /dev/fd/3 is the database" + elsewhere},
		{"export users -o /dev/stdout", inherit{stdout: appending(file)}, "roster: the standard output is the database" + elsewhere},
		{"export users -o /dev/stderr", inherit{stderr: appending(hard)}, ""},
		{"export users -o /proc/self/fd/3", inherit{three: open(t, file, os.O_RDWR)}, "roster: export users: --output: /proc/self/fd/3 is the database" + elsewhere},
	} {
		got := runWith(t, binary, url, test.files, strings.Fields(test.line)...)
		if got != (outcome{1, "", test.says}) {
			t.Errorf("%s: %+v, want %q", test.line, got, test.says)
		}
		for path, text := range stays {
			if read(t, path) != text {
				t.Fatalf("%s: got another %s, want it as before", test.line, path)
			}
		}
	}
}

// outputOpen writes to files that the program finds open, where they are, and to a pipe in the file system.
func outputOpen(t *testing.T, binary string) {
	t.Helper()
	dir := t.TempDir()
	url := "sqlite:" + filepath.Join(dir, "roster.db")
	rosterOn(t.Context(), t, binary, url, "seed", "--users=3")
	want := rosterOn(t.Context(), t, binary, url, "export", "users")
	links := map[string]string{}
	for _, path := range []string{"/dev/stdout", "/dev/stderr", "/dev/fd"} {
		link, err := os.Readlink(path)
		if err != nil {
			t.Fatal(err)
		}
		links[path] = link
	}
	file := filepath.Join(dir, "users.csv")
	for _, test := range []struct {
		path string
		flag int
		set  func(*inherit, *os.File)
	}{
		{"/dev/stdout", os.O_WRONLY | os.O_APPEND, func(i *inherit, f *os.File) { i.stdout = f }},
		{"/dev/stdout", os.O_RDWR, func(i *inherit, f *os.File) { i.stdout = f }},
		{"/dev/fd/1", os.O_WRONLY, func(i *inherit, f *os.File) { i.stdout = f }},
		{"/proc/self/fd/1", os.O_WRONLY, func(i *inherit, f *os.File) { i.stdout = f }},
		{"/dev/stderr", os.O_WRONLY, func(i *inherit, f *os.File) { i.stderr = f }},
		{"/dev/fd/3", os.O_WRONLY | os.O_APPEND, func(i *inherit, f *os.File) { i.three = f }},
		{"/proc/thread-self/fd/3", os.O_WRONLY, func(i *inherit, f *os.File) { i.three = f }},
	} {
		write(t, file, "")
		f := open(t, file, test.flag)
		if _, err := f.WriteString("before\n"); err != nil {
			t.Fatal(err)
		}
		var files inherit
		test.set(&files, f)
		got := runWith(t, binary, url, files, "export", "users", "-o", test.path)
		if _, err := f.WriteString("after\n"); err != nil {
			t.Fatal(err)
		}
		if text := read(t, file); got != (outcome{}) || text != "before\n"+want+"after\n" {
			t.Errorf("%s: got %+v, the file %q, want success and %q", test.path, got, text, "before\n"+want+"after\n")
		}
	}
	for path, before := range links {
		if link, err := os.Readlink(path); err != nil || link != before {
			t.Errorf("%s: got the link %s, %v, want %s", path, link, err, before)
		}
	}
	if got := runWith(t, binary, url, inherit{}, "export", "users", "-o", "/dev/fd/77"); got.code != 1 || got.stderr != "roster: export users: --output: /dev/fd/77 cannot be written: no such file or directory\n" {
		t.Errorf("a descriptor that is not open: got %+v, want code 1 and that it cannot be written", got)
	}
	const rejected = "line,field,code,reason\n2,email,BLANK,must not be blank\n"
	input := filepath.Join(dir, "input.csv")
	write(t, input, "username,email\nx,\n")
	write(t, file, "before\n")
	got := runWith(t, binary, url, inherit{three: open(t, file, os.O_WRONLY|os.O_APPEND)}, "import", "--dry-run", "--errors=/dev/fd/3", input)
	if text := read(t, file); got.code != 3 || text != "before\n"+rejected {
		t.Errorf("got %+v, the file %q, want code 3 and %q", got, text, "before\n"+rejected)
	}

	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		line string
		code int
		text string
	}{{"export users -o " + pipe, 0, want}, {"import --dry-run --errors=" + pipe + " " + input, 3, rejected}} {
		taken := make(chan string)
		go func() {
			data, err := os.ReadFile(pipe)
			if err != nil {
				t.Error(err)
			}
			taken <- string(data)
		}()
		got := runWith(t, binary, url, inherit{}, strings.Fields(test.line)...)
		if text := <-taken; got.code != test.code || text != test.text {
			t.Errorf("%s: got %+v, the pipe %q, want code %d and %q", test.line, got, text, test.code, test.text)
		}
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("got %v, %v, want a pipe", info, err)
	}
}

// outputNotPermitted writes as a user without permission, whom root becomes for this: what is there stays.
func outputNotPermitted(t *testing.T, binary string) {
	t.Helper()
	dir := t.TempDir()
	work, closed := filepath.Join(dir, "work"), filepath.Join(dir, "closed")
	url := "sqlite:" + filepath.Join(work, "roster.db")
	for _, path := range []string{work, closed} {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	rosterOn(t.Context(), t, binary, url, "seed", "--users=1")
	input, readOnly, open := filepath.Join(work, "input.csv"), filepath.Join(work, "read-only.csv"), filepath.Join(closed, "open.csv")
	write(t, input, "username,email\nx,\n")
	write(t, readOnly, "before")
	write(t, open, "before")
	err := errors.Join(os.Chmod(readOnly, 0o444), os.Chmod(open, 0o666), os.Chmod(closed, 0o555))
	if os.Getuid() == 0 {
		for _, path := range []string{work, filepath.Join(work, "roster.db"), filepath.Join(work, "roster.db-migrate"), input, readOnly} {
			err = errors.Join(err, os.Chown(path, dbtest.Nobody, dbtest.Nobody))
		}
		for _, path := range []string{filepath.Dir(dir), filepath.Dir(filepath.Dir(binary))} {
			err = errors.Join(err, os.Chmod(path, 0o711))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(closed, 0o755) })
	for line, says := range map[string]string{
		"export users -o " + readOnly: "roster: export users of SQLite (" + filepath.Join(work, "roster.db") + "): " + readOnly + " cannot be written: permission denied\n",
		"export users -o " + open: "roster: export users of SQLite (" + filepath.Join(work, "roster.db") + "): " + open +
			" cannot be written: no file can be created in its directory: permission denied\n",
		"import --dry-run --errors=" + readOnly + " " + input:                         "roster: import " + input + ": " + readOnly + " cannot be written: permission denied\n",
		"import --dry-run --errors=" + filepath.Join(closed, "new.csv") + " " + input: "roster: import " + input + ": " + filepath.Join(closed, "new.csv") + " cannot be written: permission denied\n",
	} {
		var stdout, stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), binary, strings.Fields(line)...)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+url, "ROSTER_LOG_LEVEL=error")
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		dbtest.Unprivileged(cmd)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if got := end(t, cmd, &stdout, &stderr); got != (outcome{1, "", says}) {
			t.Errorf("%s: %+v, want %q", line, got, says)
		}
		if read(t, readOnly) != "before" || read(t, open) != "before" {
			t.Errorf("%s: got another file, want both as before", line)
		}
	}
	if files, err := os.ReadDir(closed); err != nil || len(files) != 1 {
		t.Errorf("got the files %v, %v, want one", files, err)
	}
}

// signals ends commands by each signal, in the middle of what they do: they say so, and leave nothing behind.
func signals(t *testing.T, binary string) {
	t.Helper()
	dir := t.TempDir()
	file, pipe, rejected := filepath.Join(dir, "users.csv"), filepath.Join(dir, "pipe"), filepath.Join(dir, "rejected.csv")
	write(t, file, "before")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	url := dbtest.Empty(t, dbtest.PostgreSQL)
	rosterOn(t.Context(), t, binary, url, "seed", "--users=1")
	large := filepath.Join(t.TempDir(), "roster.db") // more than a pipe holds
	rosterOn(t.Context(), t, binary, "sqlite:"+large, "seed", "--users=5000", "--posts-per-user=0")
	locked := lockUsers(t, url, "ACCESS EXCLUSIVE")
	shared := dbtest.Empty(t, dbtest.PostgreSQL)
	rosterOn(t.Context(), t, binary, shared, "seed", "--users=1")
	writing := lockUsers(t, shared, "SHARE") // in which everybody may read
	name := displayName(t, dbtest.PostgreSQL, shared)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		for _, test := range []struct {
			url, line, says string
			inTheMiddle     func() bool
		}{
			{url, "export users -o " + file, "roster: interrupted while opening the database\n", locked},
			{url, "export users", "roster: interrupted while opening the database\n", locked},
			{url, "seed --users=1", "roster: interrupted while opening the database\n", locked},
			{shared, "seed --users=1 --seed=2", "roster: seed " + name + ": interrupted\n", writing},
			{shared, "import --errors=" + rejected, "roster: import -: interrupted: nothing is imported\n", func() bool {
				_, err := os.Stat(rejected)
				return err == nil
			}},
			{"sqlite:" + large, "export users -o " + pipe, "roster: export users of SQLite (" + large + "): interrupted\n", partOf(t, pipe)},
		} {
			stopped(t, binary, test.url, signal, test.line, test.says, test.inTheMiddle)
			if err := os.Remove(rejected); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if files, err := os.ReadDir(dir); err != nil || len(files) != 2 || read(t, file) != "before" {
				t.Errorf("%v: %s: got the files %v, %v, want two as before", signal, test.line, files, err)
			}
		}
	}
}

// lockUsers locks the users of a database in a mode until the test ends. It returns a function that reports whether
// somebody waits.
func lockUsers(t *testing.T, url, mode string) (waiting func() bool) {
	t.Helper()
	db, err := database.Open(t.Context(), database.Options{
		URL: url, MaxConnections: 1, PoolWait: time.Minute, ConnectTimeout: time.Minute, StatementTimeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	session := db.Session(database.Write)
	t.Cleanup(func() {
		session.Rollback()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := session.Exec(t.Context(), "LOCK TABLE users IN "+mode+" MODE", []any{}, nil); err != nil {
		t.Fatal(err)
	}
	return func() bool {
		rows := new(sql.Rows)
		const query = "SELECT 1 FROM pg_locks JOIN pg_database ON oid = database WHERE datname = current_database() AND NOT granted"
		if err := session.Query(t.Context(), query, []any{}, rows); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		return rows.Next()
	}
}

// partOf empties a pipe. It returns a function that reports whether there is something in it again, which takes one byte.
func partOf(t *testing.T, pipe string) func() bool {
	t.Helper()
	// Opened for both, it waits for nobody, and whoever writes has a reader.
	f, err := syscall.Open(pipe, syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(f) })
	some := func(most int) bool {
		n, err := syscall.Read(f, make([]byte, most))
		return err == nil && n > 0
	}
	for some(1 << 16) {
	}
	return func() bool { return some(1) }
}

// stopped starts a command, sends it a signal when it is in the middle, and checks how it ends.
func stopped(t *testing.T, binary, url string, signal syscall.Signal, line, says string, inTheMiddle func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, strings.Fields(line)...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+url, "ROSTER_LOG_LEVEL=error")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !inTheMiddle() && ctx.Err() == nil {
		<-tick.C
	}
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if got := end(t, cmd, &stdout, &stderr); got != (outcome{130, "", says}) {
		t.Errorf("%v: %s: %+v, want %q", signal, line, got, says)
	}
}

// inMask reports whether a signal is in one of the masks that Linux shows of a process.
func inMask(t *testing.T, process int, mask string, signal syscall.Signal) bool {
	t.Helper()
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/status", process))) {
		if text, ok := strings.CutPrefix(line, mask); ok {
			var bits uint64
			if _, err := fmt.Sscanf(text, "%x", &bits); err != nil {
				t.Fatal(err)
			}
			return bits&(1<<(signal-1)) != 0
		}
	}
	return false
}

// hangUp checks that a server goes on when its terminal is gone and it was started by nohup, which ignores SIGHUP.
func hangUp(t *testing.T, binary string) {
	t.Helper()
	dir := t.TempDir()
	script := filepath.Join(dir, "nohup")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntrap '' HUP\nexec "+binary+` "$@"`+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "roster.db")
	server := start(t, script, "sqlite:"+file, "SQLite ("+file+")")
	if !inMask(t, server.Cmd.Process.Pid, "SigIgn:", syscall.SIGHUP) {
		t.Error("SIGHUP: got another mask, want the signal ignored")
	}
	if err := server.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got := server.ask(t, `{ __typename }`); got != `{"data":{"__typename":"Query"}}` {
		t.Errorf("after SIGHUP: got %s, want an answer", got)
	}
	server.stop(t, syscall.SIGTERM)
}
