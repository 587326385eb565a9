// Package program builds the program and runs servers of it for tests, as their users do: with the real binary, its output
// and its signals. It is independent of databases, and of what the tests ask the servers.
package program

import (
	"bufio"
	"context"
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
	"testing"
	"time"
)

// Version is the version of the binary that Build makes.
const Version = "1.2.3"

// requestLimit bounds one request of this package.
const requestLimit = time.Minute

// Build makes the binary, with more variables of the form NAME=value in the environment of the compiler, and returns its path.
func Build(t *testing.T, variables ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "roster")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-X main.version="+Version, "-o", binary, "roster")
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), variables...) // as make builds it, so that the race detector compiles nothing again
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// Serve returns the command of a server on a free port, which does not wait when it is told to stop. The variables of the form
// NAME=value are added to its environment.
func Serve(t *testing.T, binary, database string, variables []string, flags ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"serve", "--listen=127.0.0.1:0"}, flags...)...)
	cmd.Env = append(append(os.Environ(), "DATABASE_URL="+database, "ROSTER_DRAIN=0s"), variables...)
	return cmd
}

// Server is a running server.
type Server struct {
	// URL is the address of the server, without a path.
	URL string
	// Greeting is what the server printed until it could be used.
	Greeting string
	// Log is what the server has written to its standard error.
	Log *Transcript
	// Cmd is its process, and Stdout the rest of its standard output.
	Cmd    *exec.Cmd
	Stdout *bufio.Reader
}

// Start runs the command of a server, and waits until it has printed the address of its endpoint. The server is killed at the end of
// the test, if it still runs.
func Start(t *testing.T, cmd *exec.Cmd) *Server {
	t.Helper()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Cmd: cmd, Stdout: bufio.NewReader(pipe), Log: &Transcript{}}
	cmd.Stderr = s.Log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	endpoint := regexp.MustCompile(`(?m)^  endpoint    (https?://\S+)/graphql\n`)
	for s.URL == "" {
		line, err := s.Stdout.ReadString('\n')
		s.Greeting += line
		if err != nil {
			t.Fatalf("got %q, then %v, want the address of the endpoint; stderr: %q", s.Greeting, err, s.Log)
		}
		if found := endpoint.FindStringSubmatch(line); found != nil {
			s.URL = found[1]
		}
	}
	return s
}

// Stop sends a signal to the server and waits for its end, which is a success.
func (s *Server) Stop(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := s.Cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(s.Stdout)
	if err != nil || string(rest) != "Roster has stopped.\n" {
		t.Errorf("after %v: got %v, %q, want Roster has stopped", signal, err, rest)
	}
	if err := s.Cmd.Wait(); err != nil {
		t.Errorf("after %v: got %v, stderr %q, want success", signal, err, s.Log)
	}
}

// Metrics returns the metrics that the admin listener on a Unix socket has, by their names with their labels.
func Metrics(t *testing.T, socket string) map[string]float64 {
	t.Helper()
	client := &http.Client{Timeout: requestLimit, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	_, text := Exchange(t, client, request)
	values := map[string]float64{}
	for _, found := range regexp.MustCompile(`(?m)^([^#\s].*) (\S+)$`).FindAllStringSubmatch(text, -1) {
		if values[found[1]], err = strconv.ParseFloat(found[2], 64); err != nil {
			t.Fatal(err)
		}
	}
	return values
}

// Exchange sends a request and returns the header and the body of its answer, which is a success.
func Exchange(t *testing.T, client *http.Client, request *http.Request) (http.Header, string) {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode/100 != 2 {
		t.Errorf("%s: got %s, %v, want success", request.URL, response.Status, err)
	}
	return response.Header, string(body)
}

// Transcript is the text that a program has printed. It may be read while the program prints more.
type Transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write adds to the text. It implements io.Writer.
func (t *Transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

// String returns the text so far. It implements fmt.Stringer.
func (t *Transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}
