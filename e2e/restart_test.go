//go:build restart && unix

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roster/internal/dbtest"
	"roster/internal/typeid"
)

var restarts = flag.Int("restart", 2, "how often each server of the tests of restarts is restarted")

// requestsBetween is the number of mutations that are answered between two restarts, at least.
const requestsBetween = 100

// TestRollingRestart restarts two servers in turn behind a proxy, which knows only /readyz.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	binary := build(t)
	for _, e := range []dbtest.Engine{dbtest.SQLite, dbtest.PostgreSQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			database := dbtest.Empty(t, e)
			launch := func() *process {
				return startIn(t, []string{"ROSTER_DRAIN=2s"}, binary, database, displayName(t, e, database))
			}
			servers := []*process{launch(), launch()}
			proxy := newBalancer(t, servers[0].URL, servers[1].URL)
			load := newTraffic(t, "a", &proxy.url)
			for range *restarts {
				for i := range servers {
					load.goOn()
					servers[i].stop(t, syscall.SIGTERM)
					servers[i] = launch()
					proxy.use(t, i, servers[i].URL)
				}
			}
			load.goOn()
			load.end()
			for _, server := range servers {
				server.stop(t, syscall.SIGTERM)
			}
		})
	}
}

// TestUpgrade hands a server over to new processes.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	binary := build(t)
	for _, e := range []dbtest.Engine{dbtest.SQLite, dbtest.PostgreSQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			r := newRelay(t, binary, []string{"DATABASE_URL=" + dbtest.Empty(t, e)})
			load := newTraffic(t, "a", &r.url)
			for range 2 * *restarts {
				load.goOn()
				r.handOver()
				until(t, "the end of the old process", func() bool {
					return strings.Count(r.text(r.stdout), "Roster has handed over") == r.handed
				})
			}
			load.goOn()
			load.end()
			r.stop()
		})
	}
}

// TestOldServerOnNewerSchema builds the program of the commit before the newest migration. A server of this program goes on
// while the program of today migrates its database, and afterwards beside a server of today.
func TestOldServerOnNewerSchema(t *testing.T) {
	t.Parallel()
	binary, old := build(t), buildOld(t)
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		database := dbtest.Empty(t, e)
		name := displayName(t, e, database)
		before := start(t, old, database, name)
		loadBefore := newTraffic(t, "a", &before.URL)
		loadBefore.goOn()
		today := start(t, binary, database, name)
		if !strings.Contains(today.Log.String(), "migration applied") {
			t.Errorf("got the log %s, want a migration", today.Log)
		}
		before.readyz(t, "on the newer schema", "", "ready")
		loadToday := newTraffic(t, "b", &today.URL)
		loadBefore.goOn()
		loadToday.goOn()
		loadToday.finish()
		loadBefore.finish()
		loadToday.others, loadBefore.others = len(loadBefore.made), len(loadToday.made)
		loadToday.check()
		loadBefore.check()
		before.stop(t, syscall.SIGTERM)
		today.stop(t, syscall.SIGTERM)
	})
}

// buildOld builds the program of the commit before the one that has added the newest migration.
func buildOld(t *testing.T) string {
	t.Helper()
	if shallow := git(t, "rev-parse", "--is-shallow-repository"); shallow != "false" {
		t.Fatal("this clone lacks the history, and the test builds the program of an earlier commit: run git fetch --unshallow")
	}
	newest := git(t, "log", "-1", "--format=%H", "--diff-filter=A", "--", "ent/migrate/migrations/*/*.sql")
	tree, archive := t.TempDir(), filepath.Join(t.TempDir(), "old.tar")
	git(t, "archive", "--output="+archive, newest+"^")
	for _, command := range [][]string{{"tar", "-xf", archive, "-C", tree}, {"go", "build", "-trimpath", "-ldflags=-X main.version=1.2.3", "-o", "old", "."}} {
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Dir, cmd.Env = tree, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	t.Logf("the old program is that of %s", git(t, "log", "-1", "--format=%h %s", newest+"^"))
	return filepath.Join(tree, "old")
}

func git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			out = exit.Stderr
		}
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// balancer is a proxy for two servers. It sends requests to those that are ready, and sends none again. A server is out when two
// checks in a row have failed. While both are out, which happens on a busy machine, requests wait.
type balancer struct {
	url      string
	backends []*backend
	next     atomic.Uint64
}

type backend struct {
	url   atomic.Pointer[url.URL]
	ready atomic.Bool
}

func newBalancer(t *testing.T, urls ...string) *balancer {
	t.Helper()
	b := &balancer{}
	ctx, cancel := context.WithCancel(context.Background())
	var checks sync.WaitGroup
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for i, address := range urls {
		b.backends = append(b.backends, new(backend))
		b.backends[i].set(t, address)
		checks.Go(func() { b.backends[i].check(ctx, client) })
	}
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: 100},
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(b.backendOf(r.In)) },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				t.Errorf("the proxy: got %v for %s, want an answer", err, r.URL)
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
			for range b.backends {
				one := b.backends[b.next.Add(1)%uint64(len(b.backends))]
				if one.ready.Load() {
					proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), backendKey{}, one.url.Load())))
					return
				}
			}
		}
		http.Error(w, "no server is ready", http.StatusServiceUnavailable)
	}))
	t.Cleanup(func() {
		server.Close()
		cancel()
		checks.Wait()
	})
	b.url = server.URL
	for i, address := range urls {
		b.use(t, i, address)
	}
	return b
}

type backendKey struct{}

func (*balancer) backendOf(r *http.Request) *url.URL {
	return r.Context().Value(backendKey{}).(*url.URL) //nolint:errcheck // the handler has set it
}

// use sets the address of a server, and waits until it is ready.
func (b *balancer) use(t *testing.T, i int, address string) {
	t.Helper()
	b.backends[i].set(t, address)
	until(t, "a server that is ready", b.backends[i].ready.Load)
}

func (b *backend) set(t *testing.T, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	b.url.Store(u)
}

// check asks a server whether it is ready until ctx ends.
func (b *backend) check(ctx context.Context, client *http.Client) {
	failures := 0
	for ticker := time.NewTicker(50 * time.Millisecond); ; {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url.Load().JoinPath("readyz").String(), http.NoBody)
		if err != nil {
			panic(err)
		}
		response, err := client.Do(request)
		failures++
		if err == nil {
			if response.StatusCode == http.StatusOK {
				failures = 0
			}
			_ = response.Body.Close()
		}
		if failures != 1 {
			b.ready.Store(failures == 0)
		}
		select {
		case <-ctx.Done():
			ticker.Stop()
			return
		case <-ticker.C:
		}
	}
}

// traffic is clients of one address: some write, some read, and some follow the changes. No request may fail, and no stream
// may end without a word.
type traffic struct {
	*following
	name    string
	ending  chan struct{} // closed when writers and readers are to end
	working sync.WaitGroup
	reading sync.WaitGroup // those who follow the changes
	others  int            // number of users that other traffic has created

	answered atomic.Int64 // mutations
	asked    atomic.Int64 // queries
	ended    atomic.Int64 // streams
	mu       sync.Mutex
	made     map[string]string // the IDs of the users by name, as they were acknowledged
}

// writers is the number of clients that write, and of those that read. Every second one keeps its connection.
const writers = 4

func newTraffic(t *testing.T, name string, address *string) *traffic {
	t.Helper()
	l := &traffic{following: &following{T: t}, name: name, ending: make(chan struct{}), made: map[string]string{}}
	l.urls[0].Store(address)
	l.client = &http.Client{Timeout: 10 * time.Minute, Transport: &strict{t, &http.Transport{DisableKeepAlives: true}}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	t.Cleanup(cancel)
	answer, err := l.ask(ctx, 0, "{ changesCursor }", nil)
	if err != nil {
		t.Fatal(err)
	}
	l.cursor = l.data(string(answer), "changesCursor")
	answer, err = l.ask(ctx, 0, fmt.Sprintf(`mutation { createUser(input: {username: "%s", email: "%s@example.com"}) { user { id } } }`, name, name), nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := typeid.Parse(l.data(string(answer), "createUser", "user", "id"))
	if err != nil {
		t.Fatal(err)
	}
	l.users = []typeid.ID{id}
	for i := range 2 {
		l.add(fmt.Sprint("event stream ", i), func(ctx context.Context, r *reader) error { return l.listen(ctx, 0, r) })
		l.add(fmt.Sprint("WebSocket ", i), func(ctx context.Context, r *reader) error { return l.socket(ctx, 0, r) })
	}
	for _, r := range l.readers {
		l.reading.Go(func() { l.follow(ctx, r) })
	}
	for i := range writers {
		client := &http.Client{Timeout: time.Minute, Transport: &strict{t, &http.Transport{DisableKeepAlives: i%2 == 0}}}
		l.working.Go(func() { l.write(ctx, client, i) })
		l.working.Go(func() { l.read(ctx, client, i) })
	}
	return l
}

// strict reports every request that has no good answer.
type strict struct {
	t *testing.T
	http.RoundTripper
}

func (s *strict) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.GetBody = nil // otherwise Go sends a request with an idempotency key again
	response, err := s.RoundTripper.RoundTrip(r)
	switch {
	case err != nil:
		s.t.Errorf("%s %s: got %v, want an answer", r.Method, r.URL, err)
	case response.StatusCode != http.StatusOK:
		s.t.Errorf("%s %s: got %s, want 200", r.Method, r.URL, response.Status)
	}
	return response, err
}

// over reports whether the writers and the readers are to end.
func (l *traffic) over() bool {
	select {
	case <-l.ending:
		return true
	default:
		return l.Failed()
	}
}

// goOn waits until some more requests were answered.
func (l *traffic) goOn() {
	l.Helper()
	answered, asked := l.answered.Load()+requestsBetween, l.asked.Load()+requestsBetween
	until(l.T, "more answers", func() bool { return l.answered.Load() >= answered && l.asked.Load() >= asked || l.Failed() })
	if l.Failed() {
		l.FailNow()
	}
}

// send sends an operation with an idempotency key, unless that is empty, and decodes the data of the answer.
func (l *traffic) send(ctx context.Context, client *http.Client, query, key string, data any) bool {
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		l.Error(err)
		return false
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, *l.urls[0].Load()+"/graphql", bytes.NewReader(body))
	if err != nil {
		l.Error(err)
		return false
	}
	request.Header.Set("Content-Type", "application/json")
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := client.Do(request)
	if err != nil {
		return false // strict has reported it
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	answer := struct {
		Data   any
		Errors []any
	}{Data: data}
	if err != nil || json.Unmarshal(text, &answer) != nil || len(answer.Errors) > 0 {
		l.Errorf("%s: got %s, %v, want data", query, text, err)
		return false
	}
	return true
}

// write creates users.
func (l *traffic) write(ctx context.Context, client *http.Client, writer int) {
	random := rand.New(rand.NewPCG(16, uint64(writer)))
	for i := 0; !l.over(); i++ {
		name := fmt.Sprintf("%sw%dx%d", l.name, writer, i)
		query := fmt.Sprintf(`mutation { createUser(input: {username: %q, email: "%s@example.com"}) { user { id } } }`, name, name)
		var first, again struct {
			CreateUser struct{ User struct{ ID string } }
		}
		if !l.send(ctx, client, query, name, &first) {
			return
		}
		pause(random, 20)
		if i%5 == 0 && (!l.send(ctx, client, query, name, &again) || again != first) { // perhaps to another process
			l.Errorf("%s again: got %v, want %v", name, again, first)
			return
		}
		l.answered.Add(1)
		l.mu.Lock()
		l.made[name] = first.CreateUser.User.ID
		l.mu.Unlock()
	}
}

// read sends queries.
func (l *traffic) read(ctx context.Context, client *http.Client, reader int) {
	random := rand.New(rand.NewPCG(17, uint64(reader)))
	for !l.over() {
		var data struct{ Users struct{ TotalCount int } }
		if !l.send(ctx, client, "{ users(last: 3) { totalCount nodes { username posts(first: 2) { totalCount } } } }", "", &data) {
			return
		}
		l.asked.Add(1)
		pause(random, 20)
	}
}

// follow gets all changes, from where it was whenever its stream ends. The end must be one that tells it to come again.
func (l *traffic) follow(ctx context.Context, r *reader) {
	for {
		err := r.follow(ctx, r)
		if err == nil {
			return
		}
		clean := errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) // the end of an HTTP answer
		if status := websocket.CloseStatus(err); status != -1 {
			clean = status == websocket.StatusGoingAway || status == websocket.StatusServiceRestart
		}
		if !clean || strings.HasPrefix(r.name, "WebSocket") && websocket.CloseStatus(err) == -1 {
			l.Errorf("%s: got the end %v, want one that says that the server restarts", r.name, err)
			return
		}
		l.ended.Add(1)
	}
}

// end ends the traffic and checks what came of it.
func (l *traffic) end() {
	l.Helper()
	l.finish()
	l.check()
}

// finish ends the traffic.
func (l *traffic) finish() {
	l.Helper()
	close(l.ending)
	l.working.Wait()
	client := &http.Client{Timeout: time.Minute, Transport: &strict{l.T, &http.Transport{DisableKeepAlives: true}}}
	l.send(l.Context(), client, fmt.Sprintf(`mutation { deleteUser(input: {id: %q}) { deletedId } }`, l.users[0]), "", new(any)) // those who follow know it
	if l.Failed() {
		l.FailNow()
	}
	l.reading.Wait()
	l.Logf("%s: %d mutations, %d queries, %d ends of streams", l.name, l.answered.Load(), l.asked.Load(), l.ended.Load())
}

// check checks that every acknowledged mutation is there once, for readers and for those who followed.
func (l *traffic) check() {
	l.Helper()
	least := len(l.made) + 2 // and the first user, created and deleted
	most := least
	if l.others > 0 {
		most += l.others + 2
	}
	for _, r := range l.readers {
		distinct := map[string]bool{}
		for _, cursor := range r.cursors {
			distinct[cursor] = true
		}
		if len(distinct) != len(r.cursors) || len(distinct) < least || len(distinct) > most {
			l.Errorf("%s: got %d changes, %d of them distinct, want %d to %d", r.name, len(r.cursors), len(distinct), least, most)
		}
	}
	client := &http.Client{Timeout: time.Minute, Transport: &strict{l.T, &http.Transport{DisableKeepAlives: true}}}
	var count struct{ Users struct{ TotalCount int } }
	if want := len(l.made) + l.others; !l.send(l.Context(), client, "{ users { totalCount } }", "", &count) || count.Users.TotalCount != want {
		l.Errorf("got %d users, want %d", count.Users.TotalCount, want)
	}
	for name, id := range l.made {
		var found struct{ User struct{ ID string } }
		if !l.send(l.Context(), client, fmt.Sprintf(`{ user(by: {username: %q}) { id } }`, name), "", &found) || found.User.ID != id {
			l.Errorf("%s: got the user %s, want %s", name, found.User.ID, id)
		}
	}
}
