//go:build cluster

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"roster/e2e/program"
)

// server is a running server of Roster.
type server struct {
	*program.Server
	admin string // the socket of its admin listener
}

// start runs a server. Its log is shown if the test fails.
func start(t *testing.T, binary, database string, flags ...string) *server {
	t.Helper()
	s := &server{admin: filepath.Join(t.TempDir(), "admin")}
	s.Server = program.Start(t, program.Serve(t, binary, database, []string{"ROSTER_ADMIN_LISTEN=unix:" + s.admin}, flags...))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of %s:\n%s", s.URL, s.Log)
		}
	})
	return s
}

// stop ends the server in order.
func (s *server) stop(t *testing.T) {
	t.Helper()
	s.Stop(t, syscall.SIGTERM)
}

// complainsLittle checks that the server has logged at most a number of warnings and errors, and logs their messages. It returns how
// many messages are different.
func (s *server) complainsLittle(t *testing.T, most int) (kinds int) {
	t.Helper()
	n, messages := 0, map[string]int{}
	for _, found := range regexp.MustCompile(`(?m)level=(?:WARN|ERROR) msg=("[^"]*"|\S+)`).FindAllStringSubmatch(s.Log.String(), -1) {
		n++
		messages[found[1]]++
	}
	t.Logf("%s: %d warnings and errors: %v", s.URL, n, messages)
	if n > most {
		t.Errorf("%s: got %d warnings and errors, want at most %d", s.URL, n, most)
	}
	return len(messages)
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
