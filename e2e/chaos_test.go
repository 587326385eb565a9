package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"roster/internal/dbtest"
)

var chaosMutations = flag.Int("chaos", 200, "how many mutations TestChaos sends to each engine")

// How often, about, something breaks.
const (
	requestsPerLostAnswer    = 15 // the server gets the request, the client no answer
	requestsPerCut           = 25 // all connections between clients and server break, wherever their requests are
	requestsPerKill          = 60
	statementsPerDatabaseCut = 400 // all connections between server and database break
	commitsPerLostAnswer     = 20  // the database gets COMMIT, the server no answer
)

// TestChaos sends mutations with idempotency keys to a server, over connections that break at random points, from client
// to server and from server to database, while the server is killed now and then. The clients send each again until there
// is an answer. In the end each has happened once, and its answer is true.
func TestChaos(t *testing.T) {
	t.Parallel()
	binary := build(t)
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		c := newChaos(t, e, binary)
		started := time.Now()
		c.run()
		c.check()
		t.Logf("%s: %d mutations in %s: %s", e, *chaosMutations, time.Since(started).Round(time.Millisecond), c.told())
		must := []string{"kill", "cut client–server", "lost answer to a client", "replay", "sent again"}
		if e != dbtest.SQLite { // to which there is no connection that could break
			must = append(must, "cut server–database", "lost answer to COMMIT", "OUTCOME_UNKNOWN")
		}
		for _, what := range must {
			if c.counts[what] == 0 {
				t.Errorf("%s: got none, want at least one", what)
			}
		}
	})
}

// chaos is a server that is reached, and that reaches its database, through proxies that break.
type chaos struct {
	*testing.T
	start  func() *process
	server *process      // used by the test's goroutine alone
	front  *dbtest.Proxy // between clients and server
	back   *dbtest.Proxy // between server and database; nil on SQLite
	client *http.Client
	users  []string // their IDs

	breaks chan func() // what the test's goroutine is to break next

	mu                                                     sync.Mutex
	calm                                                   bool // nothing breaks
	lostAnswer, cut, kill, databaseCut, lostDatabaseAnswer countdown
	next                                                   int
	answers                                                []chaosAnswer // of the mutations that are done
	counts                                                 map[string]int
}

// chaosAnswer is the data of a mutation, and which one it was.
type chaosAnswer struct {
	Mutation   int
	UpdateUser struct{ User struct{ Version int } }
	CreatePost struct{ Post struct{ ID string } }
}

func newChaos(t *testing.T, e dbtest.Engine, binary string) *chaos {
	t.Helper()
	c := &chaos{T: t, breaks: make(chan func(), 64), calm: true, counts: map[string]int{}}
	random := rand.New(rand.NewPCG(5, 5))
	for each, n := range map[*countdown]int{
		&c.lostAnswer: requestsPerLostAnswer, &c.cut: requestsPerCut, &c.kill: requestsPerKill,
		&c.databaseCut: statementsPerDatabaseCut, &c.lostDatabaseAnswer: commitsPerLostAnswer,
	} {
		*each = countdown{average: n, random: random}
		each.again()
	}
	database := dbtest.Empty(t, e)
	if e != dbtest.SQLite {
		database, c.back = dbtest.ProxyURL(t, database)
		c.back.LoseAnswers(c.statement)
	}
	c.start = func() *process { return start(t, binary, database, displayName(t, e, database)) }
	c.server = c.start()
	c.front = dbtest.NewProxy(t, c.address())
	c.front.LoseAnswers(c.request)
	c.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for i := range 4 {
		answer := c.server.ask(t, fmt.Sprintf(`mutation { createUser(input: {username: "user%d", email: "user%d@example.com"}) { user { id } } }`, i, i))
		var made struct {
			Data struct {
				CreateUser struct{ User struct{ ID string } }
			}
		}
		if err := json.Unmarshal([]byte(answer), &made); err != nil || made.Data.CreateUser.User.ID == "" {
			t.Fatalf("got %s, %v, want the ID of a user", answer, err)
		}
		c.users = append(c.users, made.Data.CreateUser.User.ID)
	}
	return c
}

func (c *chaos) address() string { return strings.TrimPrefix(c.server.URL, "http://") }

// countdown says how long something goes well.
type countdown struct {
	average, left int
	random        *rand.Rand
}

func (d *countdown) again() { d.left = 1 + d.random.IntN(2*d.average-1) }

// over counts one, and reports whether it is the one to break.
func (d *countdown) over() bool {
	d.left--
	if d.left > 0 {
		return false
	}
	d.again()
	return true
}

// request sees what a client sends, and reports whether its answer is to be lost.
func (c *chaos) request([]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calm {
		return false
	}
	if c.cut.over() {
		c.shall(func() { c.interrupt(c.front, "cut client–server") })
	}
	if c.kill.over() {
		c.shall(c.restart)
	}
	return c.lostAnswer.over() && c.count("lost answer to a client")
}

// statement sees what the server sends to the database, and reports whether its answer is to be lost.
func (c *chaos) statement(sent []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calm {
		return false
	}
	if c.databaseCut.over() {
		c.shall(func() { c.interrupt(c.back, "cut server–database") })
	}
	commit := strings.HasSuffix(strings.TrimRight(string(sent), "\x00"), "COMMIT") // in PostgreSQL's protocol and in MySQL's
	return commit && c.lostDatabaseAnswer.over() && c.count("lost answer to COMMIT")
}

// shall makes the test's goroutine break something, unless it has much of that before it. The caller has the lock.
func (c *chaos) shall(f func()) {
	select {
	case c.breaks <- f:
	default:
	}
}

// count notes that something happened. The caller has the lock.
func (c *chaos) count(what string) bool {
	c.counts[what]++
	return true
}

func (c *chaos) note(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(what)
}

func (c *chaos) setCalm(calm bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calm = calm
}

// interrupt breaks all connections of a proxy.
func (c *chaos) interrupt(p *dbtest.Proxy, what string) {
	p.Cut()
	p.Restore()
	c.note(what)
}

// restart kills the server, as a failing machine does, and starts it again. It is left alone while it starts.
func (c *chaos) restart() {
	c.setCalm(true)
	defer c.setCalm(false)
	if err := c.server.Cmd.Process.Kill(); err != nil {
		c.Fatal(err)
	}
	exit, ok := errors.AsType[*exec.ExitError](c.server.Cmd.Wait())
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL { //nolint:errcheck // it is that on Unix
		c.Fatalf("the end of the server: got %v, want the kill; stderr: %s", exit, c.server.Log)
	}
	c.note("kill")
	c.server = c.start()
	c.front.Redirect(c.address())
}

// run sends the mutations, from several clients at once, and breaks things until all are answered.
func (c *chaos) run() {
	c.setCalm(false)
	ctx, cancel := context.WithCancel(c.Context())
	done := make(chan struct{})
	defer func() { cancel(); <-done }()
	go func() {
		defer close(done)
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() { c.send(ctx) })
		}
		clients.Wait()
	}()
	for {
		select {
		case f := <-c.breaks:
			f()
		case <-done:
			c.setCalm(true)
			return
		}
	}
}

// send sends one mutation after the other, each until there is an answer.
func (c *chaos) send(ctx context.Context) {
	for {
		c.mu.Lock()
		mutation := c.next
		c.next++
		c.mu.Unlock()
		if mutation >= *chaosMutations || c.Failed() {
			return
		}
		data := c.insist(ctx, mutation)
		answer := chaosAnswer{Mutation: mutation}
		if err := json.Unmarshal(data, &answer); err != nil {
			c.Errorf("mutation %d: got %v, %s, want JSON", mutation, err, data)
			return
		}
		c.mu.Lock()
		c.answers = append(c.answers, answer)
		c.mu.Unlock()
	}
}

// user is the user that a mutation changes, and title that of the post which it writes.
func (c *chaos) user(mutation int) string { return c.users[mutation%len(c.users)] }
func title(mutation int) string           { return fmt.Sprintf("post %d", mutation) }

// insist sends a mutation until there is an answer, and returns its data. What it does, it would do again every time:
// nothing of it is unique but the key.
func (c *chaos) insist(ctx context.Context, mutation int) json.RawMessage {
	body, err := json.Marshal(map[string]any{
		"query": `mutation ($user: ID!, $name: String!, $title: String!) {
			updateUser(input: {id: $user, username: $name}) { user { version } }
			createPost(input: {authorId: $user, title: $title}) { post { id } }
		}`,
		"variables": map[string]any{"user": c.user(mutation), "name": fmt.Sprintf("name%d", mutation), "title": title(mutation)},
	})
	if err != nil {
		c.Error(err)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for {
		data, again, err := c.try(ctx, string(body), fmt.Sprintf("mutation %d", mutation))
		if err == nil {
			return data
		}
		if !again || ctx.Err() != nil {
			c.Errorf("mutation %d: got %v, want an answer", mutation, err)
			return nil
		}
		c.note("sent again")
		<-pause.C
	}
}

// try sends a request once. The error says why there is no data, and again whether to ask again.
func (c *chaos) try(ctx context.Context, body, key string) (data json.RawMessage, again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.front.Addr()+"/graphql", strings.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	response, err := c.client.Do(request)
	if err != nil {
		c.note("no answer")
		return nil, true, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.note("no answer")
		return nil, true, err
	}
	var answer struct {
		Data   json.RawMessage
		Errors []struct {
			Message    string
			Extensions struct{ Code string }
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, false, fmt.Errorf("%s: %w in %s", response.Status, err, text)
	}
	if len(answer.Errors) == 0 {
		if response.Header.Get("Idempotency-Replayed") == "true" {
			c.note("replay")
		}
		return answer.Data, false, nil
	}
	code := answer.Errors[0].Extensions.Code
	c.note(code)
	return nil, slices.Contains([]string{"OUTCOME_UNKNOWN", "UNAVAILABLE", "CONFLICT", "TIMEOUT"}, code), fmt.Errorf("%s: %s", response.Status, text)
}

// check compares what is there with what was sent and answered.
func (c *chaos) check() {
	if len(c.answers) != *chaosMutations {
		c.Fatalf("got %d answers, want %d", len(c.answers), *chaosMutations)
	}
	sent := map[string]int{}          // by user
	versions := map[string]bool{}     // that were answered, of all users
	written := map[[2]string]string{} // the ID of each post, by its author and title
	for _, answer := range c.answers {
		user := c.user(answer.Mutation)
		sent[user]++
		versions[fmt.Sprint(user, answer.UpdateUser.User.Version)] = true
		written[[2]string{user, title(answer.Mutation)}] = answer.CreatePost.Post.ID
	}
	if len(versions) != *chaosMutations {
		c.Errorf("got %d versions, want %d: one for each mutation", len(versions), *chaosMutations)
	}
	posts := 0
	for _, id := range c.users {
		after := ""
		for more := true; more; {
			var page struct {
				Data struct {
					User struct {
						Version int
						Posts   struct {
							Nodes    []struct{ ID, Title string }
							PageInfo struct {
								HasNextPage bool
								EndCursor   string
							}
						}
					}
				}
			}
			answer := c.server.ask(c.T, `{ user(by: {id: "`+id+`"}) { version posts(first: 100`+after+`) { nodes { id title } pageInfo { hasNextPage endCursor } } } }`)
			if err := json.Unmarshal([]byte(answer), &page); err != nil {
				c.Fatal(err)
			}
			user := page.Data.User
			if user.Version != 1+sent[id] {
				c.Errorf("a user after %d mutations: got version %d, want %d", sent[id], user.Version, 1+sent[id])
			}
			for _, p := range user.Posts.Nodes {
				posts++
				if written[[2]string{id, p.Title}] != p.ID {
					c.Errorf("the post %q: got the ID %s, want %s as in the answer", p.Title, p.ID, written[[2]string{id, p.Title}])
				}
			}
			more, after = user.Posts.PageInfo.HasNextPage, fmt.Sprintf(", after: %q", user.Posts.PageInfo.EndCursor)
		}
	}
	if posts != *chaosMutations {
		c.Errorf("got %d posts, want %d: one for each mutation", posts, *chaosMutations)
	}
	c.server.stop(c.T, syscall.SIGTERM)
}

// told is what happened.
func (c *chaos) told() string {
	var list []string
	for what, n := range c.counts {
		list = append(list, fmt.Sprintf("%s %d", what, n))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
