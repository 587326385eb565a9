package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"roster/internal/cli"
	"roster/internal/dbtest"
)

// A rosterServer is a server that this process runs.
type rosterServer struct {
	url    string // of the public listener
	socket string // of the admin listener
	client *http.Client
	admin  *http.Client // whose host does not matter
	log    *log
	stop   func() (code int)
}

// log is a log that may be read while a server writes it.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serveWithAdmin runs a server with an admin listener on a Unix socket, until stop is called or the test ends.
func serveWithAdmin(t *testing.T, database string, flags ...string) *rosterServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "roster") //nolint:usetesting // the path of t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &rosterServer{socket: filepath.Join(dir, "admin.sock"), client: &http.Client{}, log: &log{}}
	s.admin = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}}
	ctx, cancel := context.WithCancel(t.Context())
	stdout, written := io.Pipe()
	ended := make(chan int, 1)
	args := append([]string{"serve", "--listen=127.0.0.1:0", "--database-url=" + database, "--admin-listen=unix:" + s.socket}, flags...)
	go func() {
		code := cli.Run(ctx, args, noEnvironment, strings.NewReader(""), written, s.log, "1.2.3")
		_ = written.Close() // the reader sees the end
		ended <- code
	}()
	lines := bufio.NewScanner(stdout)
	endpoint := regexp.MustCompile(`endpoint +(http://.*)/graphql`)
	for s.url == "" && lines.Scan() {
		if found := endpoint.FindStringSubmatch(lines.Text()); found != nil {
			s.url = found[1]
		}
	}
	if s.url == "" {
		t.Fatalf("the server has not started: code %d, %s", <-ended, s.log)
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	code := -1
	s.stop = func() int {
		cancel()
		if code < 0 {
			code = <-ended
		}
		s.client.CloseIdleConnections()
		s.admin.CloseIdleConnections()
		return code
	}
	t.Cleanup(func() { s.stop() })
	return s
}

// get sends a GET and returns the status and the body.
func get(t *testing.T, client *http.Client, url string, headers ...string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	request.Host = request.Header.Get("Host")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// ask sends a document with a name for its operation, and returns the body of the answer.
func (s *rosterServer) ask(t *testing.T, document string, headers ...string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": document})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/graphql", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// figures are the values of /metrics by their series, as they are written there.
type figures map[string]float64

func (s *rosterServer) figures(t *testing.T) figures {
	t.Helper()
	status, text := get(t, s.admin, "http://admin/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: got %d, %s", status, text)
	}
	all := figures{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all[line[:at]] = value
	}
	return all
}

// expect compares the values of some series. A series that is not there is 0.
func (s *rosterServer) expect(t *testing.T, when string, want figures) {
	t.Helper()
	got := s.figures(t)
	for series, value := range want {
		if got[series] != value {
			t.Errorf("%s: %s is %v, want %v", when, series, got[series], value)
		}
	}
}

// eventually waits until some series have their values.
func (s *rosterServer) eventually(t *testing.T, when string, want figures) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		got := s.figures(t)
		right := true
		for series, value := range want {
			right = right && got[series] == value
		}
		if right {
			return
		}
		if time.Now().After(deadline) {
			s.expect(t, when, want)
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

const createAda = `mutation CreateAda { createUser(input: {username: "Ada", email: "ada@example.com", posts: [{title: "A"}, {title: "B"}]}) {
	user { posts(first: 1) { totalCount nodes { title } } } } }`

// TestMetrics sends known requests to a server on each engine. The metrics have exactly these.
func TestMetrics(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serveWithAdmin(t, dbtest.Empty(t, e))
		if got := s.ask(t, createAda, "Idempotency-Key", "one"); !strings.Contains(got, `"totalCount":2`) {
			t.Fatalf("got %s, want Ada", got)
		}
		s.ask(t, createAda, "Idempotency-Key", "one") // a replay
		if got := s.ask(t, createAda); !strings.Contains(got, "TAKEN") {
			t.Fatalf("got %s, want TAKEN", got)
		}
		const read = `query Read { users { nodes { posts { nodes { author { username } } } } } }`
		for range 3 {
			if got := s.ask(t, read); !strings.Contains(got, "Ada") {
				t.Fatalf("got %s, want Ada", got)
			}
		}
		s.ask(t, `query { nodes(ids: []) { id } }`)
		s.ask(t, `{ users(first: 0) { nodes { id } } }`)
		s.ask(t, `{ nothing }`)
		if status, _ := get(t, s.client, s.url+"/nowhere"); status != http.StatusNotFound {
			t.Fatalf("got %d, want 404", status)
		}
		system := map[dbtest.Engine]string{dbtest.SQLite: "sqlite", dbtest.PostgreSQL: "postgresql", dbtest.MySQL: "mysql"}[e]
		s.expect(t, "after the requests", figures{
			`roster_operations_total{code="OK",name="CreateAda",type="mutation"}`:                              2,
			`roster_operations_total{code="TAKEN",name="CreateAda",type="mutation"}`:                           1,
			`roster_operations_total{code="OK",name="Read",type="query"}`:                                      3,
			`roster_operations_total{code="INVALID",name="unnamed",type="query"}`:                              1,
			`roster_operation_duration_seconds_count{name="CreateAda",type="mutation"}`:                        3,
			`roster_operation_duration_seconds_count{name="Read",type="query"}`:                                3,
			`roster_operation_retries_total{type="mutation"}`:                                                  1, // to find all faults
			`roster_operation_retries_total{type="query"}`:                                                     0,
			`roster_idempotent_replays_total`:                                                                  1,
			`roster_operation_cost_points_count{type="query"}`:                                                 5,
			`roster_queries_total{way="plan and resolvers"}`:                                                   1,
			`roster_loader_batch_size_count{loader="Post.author"}`:                                             3,
			`roster_loader_batch_size_sum{loader="Post.author"}`:                                               6,
			`roster_loader_batch_size_bucket{loader="User.posts",le="1"}`:                                      4,
			`roster_loader_batch_size_count{loader="User.posts.totalCount"}`:                                   1,
			`roster_requests_refused_total{code="GRAPHQL_VALIDATION_FAILED",status="400"}`:                     1,
			`roster_requests_refused_total{code="BAD_REQUEST",status="404"}`:                                   1,
			`http_server_request_duration_seconds_count` + ofHTTP("POST", "200", "/graphql"):                   9,
			`http_server_request_duration_seconds_count` + ofHTTP("GET", "404", ""):                            1,
			`roster_build_info{engine="` + system + `",goversion="` + runtime.Version() + `",version="1.2.3"}`: 1,
			`roster_migrations_pending`:                                                                        0,
			`roster_draining`:                                                                                  0,
			`roster_ready`:                                                                                     1,
			`db_client_connection_max{db_client_connection_pool_name="read"}`:                                  map[bool]float64{true: 16}[e == dbtest.SQLite],
		})
		failed := s.figures(t)[`db_client_operation_duration_seconds_count{db_operation_name="INSERT",db_system_name="`+system+`",error_type="_OTHER"}`]
		if failed != 1 {
			t.Errorf("got %v INSERTs that failed, want that of the taken name", failed)
		}
		if code := s.stop(); code != 0 {
			t.Errorf("got code %d, %s", code, s.log)
		}
		if _, err := os.Lstat(s.socket); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket of a server that has stopped: got %v, want none", err)
		}
	})
}

func ofHTTP(method, status, route string) string {
	return fmt.Sprintf(`{error_type="",http_request_method=%q,http_response_status_code=%q,http_route=%q,url_scheme="http"}`, method, status, route)
}

// TestMetricsOfSubscribers opens and closes event streams. The metrics follow.
func TestMetricsOfSubscribers(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serveWithAdmin(t, dbtest.Empty(t, e))
		const open, ended = `roster_streams{kind="event_stream"}`, `roster_streams_ended_total{code="disconnected",kind="event_stream"}`
		s.expect(t, "before", figures{open: 0, `roster_feed_subscribers`: 0})
		const streams = 3
		var leave []func()
		var firsts []*bufio.Reader
		for range streams {
			ctx, cancel := context.WithCancel(t.Context())
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/graphql",
				strings.NewReader(`{"query": "subscription Follow { changes { kind } }"}`))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Accept", "text/event-stream")
			response, err := s.client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			leave, firsts = append(leave, cancel), append(firsts, bufio.NewReader(response.Body))
		}
		s.eventually(t, "with subscribers", figures{open: streams, `roster_feed_subscribers`: streams, ended: 0})
		s.ask(t, `mutation { createUser(input: {username: "Ada", email: "ada@example.com"}) { user { id } } }`)
		for _, r := range firsts {
			for line := ""; !strings.HasPrefix(line, "data: {"); {
				var err error
				if line, err = r.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.eventually(t, "after a change", figures{
			`roster_operations_total{code="OK",name="Follow",type="subscription"}`: streams,
			`roster_feed_lag_changes`: 0, `roster_feed_lag_seconds`: 0,
			`roster_feed_listening`: map[bool]float64{true: 1}[e == dbtest.PostgreSQL],
		})
		for _, cancel := range leave {
			cancel()
		}
		s.eventually(t, "without subscribers", figures{open: 0, `roster_feed_subscribers`: 0, ended: streams})
	})
}

// TestPublicListener looks for the admin listener's addresses on the public one.
func TestPublicListener(t *testing.T) {
	t.Parallel()
	s := serveWithAdmin(t, dbtest.Empty(t, dbtest.SQLite))
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap"} {
		if status, text := get(t, s.client, s.url+path); status != http.StatusNotFound {
			t.Errorf("%s on the public listener: got %d, %.80q, want 404", path, status, text)
		}
		if status, text := get(t, s.admin, "http://admin"+path); status != http.StatusOK || text == "" {
			t.Errorf("%s on the admin listener: got %d, %.80q, want 200", path, status, text)
		}
	}
	if status, text := get(t, s.admin, "http://admin/debug/pprof/cmdline"); status != http.StatusNotFound {
		t.Errorf("the command line, which can have a password: got %d, %.80q, want 404", status, text)
	}
	for path, want := range map[string]string{"/healthz": `{"status":"ok"}`, "/readyz": `{"status":"ready"}`, "/readyz?for=reads": `{"status":"ready"}`} {
		for where, client := range map[string]*http.Client{s.url: s.client, "http://admin": s.admin} {
			if status, text := get(t, client, where+path); status != http.StatusOK || text != want {
				t.Errorf("%s%s: got %d, %s, want %s", where, path, status, text, want)
			}
		}
	}
	if status, _ := get(t, s.admin, "http://admin/graphql?query={__typename}"); status != http.StatusNotFound {
		t.Errorf("/graphql on the admin listener: got %d, want 404", status)
	}
	if info, err := os.Lstat(s.socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: got %v, %v, want the mode 0600", info, err)
	}
	_, text := get(t, s.admin, "http://admin/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
	if !strings.HasSuffix(text, "# EOF\n") {
		t.Errorf("got %.200q, want OpenMetrics", text[max(0, len(text)-200):])
	}
}

// TestAdminHosts sends requests for other hosts, and from proxies, to an admin listener on TCP. A page of a browser makes such
// requests by DNS rebinding.
func TestAdminHosts(t *testing.T) {
	t.Parallel()
	address := regexp.MustCompile(`the admin listener is open" address=(127\.0\.0\.1:\d+)`)
	listen := func(flags ...string) string {
		s := serveWithAdmin(t, dbtest.Empty(t, dbtest.SQLite), flags...)
		found := address.FindStringSubmatch(s.log.String())
		if found == nil {
			t.Fatalf("got %s, want the address of the admin listener", s.log)
		}
		return found[1]
	}
	local, public := listen("--admin-listen=127.0.0.1:0"), listen("--admin-listen=127.0.0.1:0", "--admin-public")
	for _, test := range []struct {
		headers []string
		want    int
	}{
		{nil, http.StatusOK},
		{[]string{"Host", "localhost:1"}, http.StatusOK},
		{[]string{"Host", "[::1]"}, http.StatusOK},
		{[]string{"Host", "attacker.example"}, http.StatusForbidden},
		{[]string{"X-Forwarded-For", "192.0.2.1"}, http.StatusForbidden},
	} {
		for _, path := range []string{"/metrics", "/debug/pprof/", "/readyz"} {
			if status, text := get(t, &http.Client{}, "http://"+local+path, test.headers...); status != test.want {
				t.Errorf("%v: %s: got %d, %.200s, want %d", test.headers, path, status, text, test.want)
			}
			if status, text := get(t, &http.Client{}, "http://"+public+path, test.headers...); status != http.StatusOK {
				t.Errorf("%v: %s with --admin-public: got %d, %.200s, want 200", test.headers, path, status, text)
			}
		}
	}
}

// TestMetricsWithoutDatabase stops the database under a server. A scrape does not wait for it.
func TestMetricsWithoutDatabase(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			url, proxy := dbtest.ProxyURL(t, dbtest.Empty(t, e))
			s := serveWithAdmin(t, url)
			s.expect(t, "with the database", figures{`roster_ready`: 1, `roster_migrations_pending`: 0})
			proxy.Cut()
			got := s.figures(t)
			if ready, known := got[`roster_ready`]; !known || ready != 0 {
				t.Errorf("got roster_ready %v, %t, want 0", ready, known)
			}
			for _, name := range []string{`roster_feed_lag_changes`, `roster_migrations_pending`} {
				if value, known := got[name]; known {
					t.Errorf("got %s %v, want nothing: the database does not say it", name, value)
				}
			}
			if got[`go_goroutines`] == 0 {
				t.Errorf("got no other metrics")
			}
			proxy.Restore()
			s.eventually(t, "with the database again", figures{`roster_ready`: 1})
		})
	}
}

// TestTrustedNames gives the operations of trusted documents names of their own, also beyond the bound of other names.
func TestTrustedNames(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "trusted.json")
	documents, want := map[string]string{}, figures{}
	const many = 150
	for i := range many {
		documents[fmt.Sprint("key", i)] = fmt.Sprintf("query Operation%d { __typename }", i)
		want[fmt.Sprintf(`roster_operations_total{code="OK",name="Operation%d",type="query"}`, i)] = 1
	}
	text, err := json.Marshal(documents)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := serveWithAdmin(t, dbtest.Empty(t, dbtest.SQLite), "--trusted-documents="+file)
	for _, document := range documents {
		s.ask(t, document)
	}
	s.expect(t, "after each document", want)
}

// TestManyNames sends operations with ever new names. They do not make ever new series.
func TestManyNames(t *testing.T) {
	t.Parallel()
	s := serveWithAdmin(t, dbtest.Empty(t, dbtest.SQLite))
	const many, bound = 250, 100
	for i := range many {
		s.ask(t, fmt.Sprintf("query Name%d { __typename }", i))
	}
	s.ask(t, "query "+strings.Repeat("x", 65)+" { __typename }")
	series := slices.DeleteFunc(s.names(t, "roster_operations_total"), func(line string) bool { return !strings.Contains(line, `"Name`) })
	if len(series) != bound {
		t.Errorf("got %d names, want %d", len(series), bound)
	}
	s.expect(t, "after many names", figures{`roster_operations_total{code="OK",name="other",type="query"}`: many - bound + 1})
}

// names returns the series of a metric.
func (s *rosterServer) names(t *testing.T, metric string) (series []string) {
	t.Helper()
	for line := range s.figures(t) {
		if strings.HasPrefix(line, metric+"{") {
			series = append(series, line)
		}
	}
	return series
}
