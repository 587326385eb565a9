//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roster/e2e/program"
	"roster/internal/typeid"
)

// relay is a server that goes from process to process. Its outputs are files, because it outlives the process that the test
// has started.
type relay struct {
	*testing.T
	binary  string // a copy, which the test can replace
	whole   []byte // the program
	first   *exec.Cmd
	pid     int // of the process that serves
	stdout  string
	stderr  string
	url     string
	handed  int // number of hand-overs that were done
	refused int // and of those that were refused
	failed  int // and of those that failed
}

// newRelay starts a server on a free port.
func newRelay(t *testing.T, binary string, environment []string, flags ...string) *relay {
	t.Helper()
	whole, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	r := &relay{T: t, whole: whole, binary: filepath.Join(directory, "roster"), stdout: filepath.Join(directory, "stdout"), stderr: filepath.Join(directory, "stderr")}
	r.replace(whole)
	r.first = exec.CommandContext(t.Context(), r.binary, append([]string{"serve", "--listen=127.0.0.1:0"}, flags...)...)
	r.first.Env = append(os.Environ(), environment...)
	r.start()
	return r
}

// start starts the first process.
func (r *relay) start() {
	r.Helper()
	for name, to := range map[string]*io.Writer{r.stdout: &r.first.Stdout, r.stderr: &r.first.Stderr} {
		file, err := os.Create(name)
		if err != nil {
			r.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		*to = file
	}
	if err := r.first.Start(); err != nil {
		r.Fatal(err)
	}
	r.pid = r.first.Process.Pid
	r.Cleanup(func() {
		for _, match := range regexp.MustCompile(`hand-over done.* pid=(\d+)`).FindAllStringSubmatch(r.log(), -1) {
			if pid, err := strconv.Atoi(match[1]); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL) // one that has not ended as it should
			}
		}
		_ = r.first.Process.Kill()
		if r.Failed() {
			r.Logf("stdout:\n%s\nstderr:\n%s", r.text(r.stdout), r.log())
		}
	})
	address := regexp.MustCompile(`  endpoint    (https?://127\.0\.0\.1:\d+)/graphql\n`)
	until(r.T, "the address of the endpoint", func() bool {
		if match := address.FindStringSubmatch(r.text(r.stdout)); match != nil {
			r.url = match[1]
		}
		return r.url != ""
	})
	if got := r.get("/healthz"); got != `{"status":"ok"}` { // it answers when it can be handed over, a moment after it prints the address
		r.Fatalf("got %s, want the new server", got)
	}
}

// until waits until a condition holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got no end, want %s", what)
		}
	}
}

func (r *relay) text(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		r.Fatal(err)
	}
	return string(text)
}

func (r *relay) log() string { return r.text(r.stderr) }

// replace puts something else at the path of the program, as package managers do.
func (r *relay) replace(content []byte) {
	r.Helper()
	if err := os.WriteFile(r.binary+".new", content, 0o700); err != nil {
		r.Fatal(err)
	}
	if err := os.Rename(r.binary+".new", r.binary); err != nil {
		r.Fatal(err)
	}
}

func (r *relay) signal(signal syscall.Signal) {
	r.Helper()
	if err := syscall.Kill(r.pid, signal); err != nil {
		r.Fatal(err)
	}
}

// logged waits until the log has a number of lines with a text, and returns the last one.
func (r *relay) logged(text string, number int) string {
	r.Helper()
	var lines []string
	until(r.T, fmt.Sprintf("%d lines with %q", number, text), func() bool {
		lines = slices.DeleteFunc(slices.Collect(strings.Lines(r.log())), func(line string) bool { return !strings.Contains(line, text) })
		return len(lines) >= number
	})
	return lines[number-1]
}

// handOver hands over to a new process, and waits until it serves. A process prints its last line a moment before it ends, and
// until then the next hand-over is refused: then handOver asks again.
func (r *relay) handOver() {
	r.Helper()
	count := func(text string) int { return strings.Count(r.log(), text) }
	for refused := count(stillFinishing); ; refused++ {
		r.signal(syscall.SIGUSR2)
		until(r.T, "the result of a hand-over", func() bool {
			return count(`msg="hand-over done`) > r.handed || count(stillFinishing) > refused
		})
		if count(`msg="hand-over done`) > r.handed {
			break
		}
		r.refused++
	}
	r.done()
}

// stillFinishing is the reason of a hand-over that is refused because of the process before.
const stillFinishing = "the process before this one is still finishing its requests"

// done waits until a hand-over is done.
func (r *relay) done() {
	r.Helper()
	r.handed++
	line := r.logged(`msg="hand-over done`, r.handed)
	pid, err := strconv.Atoi(regexp.MustCompile(`pid=(\d+)`).FindStringSubmatch(line)[1])
	if err != nil {
		r.Fatal(err)
	}
	r.pid = pid
}

// refuses asks for a hand-over, and expects that it is refused.
func (r *relay) refuses(because string) {
	r.Helper()
	r.signal(syscall.SIGUSR2)
	r.refused++
	if line := r.logged(`msg="hand-over refused"`, r.refused); !strings.Contains(line, because) {
		r.Errorf("got %s, want a hand-over that is refused because %q", line, because)
	}
}

// fails waits until a hand-over has failed.
func (r *relay) fails(because string) {
	r.Helper()
	r.failed++
	if line := r.logged(`msg="hand-over failed`, r.failed); !strings.Contains(line, because) {
		r.Errorf("got %s, want a hand-over that failed because %q", line, because)
	}
	if got := r.get("/readyz"); got != `{"status":"ready"}` {
		r.Errorf("after a hand-over that failed: got %s, want a server that is ready", got)
	}
}

func (r *relay) get(path string) string {
	r.Helper()
	return (&process{&program.Server{URL: r.url}}).get(r.T, path)
}

func (r *relay) ask(query string) string {
	r.Helper()
	return (&process{&program.Server{URL: r.url}}).ask(r.T, query)
}

// stop stops the process that serves, and waits until all have ended.
func (r *relay) stop() {
	r.Helper()
	r.signal(syscall.SIGTERM)
	want := strings.Repeat("Roster has handed over to a new process.\n", r.handed) + "Roster has stopped.\n"
	until(r.T, "the end of all processes", func() bool {
		var got strings.Builder
		for line := range strings.Lines(r.text(r.stdout)) {
			if strings.HasPrefix(line, "Roster has ") {
				got.WriteString(line)
			}
		}
		return got.String() == want
	})
	if err := r.first.Wait(); err != nil {
		r.Errorf("the first process: got %v, want success", err)
	}
}

// TestHandOver hands a server over while it is followed: clients hear that it restarts, and connect again.
func TestHandOver(t *testing.T) {
	t.Parallel()
	r := newRelay(t, build(t), []string{"DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "roster.db")}, "--drain=10ms")
	f := &following{T: t, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, users: []typeid.ID{{}}}
	f.urls[0].Store(&r.url)
	for round := range 3 {
		end := f.data(r.ask("{ changesCursor }"), "changesCursor")
		var ends []<-chan error
		for i, follow := range []func(context.Context, int, *reader) error{f.listen, f.socket} {
			reader, ended := &reader{last: end, first: make(chan struct{})}, make(chan error, 1)
			go func() { ended <- follow(t.Context(), 0, reader) }()
			ends = append(ends, ended)
			r.ask(fmt.Sprintf(`mutation { createUser(input: {username: "user%d%d", email: "user%d%d@example.com"}) { user { id } } }`, round, i, round, i))
			<-reader.first
		}
		r.handOver()
		if err := <-ends[0]; !errors.Is(err, io.EOF) {
			t.Errorf("the event stream: got %v, want %v", err, io.EOF)
		}
		if err := <-ends[1]; websocket.CloseStatus(err) != websocket.StatusServiceRestart {
			t.Errorf("the WebSocket: got %v, want the code %v", err, websocket.StatusServiceRestart)
		}
		until(t, "the end of the old process", func() bool {
			return strings.Count(r.text(r.stdout), "Roster has handed over") == r.handed
		})
	}
	if got := r.ask("{ users { totalCount } }"); got != `{"data":{"users":{"totalCount":6}}}` {
		t.Errorf("got %s, want 6 users", got)
	}
	r.stop()
}

// TestHandOverFails replaces the program by others that do not start. The old process goes on, each time.
func TestHandOverFails(t *testing.T) {
	t.Parallel()
	r := newRelay(t, build(t), []string{"DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "roster.db")}, "--drain=0s", "--handover-timeout=1s")
	for content, because := range map[string]string{
		"#!/bin/sh\nexit 3\n":                        "the new process ended before it was ready: exit status 3",
		"#!/bin/sh\nkill -9 $$\n":                    "the new process ended before it was ready: signal: killed",
		"neither a program nor a script":             "the program does not start: exec format error",
		"#!/no/such/interpreter\n":                   "the program does not start: no such file or directory",
		"#!/bin/sh\nexec sleep 1000\n":               "the new process was not ready within 1s: signal: terminated",
		"#!/bin/sh\ntrap '' TERM\nexec sleep 1000\n": "the new process was not ready within 1s: signal: killed",
	} {
		r.replace([]byte(content))
		r.signal(syscall.SIGUSR2)
		r.fails(because)
	}
	if err := os.Remove(r.binary); err != nil {
		t.Fatal(err)
	}
	r.signal(syscall.SIGUSR2)
	r.fails("the program does not start: no such file or directory")
	r.stop()
}

// TestTwoHandOversAtOnce asks for a hand-over while there is one: before the new process is ready, and until the old process
// has ended.
func TestTwoHandOversAtOnce(t *testing.T) {
	t.Parallel()
	r := newRelay(t, build(t), []string{"DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "roster.db")}, "--drain=1h")
	file := filepath.Join(t.TempDir(), "pid")
	r.replace([]byte("#!/bin/sh\necho $$ >" + file + ".new && mv " + file + ".new " + file + "\nexec sleep 1000\n"))
	r.signal(syscall.SIGUSR2)
	r.logged("hand-over begins", 1)
	r.refuses("another hand-over is under way")
	until(t, "the ID of the new process", func() bool { _, err := os.Stat(file); return err == nil })
	pid, err := strconv.Atoi(strings.TrimSpace(r.text(file)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.fails("the new process ended before it was ready: signal: killed")

	r.replace(r.whole)
	r.handOver()
	if got := r.get("/readyz"); got != `{"status":"ready"}` {
		t.Errorf("got %s, want the new process", got)
	}
	r.refuses(stillFinishing)
	if err := r.first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := r.first.Wait(); err == nil {
		t.Error("the first process: got success, want its kill")
	}
	r.handOver()
}

// TestHandOverEndsWithTheServer stops a server while a hand-over is under way.
func TestHandOverEndsWithTheServer(t *testing.T) {
	t.Parallel()
	r := newRelay(t, build(t), []string{"DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "roster.db")}, "--drain=0s")
	r.replace([]byte("#!/bin/sh\nexec sleep 1000\n"))
	r.signal(syscall.SIGUSR2)
	r.logged("hand-over begins", 1)
	r.stop()
	if line := r.logged(`msg="hand-over ended`, 1); !strings.Contains(line, "this server is stopping: signal: terminated") {
		t.Errorf("got %s, want a new process that was ended too", line)
	}
}

// TestHandOverToAnUnreadyServer starts a new process that cannot serve. It says why, and the old one goes on, also on the socket of
// its admin listener.
func TestHandOverToAnUnreadyServer(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	admin := socketIn(t)
	r := newRelay(t, build(t), []string{"DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "roster.db")}, "--drain=0s",
		"--auth-hs256-secret-file="+secret, "--auth-issuer=https://issuer.example.com", "--auth-audience=roster", "--admin-listen=unix:"+admin)
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	r.signal(syscall.SIGUSR2)
	r.fails("the new process ended before it was ready: exit status 1")
	r.logged("roster: --auth-hs256-secret-file: ", 1)
	if conn, err := new(net.Dialer).DialContext(t.Context(), "unix", admin); err != nil {
		t.Errorf("the admin listener of the old process: got %v, want a connection", err)
	} else {
		_ = conn.Close()
	}
	r.stop()
}

// socketIn returns the path of a socket in a new directory.
func socketIn(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "roster") //nolint:usetesting // the path of t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "admin.sock")
}

// TestSocketFiles hands a server over, and stops it. The file of its own socket ends with the last process. That of a socket of
// the service manager stays.
func TestSocketFiles(t *testing.T) {
	t.Parallel()
	binary := build(t)
	for name, passed := range map[string]bool{"own": false, "passed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			admin, directory := socketIn(t), t.TempDir()
			var sockets []any
			environment := []string{"ROSTER_LISTEN=127.0.0.1:0", "ROSTER_ADMIN_LISTEN=unix:" + admin}
			if passed {
				listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", admin)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = listener.Close() })
				sockets, environment = append(sockets, listener), append(environment, "LISTEN_FDS=1", "LISTEN_FDNAMES=admin")
			}
			r := &relay{T: t, binary: binary, stdout: filepath.Join(directory, "stdout"), stderr: filepath.Join(directory, "stderr")}
			r.first = passing(t, binary, "", environment, sockets...)
			if !passed {
				r.first.Args[2] = `exec "$0" serve --drain=0s`
			}
			r.start()
			r.handOver()
			if _, err := os.Lstat(admin); err != nil {
				t.Errorf("after the hand-over: got %v, want the socket", err)
			}
			until(t, "the end of the old process", func() bool { return strings.Contains(r.text(r.stdout), "Roster has handed over") })
			r.stop()
			until(t, "the end of the socket's file, unless it was passed", func() bool { _, err := os.Lstat(admin); return (err == nil) == passed })
		})
	}
}

// TestServiceManager runs a server as systemd does: it gets a socket on which a client waits already, and tells its state.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	binary := build(t)
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: filepath.Join(t.TempDir(), "notify")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = notify.Close() }()
	told := func(want string) {
		t.Helper()
		if err := notify.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		message := make([]byte, 1000)
		n, err := notify.Read(message)
		if got := regexp.MustCompile(`MONOTONIC_USEC=[0-9]+`).ReplaceAllString(string(message[:n]), "MONOTONIC_USEC=N"); err != nil || got != want {
			t.Errorf("got the state %q, %v, want %q", got, err, want)
		}
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	early, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(early, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	r := &relay{T: t, binary: binary, stdout: filepath.Join(directory, "stdout"), stderr: filepath.Join(directory, "stderr")}
	r.first = passing(t, binary, "", []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=roster.socket", "NOTIFY_SOCKET=" + notify.LocalAddr().String()}, listener)
	r.start()
	if want := "http://" + listener.Addr().String(); r.url != want {
		t.Errorf("got the address %s, want %s, that of the socket", r.url, want)
	}
	if err := listener.Close(); err != nil { // only the server has the socket now
		t.Fatal(err)
	}
	answer, err := io.ReadAll(bufio.NewReader(early))
	if err != nil || !bytes.HasSuffix(answer, []byte(`{"status":"ready"}`)) {
		t.Errorf("the client that was there first: got %q, %v, want an answer", answer, err)
	}
	told("READY=1")
	r.handOver()
	told("RELOADING=1\nMONOTONIC_USEC=N")
	told(fmt.Sprintf("MAINPID=%d\nREADY=1", r.pid))
	if got := r.get("/readyz"); got != `{"status":"ready"}` {
		t.Errorf("got %s, want the new process", got)
	}
	r.stop()
	told("STOPPING=1")
}

// passing returns the command of a server that gets listeners by LISTEN_FDS. Its environment says to which process the
// listeners are passed, which is this one: the shell knows its ID.
func passing(t *testing.T, binary, flags string, environment []string, sockets ...any) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `export LISTEN_PID=$$; exec "$0" serve --drain=0s `+flags, binary)
	cmd.Env = append(append(os.Environ(), "DATABASE_URL=sqlite:"+filepath.Join(t.TempDir(), "roster.db")), environment...)
	for _, s := range sockets {
		file, ok := s.(*os.File)
		if !ok {
			var err error
			if file, err = s.(interface{ File() (*os.File, error) }).File(); err != nil { //nolint:errcheck // the test passes nothing else
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = file.Close() })
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	return cmd
}

// TestWrongSockets passes sockets that a server cannot use. It says so, and does not open its own.
func TestWrongSockets(t *testing.T) {
	t.Parallel()
	binary := build(t)
	listen := func(network, address string) net.Listener {
		t.Helper()
		listener, err := new(net.ListenConfig).Listen(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		return listener
	}
	tcp, second, everywhere, local := listen("tcp", "127.0.0.1:0"), listen("tcp", "127.0.0.1:0"), listen("tcp4", "0.0.0.0:0"), listen("unix", filepath.Join(t.TempDir(), "socket"))
	connected, err := new(net.Dialer).DialContext(t.Context(), "tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connected.Close() }()
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, test := range []struct {
		count, names string
		sockets      []any
		want         string
	}{
		{"abc", "", []any{tcp}, `LISTEN_FDS must be the number of passed sockets, from 1 to 16, not "abc"`},
		{"", "", []any{tcp}, `LISTEN_FDS must be the number of passed sockets, from 1 to 16, not ""`},
		{"0", "", []any{tcp}, `LISTEN_FDS must be the number of passed sockets, from 1 to 16, not "0"`},
		{"-1", "", []any{tcp}, `LISTEN_FDS must be the number of passed sockets, from 1 to 16, not "-1"`},
		{"1000000000", "", []any{tcp}, `LISTEN_FDS must be the number of passed sockets, from 1 to 16, not "1000000000"`},
		{"16", "", []any{tcp}, "LISTEN_FDS is 16, but file descriptor "},
		{"1", "", []any{file}, "LISTEN_FDS is 1, but file descriptor 3 cannot be used: socket operation on non-socket"},
		{"1", "", []any{connected}, "LISTEN_FDS is 1, but file descriptor 3 cannot be used: it is a socket that does not listen"},
		{"1", "a:b", []any{tcp}, "LISTEN_FDS is 1, but LISTEN_FDNAMES has 2 names"},
		{"2", "a:b", []any{tcp, second}, "LISTEN_FDS passes more than one socket named public: name them by FileDescriptorName="},
		{"1", "", []any{local}, "which is not TCP: pass a TCP socket"},
		{"1", "", []any{everywhere}, "which can be reached from other machines, and there is no authentication"},
		{"2", "a:admin", []any{tcp, second}, `the service manager passes sockets that this server has no use for: "admin" (` + second.Addr().String() + ")"},
		{"2", "a:admin", []any{tcp, everywhere}, "for the admin listener, which can be reached from other machines"},
	} {
		flags := "--listen=127.0.0.1:0 --log-level=error"
		if strings.Contains(test.want, "admin listener") {
			flags += " --admin-listen=unix:" + filepath.Join(t.TempDir(), "admin.sock")
		}
		var stderr bytes.Buffer
		cmd := passing(t, binary, flags, []string{"LISTEN_FDS=" + test.count, "LISTEN_FDNAMES=" + test.names}, test.sockets...)
		cmd.Stderr = &stderr
		err := cmd.Run()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() != 1 || !strings.HasPrefix(stderr.String(), "roster: ") || !strings.Contains(stderr.String(), test.want) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("LISTEN_FDS=%s, LISTEN_FDNAMES=%s: got %v, %s, want exit code 1 and %s", test.count, test.names, err, stderr.String(), test.want)
		}
	}
}
