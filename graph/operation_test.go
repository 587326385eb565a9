package graph_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/coder/websocket"

	"roster/ent"
	"roster/ent/rules"
	"roster/graph"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/dbtest/servers"
	"roster/internal/record"
	"roster/internal/typeid"
)

// user is a user as tests read it.
type user struct {
	ID       string
	Username string
	Version  int
	Posts    struct {
		Nodes []struct {
			ID, Title string
			Author    struct{ ID, Username string }
		}
		TotalCount int
	}
}

// create creates a user with posts of these titles.
func (s *tester) create(username string, posts ...string) user {
	s.Helper()
	input := map[string]any{"username": username, "email": username + "@example.com"}
	if len(posts) > 0 {
		list := make([]map[string]string, len(posts))
		for i, title := range posts {
			list[i] = map[string]string{"title": title}
		}
		input["posts"] = list
	}
	var data struct{ CreateUser struct{ User user } }
	s.must(&data, "mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id username version posts { nodes { id title } } } } }", "input", input)
	return data.CreateUser.User
}

// read reads a user.
func (s *tester) read(id string) user {
	s.Helper()
	var data struct{ User user }
	s.must(&data, "query ($id: ID!) { user(by: {id: $id}) { id username version posts(first: 100) { nodes { id title } totalCount } } }", "id", id)
	return data.User
}

const rename = "mutation ($id: ID!, $username: String!, $version: Int) { updateUser(input: {id: $id, username: $username, expectedVersion: $version}) { user { id username version } } }"

// clients runs n clients at once, and returns when all have ended. A client must not end the test.
func clients(n int, client func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { client(i) })
	}
	wg.Wait()
}

// TestNoUpdateIsLost lets clients change the same user, each the version that it has read.
func TestNoUpdateIsLost(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		id := s.create("start").ID
		var mu sync.Mutex
		names := map[int]string{1: "start"} // by version
		clients(8, func(client int) {
			for i := range 12 {
				name := fmt.Sprintf("c%d-%d", client, i)
				version := s.read(id).Version
				a := s.do(rename, "id", id, "username", name, "version", version)
				mu.Lock()
				switch {
				case a.codes() == "STALE_VERSION":
				case len(a.Errors) > 0:
					t.Errorf("update: got %+v, want no error", a.Errors)
				case names[version+1] != "":
					t.Errorf("version %d: got it for %s and for %s, want it for one of them", version+1, names[version+1], name)
				default:
					names[version+1] = name
				}
				mu.Unlock()
			}
		})
		got := s.read(id)
		if got.Version != len(names) || got.Username != names[got.Version] {
			t.Errorf("after %d updates the user is %+v, want %s", len(names)-1, got, names[len(names)])
		}
	})
}

// TestOneNameOneUser lets clients create users of one name, or of one address, at the same time.
func TestOneNameOneUser(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		const create = "mutation ($username: String!, $email: String!) { createUser(input: {username: $username, email: $email}) { user { id } } }"
		for round := range 8 {
			var won atomic.Int32
			clients(6, func(client int) {
				username, email := fmt.Sprintf("user%d", round), fmt.Sprintf("c%d.%d@example.com", client, round)
				field := "username"
				if round%2 == 1 {
					username, email, field = fmt.Sprintf("c%d.%d", client, round), fmt.Sprintf("user%d@example.com", round), "email"
				}
				a := s.do(create, "username", username, "email", email)
				switch {
				case len(a.Errors) == 0:
					won.Add(1)
				case a.codes() != "TAKEN" || a.Errors[0].Extensions.Field[1] != field:
					t.Errorf("the other clients: got %+v, want TAKEN at the same field", a.Errors)
				}
			})
			if won.Load() != 1 {
				t.Errorf("got %d clients that created the user, want 1", won.Load())
			}
		}
	})
}

// TestReadersSeeWholeOperations changes two rows in each operation, while readers read both in one query.
func TestReadersSeeWholeOperations(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		u := s.create("state0", "state0")
		post := u.Posts.Nodes[0].ID
		done := make(chan struct{})
		var readers sync.WaitGroup
		for _, query := range []string{
			"post(id: $post) { title } user(by: {id: $user}) { username }",
			"user(by: {id: $user}) { username } post(id: $post) { title }",
			"user(by: {id: $user}) { username posts { nodes { title author { username } } } }",
			"posts(first: 1) { nodes { title author { username posts(first: 1) { nodes { title } } } } }",
		} {
			document, variables := operation("query", query, []variable{{"user", "ID!", u.ID}, {"post", "ID!", post}})
			readers.Go(func() {
				for reading := true; reading; {
					select {
					case <-done:
						reading = false // once more, since the writer may have been faster
					default:
					}
					a := s.do(document, variables...)
					states := strings.Split(string(a.Data), `"state`)[1:]
					for _, state := range states {
						if number, _, _ := strings.Cut(state, `"`); len(states) < 2 || !strings.HasPrefix(states[0], number+`"`) {
							t.Errorf("reader: got half an operation, %s %+v, want a whole one", a.Data, a.Errors)
							return
						}
					}
					if len(a.Errors) > 0 || len(states) == 0 {
						t.Errorf("reader: got %s %+v, want data", a.Data, a.Errors)
						return
					}
				}
			})
		}
		for i := range 40 {
			state := fmt.Sprintf("state%d", i+1)
			s.must(nil, `mutation ($user: ID!, $post: ID!, $state: String!) {
				updateUser(input: {id: $user, username: $state}) { user { id } }
				updatePost(input: {id: $post, title: $state}) { post { id } }
			}`, "user", u.ID, "post", post, "state", state)
		}
		close(done)
		readers.Wait()
	})
}

// TestReadersNeverMissAnAuthor creates and deletes users with their posts, while readers read posts with their authors.
func TestReadersNeverMissAnAuthor(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		done := make(chan struct{})
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for reading := true; reading; {
					select {
					case <-done:
						reading = false
					default:
					}
					if a := s.do("{ posts { nodes { title author { username posts { nodes { author { id } } } } } totalCount } }"); len(a.Errors) > 0 {
						t.Errorf("reader: got %s %+v, want no error", a.Data, a.Errors)
						return
					}
				}
			})
		}
		for i := range 40 {
			u := s.create(fmt.Sprintf("u%d", i), "one", "two")
			s.must(nil, "mutation ($id: ID!) { deleteUser(input: {id: $id, dependents: CASCADE}) { deletedId } }", "id", u.ID)
		}
		close(done)
		readers.Wait()
	})
}

// TestOperationsThatLockEachOther change two users in opposite orders.
func TestOperationsThatLockEachOther(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{database: func(o *database.Options) {
			if e == dbtest.PostgreSQL {
				set(o, "deadlock_timeout", "10ms") // it is a second, and costs each deadlock so much
			}
		}})
		a, b := s.create("a"), s.create("b")
		var changed, failed atomic.Int32
		clients(4, func(client int) {
			for i := range 10 {
				one, two := a.ID, b.ID
				if client%2 == 1 {
					one, two = b.ID, a.ID
				}
				answer := s.do(`mutation ($one: ID!, $two: ID!, $name: String!, $other: String!) {
					one: updateUser(input: {id: $one, username: $name}) { user { id } }
					two: updateUser(input: {id: $two, username: $other}) { user { id } }
				}`, "one", one, "two", two, "name", fmt.Sprintf("c%d-%d-1", client, i), "other", fmt.Sprintf("c%d-%d-2", client, i))
				switch {
				case len(answer.Errors) == 0:
					changed.Add(1)
				case answer.codes() == "CONFLICT":
					failed.Add(1)
				default:
					t.Errorf("operation: got %+v, want no error", answer.Errors)
				}
			}
		})
		t.Logf("%d operations succeeded, %d lost again and again", changed.Load(), failed.Load())
		want := 1 + int(changed.Load())
		if v, w := s.read(a.ID).Version, s.read(b.ID).Version; v != want || w != want {
			t.Errorf("versions: got %d and %d, want both %d", v, w, want)
		}
		if changed.Load() == 0 {
			t.Error("got no successful operation, want at least one")
		}
	})
}

// set sets a parameter of each connection.
func set(o *database.Options, name, value string) {
	separator := "?"
	if strings.Contains(o.URL, "?") {
		separator = "&"
	}
	o.URL += separator + name + "=" + value
}

// TestConflict waits in vain for a row that another one holds, again and again.
func TestConflict(t *testing.T) {
	t.Parallel()
	for e, timeout := range map[dbtest.Engine][2]string{
		dbtest.PostgreSQL: {"lock_timeout", "20ms"},
		dbtest.MySQL:      {"innodb_lock_wait_timeout", "1"}, // seconds; there is nothing shorter
	} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			s := serve(t, e, settings{
				database: func(o *database.Options) { set(o, timeout[0], timeout[1]) },
				graph:    func(o *graph.Options) { o.Clock = tick(time.Now(), time.Second) }, // the time for retries is soon over
			})
			u := s.create("ada")
			release := s.hold(u.ID)
			s.fails("CONFLICT", rename, "id", u.ID, "username", "eva", "version", nil)
			release()
			s.must(nil, rename, "id", u.ID, "username", "eva", "version", nil)
			if got := s.read(u.ID); got.Version != 2 {
				t.Errorf("got the user %+v, want version 2", got)
			}
		})
	}
}

// hold locks a user, as an operation does that does not end, until release is called.
func (s *tester) hold(id string) (release func()) {
	s.Helper()
	parsed, err := typeid.Parse(id)
	if err != nil {
		s.Fatal(err)
	}
	session := s.db.Session(database.Write)
	s.Cleanup(session.Rollback)
	if _, err := ent.NewClient(ent.Driver(session)).User.Reader().Lock(rules.WithCaller(s.Context(), rules.Everyone()), parsed); err != nil {
		s.Fatal(err)
	}
	return session.Rollback
}

// TestTimeout lets an operation wait for a row for longer than it may take: nothing of it stays.
func TestTimeout(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{graph: func(o *graph.Options) { o.RequestTimeout = 300 * time.Millisecond }})
		free, held := s.create("free"), s.create("held")
		release := s.hold(held.ID)
		a := s.fails("TIMEOUT", `mutation ($free: ID!, $held: ID!) {
			free: updateUser(input: {id: $free, username: "changed"}) { user { id } }
			held: updateUser(input: {id: $held, username: "changed2"}) { user { id } }
		}`, "free", free.ID, "held", held.ID)
		if string(a.Data) != "null" {
			t.Errorf("got the data %s, want null", a.Data)
		}
		release()
		if got := s.read(free.ID); got.Version != 1 {
			t.Errorf("after the rollback: got %+v, want version 1", got)
		}
	})
}

// TestClientGoesAway ends a request while its operation waits for a row: nothing of it stays.
func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		s := serve(t, e, settings{})
		free, held := s.create("free"), s.create("held")
		release := s.hold(held.ID)
		ctx, cancel := context.WithCancel(t.Context())
		body := s.body(`mutation ($free: ID!, $held: ID!) {
			free: updateUser(input: {id: $free, username: "changed"}) { user { id } }
			held: updateUser(input: {id: $held, username: "changed2"}) { user { id } }
		}`, "free", free.ID, "held", held.ID)
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		ended := make(chan error)
		go func() {
			response, err := s.client.Do(request)
			if err == nil {
				err = errors.Join(errors.New("it was answered"), response.Body.Close())
			}
			ended <- err
		}()
		if e != dbtest.SQLite { // where one writes at a time, and the operation does not begin
			s.wait(s.blocked)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the request: got %v, want context.Canceled", err)
		}
		s.wait(func() bool { return s.running.Load() == 0 })
		release()
		s.must(nil, rename, "id", free.ID, "username", "next", "version", 1) // where the server still holds the row, this waits
		if got := s.read(held.ID); got.Version != 1 {
			t.Errorf("after the rollback: got %+v, want version 1", got)
		}
	})
}

// blocked reports whether somebody waits for a row of the test's database.
func (s *tester) blocked() bool {
	s.Helper()
	query := "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	switch {
	case s.engine == dbtest.MySQL && dbtest.IsMariaDB(s):
		query = `SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
			WHERE p.db = DATABASE() AND t.trx_state = 'LOCK WAIT'`
	case s.engine == dbtest.MySQL:
		query = `SELECT COUNT(*) FROM performance_schema.data_lock_waits w JOIN performance_schema.threads t ON t.thread_id = w.requesting_thread_id
			WHERE t.processlist_db = DATABASE()`
	}
	rows, waiting := new(sql.Rows), 0
	if err := s.db.Session(database.Single).Query(s.Context(), query, []any{}, rows); err != nil {
		s.Fatal(err)
	}
	for rows.Next() {
		if err := rows.Scan(&waiting); err != nil {
			s.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		s.Fatal(err)
	}
	return waiting > 0
}

// wait returns when a condition holds, and fails after a while.
func (s *tester) wait(condition func() bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	ticker := time.NewTicker(150 * time.Millisecond) // what MariaDB tells of locks gets older while it is asked more often
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			s.Fatal("the wait is over")
		case <-ticker.C:
		}
	}
}

// TestPanic makes the source of IDs panic in the middle of an operation: nothing of it stays, and one line tells it.
func TestPanic(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		random := &brittle{source: rand.NewChaCha8([32]byte{})}
		s := serve(t, e, settings{graph: func(o *graph.Options) { o.IDs = typeid.NewSource(o.Clock, random) }})
		u := s.create("ada")
		random.broken.Store(true)
		a := s.fails("INTERNAL", `mutation ($id: ID!) {
			updateUser(input: {id: $id, username: "eva"}) { user { id } }
			createPost(input: {authorId: $id, title: "T"}) { post { id } }
		}`, "id", u.ID)
		if string(a.Data) != "null" || a.Errors[0].Message != "internal error" || a.Errors[0].Extensions.RequestID != "request-1" {
			t.Errorf("got %s %+v, want an internal error with the ID of the request", a.Data, a.Errors)
		}
		lines := s.failures.take()
		if len(lines) != 1 || !strings.Contains(lines[0], "no randomness") || !strings.Contains(lines[0], "requestId=request-1") || !strings.Contains(lines[0], "brittle") {
			t.Errorf("got the log %q, want the panic, the request and the stack", lines)
		}
		random.broken.Store(false)
		if got := s.read(u.ID); got.Username != "ada" || got.Posts.TotalCount != 0 {
			t.Errorf("after the rollback: got %+v, want ada without posts", got)
		}
		s.must(nil, rename, "id", u.ID, "username", "eva", "version", 1)
	})
}

// brittle is randomness that can break.
type brittle struct {
	source *rand.ChaCha8
	broken atomic.Bool
}

func (b *brittle) Read(p []byte) (int, error) {
	if b.broken.Load() {
		panic("no randomness: it is brittle")
	}
	return b.source.Read(p)
}

// TestDatabaseAway cuts the way to the database between two requests.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	overNetwork(t, 0, func(t *testing.T, s *tester, proxy *dbtest.Proxy) {
		u := s.create("ada", "Engines")
		const (
			one     = "query ($id: ID!) { user(by: {id: $id}) { username } }"
			several = "query ($id: ID!) { user(by: {id: $id}) { username posts { nodes { title } } } }"
		)
		clients(6, func(int) { s.do(several, "id", u.ID) }) // several connections are open
		for round := range 2 {
			proxy.Cut()
			for _, document := range []string{one, several} {
				a := s.fails("UNAVAILABLE", document, "id", u.ID)
				if string(a.Data) != `{"user":null}` {
					t.Errorf("got the data %s, want no user", a.Data)
				}
			}
			if a := s.fails("UNAVAILABLE", rename, "id", u.ID, "username", "eva", "version", nil); string(a.Data) != "null" {
				t.Errorf("got the data %s, want null", a.Data)
			}
			for _, accept := range []string{"application/json", "application/graphql-response+json", "text/event-stream"} {
				response, text := s.send(http.MethodPost, s.url, s.body(`{ users { nodes { id } } }`), "Accept", accept)
				if got := response.Header.Get("Retry-After"); response.StatusCode != http.StatusOK || got != "1" || !strings.Contains(string(text), `"UNAVAILABLE"`) {
					t.Errorf("%s without a database: got %d, Retry-After %q and %s, want 200, 1 and UNAVAILABLE", accept, response.StatusCode, got, text)
				}
			}
			s.unavailableOnSocket(`{ users { nodes { id } } }`)
			if response, _ := s.send(http.MethodGet, strings.Replace(s.url, "/graphql", "/readyz", 1), nil); response.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("readiness without a database: got %d, want 503", response.StatusCode)
			}
			proxy.Restore()
			s.must(nil, []string{several, one}[round], "id", u.ID)
			if response, _ := s.send(http.MethodPost, s.url, s.body(`{ users { nodes { id } } }`)); response.Header.Get("Retry-After") != "" {
				t.Errorf("with the database: got Retry-After %q, want none", response.Header.Get("Retry-After"))
			}
			s.must(nil, rename, "id", u.ID, "username", fmt.Sprintf("ada%d", round), "version", round+1)
			proxy.Cut() // no request notices that the connections were broken for a moment
			proxy.Restore()
			clients(6, func(i int) {
				a := s.do([]string{one, several}[i%2], "id", u.ID)
				if len(a.Errors) > 0 {
					t.Errorf("after the return of the database: got %+v, want no error", a.Errors)
				}
			})
		}
	})
}

// TestDatabaseFrozen sends operations to a database that keeps its connections but does not answer. Each one waits for one
// statement: no retry and no other way of the query waits again. An operation that has changed nothing is UNAVAILABLE.
func TestDatabaseFrozen(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			var proxy *dbtest.Proxy
			var waited atomic.Int64
			s := serve(t, e, settings{
				database: func(o *database.Options) {
					o.URL, proxy = dbtest.ProxyURL(t, o.URL)
					o.StatementTimeout, o.ConnectTimeout = time.Second, time.Second
					o.Sent = func(_ context.Context, statement record.Statement) {
						if statement.Failed && strings.Contains(statement.Text, "username_key") {
							waited.Add(1)
						}
					}
				},
				graph: func(o *graph.Options) { o.Clock = time.Now },
			})
			s.create("ada")
			proxy.Mute(true)
			defer proxy.Mute(false)
			const query = "{ user(by: {username: \"ada\"}) { username } }"
			s.fails("UNAVAILABLE", query)
			if n := waited.Load(); n != 1 {
				t.Errorf("got %d statements that waited, want 1: resolvers do not repeat the wait", n)
			}
			s.fails("UNAVAILABLE", `mutation { createUser(input: {username: "eve", email: "eve@example.com"}) { user { id } } }`)
			proxy.Mute(false)
			for deadline := time.Now().Add(time.Minute); ; {
				if a := s.do(query); len(a.Errors) == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("the database is back: got no answer within a minute, want one")
				}
			}
		})
	}
}

// unavailableOnSocket sends a query over a WebSocket, where the answer has the code alone, and the socket stays open.
func (s *tester) unavailableOnSocket(document string) {
	s.Helper()
	c, _, err := websocket.Dial(s.Context(), s.url, &websocket.DialOptions{HTTPClient: s.client, Subprotocols: []string{"graphql-transport-ws"}}) //nolint:bodyclose // the library does
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	for _, message := range []string{`{"type":"connection_init"}`, fmt.Sprintf(`{"type":"subscribe","id":"1","payload":{"query":%q}}`, document), `{"type":"ping"}`} {
		if err := c.Write(s.Context(), websocket.MessageText, []byte(message)); err != nil {
			s.Fatal(err)
		}
	}
	var got []string
	for range 4 { // the answer to the ping comes at any time
		_, text, err := c.Read(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		got = append(got, string(text))
	}
	slices.Sort(got)
	if !strings.HasPrefix(got[2], `{"type":"next","id":"1"`) || !strings.Contains(got[2], `"code":"UNAVAILABLE"`) ||
		got[0] != `{"type":"complete","id":"1"}` || got[3] != `{"type":"pong"}` {
		s.Errorf("over a WebSocket without a database: got %q, want the code UNAVAILABLE and an open socket", got)
	}
}

// TestStandby sends an operation to a standby that is promoted when it has refused the first attempt.
func TestStandby(t *testing.T) {
	t.Parallel()
	server, err := servers.StartPostgres(t.Context(), "wal_level=replica")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	logged := new(recording)
	s := serve(t, dbtest.PostgreSQL, settings{database: func(o *database.Options) {
		o.URL = administer(t, server, "CREATE DATABASE d TEMPLATE template0 ENCODING 'UTF8'", "/d")
		migrated.Open(t, dbtest.PostgreSQL, func(first *database.Options) { first.URL = o.URL })
		if err := server.Restart(t.Context(), servers.Standby); err != nil {
			t.Fatal(err)
		}
		o.Logger = slog.New(failures{slog.NewTextHandler(lines(func(line string) { // before the operation is tried again
			logged.add(line)
			administer(t, server, "SELECT pg_promote()", "")
		}), nil)})
	}})
	u := s.create("ada")
	if log := logged.take(); len(log) != 1 || !strings.Contains(log[0], "the database is read only") {
		t.Errorf("got the log %q, want one line about a read-only database", log)
	}
	if got := s.read(u.ID); got.Version != 1 || got.Username != "ada" {
		t.Errorf("got the user %+v, want ada with version 1", got)
	}
}

// administer runs a statement on a server, and returns the URL of one of its databases.
func administer(t *testing.T, server *servers.Server, statement, path string) string {
	t.Helper()
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Error(err)
		return ""
	}
	admin, err := servers.Open(server.URL())
	if err != nil {
		t.Error(err)
		return ""
	}
	_, err = admin.ExecContext(t.Context(), statement)
	if err := errors.Join(err, admin.Close()); err != nil {
		t.Errorf("%s: %v", statement, err)
	}
	u.Path = path
	return u.String()
}

// lines is a writer of lines.
type lines func(line string)

func (f lines) Write(b []byte) (int, error) { f(string(b)); return len(b), nil }

// TestReadOnlyConnection has an open connection on which MariaDB takes no changes: an operation meets it, and is tried again
// on a new one.
func TestReadOnlyConnection(t *testing.T) {
	t.Parallel()
	s := serve(t, dbtest.MySQL, settings{database: func(o *database.Options) { o.MaxConnections = 1 }}) // it is the one that is used
	u := s.create("ada")
	session := s.db.Session(database.Write)
	defer session.Rollback()
	if err := errors.Join(session.Exec(t.Context(), "SET SESSION TRANSACTION READ ONLY", []any{}, nil), session.Commit()); err != nil {
		t.Fatal(err)
	}
	s.must(nil, rename, "id", u.ID, "username", "eva", "version", 1)
	if log := s.failures.take(); len(log) != 1 || !strings.Contains(log[0], "the database is read only") {
		t.Errorf("got the log %q, want one line about a read-only database", log)
	}
	if got := s.read(u.ID); got.Version != 2 || got.Username != "eva" {
		t.Errorf("got the user %+v, want eva with version 2", got)
	}
}

// TestLostAnswers loses the answer to the first, the second, the third request to the database of one operation, and so
// on. It succeeds, or says that its outcome is unknown; what it did, it did once and whole.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	overNetwork(t, 1, func(t *testing.T, s *tester, proxy *dbtest.Proxy) { // one statement after the other
		var unknown []string
		for n := 1; ; n++ {
			name := fmt.Sprintf("user%d", n)
			var lost string
			left, before := n, s.commits.Load()
			proxy.LoseAnswers(func(request []byte) bool {
				left--
				if left == 0 {
					lost = string(request)
				}
				return left == 0
			})
			a := s.do(`mutation ($name: String!, $email: String!) {
					createUser(input: {username: $name, email: $email, posts: [{title: "one"}, {title: "two"}]}) { user { id } }
				}`, "name", name, "email", name+"@example.com")
			proxy.LoseAnswers(nil)
			switch a.codes() {
			case "":
			case "OUTCOME_UNKNOWN":
				if string(a.Data) != "null" || a.Errors[0].Extensions.RequestID == "" {
					t.Errorf("got %s %+v, want null with the ID of the request", a.Data, a.Errors)
				}
				unknown = append(unknown, lost)
				s.failures.take() // the log has it
			default:
				t.Errorf("without the answer to %q: got %+v, want data or an unknown outcome", lost, a.Errors)
			}
			var data struct{ User *user }
			s.must(&data, "query ($name: String!) { user(by: {username: $name}) { posts { nodes { title } } } }", "name", name)
			if data.User == nil || len(data.User.Posts.Nodes) != 2 {
				t.Errorf("without the answer to %q: got the user %+v, want two posts", lost, data.User)
			}
			if told := s.commits.Load() - before; told != 1 {
				t.Errorf("without the answer to %q: got %d calls of Committed, want 1", lost, told)
			}
			if left > 0 { // the operation did not send so many
				break
			}
		}
		if !slices.ContainsFunc(unknown, func(request string) bool { return strings.Contains(request, "COMMIT") }) || len(unknown) != 1 {
			t.Errorf("unknown outcomes: got them after %q, want only after COMMIT", unknown)
		}
	})
}

// TestLostCommitOfQuery loses the answer to the COMMIT of what only read: the answer of the query, with the errors of its
// fields, is what it is otherwise.
func TestLostCommitOfQuery(t *testing.T) {
	t.Parallel()
	overNetwork(t, 0, func(t *testing.T, s *tester, proxy *dbtest.Proxy) {
		s.create("ada", "One")
		const query = `{ user(by: {id: "post_01kg9p6je5tqmrz92xxm1cr6rb"}) { id } users { nodes { username posts { nodes { title } } } } }`
		want := s.fails("INVALID", query)
		lost := false
		proxy.LoseAnswers(func(request []byte) bool {
			lost = lost || bytes.Contains(request, []byte("COMMIT"))
			return lost
		})
		got := s.fails("INVALID", query)
		proxy.LoseAnswers(nil)
		if string(got.Data) != string(want.Data) || !lost {
			t.Errorf("the COMMIT was lost: %v; %s, want %s", lost, got.Data, want.Data)
		}
	})
}
