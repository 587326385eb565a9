// Package e2e tests the program as its users run it: the real binary, its output, its signals and
// its exit codes.
package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"roster/e2e/program"
)

// build makes the binary and returns its path.
func build(t *testing.T) string {
	t.Helper()
	return program.Build(t)
}

func TestProgram(t *testing.T) {
	t.Parallel()
	binary := build(t)
	t.Run("version", func(t *testing.T) {
		t.Parallel()
		out, err := exec.CommandContext(t.Context(), binary, "version").CombinedOutput()
		if err != nil || string(out) != "roster 1.2.3\n" {
			t.Errorf("got %v, %s, want the version", err, out)
		}
	})
	t.Run("wrong use", func(t *testing.T) {
		t.Parallel()
		err := exec.CommandContext(t.Context(), binary, "bogus").Run()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() != 2 {
			t.Errorf("got %v, want the exit code 2", err)
		}
	})
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run("serve until "+signal.String(), func(t *testing.T) {
			t.Parallel()
			serves(t, binary, signal)
		})
	}
}

// serves runs a server, uses it, stops it with signal and expects a clean end. It runs it a second
// time to see that the data is still there.
func serves(t *testing.T, binary string, signal os.Signal) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "roster.db")

	first := start(t, binary, "sqlite:"+file, "SQLite ("+file+")")
	for path, want := range map[string]string{"/healthz": `{"status":"ok"}`, "/readyz": `{"status":"ready"}`} {
		if got := first.get(t, path); got != want {
			t.Errorf("%s answers %s, want %s", path, got, want)
		}
	}
	if got := first.get(t, "/"); !strings.Contains(got, "<title>Roster playground</title>") {
		t.Errorf("got %.100q, want the playground", got)
	}
	if got := first.get(t, "/schema.graphql"); !strings.Contains(got, "type Query") {
		t.Errorf("got %.100q, want the schema", got)
	}
	const create = `mutation { createUser(input: { username: "Ada", email: "ada@example.com" }) { user { username version } } }`
	const created = `{"data":{"createUser":{"user":{"username":"Ada","version":1}}}}`
	if got := first.ask(t, create); got != created {
		t.Errorf("createUser answers %s, want %s", got, created)
	}
	first.stop(t, signal)

	second := start(t, binary, "sqlite:"+file, "SQLite ("+file+")")
	const found = `{"data":{"user":{"email":"ada@example.com"}}}`
	if got := second.ask(t, `{ user(by: { username: "ada" }) { email } }`); got != found {
		t.Errorf("after a restart, user answers %s, want %s", got, found)
	}
	second.stop(t, signal)
}

// process is a running server.
type process struct{ *program.Server }

// start runs the server on a free port with a database, which it is to print as name, and waits until it serves.
func start(t *testing.T, binary, database, name string, flags ...string) *process {
	t.Helper()
	return startIn(t, nil, binary, database, name, flags...)
}

// startIn is start with more variables in the environment.
func startIn(t *testing.T, variables []string, binary, database, name string, flags ...string) *process {
	t.Helper()
	p := &process{program.Start(t, program.Serve(t, binary, database, variables, flags...))}
	const address = `(https?://127\.0\.0\.1:\d+)`
	want := regexp.MustCompile("^Roster " + regexp.QuoteMeta(program.Version) + " is running on " + regexp.QuoteMeta(name) + "\\.\n" +
		"(?:  playground  " + address + "/\n)?  endpoint    " + address + "/graphql\n$")
	addresses := want.FindStringSubmatch(p.Greeting)
	if addresses == nil || addresses[1] != "" && addresses[1] != addresses[2] {
		t.Fatalf("got the output %q, want %v", p.Greeting, want)
	}
	return p
}

// stop sends the signal and waits for the end.
func (p *process) stop(t *testing.T, signal os.Signal) {
	t.Helper()
	p.Stop(t, signal)
}

func (p *process) get(t *testing.T, path string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, request)
}

func (p *process) ask(t *testing.T, query string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	_, answer := p.post(t, string(body), "")
	return answer
}

// post sends a body to the endpoint, under an idempotency key unless that is empty.
func (p *process) post(t *testing.T, body, key string) (http.Header, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/graphql", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	return exchange(t, request)
}

// send sends a request and returns the body of its answer.
func send(t *testing.T, request *http.Request) string {
	t.Helper()
	_, body := exchange(t, request)
	return body
}

// exchange sends a request and returns the header and the body of its answer.
func exchange(t *testing.T, request *http.Request) (http.Header, string) {
	t.Helper()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	return program.Exchange(t, client, request)
}
