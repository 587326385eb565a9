//go:build cluster

package cluster

import (
	"bufio"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roster/e2e/program"
	"roster/internal/dbtest/servers"
)

const (
	galeraSize    = 3
	galeraWriters = 6
	// galeraPatience bounds each wait of the test, and how long a client repeats an operation.
	galeraPatience = 90 * time.Second
	// galeraPause is the time before a client repeats an operation on the next server.
	galeraPause = 20 * time.Millisecond
	// galeraReads is the number of reads with a token that a test of full length makes at least.
	galeraReads = 1000
	// galeraMisses bounds the reads without data on a node that lives, for each death of another one: each client can get one while
	// the cluster waits for the dead node.
	galeraMisses = 2 * galeraWriters
	// galeraComplaints bounds the warnings and errors in the log of a server for each death of a node.
	galeraComplaints = 40
)

// TestGalera runs three nodes with a server of Roster beside each.
func TestGalera(t *testing.T) {
	sideBySide(t)
	g := newGalera(t)
	t.Run("migrations", g.migrations)
	database := g.database(t, "roster")
	g.migrate(t, database, 0)
	for i := range galeraSize {
		g.programs = append(g.programs, start(t, g.binary, g.url(i, database, "")))
	}
	t.Run("one row in turn", g.inTurn)
	t.Run("one key on all servers", g.oneKey)
	t.Run("wsrep_sync_wait", g.syncWait)
	t.Run("copy", g.copies)
	t.Run("load", g.load)
	t.Run("no quorum", g.noQuorum)
	t.Run("desynced", g.desynced)
}

// galera is a cluster and its clients.
type galera struct {
	cluster  *servers.Galera
	binary   string
	programs []*server
	client   *http.Client
}

func newGalera(t *testing.T) *galera {
	t.Helper()
	if err := servers.FindGalera(); err != nil {
		t.Fatalf("%v: on Debian or Ubuntu, apt-get install mariadb-server galera-4 rsync", err)
	}
	cluster, err := servers.StartGalera(t.Context(), galeraSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &galera{
		cluster: cluster, binary: program.Build(t),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4 * galeraWriters}},
	}
}

// database creates a database on the first node, and waits until all nodes have it.
func (g *galera) database(t *testing.T, name string) string {
	t.Helper()
	if err := g.cluster.Nodes[0].Execute(t.Context(), "CREATE DATABASE "+name+" CHARACTER SET utf8mb4"); err != nil {
		t.Fatal(err)
	}
	for i := range galeraSize {
		g.text(t, i, "SET STATEMENT wsrep_sync_wait = 1 FOR SELECT 1")
	}
	return name
}

// url returns the address of a database on a node, with parameters.
func (g *galera) url(i int, database, parameters string) string {
	u, err := url.Parse(g.cluster.Nodes[i].URL())
	if err != nil {
		panic(err)
	}
	u.Path, u.RawQuery = "/"+database, parameters
	return u.String()
}

// text returns the value of a statement on a node, or "" without a row.
func (g *galera) text(t *testing.T, i int, query string) string {
	t.Helper()
	db, err := servers.Open(g.url(i, "mysql", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var value sql.NullString
	if err := db.QueryRowContext(t.Context(), query).Scan(&value); err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.Fatalf("%s: %v", query, err)
	}
	return value.String
}

// size returns the number of nodes that the first node knows, or "" while it does not say so.
func (g *galera) size(t *testing.T) (nodes string) {
	t.Helper()
	db, err := servers.Open(g.url(0, "mysql", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if db.QueryRowContext(t.Context(), "SHOW STATUS LIKE 'wsrep_cluster_size'").Scan(new(string), &nodes) != nil {
		return ""
	}
	return nodes
}

// command returns the command that migrates the database through a node.
func (g *galera) command(ctx context.Context, database string, i int) *exec.Cmd {
	cmd := exec.CommandContext(ctx, g.binary, "migrate", "up")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+g.url(i, database, ""))
	return cmd
}

// migrate migrates a database through a node, and returns the number of migrations that it applied.
func (g *galera) migrate(t *testing.T, database string, i int) int {
	ctx, cancel := context.WithTimeout(t.Context(), galeraPatience)
	defer cancel()
	out, err := g.command(ctx, database, i).CombinedOutput()
	if err != nil {
		t.Errorf("migrate up on node %d: %v\n%s", i+1, err, out)
	}
	return strings.Count(string(out), "applied ")
}

// await waits for a condition.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(galeraPause)
	defer ticker.Stop()
	for deadline := time.Now().Add(galeraPatience); !is(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: did not happen within %v", what, galeraPatience)
		}
	}
}

// migrations migrates databases through all nodes at the same time: all commands succeed, and each migration is applied once. A
// program that is killed meanwhile does not stop others for long.
func (g *galera) migrations(t *testing.T) {
	all := 0
	for round := range 3 {
		database := g.database(t, fmt.Sprintf("together%d", round))
		var applied [galeraSize]int
		var together sync.WaitGroup
		for i := range galeraSize {
			together.Go(func() { applied[i] = g.migrate(t, database, i) })
		}
		together.Wait()
		all = max(all, applied[0]+applied[1]+applied[2])
		if most := slices.Max(applied[:]); most != all || most == 0 {
			t.Errorf("got %v migrations applied, want all of them through one node", applied)
		}
	}
	database := g.database(t, "killed")
	killed := g.command(t.Context(), database, 0)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "a migration is applied", func() bool {
		const exists = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'killed' AND table_name = 'goose_db_version'"
		return g.text(t, 0, exists) == "1" && g.text(t, 0, "SELECT count(*) FROM killed.goose_db_version") > "1"
	})
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := killed.Wait(); err == nil {
		t.Fatal("the program ended before it was killed: its migrations are too fast for this test")
	}
	if owner := g.text(t, 1, "SELECT owner FROM killed.roster_lease"); owner == "" {
		t.Fatal("the killed program has left no lease")
	}
	began := time.Now()
	if n := g.migrate(t, database, 1); n == 0 || n >= all {
		t.Errorf("after the kill: got %d migrations applied, want the others of %d", n, all)
	}
	t.Logf("after a kill, the lease and the other migrations took %v", time.Since(began).Round(time.Second))
}

// ask sends an operation to a server, with a key and a token, which may be "". It fails if the server does not answer.
func (g *galera) ask(ctx context.Context, i int, key, token, query string, variables map[string]any) (*answer, error) {
	return post(ctx, g.client, g.programs[i].URL, operation{query, variables, key, token})
}

// passes reports whether a client sends an operation again after a code.
func passes(code string) bool {
	return slices.Contains([]string{"UNAVAILABLE", "OUTCOME_UNKNOWN", "CONFLICT", "TIMEOUT"}, code)
}

// insist sends an operation, with the same key, to one server after the other until one answers with data. It returns the token of
// the answer.
func (g *galera) insist(t *testing.T, i int, key, token, query string, variables map[string]any, data any) (string, bool) {
	ticker := time.NewTicker(galeraPause)
	defer ticker.Stop()
	for deadline := time.Now().Add(galeraPatience); ; i++ {
		a, err := g.ask(t.Context(), i%galeraSize, key, token, query, variables)
		switch {
		case err == nil && len(a.Errors) == 0:
			if err := json.Unmarshal(a.Data, data); err != nil {
				t.Errorf("%s: %v", a.Data, err)
				return "", false
			}
			return cmp.Or(a.header.Get("Roster-Consistency"), token), true
		case err == nil && !passes(a.code()):
			t.Errorf("%s with %v: got %+v from server %d, want data", query, variables, a.Errors, i%galeraSize+1)
			return "", false
		case time.Now().After(deadline):
			t.Errorf("%s with %v: got no answer within %v; the last: %+v, %v", query, variables, galeraPatience, a, err)
			return "", false
		}
		<-ticker.C
	}
}

const (
	galeraCreate = `mutation ($name: String!, $email: String!) { createUser(input: {username: $name, email: $email, posts: [{title: "a"}, {title: "b"}]}) { user { id version } } }`
	galeraUpdate = `mutation ($id: ID!, $email: String!) { updateUser(input: {id: $id, email: $email}) { user { id version } } }`
	galeraRead   = `query ($id: ID!) { user(by: {id: $id}) { version posts { totalCount } } }`
)

// written is the data of a mutation.
type written struct {
	CreateUser, UpdateUser struct {
		User struct {
			ID      string
			Version int
		}
	}
}

// create creates a user with two posts.
func (g *galera) create(t *testing.T, i int, name string) (id, token string) {
	t.Helper()
	var w written
	token, ok := g.insist(t, i, "create "+name, "", galeraCreate, map[string]any{"name": name, "email": name + "@example.com"}, &w)
	if !ok {
		t.FailNow()
	}
	return w.CreateUser.User.ID, token
}

// inTurn changes one row on the nodes in turn: each node finds the version of the one before, and the feed has them in order.
func (g *galera) inTurn(t *testing.T) {
	id, token := g.create(t, 0, "inturn")
	for n := range 100 {
		var w written
		var ok bool
		token, ok = g.insist(t, n, "", token, galeraUpdate, map[string]any{"id": id, "email": fmt.Sprintf("inturn%d@example.com", n)}, &w)
		if !ok || w.UpdateUser.User.Version != n+2 {
			t.Fatalf("update %d: got version %d", n, w.UpdateUser.User.Version)
		}
	}
	g.sameFeeds(t)
}

// oneKey sends the same mutation with one key to all servers at the same time: it takes effect once, and all get its answer.
func (g *galera) oneKey(t *testing.T) {
	for n := range 20 {
		name := fmt.Sprintf("onekey%d", n)
		var ids [galeraSize]string
		var together sync.WaitGroup
		for i := range galeraSize {
			together.Go(func() {
				var w written
				g.insist(t, i, name, "", galeraCreate, map[string]any{"name": name, "email": name + "@example.com"}, &w)
				ids[i] = w.CreateUser.User.ID
			})
		}
		together.Wait()
		if ids[0] == "" || ids[1] != ids[0] || ids[2] != ids[0] {
			t.Errorf("the user of one key: got %v, want one", ids)
		}
	}
}

// syncWait sets wsrep_sync_wait in the URL: reads on another node are never stale then, without a token.
func (g *galera) syncWait(t *testing.T) {
	p := start(t, g.binary, g.url(1, "roster", "wsrep_sync_wait=1"))
	defer p.stop(t)
	id, _ := g.create(t, 0, "syncwait")
	stale := 0
	for n := range 200 {
		var w written
		if _, ok := g.insist(t, 0, "", "", galeraUpdate, map[string]any{"id": id, "email": fmt.Sprintf("syncwait%d@example.com", n)}, &w); !ok {
			return
		}
		a, err := post(t.Context(), g.client, p.URL, operation{query: galeraRead, variables: map[string]any{"id": id}})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(a.Data), fmt.Sprintf(`"version":%d,`, w.UpdateUser.User.Version)) {
			stale++
		}
	}
	if stale > 0 {
		t.Errorf("got %d stale reads of 200, want none", stale)
	}
}

// galeraChange is a change of the feed.
type galeraChange struct {
	Cursor, NodeID, Kind string
	Version              int
}

const galeraFeed = `query ($after: String) { changes(after: $after, first: 500) { changes { cursor nodeId kind version } endCursor caughtUp } }`

type galeraPage struct {
	Changes struct {
		Changes   []galeraChange
		EndCursor string
		CaughtUp  bool
	}
}

// feed reads the whole feed from a server.
func (g *galera) feed(t *testing.T, i int) (all []galeraChange) {
	t.Helper()
	var after any
	for deadline := time.Now().Add(galeraPatience); ; {
		a, err := g.ask(t.Context(), i, "", "", galeraFeed, map[string]any{"after": after})
		if err != nil || len(a.Errors) > 0 || time.Now().After(deadline) {
			t.Fatalf("the feed of server %d: got %+v, %v, want a page", i+1, a, err)
		}
		var page galeraPage
		if err := json.Unmarshal(a.Data, &page); err != nil {
			t.Fatal(err)
		}
		all, after = append(all, page.Changes.Changes...), page.Changes.EndCursor
		if page.Changes.CaughtUp {
			return all
		}
	}
}

// sameFeeds compares the feeds of all servers, and the versions of each object with 1, 2, 3 … It returns the feed.
func (g *galera) sameFeeds(t *testing.T) []galeraChange {
	t.Helper()
	first := g.feed(t, 0)
	for i := 1; i < galeraSize; i++ {
		if other := g.feed(t, i); !slices.Equal(other, first) {
			t.Errorf("the feeds of servers 1 and %d differ: they have %d and %d changes", i+1, len(first), len(other))
		}
	}
	versions := map[string]int{}
	for _, c := range first {
		if c.Version != versions[c.NodeID]+1 {
			t.Errorf("%s: got version %d after %d in the feed", c.NodeID, c.Version, versions[c.NodeID])
		}
		versions[c.NodeID] = c.Version
	}
	return first
}

// galeraLoad are clients that work until stop is closed.
type galeraLoad struct {
	*galera
	*testing.T
	stop     chan struct{} // ends the writers
	done     chan struct{} // all is written: ends the followers when they have it
	from     string        // the cursor before the load
	shared   []string
	mu       sync.Mutex
	created  map[string]bool // by ID
	updates  map[string]int  // acknowledged, by ID
	away     time.Time       // a read that begins before may find no cluster
	without  [galeraSize]int // reads without data, by their server
	reads    atomic.Int64
	stale    atomic.Int64
	bare     atomic.Int64 // reads without a token
	bareLate atomic.Int64 // stale ones of them
}

// over reports whether a channel is closed, or the test has failed.
func (l *galeraLoad) over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return l.Failed()
	}
}

// idle lets the clients work for a time.
func (*galeraLoad) idle() { <-time.After(*length / 6) }

// least is the number of reads with a token that the test makes at least.
func (*galeraLoad) least() int64 { return galeraReads * int64(*length) / int64(fullLength) }

// mayBeAway says that the cluster may fail reads that begin within a time.
func (l *galeraLoad) mayBeAway(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = time.Now().Add(d)
}

// load puts load on all servers, kills a node, and lets it join again.
func (g *galera) load(t *testing.T) {
	l := &galeraLoad{galera: g, T: t, stop: make(chan struct{}), done: make(chan struct{}), created: map[string]bool{}, updates: map[string]int{}}
	for n := range 3 {
		id, _ := g.create(t, n, fmt.Sprintf("shared%d", n))
		l.shared = append(l.shared, id)
	}
	before := g.sameFeeds(t)
	l.from = before[len(before)-1].Cursor
	var clients, followers sync.WaitGroup
	for n := range galeraWriters {
		clients.Go(func() { l.write(n) })
	}
	var followed [2 * galeraSize][]galeraChange
	for n := range followed {
		followers.Go(func() {
			if n < galeraSize {
				followed[n] = l.poll(n, l.from)
			} else {
				followed[n] = l.listen(n)
			}
		})
	}
	began := time.Now()
	node := g.cluster.Nodes[2]
	var rejoined []time.Duration
	for len(rejoined) == 0 || time.Since(began) < *length || l.reads.Load() < l.least() {
		l.idle()
		l.mayBeAway(galeraPatience)
		if err := node.Kill(); err != nil {
			t.Fatal(err)
		}
		l.idle()
		// A node that joins while the others still wait for its predecessor can cost the cluster its quorum.
		await(t, "the other nodes go on without it", func() bool { return g.size(t) == "2" })
		started := time.Now()
		if err := node.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		await(t, "server 3 is ready again", func() bool { return g.ready(t, g.programs[2]) == http.StatusOK })
		rejoined = append(rejoined, time.Since(started).Round(time.Second))
		l.mayBeAway(serviceLimit)
	}
	close(l.stop)
	clients.Wait()
	close(l.done)
	followers.Wait()
	if t.Failed() {
		return
	}
	feed := g.sameFeeds(t)
	for n, changes := range followed {
		if want := feed[len(before):]; !slices.Equal(changes, want) {
			t.Errorf("follower %d: got %d changes, want the %d of the feed in their order", n, len(changes), len(want))
		}
	}
	l.check(feed[len(before):])
	for i, p := range g.programs {
		p.complainsLittle(t, galeraComplaints*len(rejoined))
		if n := l.without[i]; i < 2 && n > galeraMisses*len(rejoined) {
			t.Errorf("server %d: got %d reads without data, want at most %d, since its node lives", i+1, n, galeraMisses*len(rejoined))
		}
		texts := []string{"Deadlock", "Duplicate entry", "CURSOR_EXPIRED", "INTERNAL"}
		if i < 2 { // the node of the third one was killed: commits were left without an answer
			texts = append(texts, "operation failed", "the change feed cannot be read")
		}
		for _, text := range texts {
			if strings.Contains(p.Log.String(), text) {
				t.Errorf("the log of server %d: got a line with %q, want none", i+1, text)
			}
		}
	}
	t.Logf("%v: %d users, %d updates; %d reads with a token, %d stale; %d without, %d stale; reads without data on each server: %v; the node was back %v after its starts",
		time.Since(began).Round(time.Second), len(l.created), sum(l.updates), l.reads.Load(), l.stale.Load(), l.bare.Load(), l.bareLate.Load(), l.without, rejoined)
	if n := l.stale.Load(); n > 0 {
		t.Errorf("got %d stale reads with the token, want none", n)
	}
}

// sum returns the sum of all values.
func sum(of map[string]int) (n int) {
	for _, m := range of {
		n += m
	}
	return n
}

// write creates users on one server, changes them on others, and reads them on others.
func (l *galeraLoad) write(writer int) {
	for n := 0; !l.over(l.stop); n++ {
		name := fmt.Sprintf("load%dx%d", writer, n)
		var w written
		token, ok := l.insist(l.T, writer+n, "create "+name, "", galeraCreate, map[string]any{"name": name, "email": name + "@example.com"}, &w)
		if !ok {
			return
		}
		id := w.CreateUser.User.ID
		l.mu.Lock()
		l.created[id] = true
		l.mu.Unlock()
		l.read(writer+n+1, token, id, 1)
		for i, target := range []string{id, l.shared[n%len(l.shared)]} {
			if token, ok = l.insist(l.T, writer+n+2, fmt.Sprint("update ", name, " ", target), token, galeraUpdate,
				map[string]any{"id": target, "email": fmt.Sprintf("%s.%d@example.com", name, i)}, &w); !ok {
				return
			}
			l.mu.Lock()
			l.updates[target]++
			l.mu.Unlock()
			l.read(writer+n, token, target, w.UpdateUser.User.Version)
		}
	}
}

// read reads an object on one server, first without a token and then with it: the second read has at least the version.
func (l *galeraLoad) read(i int, token, id string, version int) {
	for _, with := range []string{"", token} {
		began := time.Now()
		a, err := l.ask(l.Context(), i%galeraSize, "", with, galeraRead, map[string]any{"id": id})
		if err != nil {
			l.Errorf("a read on server %d: got %v, want an answer", i%galeraSize+1, err)
			return
		}
		if code := a.code(); code == "UNAVAILABLE" || code == "TIMEOUT" {
			l.mu.Lock()
			l.without[i%galeraSize]++
			away := l.away
			l.mu.Unlock()
			if !began.Before(away) {
				l.Errorf("a read on server %d: got %+v, want data: all nodes are there", i%galeraSize+1, a.Errors)
			}
			continue
		}
		var data struct{ User *struct{ Version int } }
		if err := json.Unmarshal(a.Data, &data); err != nil || len(a.Errors) > 0 {
			l.Errorf("a read: got %s, %+v", a.Data, a.Errors)
		}
		late := data.User == nil || data.User.Version < version
		if with == "" {
			l.bare.Add(1)
			if late {
				l.bareLate.Add(1)
			}
			continue
		}
		l.reads.Add(1)
		if late {
			l.stale.Add(1)
		}
	}
}

// poll reads the changes after a cursor page by page, each page on the next server. After the load, it reads until it has all.
func (l *galeraLoad) poll(i int, after string) (all []galeraChange) {
	for ; ; i++ {
		last := l.over(l.done)
		var page galeraPage
		if _, ok := l.insist(l.T, i, "", "", galeraFeed, map[string]any{"after": after}, &page); !ok {
			return all
		}
		all, after = append(all, page.Changes.Changes...), page.Changes.EndCursor
		if last && page.Changes.CaughtUp {
			return all
		}
	}
}

// listen subscribes to the changes, for some changes on each server. After the load, it reads the rest by pages.
func (l *galeraLoad) listen(i int) (all []galeraChange) {
	after := l.from
	for ; !l.over(l.done); i++ {
		some := l.subscribe(i%galeraSize, after)
		if len(some) > 0 {
			all, after = append(all, some...), some[len(some)-1].Cursor
		}
	}
	return append(all, l.poll(i, after)...)
}

// subscribe returns some changes after a cursor.
func (l *galeraLoad) subscribe(i int, after string) (all []galeraChange) {
	ctx, cancel := context.WithTimeout(l.Context(), time.Second)
	defer cancel()
	response, err := send(ctx, l.client, l.programs[i].URL, "text/event-stream", operation{
		query: "subscription ($after: String) { changes(after: $after) { cursor nodeId kind version } }", variables: map[string]any{"after": after},
	})
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan() && len(all) < 50; {
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			text, ok = strings.CutPrefix(lines.Text(), "data:")
		}
		if !ok || text == "" {
			continue
		}
		var event struct {
			Data   struct{ Changes *galeraChange }
			Errors []struct {
				Message    string
				Extensions struct{ Code string }
			}
		}
		if err := json.Unmarshal([]byte(text), &event); err != nil {
			l.Errorf("an event: %v in %q", err, text)
			return all
		}
		if len(event.Errors) > 0 {
			if !passes(event.Errors[0].Extensions.Code) {
				l.Errorf("a subscription on server %d after %s: got %+v", i+1, after, event.Errors)
			}
			return all
		}
		if event.Data.Changes != nil {
			all = append(all, *event.Data.Changes)
		}
	}
	return all
}

// check compares the feed of the load and the rows of all nodes with what was acknowledged.
func (l *galeraLoad) check(feed []galeraChange) {
	created, updated := map[string]int{}, map[string]int{}
	for _, c := range feed {
		switch {
		case c.Kind == "CREATED" && strings.HasPrefix(c.NodeID, "user_"):
			created[c.NodeID]++
		case c.Kind == "UPDATED":
			updated[c.NodeID]++
		}
	}
	for id, n := range created {
		if !l.created[id] || n != 1 {
			l.Errorf("the user %s: created %d times, acknowledged: %t", id, n, l.created[id])
		}
	}
	if len(created) != len(l.created) {
		l.Errorf("got %d users in the feed, want the %d that were acknowledged", len(created), len(l.created))
	}
	for id, n := range updated {
		if n != l.updates[id] {
			l.Errorf("%s: got %d updates in the feed, want the %d that were acknowledged", id, n, l.updates[id])
		}
	}
	if sum(updated) != sum(l.updates) {
		l.Errorf("got %d updates in the feed, want the %d that were acknowledged", sum(updated), sum(l.updates))
	}
	const wrong = "SELECT (SELECT count(*) FROM roster.users u WHERE (SELECT count(*) FROM roster.posts p WHERE p.author_id = u.id) <> 2)"
	for i := range galeraSize {
		if n := l.text(l.T, i, wrong); n != "0" {
			l.Errorf("node %d: got %s users without their two posts, want none", i+1, n)
		}
		if n, want := l.text(l.T, i, "SELECT count(*) FROM roster.users"), l.text(l.T, 0, "SELECT count(*) FROM roster.users"); n != want {
			l.Errorf("node %d: got %s users, want %s as on node 1", i+1, n, want)
		}
	}
}

// ready returns the status of /readyz.
func (g *galera) ready(t *testing.T, p *server) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := g.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// noQuorum pauses two nodes. The third one says that it is not ready, refuses operations, and works again by itself. What it
// refused has no effect later.
func (g *galera) noQuorum(t *testing.T) {
	dirty := start(t, g.binary, g.url(2, "roster", "wsrep_dirty_reads=1"))
	defer dirty.stop(t)
	id, _ := g.create(t, 2, "quorum")
	for _, node := range g.cluster.Nodes[:2] {
		if err := node.Pause(); err != nil {
			t.Fatal(err)
		}
		defer node.Resume() //nolint:errcheck // below, it is an error
	}
	await(t, "/readyz without quorum is 503", func() bool { return g.ready(t, g.programs[2]) == http.StatusServiceUnavailable })
	await(t, "/readyz with dirty reads is 503", func() bool { return g.ready(t, dirty) == http.StatusServiceUnavailable })
	if a, err := post(t.Context(), g.client, dirty.URL, operation{query: galeraRead, variables: map[string]any{"id": id}}); err != nil || len(a.Errors) > 0 {
		t.Errorf("a dirty read: got %+v, %v, want data", a, err)
	}
	for n := range 40 { // more than one for each connection
		name := fmt.Sprintf("refused%d", n)
		a, err := g.ask(t.Context(), 2, "", "", galeraCreate, map[string]any{"name": name, "email": name + "@example.com"})
		if err != nil || a.code() != "UNAVAILABLE" {
			t.Fatalf("a mutation without quorum: got %+v, %v, want UNAVAILABLE", a, err)
		}
	}
	if a, err := g.ask(t.Context(), 2, "", "", galeraRead, map[string]any{"id": id}); err != nil || a.code() != "UNAVAILABLE" {
		t.Errorf("a read without quorum: got %+v, %v, want UNAVAILABLE", a, err)
	}
	if log := g.programs[2].Log.String(); !strings.Contains(log, "the database cannot be used") || !strings.Contains(log, "wsrep_cluster_status") {
		t.Errorf("the log: got %s, want a line with the advice", log)
	}
	for _, node := range g.cluster.Nodes[:2] {
		if err := node.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range galeraSize {
		await(t, fmt.Sprintf("/readyz of server %d is 200 again", i+1), func() bool { return g.ready(t, g.programs[i]) == http.StatusOK })
	}
	for n := range 40 { // on all connections
		g.create(t, 2, fmt.Sprintf("accepted%d", n))
	}
	if n := g.text(t, 0, "SET STATEMENT wsrep_sync_wait = 1 FOR SELECT count(*) FROM roster.users WHERE username LIKE 'refused%'"); n != "0" {
		t.Errorf("got %s users of refused mutations, want none", n)
	}
	g.sameFeeds(t)
}

// desynced takes a node out, as a backup does: it works, but says that it is not ready.
func (g *galera) desynced(t *testing.T) {
	node := g.cluster.Nodes[1]
	if err := node.Execute(t.Context(), "SET GLOBAL wsrep_desync = ON"); err != nil {
		t.Fatal(err)
	}
	if status := g.ready(t, g.programs[1]); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz of a desynced node: got %d, want %d", status, http.StatusServiceUnavailable)
	}
	g.create(t, 1, "desynced")
	if err := node.Execute(t.Context(), "SET GLOBAL wsrep_desync = OFF"); err != nil {
		t.Fatal(err)
	}
	await(t, "/readyz is 200 again", func() bool { return g.ready(t, g.programs[1]) == http.StatusOK })
}
