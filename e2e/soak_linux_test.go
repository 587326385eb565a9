package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"roster/e2e/program"
	"roster/internal/dbtest"
	"roster/internal/dbtest/servers"
)

var (
	soakTime  = flag.Duration("soak", 5*time.Second, "how long TestSoak works on each engine")
	soakLeaks = flag.Bool("leaks", false, "let TestSoak build the servers with GOEXPERIMENT=goroutineleakprofile, and look for goroutines that nothing can wake")
)

const (
	soakClients = 6
	soakHot     = 4 // users that all clients change
	soakGuests  = 8 // users that each client has at most
	soakPosts   = 15
	// soakConnections is the size of the pool. More connections than this at the end are a leak.
	soakConnections = 4
	soakAnswer      = 2 * time.Minute // until a request has an answer, whatever breaks
	soakRest        = time.Minute     // until a server without load is as small as before
)

// TestSoak works for as long as -soak says, while servers and databases are killed. Two servers share a database: one is killed
// again and again, and the other one lives. Clients use both, and followers of the change feed read from both.
//
// In the end, each acknowledged mutation has happened once, and nothing else has: the versions, the rows and the counts are
// those that the clients know, and the change feed tells the same. The server that lives has no more memory, goroutines,
// connections and files than after the first fifth of the time.
func TestSoak(t *testing.T) {
	t.Parallel()
	binary := build(t)
	if *soakLeaks {
		binary = program.Build(t, "GOEXPERIMENT=goroutineleakprofile")
	}
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := newSoak(t, e, binary)
		s.work(*soakTime / 5)
		before := s.rest(nil)
		s.work(*soakTime - *soakTime/5)
		after := s.rest(&before)
		s.check()
		t.Logf("%s: %d mutations, %d reads and %d changes in %s: %s\nafter a fifth of the time: %s\nin the end: %s",
			e, s.mutations.Load(), s.reads.Load(), s.followers[0].changes, *soakTime, s.told(), before, after)
	})
}

type soak struct {
	*testing.T
	random *rand.Rand
	start  func(admin string) *process
	crash  func() // of the database; nil on SQLite, which has no process of its own
	killed *process
	steady *process
	urls   [2]atomic.Pointer[string]
	client *http.Client
	admin  *http.Client // of the server that lives

	clients   []*soakClient
	hot       []string // their IDs
	marker    string   // the user whose end is the end of the feed
	followers []*replica
	following sync.WaitGroup

	mutations, reads atomic.Int64
	mu               sync.Mutex
	versions         map[string]map[int]bool // that were acknowledged, of each hot user
	counts           map[string]int          // of what has happened
}

func newSoak(t *testing.T, e dbtest.Engine, binary string) *soak {
	t.Helper()
	s := &soak{
		T: t, random: rand.New(rand.NewPCG(16, 9)), versions: map[string]map[int]bool{}, counts: map[string]int{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: soakClients}},
	}
	database := s.database(e)
	flags := []string{"--log-level=error", fmt.Sprint("--database-max-connections=", soakConnections)}
	s.start = func(admin string) *process {
		more := flags
		if admin != "" {
			more = append(slices.Clone(flags), "--admin-listen=unix:"+admin)
		}
		return start(t, binary, database, displayName(t, e, database), more...)
	}
	socket := filepath.Join(t.TempDir(), "admin")
	s.steady = s.start(socket)
	s.killed = s.start("")
	s.urls[0].Store(&s.steady.URL)
	s.urls[1].Store(&s.killed.URL)
	s.admin = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	cursor := s.text(s.steady.ask(t, "{ changesCursor }"), "changesCursor")
	for i := range soakHot {
		id := s.create(fmt.Sprint("hot", i))
		s.hot = append(s.hot, id)
		s.versions[id] = map[int]bool{}
	}
	s.marker = s.create("marker")
	for i := range soakClients {
		s.clients = append(s.clients, &soakClient{soak: s, name: fmt.Sprint("c", i), random: rand.New(rand.NewPCG(16, uint64(i))), guests: map[string]string{}, posts: map[string]string{}})
	}
	for i := range s.urls {
		s.follow(fmt.Sprint("poll ", i), cursor, func(ctx context.Context, r *replica) error { return s.poll(ctx, i, r) })
		s.follow(fmt.Sprint("event stream ", i), cursor, func(ctx context.Context, r *replica) error { return s.listen(ctx, i, r) })
	}
	return s
}

// database returns the URL of a database whose server the test may crash. The server loses nothing that it has committed.
func (s *soak) database(e dbtest.Engine) string {
	s.Helper()
	var server *servers.Server
	var err error
	switch e {
	case dbtest.PostgreSQL:
		server, err = servers.StartPostgres(s.Context(), "synchronous_commit=on")
	case dbtest.MySQL:
		// A kill can cut off the write of a page.
		server, err = servers.StartMySQL(s.Context(), "--innodb-flush-log-at-trx-commit=2", "--innodb-doublewrite=1")
	default:
		return dbtest.Empty(s, e)
	}
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := server.Stop(); err != nil {
			s.Error(err)
		}
	})
	s.crash = func() {
		if err := server.Crash(s.Context()); err != nil {
			s.Fatalf("crash the database: %v", err)
		}
		s.note("crash of the database")
	}
	db, err := servers.Open(server.URL())
	if err != nil {
		s.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(s.Context(), "CREATE DATABASE soak"); err != nil {
		s.Fatal(err)
	}
	return regexp.MustCompile(`/\w*(\?|$)`).ReplaceAllString(server.URL(), "/soak$1")
}

func (s *soak) create(name string) string {
	s.Helper()
	return s.text(s.steady.ask(s.T, fmt.Sprintf(`mutation { createUser(input: {username: %q, email: "%s@example.com"}) { user { id } } }`, name, name)), "createUser", "user", "id")
}

// text is a text in the data of an answer.
func (s *soak) text(answer string, path ...string) string {
	s.Helper()
	return (&following{T: s.T}).data(answer, path...)
}

func (s *soak) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

// told is what has happened.
func (s *soak) told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, what := range slices.Sorted(maps.Keys(s.counts)) {
		list = append(list, fmt.Sprintf("%s %d", what, s.counts[what]))
	}
	return strings.Join(list, ", ")
}

// work lets the clients work for a time, and breaks things meanwhile: each kind once, then at random.
func (s *soak) work(d time.Duration) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), d)
	defer cancel()
	broken := make(chan struct{})
	var working sync.WaitGroup
	for _, c := range s.clients {
		working.Go(func() {
			for (ctx.Err() == nil || !closed(broken)) && !s.Failed() {
				c.step()
			}
		})
	}
	kinds := []func(){s.kill}
	if s.crash != nil {
		kinds = append(kinds, s.crash)
	}
	for i := 0; i < len(kinds) || ctx.Err() == nil; i++ {
		if s.Failed() {
			break
		}
		if i < len(kinds) {
			kinds[i]()
			continue
		}
		select { // no check depends on the length
		case <-time.After(time.Duration(500+s.random.IntN(3000)) * time.Millisecond):
			kinds[s.random.IntN(len(kinds))]()
		case <-ctx.Done():
		}
	}
	close(broken)
	working.Wait()
	if s.Failed() {
		s.FailNow()
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// kill kills a server, as a failing machine does, and starts it again.
func (s *soak) kill() {
	if err := s.killed.Cmd.Process.Kill(); err != nil {
		s.Fatal(err)
	}
	exit, ok := errors.AsType[*exec.ExitError](s.killed.Cmd.Wait())
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL { //nolint:errcheck // it is that on Unix
		s.Fatalf("the end of the server: got %v, want the kill; stderr: %s", exit, s.killed.Log)
	}
	s.killed = s.start("")
	s.urls[1].Store(&s.killed.URL)
	s.note("kill of the server")
}

// soakClient is a client, and what it knows of its own objects.
type soakClient struct {
	*soak
	name   string
	random *rand.Rand
	next   int
	guests map[string]string // name by ID. Each has two posts
	posts  map[string]string // of hot users: title by ID
	last   struct{ body, key, data string }
}

// step is one operation.
func (c *soakClient) step() {
	c.next++
	name := fmt.Sprintf("%s-%d", c.name, c.next)
	user := c.hot[c.random.IntN(len(c.hot))]
	switch n := c.random.IntN(10); {
	case n < 3:
		var answer struct {
			UpdateUser struct{ User struct{ Version int } }
		}
		if !c.mutate(`mutation ($user: ID!, $name: String!) { updateUser(input: {id: $user, username: $name}) { user { version } } }`, name, user, &answer) {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if version := answer.UpdateUser.User.Version; version < 2 || c.versions[user][version] {
			c.Errorf("%s: got the version %d, want one that no other update got", name, version)
		} else {
			c.versions[user][version] = true
		}
	case n < 5 && len(c.posts) < soakPosts:
		var answer struct {
			CreatePost struct{ Post struct{ ID string } }
		}
		if c.mutate(`mutation ($user: ID!, $name: String!) { createPost(input: {authorId: $user, title: $name}) { post { id } } }`, name, user, &answer) {
			c.posts[answer.CreatePost.Post.ID] = name
		}
	case n < 5:
		id := slices.Min(slices.Collect(maps.Keys(c.posts)))
		if c.mutate(`mutation ($user: ID!) { deletePost(input: {id: $user}) { deletedId } }`, name, id, nil) {
			delete(c.posts, id)
		}
	case n < 7 && len(c.guests) < soakGuests:
		var answer struct {
			CreateUser struct{ User struct{ ID string } }
		}
		if c.mutate(`mutation ($name: String!, $email: String!) { createUser(input: {username: $name, email: $email, posts: [{title: "One"}, {title: "Two"}]}) { user { id } } }`, name, user, &answer) {
			c.guests[answer.CreateUser.User.ID] = name
		}
	case n < 7:
		id := slices.Min(slices.Collect(maps.Keys(c.guests)))
		if c.mutate(`mutation ($user: ID!) { deleteUser(input: {id: $user, dependents: CASCADE}) { deletedId } }`, name, id, nil) {
			delete(c.guests, id)
		}
	case n < 8 && c.last.key != "":
		if data, ok := c.insist(c.last.body, c.last.key); ok && data != c.last.data {
			c.Errorf("%s: got %s when sent again, want %s as before", c.last.key, data, c.last.data)
		}
	default:
		c.look()
	}
}

// look reads a guest of this client. Nobody else changes it.
func (c *soakClient) look() {
	c.reads.Add(1)
	for id, name := range c.guests { // any of them
		const query = `query ($id: ID!) { user(by: {id: $id}) { username posts { totalCount nodes { title } } } users(first: 3) { nodes { username posts(first: 2) { nodes { author { id } } } } } }`
		data, ok := c.insist(c.request(query, map[string]string{"id": id}), "")
		if want := `{"user":{"username":"` + name + `","posts":{"totalCount":2,"nodes":[{"title":"One"},{"title":"Two"}]}},`; ok && !strings.HasPrefix(data, want) {
			c.Errorf("a guest: got %s, want %s", data, want)
		}
		return
	}
}

// mutate sends a mutation until it has an answer, and reads its data into answer.
func (c *soakClient) mutate(query, name, user string, answer any) bool {
	body := c.request(query, map[string]string{"user": user, "name": name, "email": name + "@example.com"})
	data, ok := c.insist(body, name)
	if ok && answer != nil {
		if err := json.Unmarshal([]byte(data), answer); err != nil {
			c.Errorf("%s: got %v, %s, want JSON", name, err, data)
			return false
		}
	}
	if ok {
		c.mutations.Add(1)
		c.last.body, c.last.key, c.last.data = body, name, data
	}
	return ok
}

// insist sends a request to any of the servers until it has an answer. A key lets it happen once.
func (c *soakClient) insist(body, key string) (data string, ok bool) {
	ctx, cancel := context.WithTimeout(c.Context(), soakAnswer)
	defer cancel()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for {
		data, again, err := c.try(ctx, c.random.IntN(2), body, key)
		if err == nil {
			return data, true
		}
		if !again || ctx.Err() != nil || c.Failed() {
			c.Errorf("%s %s: got %v, want an answer", key, body, err)
			return "", false
		}
		c.note("sent again")
		<-pause.C
	}
}

// try sends a request once. The error says why there is no data, and again whether to send it again.
func (s *soak) try(ctx context.Context, server int, body, key string) (data string, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second) // more than a request may take
	defer cancel()
	response, err := s.post(ctx, server, body, key, "application/json")
	if err != nil {
		return "", true, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return "", true, err
	}
	var answer struct {
		Data   json.RawMessage
		Errors []struct{ Extensions struct{ Code string } }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return "", false, fmt.Errorf("%s: %w in %s", response.Status, err, text)
	}
	if len(answer.Errors) == 0 {
		if response.Header.Get("Idempotency-Replayed") == "true" {
			s.note("replay")
		}
		return string(answer.Data), false, nil
	}
	code := answer.Errors[0].Extensions.Code
	s.note(code)
	return "", slices.Contains([]string{"OUTCOME_UNKNOWN", "UNAVAILABLE", "CONFLICT", "TIMEOUT"}, code), fmt.Errorf("%s: %s", response.Status, text)
}

// request returns the body of a request. Its values are variables, because the servers keep the documents that they have seen.
func (s *soak) request(query string, variables map[string]string) string {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		s.Error(err)
	}
	return string(body)
}

func (s *soak) post(ctx context.Context, server int, body, key, accept string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, *s.urls[server].Load()+"/graphql", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", accept)
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	return s.client.Do(request)
}

// replica is a copy of all versions that a follower of the change feed keeps.
type replica struct {
	name, cursor string
	versions     map[string]int // of what exists, by ID
	changes      int
	done         bool // it has the last change of all
}

// soakChange is a change as followers ask for it.
type soakChange struct {
	Cursor, Kind, NodeID string
	Version              int
}

const soakFields = "cursor kind nodeId version"

// take applies a change. The error says that it is not the next one of its object.
func (r *replica) take(c soakChange, last string) error {
	version, exists := r.versions[c.NodeID]
	switch {
	case exists == (c.Kind == "CREATED"), c.Kind == "UPDATED" && c.Version != version+1, c.Kind == "DELETED" && c.Version != version:
		return fmt.Errorf("%s: got %s of %s with version %d after version %d, want the next one", r.name, c.Kind, c.NodeID, c.Version, version)
	}
	r.versions[c.NodeID] = c.Version
	if c.Kind == "DELETED" {
		delete(r.versions, c.NodeID)
	}
	r.changes++
	r.cursor = c.Cursor
	r.done = c.Kind == "DELETED" && c.NodeID == last
	return nil
}

// errSoak is the error of a follower that can never be right again.
type errSoak struct{ error }

// follow lets a follower read until it has the last change, from where it was whenever something breaks.
func (s *soak) follow(name, cursor string, read func(context.Context, *replica) error) {
	r := &replica{name: name, cursor: cursor, versions: map[string]int{}}
	s.followers = append(s.followers, r)
	s.following.Go(func() {
		for s.Context().Err() == nil && !s.Failed() {
			err := read(s.Context(), r)
			if err == nil {
				return
			}
			if wrong, ok := errors.AsType[errSoak](err); ok {
				s.Error(wrong)
				return
			}
			s.note("followed again")
			<-time.After(20 * time.Millisecond) // a dead server stays dead for longer than that
		}
	})
	s.Cleanup(s.following.Wait)
}

func (s *soak) poll(ctx context.Context, server int, r *replica) error {
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for !r.done {
		const query = "query ($after: String) { changes(after: $after, first: 500) { changes { " + soakFields + " } endCursor caughtUp } }"
		data, _, err := s.try(ctx, server, s.request(query, map[string]string{"after": r.cursor}), "")
		if err != nil {
			return err
		}
		var answer struct {
			Changes struct {
				Changes   []soakChange
				EndCursor string
				CaughtUp  bool
			}
		}
		if err := json.Unmarshal([]byte(data), &answer); err != nil {
			return errSoak{err}
		}
		for _, c := range answer.Changes.Changes {
			if err := r.take(c, s.marker); err != nil {
				return errSoak{err}
			}
		}
		r.cursor = answer.Changes.EndCursor
		if answer.Changes.CaughtUp {
			select {
			case <-pause.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (s *soak) listen(ctx context.Context, server int, r *replica) error {
	const query = "subscription ($after: String) { changes(after: $after) { " + soakFields + " } }"
	response, err := s.post(ctx, server, s.request(query, map[string]string{"after": r.cursor}), "", "text/event-stream")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for !r.done {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		text, ok := strings.CutPrefix(line, "data: {")
		if !ok {
			continue
		}
		var event struct {
			Data   struct{ Changes *soakChange }
			Errors []struct{ Extensions struct{ Code string } }
		}
		if err := json.Unmarshal([]byte("{"+text), &event); err != nil {
			return errSoak{err}
		}
		if event.Data.Changes == nil {
			return fmt.Errorf("the stream ends with %s", text)
		}
		if err := r.take(*event.Data.Changes, s.marker); err != nil {
			return errSoak{err}
		}
	}
	return nil
}

// usage is what a server uses of the machine.
type usage struct {
	heap, resident                     int // bytes; heap is what is in use after a collection
	goroutines, leaked, files, threads int
}

func (u usage) String() string {
	return fmt.Sprintf("%.1f MiB of heap, %.1f MiB resident, %d goroutines, %d files, %d threads",
		float64(u.heap)/(1<<20), float64(u.resident)/(1<<20), u.goroutines, u.files, u.threads)
}

// usage asks the server that lives, and the kernel.
func (s *soak) usage() usage {
	s.Helper()
	heap := s.profile("heap?gc=1&debug=1")
	u := usage{
		heap:       number(s.T, heap, `(?m)^# HeapAlloc = (\d+)$`),
		goroutines: number(s.T, s.profile("goroutine?debug=1"), `^goroutine profile: total (\d+)\n`),
	}
	if *soakLeaks {
		leaks := s.profile("goroutineleak?debug=1")
		if u.leaked = number(s.T, leaks, `^goroutineleak profile: total (\d+)\n`); u.leaked > 0 {
			s.Errorf("got %d goroutines that nothing can wake, want none: %s", u.leaked, leaks)
		}
	}
	proc := filepath.Join("/proc", strconv.Itoa(s.steady.Cmd.Process.Pid))
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		s.Fatal(err)
	}
	u.resident = number(s.T, string(status), `(?m)^VmRSS:\s+(\d+) kB$`) << 10
	u.threads = number(s.T, string(status), `(?m)^Threads:\s+(\d+)$`)
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		s.Fatal(err)
	}
	u.files = len(files)
	return u
}

// profile returns a profile of the server that lives.
func (s *soak) profile(name string) string {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "http://localhost/debug/pprof/"+name, http.NoBody)
	if err != nil {
		s.Fatal(err)
	}
	response, err := s.admin.Do(request)
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.Fatalf("the profile %s: got %s, %v, %s, want 200", name, response.Status, err, bytes.TrimSpace(text))
	}
	return string(text)
}

func number(t *testing.T, text, pattern string) int {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("got %.300q, want %s", text, pattern)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// rest waits until the server that lives rests, and returns what it uses then. With before, it must come down to that and
// a little more.
func (s *soak) rest(before *usage) usage {
	s.Helper()
	s.client.CloseIdleConnections()
	deadline := time.Now().Add(soakRest)
	last := s.usage()
	for ; ; <-time.After(500 * time.Millisecond) {
		now := s.usage()
		// The followers stay, so the feed still does its work: a few goroutines come and go.
		rests := now.files == last.files && abs(now.goroutines-last.goroutines) <= 2
		if rests && (before == nil || now.within(*before)) {
			return now
		}
		if time.Now().After(deadline) {
			if before == nil {
				s.Fatalf("a server without load: got %s, then %s, want the same", last, now)
			}
			s.Errorf("a server without load: got %s, want about %s as before", now, before)
			s.Logf("its goroutines: %s", s.profile("goroutine?debug=1"))
			return now
		}
		last = now
	}
}

// within reports whether u is about what it was before: the pool may have as many connections more as it can have, each with
// a file and two goroutines.
func (u usage) within(before usage) bool {
	return u.files <= before.files+soakConnections && u.goroutines <= before.goroutines+2*soakConnections &&
		u.threads <= before.threads+10 && u.heap <= before.heap+before.heap/4+8<<20 && u.resident <= before.resident+before.resident/2+32<<20
}

func abs(n int) int { return max(n, -n) }

// check compares what is there with what the clients know and with what the change feed has told.
func (s *soak) check() {
	s.Helper()
	s.steady.ask(s.T, fmt.Sprintf(`mutation { deleteUser(input: {id: %q}) { deletedId } }`, s.marker))
	s.following.Wait()
	want := map[string]string{} // the name of each user and the title of each post, by ID
	versions := map[string]int{}
	guests := 0
	for _, c := range s.clients {
		maps.Copy(want, c.guests)
		maps.Copy(want, c.posts)
		guests += len(c.guests)
	}
	for _, id := range s.hot {
		updates := s.versions[id]
		versions[id] = 1 + len(updates)
		for version := range updates {
			if version > versions[id] {
				s.Errorf("a user after %d updates: got the version %d, want at most %d", len(updates), version, versions[id])
			}
		}
	}
	rows := map[string]int{} // the version of each row, by ID
	for _, kind := range []string{"users", "posts"} {
		field := map[string]string{"users": "username", "posts": "title"}[kind]
		count, after := 0, ""
		for more := true; more; {
			var answer struct {
				Data map[string]struct {
					TotalCount int
					Nodes      []struct {
						ID, Name string
						Version  int
					}
					PageInfo struct {
						HasNextPage bool
						EndCursor   string
					}
				}
			}
			text := s.steady.ask(s.T, "{ "+kind+"(first: 100"+after+") { totalCount nodes { id name: "+field+" version } pageInfo { hasNextPage endCursor } } }")
			if err := json.Unmarshal([]byte(text), &answer); err != nil {
				s.Fatalf("got %s, %v, want %s", text, err, kind)
			}
			page := answer.Data[kind]
			for _, n := range page.Nodes {
				count++
				rows[n.ID] = n.Version
				if name, known := want[n.ID]; known && name != n.Name {
					s.Errorf("%s: got the name %q, want %q", n.ID, n.Name, name)
				}
				if version, hot := versions[n.ID]; hot && version != n.Version {
					s.Errorf("a user after %d updates: got the version %d, want %d", version-1, n.Version, version)
				}
			}
			more, after = page.PageInfo.HasNextPage, fmt.Sprintf(", after: %q", page.PageInfo.EndCursor)
			if !more && count != page.TotalCount {
				s.Errorf("%s: got the count %d of %d rows, want the same", kind, page.TotalCount, count)
			}
		}
	}
	for id, name := range want {
		if rows[id] == 0 {
			s.Errorf("%s: got no object %s, want it: its creation was acknowledged", name, id)
		}
	}
	// Each guest has two posts, which the clients do not know by their IDs.
	if got, want := len(rows), len(want)+2*guests+soakHot; got != want {
		s.Errorf("got %d rows, want %d: those that were acknowledged, and no others", got, want)
	}
	for _, r := range s.followers {
		if r.changes != s.followers[0].changes || !maps.Equal(r.versions, rows) {
			s.Errorf("%s: got %d objects after %d changes, want the %d rows of the database, and %d changes as others got",
				r.name, len(r.versions), r.changes, len(rows), s.followers[0].changes)
		}
	}
	for _, what := range []string{"kill of the server", "crash of the database", "sent again", "replay"} {
		if s.counts[what] == 0 && (s.crash != nil || what != "crash of the database") {
			s.Errorf("%s: got none, want at least one", what)
		}
	}
	s.steady.stop(s.T, syscall.SIGTERM)
	s.killed.stop(s.T, syscall.SIGTERM)
}
