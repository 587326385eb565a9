//go:build cluster

package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// build makes the binary and returns its path.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "roster")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, "roster")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// program is a running server of Roster.
type program struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	log    *transcript
	url    string
	admin  string // the socket of its admin listener
}

// transcript is the text that a program has printed. It may be read while the program prints more.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// start runs a server on a free port, and waits until it serves. It is killed at the end of the test, unless stop came first.
func start(t *testing.T, binary, database string, flags ...string) *program {
	t.Helper()
	admin := filepath.Join(t.TempDir(), "admin")
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"serve", "--listen=127.0.0.1:0", "--admin-listen=unix:" + admin}, flags...)...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+database, "ROSTER_DRAIN=0s")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: cmd, stdout: bufio.NewReader(pipe), log: &transcript{}, admin: admin}
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if t.Failed() {
			t.Logf("the log of %s:\n%s", p.url, p.log)
		}
	})
	endpoint := regexp.MustCompile(`endpoint +(http://\S+)/graphql`)
	for {
		line, err := p.stdout.ReadString('\n')
		if err != nil {
			t.Fatalf("got %q, %v, want the address of the endpoint; the log: %s", line, err, p.log)
		}
		if found := endpoint.FindStringSubmatch(line); found != nil {
			p.url = found[1]
			return p
		}
	}
}

// stop ends the server in order.
func (p *program) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, p.stdout); err != nil {
		t.Error(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the end of the server: got %v, want success", err)
	}
}

// metrics returns the metrics with a name, by their labels.
func (p *program) metrics(t *testing.T, name string) map[string]float64 {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", p.admin)
	}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, found := range regexp.MustCompile(`(?m)^`+name+`\{(.*)\} (\S+)$`).FindAllSubmatch(text, -1) {
		if values[string(found[1])], err = strconv.ParseFloat(string(found[2]), 64); err != nil {
			t.Fatal(err)
		}
	}
	return values
}

// complaints counts the warnings and errors in the log, by their messages.
func (p *program) complaints() (n int, messages map[string]int) {
	messages = map[string]int{}
	for _, found := range regexp.MustCompile(`(?m)level=(?:WARN|ERROR) msg=("[^"]*"|\S+)`).FindAllStringSubmatch(p.log.String(), -1) {
		n++
		messages[found[1]]++
	}
	return n, messages
}

// complainsLittle checks that a server has logged at most a number of warnings and errors.
func (p *program) complainsLittle(t *testing.T, most int) {
	t.Helper()
	n, messages := p.complaints()
	t.Logf("%s: %d warnings and errors: %v", p.url, n, messages)
	if n > most {
		t.Errorf("%s: got %d warnings and errors, want at most %d", p.url, n, most)
	}
}

// answer is an answer of the endpoint.
type answer struct {
	Data   json.RawMessage
	Errors []struct {
		Message    string
		Extensions struct{ Code string }
	}
	header http.Header
}

// code returns the code of the first error, or "".
func (a *answer) code() string {
	if len(a.Errors) == 0 {
		return ""
	}
	return a.Errors[0].Extensions.Code
}

// operation is a request of a client. Its values are variables, because servers keep the documents that they have seen.
type operation struct {
	query      string
	variables  map[string]any
	key, token string // of Idempotency-Key and Roster-Consistency. "": without
}

// post sends an operation to the server at a URL.
func post(ctx context.Context, client *http.Client, url string, o operation) (*answer, error) {
	response, err := send(ctx, client, url, "application/json", o)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{header: response.Header}
	if err := json.Unmarshal(text, a); err != nil {
		return nil, fmt.Errorf("%s: %w in %q", response.Status, err, text)
	}
	return a, nil
}

// send is post without reading the answer.
func send(ctx context.Context, client *http.Client, url, accept string, o operation) (*http.Response, error) {
	body, err := json.Marshal(map[string]any{"query": o.query, "variables": o.variables})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/graphql", strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", accept)
	for name, value := range map[string]string{"Idempotency-Key": o.key, "Roster-Consistency": o.token} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	return client.Do(request)
}
