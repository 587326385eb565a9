package graph_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/coder/websocket"

	"roster/ent"
	"roster/graph"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/feed"
	"roster/internal/server"
	"roster/internal/typeid"
)

// patience is how long a test waits for what should come at once.
const patience = 30 * time.Second

// follower is a server that has a feed, as a server process has. It runs until the test ends.
type follower struct {
	*tester
	feed   *graph.Feed
	loaded atomic.Pointer[func()] // is called when nodes have been loaded for all subscribers
}

// follow starts a server. url is of the database; empty for one of its own.
func follow(t *testing.T, e dbtest.Engine, o feed.Options, url string) *follower {
	t.Helper()
	return followAs(t, e, o, url, nil)
}

// followAs is follow with the callers that requests have.
func followAs(t *testing.T, e dbtest.Engine, o feed.Options, url string, callers server.Authenticator) *follower {
	t.Helper()
	s := &follower{}
	s.tester = serve(t, e, settings{
		callers: callers,
		answers: o.Budget,
		url:     url,
		graph: func(g *graph.Options) {
			o.Database, o.Logger = g.Database, g.Logger
			load := graph.LoadNodes(g.Database)
			s.feed = feed.New(o, func(ctx context.Context, ids []typeid.ID) (map[typeid.ID]ent.Node, error) {
				nodes, err := load(ctx, ids)
				if loaded := s.loaded.Swap(nil); loaded != nil {
					(*loaded)()
				}
				return nodes, err
			})
			g.Feed, g.Committed = s.feed, s.feed.Wake
			ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
			var running sync.WaitGroup
			running.Go(func() { s.feed.Run(ctx) })
			t.Cleanup(func() { stop(); running.Wait() })
		},
	})
	return s
}

// never is a time between two polls that is longer than any test: what is new has to be told.
const never = time.Hour

// events is a subscription over server-sent events.
type events struct {
	*tester
	lines chan string // the data of each event; closed at the end
	stop  context.CancelFunc
}

// subscribe sends a subscription. It returns when the server has begun to answer, which is before it listens.
func (s *tester) subscribe(document string, variables ...any) *events {
	s.Helper()
	ctx, stop := context.WithCancel(s.Context())
	values := map[string]any{}
	for pair := range slices.Chunk(variables, 2) {
		values[fmt.Sprint(pair[0])] = pair[1]
	}
	body, err := json.Marshal(map[string]any{"query": document, "variables": values})
	if err != nil {
		s.Fatal(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "text/event-stream")
	response, err := s.client.Do(request) //nolint:bodyclose // its reader does
	if err != nil {
		s.Fatal(err)
	}
	e := &events{tester: s, lines: make(chan string), stop: stop}
	go func() {
		defer response.Body.Close()
		defer close(e.lines)
		lines := bufio.NewReader(response.Body)
		for name := ""; ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimSuffix(line, "\n")
			if n, ok := strings.CutPrefix(line, "event: "); ok {
				name = n
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok && name == "next" {
				select {
				case e.lines <- data:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return e
}

// next is the next event; false when there is none any more.
func (e *events) next() (text string, ok bool) {
	e.Helper()
	select {
	case text, ok = <-e.lines:
		return text, ok
	case <-time.After(patience):
		e.Fatal("no event comes")
		return "", false
	}
}

// change is the next event, which is a change.
func (e *events) change() change {
	e.Helper()
	text, ok := e.next()
	var event struct {
		Data   struct{ Changes *change }
		Errors []any
	}
	if err := json.Unmarshal([]byte(text), &event); err != nil || !ok || event.Errors != nil || event.Data.Changes == nil {
		e.Fatalf("%v: %v, %s", ok, err, text)
	}
	return *event.Data.Changes
}

// ends wants the subscription to end with an error that has a code.
func (e *events) ends(code string) {
	e.Helper()
	var event struct {
		Data   any
		Errors []struct{ Extensions struct{ Code string } }
	}
	for {
		text, ok := e.next()
		if !ok {
			e.Fatal("it ended without a word")
		}
		if err := json.Unmarshal([]byte(text), &event); err != nil {
			e.Fatal(err)
		}
		if event.Data == nil {
			break
		}
	}
	if len(event.Errors) != 1 || event.Errors[0].Extensions.Code != code {
		e.Errorf("it ended with %+v, want %s", event.Errors, code)
	}
	if text, ok := e.next(); ok {
		e.Errorf("after the end came %s", text)
	}
}

// cursor is the end of the feed.
func (s *tester) cursor() string {
	s.Helper()
	var data struct{ ChangesCursor string }
	s.must(&data, "{ changesCursor }")
	return data.ChangesCursor
}

const followed = "subscription ($after: String) { changes(after: $after) { cursor type nodeId kind version changedFields } }"

// told is a change without its cursor.
func told(c change) string {
	return fmt.Sprint(c.Kind, " ", c.Type, " ", c.Version, " ", strings.Join(c.ChangedFields, "+"))
}

// A subscriber gets what was committed since its cursor and then what is committed, each once, with the node as it is.
func TestSubscription(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := follow(t, e, feed.Options{Poll: never, Rest: never}, "")
		start := s.cursor()
		ada := s.create("ada", "One")
		sub := s.subscribe(followed, "after", start)
		var got []string
		var cursors []string
		next := func() {
			t.Helper()
			c := sub.change()
			got, cursors = append(got, told(c)), append(cursors, c.Cursor)
		}
		next()
		next()
		s.must(nil, `mutation ($id: ID!) { updateUser(input: {id: $id, username: "ada2", email: "ada2@example.com"}) { user { id } } }`, "id", ada.ID)
		next()
		s.must(nil, `mutation ($id: ID!) { deleteUser(input: {id: $id, dependents: CASCADE}) { deletedId } }`, "id", ada.ID)
		next()
		next()
		want := []string{"CREATED USER 1 ", "CREATED POST 1 ", "UPDATED USER 2 username+email", "DELETED POST 1 ", "DELETED USER 2 "}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		all, _ := s.changes(start, 100)
		for i, c := range all {
			if c.Cursor != cursors[i] {
				t.Errorf("change %d: got the cursor %s on the other server, want %s", i, c.Cursor, cursors[i])
			}
			again := s.subscribe(followed, "after", c.Cursor)
			if i < len(all)-1 {
				if got := again.change(); got.Cursor != all[i+1].Cursor {
					t.Errorf("after change %d: got %+v, want the next change", i, got)
				}
			}
			again.stop()
		}
	})
}

// Nodes are read once for all subscribers, and what they lead to for each of them.
func TestSubscriptionNodes(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := follow(t, e, feed.Options{Poll: never, Rest: never}, "")
		start := s.cursor()
		const document = `subscription ($after: String) { changes(after: $after) { kind node { __typename id
			... on User { username posts { totalCount nodes { title author { username } } } }
			... on Post { title author { username } } } } }`
		one, two := s.subscribe(document, "after", start), s.subscribe(document, "after", start)
		ada := s.create("ada", "One", "Two")
		for _, sub := range []*events{one, two} {
			for _, want := range []string{
				`{"__typename":"User","id":"` + ada.ID + `","username":"ada","posts":{"totalCount":2,"nodes":[` +
					`{"title":"One","author":{"username":"ada"}},{"title":"Two","author":{"username":"ada"}}]}}`,
				`{"__typename":"Post","id":"` + ada.Posts.Nodes[0].ID + `","title":"One","author":{"username":"ada"}}`,
				`{"__typename":"Post","id":"` + ada.Posts.Nodes[1].ID + `","title":"Two","author":{"username":"ada"}}`,
			} {
				if got := sub.change(); string(got.Node) != want {
					t.Errorf("got %s, want %s", got.Node, want)
				}
			}
		}
		s.must(nil, `mutation ($id: ID!) { deleteUser(input: {id: $id, dependents: CASCADE}) { deletedId } }`, "id", ada.ID)
		for range 3 {
			if got := one.change(); got.Kind != "DELETED" || string(got.Node) != "null" {
				t.Errorf("got %+v, want DELETED without a node", got)
			}
		}
		// What is gone by now is null to who comes later, and the answers are else the same.
		late := s.subscribe(document, "after", start)
		for range 6 {
			if got := late.change(); string(got.Node) != "null" {
				t.Errorf("got %+v, want no node", got)
			}
		}
	})
}

// What goes between the reading of a node for all and of what it leads to, for one, is gone in the answer, which has no error.
func TestSubscriptionNodeGoes(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := follow(t, e, feed.Options{Poll: never, Rest: never}, "")
		start := s.cursor()
		ada := s.create("ada")
		sub := s.subscribe("subscription ($after: String) { changes(after: $after) { kind node { ... on Post { title author { username } } } } }", "after", start)
		sub.change()
		eventually(t, func() bool { return s.feed.Subscribers() == 1 })
		goes := func() {
			s.must(nil, `mutation ($id: ID!) { deleteUser(input: {id: $id, dependents: CASCADE}) { deletedId } }`, "id", ada.ID)
		}
		s.loaded.Store(&goes)
		s.must(nil, `mutation ($id: ID!) { createPost(input: {authorId: $id, title: "One"}) { post { id } } }`, "id", ada.ID)
		for _, want := range []string{"CREATED", "DELETED", "DELETED"} {
			if got := sub.change(); got.Kind != want || string(got.Node) != "null" {
				t.Errorf("got %+v, want %s", got, want)
			}
		}
	})
}

// Filters let through what they name, and nothing else.
func TestSubscriptionFilters(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := follow(t, e, feed.Options{Poll: never, Rest: never}, "")
		start := s.cursor()
		ada := s.create("ada", "One")
		const document = `subscription ($after: String, $types: [EntityType!], $ids: [ID!]) {
			changes(after: $after, types: $types, nodeIds: $ids) { type nodeId kind version } }`
		posts := s.subscribe(document, "after", start, "types", []string{"POST"})
		user := s.subscribe(document, "after", start, "ids", []string{ada.ID})
		both := s.subscribe(document, "after", start, "types", []string{"USER"}, "ids", []string{ada.ID, ada.Posts.Nodes[0].ID})
		none := s.subscribe(document, "after", start, "types", []string{})
		want := func(sub *events, id, kind string) {
			t.Helper()
			if got := sub.change(); got.NodeID != id || got.Kind != kind {
				t.Errorf("got %+v, want %s of %s", got, kind, id)
			}
		}
		want(posts, ada.Posts.Nodes[0].ID, "CREATED")
		want(user, ada.ID, "CREATED")
		want(both, ada.ID, "CREATED")
		bob := s.create("bob", "Two")
		want(posts, bob.Posts.Nodes[0].ID, "CREATED")
		s.must(nil, `mutation ($id: ID!) { updateUser(input: {id: $id, username: "ada2"}) { user { id } } }`, "id", ada.ID)
		want(user, ada.ID, "UPDATED")
		want(both, ada.ID, "UPDATED")
		select {
		case text := <-none.lines:
			t.Errorf("with a filter that matches nothing: got %s, want no event", text)
		default:
		}
	})
}

// What cannot be subscribed to ends with an error that says why.
func TestSubscriptionFaults(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s, other := follow(t, e, feed.Options{}, ""), serve(t, e, settings{})
		s.subscribe(followed, "after", "nonsense").ends("CURSOR_INVALID")
		s.subscribe(followed, "after", other.cursor()).ends("CURSOR_EXPIRED")
		s.subscribe(`subscription { changes(nodeIds: ["thing_00000000000000000000000000"]) { cursor } }`).ends("INVALID")
		s.subscribe(`subscription { changes(actor: "a\u0000") { cursor } }`).ends("INVALID")
		text, _ := s.subscribe(followed, "after", other.cursor()).next()
		want := `{"errors":[{"message":"after is of another database, or older than the changes that are kept: take a new copy of the data, with changesCursor",` +
			`"path":["changes"],"locations":[{"line":1,"column":33}],"extensions":{"code":"CURSOR_EXPIRED","field":["after"]}}]}`
		if text != want {
			t.Errorf("got %s, want %s", text, want)
		}

		// A new life of the database ends those that follow, and all cursors.
		at := s.cursor()
		sub, filtered := s.subscribe(followed, "after", at), s.subscribe(`subscription ($after: String) { changes(after: $after, types: []) { cursor } }`, "after", at)
		s.create("ada")
		sub.change()
		if err := feed.Reset(t.Context(), s.db); err != nil {
			t.Fatal(err)
		}
		sub.ends("CURSOR_EXPIRED")
		filtered.ends("CURSOR_EXPIRED")
		s.subscribe(followed, "after", at).ends("CURSOR_EXPIRED")
		sub = s.subscribe(followed, "after", s.cursor())
		s.create("bob")
		if got := sub.change(); told(got) != "CREATED USER 1 " {
			t.Errorf("after the restart: got %+v, want CREATED USER 1", got)
		}
	})
}

// Who reads too slowly is told to subscribe again, and misses nothing by that. Nobody else is held up.
func TestSlowSubscriber(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := follow(t, e, feed.Options{Keep: 1000, Slack: 1, Poll: never}, "")
		start := s.cursor()
		// Events of 10 kB: the network holds a few hundred of them.
		var large strings.Builder
		for i := range 200 {
			fmt.Fprintf(&large, "c%d: cursor ", i)
		}
		slow := s.subscribe("subscription ($after: String) { changes(after: $after) { cursor "+large.String()+"} }", "after", start)
		quick := s.subscribe(followed, "after", start)
		s.create("first")
		last := slow.change()
		quick.change()
		total := 0
		for i := range 20 {
			titles := slices.Repeat([]string{"A post"}, 199)
			s.create(fmt.Sprint("u", i), titles...)
			for range 1 + len(titles) {
				quick.change()
				total++
			}
		}
		got := 0
		for {
			text, ok := slow.next()
			if !ok {
				t.Fatal("got the end of the stream, want an error before it")
			}
			if strings.HasPrefix(text, `{"errors":[{"message":"too many changes wait for this subscriber: subscribe again after the last cursor","path":["changes"]`) {
				if !strings.Contains(text, `"code":"UNAVAILABLE"`) {
					t.Errorf("got %s, want the code UNAVAILABLE", text)
				}
				break
			}
			var event struct{ Data struct{ Changes change } }
			if err := json.Unmarshal([]byte(text), &event); err != nil {
				t.Fatal(err)
			}
			last = event.Data.Changes
			got++
		}
		again := s.subscribe(followed, "after", last.Cursor)
		for ; got < total; got++ {
			again.change()
		}
		s.create("last")
		if c := again.change(); told(c) != "CREATED USER 1 " {
			t.Errorf("next change: got %+v, want CREATED USER 1", c)
		}
	})
}

// Who has everything gets all of a burst that is longer than what is kept, as after an import.
func TestBurst(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := follow(t, e, feed.Options{Keep: 100, Slack: patience, Poll: never}, "")
		start := s.cursor()
		var subs []*events
		for range 3 {
			subs = append(subs, s.subscribe(followed, "after", start))
		}
		s.create("ada", slices.Repeat([]string{"A post"}, 999)...)
		s.create("grace", slices.Repeat([]string{"A post"}, 999)...)
		want, _ := s.changes(start, 1000)
		for _, sub := range subs {
			for i := range want {
				if got := sub.change(); got.Cursor != want[i].Cursor {
					t.Fatalf("change %d is %+v, want %+v", i, got, want[i])
				}
			}
		}
		s.create("last")
		for _, sub := range subs {
			if c := sub.change(); told(c) != "CREATED USER 1 " {
				t.Errorf("next change: got %+v, want CREATED USER 1", c)
			}
		}
	})
}

// Servers on one database tell each other: within the time between two polls, and on PostgreSQL at once, also after the
// connection over which it is told has been broken.
func TestServersFollowEachOther(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url, o := dbtest.Empty(t, e), feed.Options{}
		if e == dbtest.PostgreSQL {
			o.Poll = never
		}
		one, two := follow(t, e, o, url), follow(t, e, o, url)
		start := one.cursor()
		subs := []*events{one.subscribe(followed, "after", start), two.subscribe(followed, "after", start)}
		both := func(want string) {
			t.Helper()
			for i, sub := range subs {
				if got := sub.change(); told(got) != want {
					t.Errorf("server %d: %+v, want %s", i, got, want)
				}
			}
		}
		if e == dbtest.PostgreSQL {
			listening(t, one.db, 2)
		}
		one.create("ada")
		both("CREATED USER 1 ")
		u := two.create("bob")
		both("CREATED USER 1 ")
		if e == dbtest.PostgreSQL {
			for range 3 {
				number(t, one.db, "SELECT count(pg_terminate_backend(pid)) FROM "+listeners)
				two.must(nil, `mutation ($id: ID!) { deleteUser(input: {id: $id}) { deletedId } }`, "id", u.ID)
				both("DELETED USER 1 ")
				u = one.create("bob")
				both("CREATED USER 1 ")
				listening(t, one.db, 2)
			}
		}
	})
}

// listeners are the connections that listen.
const listeners = `pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`

// number is the number that a statement returns.
func number(t *testing.T, db *database.DB, query string) (n int) {
	t.Helper()
	session := db.Session(database.Single)
	rows := new(sql.Rows)
	if err := session.Query(t.Context(), query, []any{}, rows); err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	if err := rows.Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// listening waits until so many connections listen.
func listening(t *testing.T, db *database.DB, n int) {
	t.Helper()
	eventually(t, func() bool { return number(t, db, "SELECT count(*) FROM "+listeners) == n })
}

// eventually waits until something holds.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("got changes without an end, want a steady state")
		}
	}
}

// Subscribers that wait cost no statement: all there is are the two by which the server looks for what is new.
func TestIdleSubscribers(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		const subscribers, polls = 100, 20
		s := follow(t, e, feed.Options{Poll: time.Millisecond, Rest: time.Millisecond}, "")
		start := s.cursor()
		s.create("ada")
		for range subscribers {
			s.subscribe("subscription ($after: String) { changes(after: $after) { node { ... on User { posts { totalCount } } } } }", "after", start).change()
		}
		eventually(t, func() bool { return s.feed.Subscribers() == subscribers })
		s.statements.take()
		var seen []string
		looks := func() (n int) {
			seen = append(seen, s.statements.take()...)
			for _, statement := range seen {
				if strings.HasPrefix(statement, "SELECT epoch, last, pruned, counted, ") {
					n++
				}
			}
			return n
		}
		eventually(t, func() bool { return looks() > polls })
		for _, statement := range seen {
			if !strings.HasPrefix(statement, "SELECT epoch, last, pruned, counted, ") && statement != "SELECT pg_notify($1, $2)" {
				t.Errorf("statement for idle subscribers: got %s, want only looks for changes", statement)
			}
		}
	})
}

// While writers write, those who catch up from different places get everything once, in the order of the query.
func TestSeam(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		const writers, users, late = 4, 40, 12
		s := follow(t, e, feed.Options{Poll: never, Rest: never}, "")
		start := s.cursor()
		var seen [late][]string
		var subscribing sync.WaitGroup
		begin := make(chan struct{}, late)
		for i := range late {
			subscribing.Go(func() {
				<-begin
				sub := s.subscribe(followed, "after", start)
				defer sub.stop()
				for len(seen[i]) < writers*users*2 {
					text, ok := sub.next()
					var event struct{ Data struct{ Changes change } }
					if err := json.Unmarshal([]byte(text), &event); err != nil || !ok || event.Data.Changes.Cursor == "" {
						t.Errorf("got %t, %v, %s, want an event with a cursor", ok, err, text)
						return
					}
					seen[i] = append(seen[i], event.Data.Changes.Cursor)
				}
			})
		}
		clients(writers, func(w int) {
			for i := range users {
				s.create(fmt.Sprintf("w%d-%d", w, i), "One")
				if i*late/users != (i+1)*late/users && w == 0 {
					begin <- struct{}{}
				}
			}
		})
		for range late {
			select {
			case begin <- struct{}{}:
			default:
			}
		}
		subscribing.Wait()
		all, _ := s.changes(start, 1000)
		for i := range seen {
			if !slices.EqualFunc(seen[i], all, func(cursor string, c change) bool { return cursor == c.Cursor }) {
				t.Errorf("subscriber %d: got %d changes, want all %d in their order", i, len(seen[i]), len(all))
			}
		}
	})
}

// Of clients that come and go nothing stays: no goroutine, no subscriber, no memory. This test is not parallel to others,
// whose goroutines and memory it would see.
func TestSubscribersLeaveNothing(t *testing.T) { //nolint:paralleltest // as said above
	const group, groups = 100, 10
	const few, memory = 50, 1 << 20 // what comes and goes for other reasons, such as connections to the database
	for _, e := range dbtest.Engines() {
		t.Run(string(e), func(t *testing.T) {
			s := follow(t, e, feed.Options{}, "")
			s.client.Transport.(*http.Transport).DisableKeepAlives = true //nolint:errcheck // httptest makes one
			start := s.cursor()
			s.create("ada", "One")
			const document = "subscription ($after: String) { changes(after: $after) { cursor node { id ... on User { posts { nodes { id } } } } } }"
			wave := func() {
				var drops []func()
				for range group {
					sub := s.subscribe(document, "after", start)
					sub.change()
					drops = append(drops, sub.stop, s.socket(document, start))
				}
				eventually(t, func() bool { return s.feed.Subscribers() == 2*group })
				for _, drop := range drops {
					drop()
				}
				eventually(t, func() bool { return s.feed.Subscribers() == 0 })
			}
			wave()
			wave()
			s.statements.take()
			goroutines, before := runtime.NumGoroutine(), heap()
			for range groups {
				wave()
				s.statements.take()
			}
			eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+few })
			if after := heap(); after > before+memory {
				t.Errorf("got %[2]d bytes of memory after the subscribers left, want about %[1]d as before", before, after)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // for what pools hold back once
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// socket subscribes over a WebSocket, and waits for one event. What it returns breaks the connection off.
func (s *tester) socket(document, after string) (drop func()) {
	s.Helper()
	c, _, err := websocket.Dial(s.Context(), s.url, &websocket.DialOptions{HTTPClient: s.client, Subprotocols: []string{"graphql-transport-ws"}}) //nolint:bodyclose // the library does
	if err != nil {
		s.Fatal(err)
	}
	payload, err := json.Marshal(map[string]any{"query": document, "variables": map[string]any{"after": after}})
	if err != nil {
		s.Fatal(err)
	}
	for _, message := range []string{`{"type":"connection_init"}`, `{"type":"subscribe","id":"1","payload":` + string(payload) + `}`} {
		if err := c.Write(s.Context(), websocket.MessageText, []byte(message)); err != nil {
			s.Fatal(err)
		}
	}
	for _, want := range []string{`{"type":"connection_ack"`, `{"type":"next"`, `{"type":"next"`} {
		_, got, err := c.Read(s.Context())
		if err != nil || !strings.Contains(string(got), strings.Trim(want, "{}")) {
			s.Fatalf("%v, %s", err, got)
		}
	}
	return func() { _ = c.CloseNow() }
}
