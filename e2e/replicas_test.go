package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roster/e2e/program"
	"roster/internal/consistency"
	"roster/internal/dbtest"
	"roster/internal/dbtest/servers"
)

// pair is a primary with a replica.
type pair struct {
	primary, replica *servers.Server
	hold, goOn       string // the statement that stops the replica from replaying the log, and the one that lets it go on
	promote          func(context.Context) error
	second           func(*testing.T) *servers.Server // starts another replica
}

func postgresPair(t *testing.T) pair {
	t.Helper()
	p := pair{hold: "SELECT pg_wal_replay_pause()", goOn: "SELECT pg_wal_replay_resume()"}
	p.primary = dbtest.Keep(t)(servers.StartPostgresPrimary(t.Context()))
	p.replica = dbtest.Keep(t)(servers.StartPostgresStandby(t.Context(), p.primary, "replica"))
	p.promote = p.replica.Promote
	p.second = func(t *testing.T) *servers.Server {
		t.Helper()
		return dbtest.Keep(t)(servers.StartPostgresStandby(t.Context(), p.primary, "second"))
	}
	return p
}

func mariadbPair(t *testing.T) pair {
	t.Helper()
	p := pair{hold: "STOP SLAVE SQL_THREAD", goOn: "START SLAVE SQL_THREAD"}
	p.primary = dbtest.Keep(t)(servers.StartMariaDBPrimary(t.Context()))
	p.replica = dbtest.Keep(t)(servers.StartMariaDBReplica(t.Context(), p.primary, 2))
	p.promote = func(ctx context.Context) error {
		return p.replica.Execute(ctx, "STOP SLAVE", "RESET SLAVE ALL", "CREATE DATABASE taken")
	}
	p.second = func(t *testing.T) *servers.Server {
		t.Helper()
		return dbtest.Keep(t)(servers.StartMariaDBReplica(t.Context(), p.primary, 3))
	}
	return p
}

// eachPair runs f for each engine that has replicas.
func eachPair(t *testing.T, f func(t *testing.T, p pair)) {
	t.Helper()
	for name, start := range map[string]func(*testing.T) pair{"postgres": postgresPair, "mysql": mariadbPair} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, start(t))
		})
	}
}

// databaseOn returns the URL of the database roster on a server.
func databaseOn(t *testing.T, s *servers.Server) string {
	t.Helper()
	return namedOn(t, s, "roster")
}

// namedOn returns the URL of a database on a server.
func namedOn(t *testing.T, s *servers.Server, name string) string {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal("a URL is malformed")
	}
	u.Path = "/" + name
	return u.String()
}

// create creates the database roster.
func (p pair) create(t *testing.T) {
	t.Helper()
	p.execute(t, p.primary, p.statement())
}

// statement returns the statement that creates the database roster.
func (p pair) statement() string {
	if strings.HasPrefix(p.primary.URL(), "postgres") {
		return "CREATE DATABASE roster TEMPLATE template0"
	}
	return "CREATE DATABASE roster CHARACTER SET utf8mb4"
}

func (pair) execute(t *testing.T, s *servers.Server, statements ...string) {
	t.Helper()
	if err := s.Execute(t.Context(), statements...); err != nil {
		t.Fatal(err)
	}
}

// replicated is a server of Roster whose database has replicas, and its client.
type replicated struct {
	*process
	socket string // of the admin listener
}

// serve starts a server on a pair.
func (p pair) serve(t *testing.T, binary string, flags ...string) *replicated {
	t.Helper()
	return serveReplicated(t, binary, databaseOn(t, p.primary), []string{databaseOn(t, p.replica)}, flags...)
}

// serveReplicated starts a server on a database with replicas.
func serveReplicated(t *testing.T, binary, primary string, replicas []string, flags ...string) *replicated {
	t.Helper()
	u, err := url.Parse(primary)
	if err != nil {
		t.Fatal("a URL is malformed")
	}
	r := &replicated{socket: filepath.Join(t.TempDir(), "admin")}
	name := map[bool]string{true: "PostgreSQL", false: "MySQL"}[u.Scheme == "postgres"] + " (" + u.Host + u.Path + ")"
	variables := []string{"DATABASE_REPLICA_URLS=" + strings.Join(replicas, ","), "ROSTER_ADMIN_LISTEN=unix:" + r.socket, "ROSTER_LOG_FORMAT=json"}
	r.process = startIn(t, variables, binary, primary, name, flags...)
	return r
}

// metric returns the value of a metric, or 0.
func (r *replicated) metric(t *testing.T, name string) float64 {
	t.Helper()
	return program.Metrics(t, r.socket)[name]
}

// lines returns the number of lines of the log that have all the texts.
func (r *replicated) lines(texts ...string) (n int) {
	for line := range strings.Lines(r.Log.String()) {
		has := true
		for _, text := range texts {
			has = has && strings.Contains(line, text)
		}
		if has {
			n++
		}
	}
	return n
}

// wants waits until a condition is true.
func (r *replicated) wants(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(time.Minute); !condition(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s; the log:\n%s", what, r.Log)
		}
	}
}

// nameOf returns the name of a replica in metrics and in the log.
func nameOf(s *servers.Server, database string) string {
	system := map[bool]string{true: "PostgreSQL", false: "MySQL"}[strings.HasPrefix(s.URL(), "postgres")]
	return system + " (" + s.Addr() + "/" + database + ")"
}

// outMetric returns the series of a reason to leave out a replica.
func outMetric(s *servers.Server, database, reason string) string {
	return fmt.Sprintf(`roster_replica_out{reason="%s",replica="%s"}`, reason, nameOf(s, database))
}

// uses reports whether queries go to a replica.
func (r *replicated) uses(t *testing.T, s *servers.Server, database string) bool {
	t.Helper()
	return r.metric(t, `roster_replica_used{replica="`+nameOf(s, database)+`"}`) == 1
}

// leftOut reports whether a replica is left out for a reason, and whether the log has a line with a text of this reason. A slow
// machine can have had another reason before, such as a replica that did not answer in time.
func (r *replicated) leftOut(t *testing.T, s *servers.Server, database, reason, text string) bool {
	t.Helper()
	for _, message := range []string{"a replica is left out: other servers answer queries", "a replica is still left out, for another reason"} {
		if r.lines(`"`+message+`"`, nameOf(s, database), text) > 0 {
			return r.metric(t, outMetric(s, database, reason)) == 1
		}
	}
	return false
}

// leavesOut waits until a replica is left out for a reason.
func (r *replicated) leavesOut(t *testing.T, s *servers.Server, database, reason, text string) {
	t.Helper()
	r.wants(t, reason, func() bool { return r.leftOut(t, s, database, reason, text) })
}

// saysOnce checks that no line of the log about a replica follows itself.
func (r *replicated) saysOnce(t *testing.T, s *servers.Server) {
	t.Helper()
	last := ""
	for line := range strings.Lines(r.Log.String()) {
		if _, line, _ = strings.Cut(line, `"msg":"a replica `); !strings.Contains(line, s.Addr()) {
			continue
		}
		if line == last {
			t.Errorf("the log has a line twice in a row, want it once: %s", line)
		}
		last = line
	}
	if last == "" {
		t.Error("the log has no line about the replica, want some")
	}
}

// asks sends an operation with headers, and returns its status, its data, the code of its first error, and its token.
func (r *replicated) asks(t *testing.T, query string, headers ...string) (status int, data, code, token string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL+"/graphql", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	client := &http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Data   json.RawMessage
		Errors []struct{ Extensions struct{ Code string } }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Errors) > 0 {
		code = answer.Errors[0].Extensions.Code
	}
	return response.StatusCode, string(answer.Data), code, response.Header.Get(tokenHeader)
}

const tokenHeader = "Roster-Consistency"

// rename sets the email of ada and returns the token of the answer.
func (r *replicated) rename(t *testing.T, email string) string {
	t.Helper()
	_, data, code, token := r.asks(t, fmt.Sprintf(`mutation { updateUser(input: { id: %q, email: %q }) { user { email } } }`, r.ada(t), email))
	if code != "" || token == "" {
		t.Fatalf("a mutation: got %s, %s and the token %q, want data and a token", data, code, token)
	}
	return token
}

// ada returns the ID of ada, whom it creates the first time.
func (r *replicated) ada(t *testing.T) string {
	t.Helper()
	var found struct {
		User       *struct{ ID string }
		CreateUser struct{ User struct{ ID string } }
	}
	// The primary answers queries of changes.
	_, data, _, _ := r.asks(t, `{ user(by: { username: "ada" }) { id } changesCursor }`)
	if err := json.Unmarshal([]byte(data), &found); err != nil {
		t.Fatal(err)
	}
	if found.User != nil {
		return found.User.ID
	}
	_, data, code, _ := r.asks(t, `mutation { createUser(input: { username: "ada", email: "first@example.com" }) { user { id } } }`)
	if err := json.Unmarshal([]byte(data), &found); err != nil {
		t.Fatal(err, code)
	}
	return found.CreateUser.User.ID
}

// email wants that a query with headers finds an email address of ada.
func (r *replicated) email(t *testing.T, what, want string, headers ...string) {
	t.Helper()
	const query = `{ user(by: { username: "ada" }) { email } }`
	// One statement reads alone, and two have a transaction. A fragment on an unknown variable of @include has resolvers.
	for _, query := range []string{query, `{ user(by: { username: "ada" }) { email } users { totalCount } }`} {
		_, data, code, token := r.asks(t, query, headers...)
		if !strings.Contains(data, `"email":"`+want+`"`) || code != "" || token != "" {
			t.Errorf("%s: %s: got %s, %s and the token %q, want %s and no token; the log:\n%s", what, query, data, code, token, want, r.Log)
		}
	}
}

// TestReplicas writes and reads while the replica lags. With the token of a mutation, a query reads what the mutation has
// written; without it, what the replica has.
func TestReplicas(t *testing.T) {
	t.Parallel()
	binary := build(t)
	eachPair(t, func(t *testing.T, p pair) {
		p.create(t)
		r := p.serve(t, binary, "--replica-max-staleness=1h")
		r.wants(t, "the replica is used", func() bool { return r.uses(t, p.replica, "roster") })
		onReplica := `roster_reads_total{server="` + nameOf(p.replica, "roster") + `"}`
		token := r.rename(t, "second@example.com")
		r.email(t, "with the token", "second@example.com", tokenHeader, token)
		r.wants(t, "the replica has answered", func() bool {
			r.email(t, "with the token", "second@example.com", tokenHeader, token)
			return r.metric(t, onReplica) > 0
		})
		r.strange(t, token, onReplica)
		p.execute(t, p.replica, p.hold)
		later := r.rename(t, "third@example.com")
		if later <= token {
			t.Errorf("the tokens of two mutations: got %s and %s, want the later one to be greater", token, later)
		}
		r.email(t, "with the token, while the replica lags", "third@example.com", tokenHeader, later)
		r.email(t, "with an earlier token, while the replica lags", "second@example.com", tokenHeader, token)
		r.email(t, "without a token, while the replica lags", "second@example.com")
		r.email(t, "resolvers without a token, while the replica lags", "second@example.com", "X-Roster-Profile", "1")
		r.replayed(t)
		r.faults(t)
		r.copies(t)
		r.socketReads(t)
		p.execute(t, p.replica, p.goOn)
		r.wants(t, "the replica has caught up", func() bool {
			_, data, _, _ := r.asks(t, `{ user(by: { username: "ada" }) { email } }`)
			return strings.Contains(data, "socket@example.com")
		})
		r.stop(t, syscall.SIGTERM)
	})
}

// replayed repeats a mutation by its key: the answer has a token too, with which queries read the mutation.
func (r *replicated) replayed(t *testing.T) {
	t.Helper()
	mutation := fmt.Sprintf(`mutation { updateUser(input: { id: %q, email: "key@example.com" }) { user { email } } }`, r.ada(t))
	_, first, _, token := r.asks(t, mutation, "Idempotency-Key", "k")
	_, second, _, again := r.asks(t, mutation, "Idempotency-Key", "k")
	if first != second || token == "" || again < token {
		t.Errorf("a repeated mutation: got %s with the token %q, and %s with %q, want the same answer, and a token that is not less", first, token, second, again)
	}
	r.email(t, "with the token of a repeated mutation", "key@example.com", tokenHeader, again)
	other := strings.Replace(mutation, "key@", "other@", 1)
	if _, _, code, token := r.asks(t, other, "Idempotency-Key", "k"); code != "IDEMPOTENCY_KEY_REUSED" || token == "" {
		t.Errorf("a key with another mutation: got %s and the token %q, want IDEMPOTENCY_KEY_REUSED and a token", code, token)
	}
}

// faults wants tokens of mutations that failed because of rows that the replica, which is held, does not have: after the error, a
// client reads what the error was about.
func (r *replicated) faults(t *testing.T) {
	t.Helper()
	id := r.ada(t)
	const create = `mutation { createUser(input: { username: %q, email: %q }) { user { id } } }`
	if _, data, code, _ := r.asks(t, fmt.Sprintf(create, "bob", "bob@example.com")); code != "" {
		t.Fatalf("got %s and %s, want a user", data, code)
	}
	var read struct{ Node struct{ Version int } }
	version := fmt.Sprintf("{ node(id: %q) { ... on User { version } } }", id)
	_, data, _, _ := r.asks(t, version)
	if err := json.Unmarshal([]byte(data), &read); err != nil {
		t.Fatal(err)
	}
	stale := read.Node.Version
	for _, test := range []struct{ mutation, code, query, data string }{
		{
			fmt.Sprintf(`mutation { updateUser(input: { id: %q, email: "stale@example.com", expectedVersion: %d }) { user { id } } }`, id, stale), "STALE_VERSION",
			version, "",
		},
		{fmt.Sprintf(create, "bob", "other@example.com"), "TAKEN", `{ user(by: { username: "bob" }) { email } }`, `{"user":{"email":"bob@example.com"}}`},
		{
			`mutation { deleteUser(input: { id: "` + strangeID(id) + `" }) { deletedId } }`, "NOT_FOUND",
			`{ user(by: { username: "bob" }) { email } }`, `{"user":{"email":"bob@example.com"}}`,
		},
	} {
		_, data, code, token := r.asks(t, test.mutation)
		if code != test.code || data != "null" || token == "" {
			t.Errorf("%s: got %s, %s and the token %q, want %s and a token", test.mutation, data, code, token, test.code)
			continue
		}
		if _, data, _, _ = r.asks(t, test.query); data == test.data {
			t.Errorf("%s: got %s without a token: the replica is not behind", test.query, data)
		}
		_, data, _, _ = r.asks(t, test.query, tokenHeader, token)
		if test.data != "" && data != test.data {
			t.Errorf("%s after %s: got %s, want %s", test.query, test.code, data, test.data)
		}
		if test.data == "" {
			if err := json.Unmarshal([]byte(data), &read); err != nil || read.Node.Version <= stale {
				t.Errorf("%s after %s: got %s (%v), want a version after %d", test.query, test.code, data, err, stale)
			}
		}
	}
	// These did not reach the database.
	for mutation, want := range map[string]string{
		`mutation { createUser(input: { username: "", email: "x" }) { user { id } } }`: "BLANK",
		`mutation { nothing }`: "GRAPHQL_VALIDATION_FAILED",
	} {
		if _, data, code, token := r.asks(t, mutation); code != want || token != "" {
			t.Errorf("%s: got %s, %s and the token %q, want %s and none", mutation, data, code, token, want)
		}
	}
}

// strangeID returns the ID of a user that does not exist.
func strangeID(id string) string {
	last := map[bool]string{true: "1", false: "0"}[strings.HasSuffix(id, "0")]
	return id[:len(id)-1] + last
}

// copies takes a copy of the data, page by page, while the replica is held. A client that sends the token of the cursor misses no
// change: what is before the cursor is on the later pages.
func (r *replicated) copies(t *testing.T) {
	t.Helper()
	const page = `{ %s users(first: 1%s) { nodes { username email } pageInfo { endCursor } } }`
	r.rename(t, "copied@example.com") // the replica has neither this nor bob
	type copied struct {
		ChangesCursor string
		Users         struct {
			Nodes    []struct{ Username, Email string }
			PageInfo struct{ EndCursor string }
		}
	}
	ask := func(query string, headers ...string) (c copied, token string) {
		_, data, code, token := r.asks(t, query, headers...)
		if err := json.Unmarshal([]byte(data), &c); err != nil || code != "" {
			t.Fatalf("%s: got %s and %s: %v", query, data, code, err)
		}
		return c, token
	}
	ask(`{ changes(first: 1) { caughtUp } }`) // all changes get their numbers, so that the cursor is after them
	first, token := ask(fmt.Sprintf(page, "changesCursor", ""))
	if token == "" || len(first.Users.Nodes) != 1 || first.Users.Nodes[0].Email != "copied@example.com" {
		t.Fatalf("the first page: got %v and the token %q, want ada as she is now, and a token", first, token)
	}
	second := fmt.Sprintf(page, "", `, after: "`+first.Users.PageInfo.EndCursor+`"`)
	if got, _ := ask(second); len(got.Users.Nodes) != 0 {
		t.Errorf("the second page without the token: got %v: the replica is not behind", got)
	}
	if got, again := ask(second, tokenHeader, token); len(got.Users.Nodes) != 1 || got.Users.Nodes[0].Username != "bob" || again != "" {
		t.Errorf("the second page with the token: got %v and the token %q, want bob and none", got, again)
	}
	changes := `{ changes(after: "` + first.ChangesCursor + `") { changes { nodeId } } }`
	if _, data, _, token := r.asks(t, changes); data != `{"changes":{"changes":[]}}` || token == "" {
		t.Errorf("the changes after the cursor: got %s and the token %q, want none and a token", data, token)
	}
	if _, token := ask("query { changesCursor @skip(if: true) users(first: 1) { nodes { username } } }"); token != "" {
		t.Errorf("a query without the cursor: got the token %q, want none", token)
	}
	r.getsToken(t)
}

// getsToken asks for the cursor by GET: no cache may keep the token.
func (r *replicated) getsToken(t *testing.T) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.URL+"/graphql?query="+url.QueryEscape("{ changesCursor }"), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Timeout: time.Minute}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	h := response.Header
	if h.Get(tokenHeader) == "" || h.Get("Cache-Control") != "no-store" || h.Get("ETag") != "" {
		t.Errorf("the cursor by GET: got %d and %v, want a token that nobody stores", response.StatusCode, h)
	}
}

// strange sends tokens that are malformed, and those that no replica can reach: the primary answers these.
func (r *replicated) strange(t *testing.T, token, onReplica string) {
	t.Helper()
	const query = `{ user(by: { username: "ada" }) { email } }`
	for _, headers := range [][]string{
		{tokenHeader, ""},
		{tokenHeader, "x"},
		{tokenHeader, token[1:]},
		{tokenHeader, strings.ToLower(token)},
		{tokenHeader, token + token},
		{tokenHeader, strings.Repeat("0", 10_000)},
		{tokenHeader, token, tokenHeader, token},
		{tokenHeader, token + "," + token},
		{tokenHeader, token + ", "},
	} {
		if status, data, code, _ := r.asks(t, query, headers...); status != http.StatusBadRequest || code != "BAD_REQUEST" || data != "" {
			t.Errorf("%.200v: got %d, %s and %s, want 400 and BAD_REQUEST", headers, status, data, code)
		}
	}
	p, err := consistency.Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	other, beyond, branch := p, p, p
	other.Database[0]++
	beyond.Number += 1 << 40
	branch.Branch++
	before := r.metric(t, onReplica)
	for what, position := range map[string]consistency.Position{
		"another cluster": other, "beyond the primary": beyond, "another branch": branch, "the last one": consistency.Last(p.Database, p.Log),
		"another kind of log": {Database: p.Database, Log: 9, Branch: p.Branch, Number: p.Number},
	} {
		r.email(t, what, "second@example.com", tokenHeader, position.String())
	}
	if after := r.metric(t, onReplica); after != before {
		t.Errorf("the replica has answered %v queries with a token that it cannot reach, want none", after-before)
	}
	for reason, least := range map[string]float64{"other_database": 4, "beyond_primary": 2} {
		if got := r.metric(t, `roster_replica_fallbacks_total{reason="`+reason+`"}`); got < least {
			t.Errorf("%s: got %v fallbacks, want at least %v", reason, got, least)
		}
	}
}

// socketReads reads on a WebSocket what the same socket has written, and what a token names: that of its handshake, of
// connection_init, or of an operation.
func (r *replicated) socketReads(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dial := func(token, payload string) *websocket.Conn {
		o := &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}, HTTPHeader: http.Header{}}
		if token != "" {
			o.HTTPHeader.Set(tokenHeader, token)
		}
		c, _, err := websocket.Dial(ctx, r.URL+"/graphql", o) //nolint:bodyclose // the library does
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.CloseNow() })
		if err := c.Write(ctx, websocket.MessageText, []byte(`{"type":"connection_init","payload":{`+payload+`}}`)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	ask := func(c *websocket.Conn, query string, extensions map[string]string) string {
		payload := map[string]any{"query": query, "extensions": extensions}
		message, err := json.Marshal(map[string]any{"id": "1", "type": "subscribe", "payload": payload})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Write(ctx, websocket.MessageText, message); err != nil {
			t.Fatal(err)
		}
		for answer := ""; ; {
			_, text, err := c.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), `"complete"`) {
				return answer
			}
			answer = string(text)
		}
	}
	const query = `{ user(by: { username: "ada" }) { email } }`
	token := r.rename(t, "handshake@example.com")
	c := dial(token, "")
	if got := ask(c, query, nil); !strings.Contains(got, "handshake@example.com") {
		t.Errorf("with the token in the handshake: got %s, want what the mutation wrote", got)
	}
	answer := ask(c, fmt.Sprintf(`mutation { updateUser(input: { id: %q, email: "socket@example.com" }) { user { email } } }`, r.ada(t)), nil)
	if got := ask(c, query, nil); !strings.Contains(got, "socket@example.com") || strings.Contains(got, "consistency") {
		t.Errorf("after a mutation on the socket: got %s, want what it wrote, and no token", got)
	}
	found := regexp.MustCompile(`"extensions":\{"consistency":"(\w+)"\}`).FindStringSubmatch(answer)
	if found == nil || found[1] <= token {
		t.Fatalf("a mutation on the socket: got %s, want a token after %s", answer, token)
	}
	if got := ask(c, "{ changesCursor }", nil); !strings.Contains(got, `"consistency":"`) {
		t.Errorf("a query of the cursor on the socket: got %s, want a token", got)
	}
	r.email(t, "with the token of a socket", "socket@example.com", tokenHeader, found[1])
	if got := ask(dial("", `"`+tokenHeader+`":"`+found[1]+`"`), query, nil); !strings.Contains(got, "socket@example.com") {
		t.Errorf("with the token in connection_init: got %s, want what the mutation wrote", got)
	}
	c = dial("", "")
	if got := ask(c, query, nil); strings.Contains(got, "socket@example.com") {
		t.Errorf("on a new socket: got %s: the replica is not behind", got)
	}
	if got := ask(c, query, map[string]string{"consistency": found[1]}); !strings.Contains(got, "socket@example.com") {
		t.Errorf("with the token in the extensions: got %s, want what the mutation wrote", got)
	}
	o := &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}, HTTPHeader: http.Header{tokenHeader: {"x"}}}
	if _, response, err := websocket.Dial(ctx, r.URL+"/graphql", o); err == nil || response.StatusCode != http.StatusBadRequest { //nolint:bodyclose // the library does
		t.Errorf("a handshake with a malformed token: got %v, want 400", err)
	}
}

// TestReplicaFails kills the replica, and lets it become another server than a replica: it is left out, with one line in the log
// for each reason, and no client gets an error.
func TestReplicaFails(t *testing.T) {
	t.Parallel()
	binary := build(t)
	eachPair(t, func(t *testing.T, p pair) {
		p.create(t)
		p.execute(t, p.replica, p.hold) // it has no tables yet
		r := p.serve(t, binary, "--replica-max-staleness=5s")
		r.wants(t, "the replica without tables is left out", func() bool {
			return r.lines("a replica is left out") > 0 && !r.uses(t, p.replica, "roster")
		})
		r.answered(t, r.rename(t, "second@example.com"))
		p.execute(t, p.replica, p.goOn)
		r.wants(t, "the replica is used", func() bool { return r.uses(t, p.replica, "roster") })
		p.execute(t, p.replica, p.hold)
		token := r.rename(t, "third@example.com")
		r.wants(t, "the stale replica is left out", func() bool {
			r.answered(t, token)
			return r.leftOut(t, p.replica, "roster", "stale", "older than 5s")
		})
		r.email(t, "while all replicas are stale", "third@example.com")
		p.execute(t, p.replica, p.goOn)
		r.wants(t, "the replica is used again", func() bool { return r.uses(t, p.replica, "roster") })
		if err := p.replica.Kill(); err != nil {
			t.Fatal(err)
		}
		r.wants(t, "the killed replica is left out", func() bool {
			r.email(t, "while the replica is down", "third@example.com")
			return r.leftOut(t, p.replica, "roster", "unreachable", "")
		})
		if err := p.replica.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.wants(t, "the replica is used after its start", func() bool { return r.uses(t, p.replica, "roster") })
		if err := p.promote(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.wants(t, "the promoted replica is left out", func() bool {
			r.email(t, "after the promotion", "third@example.com", tokenHeader, token)
			return r.leftOut(t, p.replica, "roster", "takes_changes", "it takes changes itself")
		})
		r.saysOnce(t, p.replica)
		if got := r.get(t, "/readyz"); got != `{"status":"ready"}` {
			t.Errorf("readyz: got %s, want ready", got)
		}
		r.stop(t, syscall.SIGTERM)
	})
}

// TestReplicaDomains changes gtid_domain_id of the servers. GTIDs of two domains have no order: nothing is read from the replica that
// could miss what was written.
func TestReplicaDomains(t *testing.T) {
	t.Parallel()
	binary := build(t)
	p := mariadbPair(t)
	p.create(t)
	r := p.serve(t, binary, "--replica-max-staleness=1h")
	r.wants(t, "the replica is used", func() bool { return r.uses(t, p.replica, "roster") })
	p.execute(t, p.replica, "SET GLOBAL gtid_domain_id = 3")
	r.leavesOut(t, p.replica, "roster", "incompatible", "its gtid_domain_id is 3")
	p.execute(t, p.replica, "SET GLOBAL gtid_domain_id = 0")
	r.wants(t, "the replica is used again", func() bool { return r.uses(t, p.replica, "roster") })
	p.execute(t, p.primary, "SET GLOBAL gtid_domain_id = 5")
	r.wants(t, "the position of the primary is unknown", func() bool { return r.lines("the position of the primary is unknown", "gtid_domain_id") > 0 })
	for _, email := range []string{"second@example.com", "third@example.com"} {
		r.email(t, "with the token of a mutation whose position is unknown", email, tokenHeader, r.rename(t, email))
	}
	r.stop(t, syscall.SIGTERM)
}

// answered wants an answer with data to a query with a token.
func (r *replicated) answered(t *testing.T, token string) {
	t.Helper()
	if _, data, code, _ := r.asks(t, `{ user(by: { username: "ada" }) { email } }`, tokenHeader, token); code != "" || !strings.Contains(data, "@") {
		t.Errorf("got %s and %s, want data", data, code)
	}
}
