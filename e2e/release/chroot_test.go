//go:build release

package release

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"roster/e2e/program"
	"roster/internal/dbtest"
)

// dockerfile returns what the Dockerfile has in a place.
func dockerfile(t *testing.T, pattern string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(pattern).FindSubmatch(text)
	if found == nil {
		t.Fatalf("the Dockerfile: got no %s, want it", pattern)
	}
	return string(found[1])
}

// healthCheck returns the command of the Dockerfile's health check.
func healthCheck(t *testing.T) (command []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(dockerfile(t, `(?m)^HEALTHCHECK .* CMD (\[.*\])$`)), &command); err != nil {
		t.Fatal(err)
	}
	return command
}

// chroot runs the program in a root that has nothing else, as in an image from scratch: no library, no shell, no file of
// /etc, /proc or /tmp. Databases are reached over TCP.
func chroot(t *testing.T, file string) {
	for _, e := range dbtest.Engines() {
		t.Run(string(e), func(t *testing.T) {
			dir := public(t)
			binary, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "roster"), binary, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
				t.Fatal(err)
			}
			user, err := strconv.Atoi(dockerfile(t, `(?m)^USER (\d+):\d+$`))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(filepath.Join(dir, "data"), user, user); err != nil {
				t.Fatal(err)
			}
			database := dockerfile(t, `(?m)^ENV DATABASE_URL=(.*)$`)
			if e != dbtest.SQLite {
				database = dbtest.Empty(t, e)
			}
			variables := []string{"DATABASE_URL=" + database}
			in := func(args ...string) *exec.Cmd {
				cmd := exec.CommandContext(t.Context(), "/roster", args...)
				cmd.Dir = dockerfile(t, `(?m)^WORKDIR (/data)$`)
				cmd.Env = variables
				cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}}
				return cmd
			}
			if out, err := in("seed", "--users=5", "--posts-per-user=2").CombinedOutput(); err != nil {
				t.Fatalf("seed: %v\n%s", err, out)
			}
			server := program.Start(t, in("serve", "--listen=127.0.0.1:0"))
			for _, test := range []struct{ path, body, want string }{
				{"/readyz", "", `{"status":"ready"}`},
				{"/graphql", `{"query": "{ users { totalCount } posts { totalCount } }"}`, `{"data":{"users":{"totalCount":5},"posts":{"totalCount":10}}}`},
				{"/playground/graphiql.js", "", "GraphiQL"},
			} {
				if got := ask(t, server.URL+test.path, test.body); !strings.Contains(got, test.want) {
					t.Errorf("%s: got %.300q, want %q", test.path, got, test.want)
				}
			}
			variables = append(variables, "ROSTER_LISTEN="+strings.TrimPrefix(server.URL, "http://"))
			check := healthCheck(t)
			if out, err := in(check[1:]...).CombinedOutput(); err != nil || check[0] != "/roster" {
				t.Errorf("%q: got %v, %s, want that the server is ready", check, err, out)
			}
			server.Stop(t, syscall.SIGTERM)
			if out, err := in(check[1:]...).CombinedOutput(); err == nil {
				t.Errorf("%q after the end of the server: got %s, want a failure", check, out)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != 2 {
				t.Errorf("got the files %v, %v in the root, want roster and data", left, err)
			}
		})
	}
}

// ask sends a GET, or a POST if there is a body, and returns the body of the answer.
func ask(t *testing.T, url, body string) string {
	t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	_, text := program.Exchange(t, client, request)
	return text
}
