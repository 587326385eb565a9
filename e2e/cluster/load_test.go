//go:build cluster

package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const (
	writers = 6
	readers = 2
	// answerLimit is the time within which each request has an answer, whatever happens to the database. The promise is 15
	// seconds; a busy machine may take a little longer.
	answerLimit = 16 * time.Second
	// patience bounds how long a client repeats one operation.
	patience = 2 * time.Minute
	// rest is the time between two tries of a client.
	rest = 50 * time.Millisecond
)

// load are clients of some servers that share a database: writers with idempotency keys, readers, and followers of the
// change feed by event streams and WebSockets. A client repeats an operation until it has an answer, with the same key.
type load struct {
	*testing.T
	servers []*server
	client  *http.Client
	cursor  string // from before the load

	stop      chan struct{}
	working   sync.WaitGroup
	followers []*follower
	following sync.WaitGroup

	mu      sync.Mutex
	created map[string]string // the names of acknowledged users, by ID
	renamed map[string]int    // the number of acknowledged updates of a user, by ID
	acks    map[int]time.Time // the last acknowledgement of each writer
	acked   time.Time         // the last acknowledgement of all
	gap     time.Duration     // the longest time without one, since back was called
	told    map[string]int    // what has happened
	slowest time.Duration     // of all requests
}

// newLoad starts the clients. They work until finish.
func newLoad(t *testing.T, servers ...*server) *load {
	t.Helper()
	l := &load{
		T: t, servers: servers, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: writers + readers}},
		stop: make(chan struct{}), created: map[string]string{}, renamed: map[string]int{}, acks: map[int]time.Time{}, told: map[string]int{},
	}
	var start struct{ ChangesCursor string }
	l.insist(0, "", "{ changesCursor }", nil, &start)
	l.cursor = start.ChangesCursor
	for i := range servers {
		l.follow(fmt.Sprintf("event stream %d", i), i, l.listen)
		l.follow(fmt.Sprintf("WebSocket %d", i), i, l.converse)
	}
	for i := range writers {
		l.working.Go(func() { l.write(i) })
	}
	for i := range readers {
		l.working.Go(func() { l.read(i) })
	}
	t.Cleanup(l.working.Wait)
	t.Cleanup(func() {
		select {
		case <-l.stop:
		default:
			close(l.stop)
		}
	})
	return l
}

func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return l.Failed()
	}
}

func (l *load) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told[what]++
}

// write creates users, and gives each one other names.
func (l *load) write(writer int) {
	for n := 0; !l.stopped(); n++ {
		name := fmt.Sprintf("w%d-%d", writer, n)
		var made struct {
			CreateUser struct{ User struct{ ID string } }
		}
		if !l.insist(writer+n, name, `mutation ($name: String!, $email: String!) { createUser(input: {username: $name, email: $email}) { user { id } } }`,
			map[string]any{"name": name, "email": name + "@example.com"}, &made) {
			return
		}
		id := made.CreateUser.User.ID
		l.acknowledge(writer, func() { l.created[id] = name })
		for version := range n % 3 {
			name := fmt.Sprintf("%s-%d", name, version)
			var changed struct {
				UpdateUser struct{ User struct{ Version int } }
			}
			if !l.insist(writer+n, name, `mutation ($id: ID!, $name: String!) { updateUser(input: {id: $id, username: $name}) { user { version } } }`,
				map[string]any{"id": id, "name": name}, &changed) {
				return
			}
			if got := changed.UpdateUser.User.Version; got != version+2 {
				l.Errorf("%s: got the version %d, want %d: each update happens once", name, got, version+2)
			}
			l.acknowledge(writer, func() { l.created[id], l.renamed[id] = name, version+1 })
		}
	}
}

func (l *load) acknowledge(writer int, f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	now := time.Now()
	if !l.acked.IsZero() {
		l.gap = max(l.gap, now.Sub(l.acked))
	}
	l.acks[writer], l.acked = now, now
	l.told["mutations"]++
}

// read reads pages of users until the end.
func (l *load) read(reader int) {
	for n := reader; !l.stopped(); n++ {
		var page struct {
			Users struct{ Nodes []struct{ Username string } }
		}
		if l.insist(n, "", "{ users(first: 5) { nodes { username posts(first: 1) { nodes { title } } } } }", nil, &page) {
			l.note("queries")
		}
	}
}

// insist sends an operation until it has an answer with data, which it reads into data. The server is chosen by turn.
func (l *load) insist(turn int, key, query string, variables map[string]any, data any) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.Context()), patience)
	defer cancel()
	for tries := 0; ; tries++ {
		again, err := l.try(ctx, l.servers[(turn+tries)%len(l.servers)], key, query, variables, data)
		if err == nil {
			return true
		}
		if !again || ctx.Err() != nil {
			l.Errorf("%s %s: got %v, want an answer", key, query, err)
			return false
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
		}
	}
}

// try sends an operation once. The error says why it has no data, and again that it may be sent again.
func (l *load) try(ctx context.Context, p *server, key, query string, variables map[string]any, data any) (again bool, err error) {
	began := time.Now()
	a, err := post(ctx, l.client, p.URL, operation{query: query, variables: variables, key: key})
	took := time.Since(began)
	l.mu.Lock()
	l.slowest = max(l.slowest, took)
	l.mu.Unlock()
	if err != nil {
		return false, err // the servers live
	}
	code := a.code()
	if code == "" {
		if a.header.Get("Idempotency-Replayed") == "true" {
			l.note("replays")
		}
		return false, json.Unmarshal(a.Data, data)
	}
	l.note(code)
	if took > answerLimit {
		l.Errorf("%s: got %s after %s, want it within %s", query, code, took, answerLimit)
	}
	if code == "UNAVAILABLE" && a.header.Get("Retry-After") == "" {
		l.Errorf("%s: got UNAVAILABLE without Retry-After, want it", query)
	}
	return code == "UNAVAILABLE" || code == "OUTCOME_UNKNOWN" && key != "", fmt.Errorf("%s: %s", code, a.Errors[0].Message)
}

// change is a change of the feed, as followers ask for it.
type change struct {
	Cursor, Kind, NodeID string
	Version              int
}

const changeFields = "cursor kind nodeId version"

const subscription = "subscription ($after: String) { changes(after: $after) { " + changeFields + " } }"

// follower has all changes that a client of the feed got.
type follower struct {
	name    string
	cursor  string
	changes []change
	last    string // the ID of the user whose creation ends the feed; guarded by load.mu
}

// errBroken is the end of a stream without a word from the server.
var errBroken = errors.New("the stream broke")

// follow starts a follower. It follows on after its last cursor whenever the server ends the stream.
func (l *load) follow(name string, server int, read func(context.Context, *server, *follower) error) {
	f := &follower{name: name, cursor: l.cursor}
	l.followers = append(l.followers, f)
	l.following.Go(func() {
		ctx := l.Context()
		for ctx.Err() == nil && !l.done(f) {
			err := read(ctx, l.servers[server], f)
			switch {
			case ctx.Err() != nil || l.done(f):
				return
			case errors.Is(err, errBroken):
				l.Errorf("%s: got %v after %d changes, want a clean end", name, err, len(f.changes))
				return
			}
			l.note("streams that the server ended")
			<-time.After(rest) // a client waits before it comes again
		}
	})
}

func (l *load) done(f *follower) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return f.last != "" && len(f.changes) > 0 && f.changes[len(f.changes)-1].NodeID == f.last
}

// take takes an event of a stream.
func (l *load) take(f *follower, event []byte) error {
	var e struct {
		Data   struct{ Changes *change }
		Errors []struct{ Extensions struct{ Code string } }
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return fmt.Errorf("%w: %w in %s", errBroken, err, event)
	}
	if e.Data.Changes == nil {
		if len(e.Errors) == 0 || !slices.Contains([]string{"UNAVAILABLE", "OUTCOME_UNKNOWN"}, e.Errors[0].Extensions.Code) {
			l.Errorf("%s: got the event %s, want a change or UNAVAILABLE", f.name, event)
		}
		return fmt.Errorf("the server ended the stream: %s", event)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f.changes = append(f.changes, *e.Data.Changes)
	f.cursor = e.Data.Changes.Cursor
	return nil
}

// listen reads an event stream. It ends cleanly by the event "complete", or by an answer that is no stream.
func (l *load) listen(ctx context.Context, p *server, f *follower) error {
	response, err := send(ctx, &http.Client{}, p.URL, "text/event-stream", operation{query: subscription, variables: map[string]any{"after": f.cursor}})
	if err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	defer response.Body.Close()
	if response.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" && response.Header.Get("Content-Type") != "text/event-stream" {
		text, _ := io.ReadAll(response.Body)
		return l.take(f, text)
	}
	lines, event := bufio.NewReader(response.Body), ""
	for !l.done(f) {
		line, err := lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("%w: %w", errBroken, err)
		}
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			event = name
		}
		data, ok := strings.CutPrefix(line, "data:")
		switch {
		case event == "complete":
			return errors.New("complete")
		case ok && event == "next":
			if err := l.take(f, []byte(data)); errors.Is(err, errBroken) {
				return err
			} // the event complete follows an error
		}
	}
	return nil
}

// converse reads by a WebSocket. It ends cleanly by the messages complete and error, or by a close frame with a code.
func (l *load) converse(ctx context.Context, p *server, f *follower) error {
	c, _, err := websocket.Dial(ctx, p.URL+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}}) //nolint:bodyclose // the library does
	if err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	payload, err := json.Marshal(map[string]any{"query": subscription, "variables": map[string]any{"after": f.cursor}})
	if err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	for _, message := range []string{`{"type":"connection_init"}`, `{"type":"subscribe","id":"1","payload":` + string(payload) + `}`} {
		if err := c.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			return l.closed(err)
		}
	}
	for !l.done(f) {
		_, text, err := c.Read(ctx)
		if err != nil {
			return l.closed(err)
		}
		var message struct {
			Type    string
			Payload json.RawMessage
		}
		if err := json.Unmarshal(text, &message); err != nil {
			return fmt.Errorf("%w: %w in %s", errBroken, err, text)
		}
		switch message.Type {
		case "next":
			if err := l.take(f, message.Payload); errors.Is(err, errBroken) {
				return err
			}
		case "ping":
			if err := c.Write(ctx, websocket.MessageText, []byte(`{"type":"pong"}`)); err != nil {
				return l.closed(err)
			}
		case "error", "complete":
			return fmt.Errorf("%s: %s", message.Type, message.Payload)
		}
	}
	return nil
}

// closed says whether a WebSocket ended cleanly.
func (l *load) closed(err error) error {
	if websocket.CloseStatus(err) == -1 {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return err
}

// back waits until each writer has had an acknowledgement since the promotion, and logs the times. It fails the test if the
// service is not back within a limit.
func (l *load) back(after string, limit time.Duration) {
	l.Helper()
	promoted := time.Now()
	first := l.acknowledged(promoted, limit)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Logf("after %s: back %s after the promotion, and for all clients after %s; nothing was acknowledged for %s", after,
		first.Round(time.Millisecond), time.Since(promoted).Round(time.Millisecond), l.gap.Round(time.Millisecond))
}

// busy waits until each writer has had an acknowledgement from now on, so that the next failure comes under load.
func (l *load) busy() {
	l.Helper()
	l.acknowledged(time.Now(), patience)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gap = 0
}

// acknowledged waits until each writer has had an acknowledgement since a time, and returns how long the first one took. It
// fails the test if that is longer than a limit.
func (l *load) acknowledged(since time.Time, limit time.Duration) (first time.Duration) {
	l.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		l.mu.Lock()
		acks := slices.Collect(maps.Values(l.acks))
		l.mu.Unlock()
		later := slices.DeleteFunc(acks, func(at time.Time) bool { return at.Before(since) })
		if len(later) > 0 && first == 0 {
			first = slices.MinFunc(later, time.Time.Compare).Sub(since)
		}
		switch took := time.Since(since); {
		case first > limit, first == 0 && took > limit:
			l.Fatalf("got no acknowledgement within %s, want one; %s", limit, l.summary())
		case len(later) == writers:
			return first
		case l.Failed(), took > patience:
			l.Fatalf("got acknowledgements of %d writers within %s, want those of %d; %s", len(later), took, writers, l.summary())
		}
		<-ticker.C
	}
}

func (l *load) summary() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for _, what := range slices.Sorted(maps.Keys(l.told)) {
		list = append(list, fmt.Sprintf("%s %d", what, l.told[what]))
	}
	return fmt.Sprintf("%s; the slowest request took %s", strings.Join(list, ", "), l.slowest.Round(time.Millisecond))
}

// finish ends the load, and compares the database with what the clients know: each acknowledged mutation has happened once,
// nothing else has, and all followers got the same changes in the same order.
func (l *load) finish() {
	l.Helper()
	close(l.stop)
	l.working.Wait()
	var end struct {
		CreateUser struct{ User struct{ ID string } }
	}
	if !l.insist(0, "the end", `mutation { createUser(input: {username: "end", email: "end@example.com"}) { user { id } } }`, nil, &end) {
		l.FailNow()
	}
	l.mu.Lock()
	id := end.CreateUser.User.ID
	l.created[id] = "end"
	for _, f := range l.followers {
		f.last = id
	}
	l.mu.Unlock()
	followed := make(chan struct{})
	go func() { l.following.Wait(); close(followed) }()
	select {
	case <-followed:
	case <-time.After(patience):
		l.Fatalf("the followers: got no end of the feed within %s, want it", patience)
	}
	want := l.users()
	l.Log(l.summary())
	for id, name := range l.created {
		if got := want[id]; got.name != name || got.version != 1+l.renamed[id] {
			l.Errorf("%s: got %+v after %d updates, want the name and version %d", name, got, l.renamed[id], 1+l.renamed[id])
		}
	}
	if len(want) != len(l.created) {
		l.Errorf("got %d users, want the %d that were acknowledged", len(want), len(l.created))
	}
	for _, f := range l.followers {
		l.check(f, want)
	}
}

// check compares the changes that a follower got with those of the first one and with the users.
func (l *load) check(f *follower, users map[string]row) {
	l.Helper()
	versions := map[string]int{}
	for i, c := range f.changes {
		if i < len(l.followers[0].changes) && c != l.followers[0].changes[i] {
			l.Errorf("%s: got the change %+v, want %+v as %s got it", f.name, c, l.followers[0].changes[i], l.followers[0].name)
			return
		}
		if c.Version != versions[c.NodeID]+1 {
			l.Errorf("%s: got %+v after version %d, want the next version", f.name, c, versions[c.NodeID])
		}
		versions[c.NodeID] = c.Version
	}
	for id, user := range users {
		if versions[id] != user.version {
			l.Errorf("%s: got the version %d of %s, want %d", f.name, versions[id], user.name, user.version)
		}
	}
	if len(versions) != len(users) {
		l.Errorf("%s: got changes of %d users, want %d", f.name, len(versions), len(users))
	}
}

type row struct {
	name    string
	version int
}

// users reads all users.
func (l *load) users() map[string]row {
	l.Helper()
	all := map[string]row{}
	for after, more := any(nil), true; more; {
		var page struct {
			Users struct {
				Nodes []struct {
					ID, Username string
					Version      int
				}
				PageInfo struct {
					HasNextPage bool
					EndCursor   string
				}
			}
		}
		if !l.insist(0, "", "query ($after: String) { users(first: 100, after: $after) { nodes { id username version } pageInfo { hasNextPage endCursor } } }",
			map[string]any{"after": after}, &page) {
			l.FailNow()
		}
		for _, n := range page.Users.Nodes {
			all[n.ID] = row{n.Username, n.Version}
		}
		after, more = page.Users.PageInfo.EndCursor, page.Users.PageInfo.HasNextPage
	}
	return all
}
