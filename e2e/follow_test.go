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
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/coder/websocket"

	"roster/ent"
	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/directory"
	"roster/internal/feed"
	"roster/internal/typeid"
)

var followTransactions = flag.Int("follow", 50, "how many transactions each of TestFollow's eight writers begins on each engine")

const (
	followWriters = 8
	followKills   = 5
)

// TestFollow has eight writers, clients of two servers and programs beside them, who pause within transactions and roll
// some back, while readers poll and subscribe on both servers. One server is killed five times, and on PostgreSQL the
// connections are broken through which servers hear of each other. Every reader gets all that was committed, once, in one
// order, in which the versions of each thing rise by one.
func TestFollow(t *testing.T) {
	t.Parallel()
	binary := build(t)
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		f := newFollowing(t, e, binary)
		began := time.Now()
		f.run()
		f.check()
		t.Logf("%s: %d changes for %d readers in %s; %d transactions committed, %d rolled back, %d without an answer",
			e, len(f.truth), len(f.readers), time.Since(began).Round(time.Millisecond), f.committed.Load(), f.rolledBack.Load(), f.unanswered.Load())
	})
}

type following struct {
	*testing.T
	engine  dbtest.Engine
	start   func() *process
	killed  *process // the server that is killed; used by the test's goroutine alone
	steady  *process // the other one
	urls    [2]atomic.Pointer[string]
	db      *database.DB // of the writers beside the servers
	client  *http.Client
	users   []typeid.ID // that all writers change
	cursor  string      // where the readers start
	readers []*reader

	begun, committed, rolledBack, unanswered atomic.Int64
	mu                                       sync.Mutex
	own                                      map[string]bool // the versions that the writers beside the servers have committed
	truth                                    []feed.Change
}

// reader is what somebody got who follows the feed.
type reader struct {
	name    string
	follow  func(ctx context.Context, r *reader) error // until something breaks
	cursors []string
	last    string        // cursor
	done    bool          // it has the last change of all
	first   chan struct{} // closed when it has the first; nil when nobody waits for that
}

func newFollowing(t *testing.T, e dbtest.Engine, binary string) *following {
	t.Helper()
	url := dbtest.Empty(t, e)
	f := &following{T: t, engine: e, own: map[string]bool{}}
	f.start = func() *process { return start(t, binary, url, displayName(t, e, url)) }
	f.killed = f.start()
	f.steady = f.start()
	f.urls[0].Store(&f.killed.URL)
	f.urls[1].Store(&f.steady.URL)
	f.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var err error
	f.db, err = database.Open(t.Context(), database.Options{
		URL: url, MaxConnections: followWriters, PoolWait: time.Minute, ConnectTimeout: time.Minute, StatementTimeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.db.Close() })
	f.cursor = f.data(f.steady.ask(t, "{ changesCursor }"), "changesCursor")
	for i := range 5 {
		answer := f.steady.ask(t, fmt.Sprintf(`mutation { createUser(input: {username: "user%d", email: "user%d@example.com"}) { user { id } } }`, i, i))
		id, err := typeid.Parse(f.data(answer, "createUser", "user", "id"))
		if err != nil {
			t.Fatal(err)
		}
		f.users = append(f.users, id)
	}
	for i := range f.urls {
		f.add(fmt.Sprint("poll ", i), func(ctx context.Context, r *reader) error { return f.poll(ctx, i, r) })
		f.add(fmt.Sprint("event stream ", i), func(ctx context.Context, r *reader) error { return f.listen(ctx, i, r) })
		f.add(fmt.Sprint("WebSocket ", i), func(ctx context.Context, r *reader) error { return f.socket(ctx, i, r) })
	}
	return f
}

func (f *following) add(name string, follow func(context.Context, *reader) error) {
	f.readers = append(f.readers, &reader{name: name, follow: follow, last: f.cursor})
}

// data is a text in the data of an answer.
func (f *following) data(answer string, path ...string) string {
	f.Helper()
	var body struct{ Data any }
	if err := json.Unmarshal([]byte(answer), &body); err != nil {
		f.Fatalf("got %s, %v, want JSON", answer, err)
	}
	v := body.Data
	for _, name := range path {
		object, ok := v.(map[string]any)
		if !ok {
			f.Fatalf("got %s, want data at %q", answer, path)
		}
		v = object[name]
	}
	return fmt.Sprint(v)
}

// run lets the writers write and the readers read, and breaks things meanwhile.
func (f *following) run() {
	ctx, cancel := context.WithTimeout(f.Context(), 10*time.Minute)
	defer cancel()
	var writing, reading sync.WaitGroup
	for _, r := range f.readers {
		reading.Go(func() { f.read(ctx, r) })
	}
	progress := make(chan int64, followWriters**followTransactions)
	for w := range followWriters {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(w)))
			for i := range *followTransactions {
				if w%2 == 0 {
					f.send(ctx, random, fmt.Sprintf("w%d-%d", w, i))
				} else {
					f.write(ctx, random, fmt.Sprintf("w%d-%d", w, i))
				}
				progress <- f.begun.Add(1)
			}
		})
	}
	go func() { writing.Wait(); close(progress) }()
	total := int64(followWriters * *followTransactions)
	broken := int64(0)
	for n := range progress {
		if n < (broken+1)*total/(followKills+1) || broken == followKills {
			continue
		}
		broken++
		f.restart()
		if f.engine == dbtest.PostgreSQL {
			f.deafen()
		}
	}
	if broken != followKills {
		f.Errorf("got %d kills of the server, want %d", broken, followKills)
	}
	// The end, which readers know when they see it.
	f.killed.ask(f.T, fmt.Sprintf(`mutation { deleteUser(input: {id: %q, dependents: CASCADE}) { deletedId } }`, f.users[0]))
	f.truth = f.all()
	reading.Wait()
	f.killed.stop(f.T, syscall.SIGTERM)
	f.steady.stop(f.T, syscall.SIGTERM)
}

// restart kills a server and starts it again.
func (f *following) restart() {
	if err := f.killed.Cmd.Process.Kill(); err != nil {
		f.Fatal(err)
	}
	if exit, ok := errors.AsType[*exec.ExitError](f.killed.Cmd.Wait()); !ok {
		f.Fatalf("the end of the server: got %v, want the kill; stderr: %s", exit, f.killed.Log)
	}
	f.killed = f.start()
	f.urls[0].Store(&f.killed.URL)
}

// deafen breaks the connections through which servers hear of each other.
func (f *following) deafen() {
	session := f.db.Session(database.Single)
	rows := new(sql.Rows)
	err := session.Query(f.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'", []any{}, rows)
	if err != nil {
		f.Fatal(err)
	}
	if err := rows.Close(); err != nil {
		f.Fatal(err)
	}
}

// all is what was committed.
func (f *following) all() (found []feed.Change) {
	if err := feed.Number(f.Context(), f.db); err != nil {
		f.Fatal(err)
	}
	cursor, err := feed.ParseCursor(f.cursor)
	if err != nil {
		f.Fatal(err)
	}
	for after := &cursor; ; {
		session := f.db.Session(database.Snapshot)
		page, err := feed.Read(f.Context(), session, feed.Request{After: after, First: 1000})
		session.Rollback()
		if err != nil {
			f.Fatal(err)
		}
		found = append(found, page.Changes...)
		if page.CaughtUp {
			return found
		}
		after = &page.End
	}
}

// pause is what a writer does between two statements of a transaction that others run into: nothing, for some
// milliseconds. No check depends on its length; without it transactions hardly meet.
func pause(random *rand.Rand, most int) {
	<-time.After(time.Duration(random.IntN(most)) * time.Millisecond)
}

// send writes as a client of one of the servers, which may be killed meanwhile.
func (f *following) send(ctx context.Context, random *rand.Rand, name string) {
	id := f.users[random.IntN(len(f.users))]
	var query string
	fails := false
	switch random.IntN(4) {
	case 0:
		query = fmt.Sprintf(`mutation { updateUser(input: {id: %q, username: %q}) { user { version } } }`, id, name)
	case 1: // the second field fails, so that the first is rolled back
		query = fmt.Sprintf(`mutation { updateUser(input: {id: %q, username: %q}) { user { version } } deleteUser(input: {id: "user_00000000000000000000000000"}) { deletedId } }`, id, name)
		fails = true
	case 2:
		query = fmt.Sprintf(`mutation { createUser(input: {username: %q, email: "%s@example.com", posts: [{title: "One"}, {title: "Two"}]}) { user { id } } }`, name, name)
	default:
		query = fmt.Sprintf(`mutation { createPost(input: {authorId: %q, title: %q}) { post { id } } }`, id, name)
	}
	text, err := f.ask(ctx, random.IntN(2), query, nil)
	var answer struct {
		Errors     []struct{ Extensions struct{ Code string } }
		CreateUser struct{ User struct{ ID string } }
	}
	switch {
	case err != nil || json.Unmarshal(text, &answer) != nil:
		f.unanswered.Add(1)
	case len(answer.Errors) == 0:
		f.committed.Add(1)
	default:
		f.rolledBack.Add(1)
		if code := answer.Errors[0].Extensions.Code; !fails && code != "CONFLICT" && code != "UNAVAILABLE" {
			f.Errorf("%s\ngot %s\nwant no error, CONFLICT or UNAVAILABLE", query, text)
		}
	}
}

// ask sends an operation to a server.
func (f *following) ask(ctx context.Context, server int, query string, variables any) ([]byte, error) {
	response, err := f.post(ctx, server, query, variables, "application/json")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

func (f *following) post(ctx context.Context, server int, query string, variables any, accept string) (*http.Response, error) {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, *f.urls[server].Load()+"/graphql", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", accept)
	return f.client.Do(request)
}

// write writes as a program beside the servers, which takes its time within a transaction, and may roll it back.
func (f *following) write(ctx context.Context, random *rand.Rand, name string) {
	ctx = rules.WithCaller(ctx, rules.Everyone())
	tx := directory.New(f.db.Session(database.Write), directory.Options{Clock: time.Now})
	defer tx.Rollback()
	ids := []typeid.ID{f.users[random.IntN(len(f.users))], f.users[random.IntN(len(f.users))]}
	slices.SortFunc(ids, func(a, b typeid.ID) int { return strings.Compare(a.String(), b.String()) })
	var updated []*ent.User
	for i, id := range slices.Compact(ids) {
		pause(random, 5)
		username := fmt.Sprint(name, "-", i)
		users, err := tx.UpdateUsers(ctx, []directory.UpdateUser{{Target: directory.Target{ID: id}, Username: directory.Optional[string]{Set: true, Value: &username}}})
		if err != nil {
			f.failed(err)
			return
		}
		updated = append(updated, users...)
	}
	pause(random, 5)
	errGivenUp := errors.New("given up")
	err := tx.Commit(ctx, func(context.Context) error { // the changes are written
		pause(random, 10)
		if random.IntN(4) == 0 {
			return errGivenUp
		}
		return nil
	})
	if errors.Is(err, errGivenUp) {
		f.rolledBack.Add(1)
		return
	}
	if err != nil {
		f.failed(err)
		return
	}
	f.committed.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range updated {
		f.own[fmt.Sprint(u.ID, " ", u.Version)] = true
	}
}

// failed takes note of a transaction that lost a race, which is all that may happen to it.
func (f *following) failed(err error) {
	if failure := database.AsFailure(err); failure == nil || failure.Kind != database.Retry {
		f.Errorf("a writer: got %v, want a lost race", err)
	}
	f.rolledBack.Add(1)
}

// read follows until all is there, from where it was whenever it breaks.
func (f *following) read(ctx context.Context, r *reader) {
	for {
		err := r.follow(ctx, r)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			f.Errorf("%s: got %d changes and the error %v, want all changes", r.name, len(r.cursors), err)
			return
		}
		<-time.After(10 * time.Millisecond) // the server may be dead: who asks without a pause keeps it from coming back
	}
}

// followed is a change as readers ask for it.
type followed struct{ Cursor, Kind, NodeID string }

const followedFields = "cursor kind nodeId"

// got takes a change.
func (f *following) got(r *reader, c followed) {
	r.cursors, r.last = append(r.cursors, c.Cursor), c.Cursor
	r.done = c.Kind == "DELETED" && c.NodeID == f.users[0].String()
	if r.first != nil && len(r.cursors) == 1 {
		close(r.first)
	}
}

func (f *following) poll(ctx context.Context, server int, r *reader) error {
	for !r.done {
		text, err := f.ask(ctx, server, "query ($after: String) { changes(after: $after, first: 37) { changes { "+followedFields+" } endCursor } }", map[string]any{"after": r.last})
		if err != nil {
			return err
		}
		var answer struct {
			Data struct {
				Changes *struct {
					Changes   []followed
					EndCursor string
				}
			}
		}
		if err := json.Unmarshal(text, &answer); err != nil || answer.Data.Changes == nil {
			return fmt.Errorf("%w: %s", err, text)
		}
		for _, c := range answer.Data.Changes.Changes {
			f.got(r, c)
		}
		r.last = answer.Data.Changes.EndCursor
	}
	return nil
}

const followDocument = "subscription ($after: String) { changes(after: $after) { " + followedFields + " node { id ... on User { posts(first: 2) { nodes { author { id } } } } } } }"

// event takes one event of a subscription.
func (f *following) event(r *reader, text []byte) error {
	var event struct {
		Data   struct{ Changes *followed }
		Errors []struct{ Message string }
	}
	if err := json.Unmarshal(text, &event); err != nil {
		return err
	}
	if event.Data.Changes == nil {
		return fmt.Errorf("it ended with %s", text)
	}
	if event.Errors != nil {
		f.Errorf("%s: got the event %s, want no errors", r.name, text)
	}
	f.got(r, *event.Data.Changes)
	return nil
}

func (f *following) listen(ctx context.Context, server int, r *reader) error {
	response, err := f.post(ctx, server, followDocument, map[string]any{"after": r.last}, "text/event-stream")
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
		if text, ok := strings.CutPrefix(line, "data: {"); ok {
			if err := f.event(r, []byte("{"+text)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *following) socket(ctx context.Context, server int, r *reader) error {
	c, _, err := websocket.Dial(ctx, *f.urls[server].Load()+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}}) //nolint:bodyclose // the library does
	if err != nil {
		return err
	}
	defer c.CloseNow()
	payload, err := json.Marshal(map[string]any{"query": followDocument, "variables": map[string]any{"after": r.last}})
	if err != nil {
		return err
	}
	for _, message := range []string{`{"type":"connection_init"}`, `{"type":"subscribe","id":"1","payload":` + string(payload) + `}`} {
		if err := c.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			return err
		}
	}
	for !r.done {
		_, text, err := c.Read(ctx)
		if err != nil {
			return err
		}
		var message struct {
			Type    string
			Payload json.RawMessage
		}
		if err := json.Unmarshal(text, &message); err != nil {
			return err
		}
		switch message.Type {
		case "connection_ack":
		case "next":
			if err := f.event(r, message.Payload); err != nil {
				return err
			}
		default:
			return fmt.Errorf("it ended with %s", text)
		}
	}
	return nil
}

// check compares what everybody got with what was committed, and that with what is there.
func (f *following) check() {
	for _, r := range f.readers {
		if !slices.EqualFunc(r.cursors, f.truth, func(cursor string, c feed.Change) bool { return cursor == c.Cursor.String() }) {
			f.Errorf("%s: got %d changes, want %d in the order of the feed", r.name, len(r.cursors), len(f.truth))
		}
	}
	now := map[typeid.ID]int{} // the version of what there is
	for _, c := range f.truth {
		version, exists := now[c.NodeID]
		switch {
		case exists == (c.Kind == feed.Created), c.Kind == feed.Updated && c.Version != version+1, c.Kind != feed.Updated && c.Version != max(version, 1):
			f.Errorf("%s: got %s with version %d after version %d, want the next one", c.NodeID, c.Kind, c.Version, version)
		}
		now[c.NodeID] = c.Version
		if c.Kind == feed.Deleted {
			delete(now, c.NodeID)
		}
		delete(f.own, fmt.Sprint(c.NodeID, " ", c.Version))
	}
	if len(f.own) > 0 {
		f.Errorf("got a feed without %v, want all that was committed", f.own)
	}
	there := map[typeid.ID]int{}
	session := f.db.Session(database.Snapshot)
	defer session.Rollback()
	ctx := rules.WithCaller(f.Context(), rules.Everyone())
	users, err := ent.NewClient(ent.Driver(session)).User.Query().All(ctx)
	if err != nil {
		f.Fatal(err)
	}
	for _, u := range users {
		there[u.ID] = u.Version
	}
	posts, err := ent.NewClient(ent.Driver(session)).Post.Query().All(ctx)
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range posts {
		there[p.ID] = p.Version
	}
	if !maps.Equal(now, there) {
		f.Errorf("got %v from the feed, want %v as in the database", now, there)
	}
}

// TestStopWhileFollowed stops a server that is followed: it tells its clients, and ends well.
func TestStopWhileFollowed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "roster.db")
	p := start(t, build(t), "sqlite:"+file, "SQLite ("+file+")")
	f := &following{T: t, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, users: []typeid.ID{{}}}
	f.urls[0].Store(&p.URL)
	end := f.data(p.ask(t, "{ changesCursor }"), "changesCursor")
	var ends []<-chan error
	for _, follow := range []func(context.Context, int, *reader) error{f.listen, f.socket} {
		r, ended := &reader{last: end, first: make(chan struct{})}, make(chan error, 1)
		go func() { ended <- follow(t.Context(), 0, r) }()
		ends = append(ends, ended)
		p.ask(t, fmt.Sprintf(`mutation { createUser(input: {username: "user%d", email: "user%d@example.com"}) { user { id } } }`, len(ends), len(ends)))
		<-r.first
	}
	p.stop(t, syscall.SIGTERM)
	if err := <-ends[0]; !errors.Is(err, io.EOF) {
		t.Errorf("the event stream: got %v, want %v", err, io.EOF)
	}
	if err := <-ends[1]; websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the WebSocket: got %v, want the code %v", err, websocket.StatusGoingAway)
	}
}
