package graph_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"roster/graph"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/feed"
)

// patience is how long a test waits for what should come at once.
const patience = 30 * time.Second

// follow is a server that has a feed, as a server process has. It runs until the test ends.
func follow(t *testing.T, e dbtest.Engine, o feed.Options, database func(*database.Options)) *tester {
	t.Helper()
	return serve(t, e, settings{database: database, graph: func(options *graph.Options) {
		o.Database, o.Nodes, o.Logger = options.Database, graph.Nodes(options.Database), options.Logger
		f := feed.New(o)
		options.Feed, options.Committed = f, f.Wake
		ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
		var running sync.WaitGroup
		running.Go(func() { f.Run(ctx) })
		t.Cleanup(func() { stop(); running.Wait() })
	}})
}

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
		s := follow(t, e, feed.Options{}, nil)
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
				t.Errorf("change %d has the cursor %s there and %s here", i, c.Cursor, cursors[i])
			}
			again := s.subscribe(followed, "after", c.Cursor)
			if i < len(all)-1 {
				if got := again.change(); got.Cursor != all[i+1].Cursor {
					t.Errorf("after change %d comes %+v", i, got)
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
		s := follow(t, e, feed.Options{}, nil)
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
				t.Errorf("got %+v", got)
			}
		}
		// What is gone by now is null to who comes later, and the answers are else the same.
		late := s.subscribe(document, "after", start)
		for range 6 {
			if got := late.change(); string(got.Node) != "null" {
				t.Errorf("got %+v", got)
			}
		}
	})
}

// Filters let through what they name, and nothing else.
func TestSubscriptionFilters(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := follow(t, e, feed.Options{}, nil)
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
			t.Errorf("a filter that lets nothing through let %s through", text)
		default:
		}
	})
}

// What cannot be subscribed to ends with an error that says why.
func TestSubscriptionFaults(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s, other := follow(t, e, feed.Options{}, nil), serve(t, e, settings{})
		s.subscribe(followed, "after", "nonsense").ends("CURSOR_INVALID")
		s.subscribe(followed, "after", other.cursor()).ends("CURSOR_EXPIRED")
		s.subscribe(`subscription { changes(nodeIds: ["group_00000000000000000000000000"]) { cursor } }`).ends("INVALID")
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
			t.Errorf("in the new life: %+v", got)
		}
	})
}

// Who reads too slowly is told to subscribe again, and misses nothing by that. Nobody else is held up.
func TestSlowSubscriber(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := follow(t, e, feed.Options{Keep: 1000}, nil)
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
				t.Fatal("it ended without a word")
			}
			if strings.HasPrefix(text, `{"errors":[{"message":"too many changes wait for this subscriber: subscribe again after the last cursor","path":["changes"]`) {
				if !strings.Contains(text, `"code":"UNAVAILABLE"`) {
					t.Errorf("it ended with %s", text)
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
			t.Errorf("then came %+v", c)
		}
	})
}
