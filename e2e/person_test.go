package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
)

// The number of requests to the database by which the next erasure runs longer before it is killed, and the greatest number
// of erasures.
const (
	requestsBetweenKills = 6
	mostErasures         = 25
)

// TestPerson has two servers, which people use. Persons are exported, and erased by commands that are killed at many
// moments and run again. In the end, no table has a byte of them, each follower has seen each delete once, and nothing
// brings a person back.
func TestPerson(t *testing.T) {
	t.Parallel()
	binary := build(t)
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		a := &personal{accessible: newAccessible(t, e, binary), engine: e}
		var followers []*follower
		for server := range a.servers {
			followers = append(followers, a.follow(server))
		}
		var persons []*erased
		kills := 0
		for moment := 1; ; moment += requestsBetweenKills {
			p := a.live(len(persons))
			persons = append(persons, p)
			killed := a.erase(p, moment)
			if killed {
				kills++
			}
			a.complete(p)
			if over := e != dbtest.SQLite && !killed; over || len(persons) == mostErasures {
				break
			}
		}
		t.Logf("%s: %d erasures, %d of them killed", e, len(persons), kills)
		if kills < 3 {
			t.Errorf("got %d killed erasures, want at least 3", kills)
		}
		for _, p := range persons {
			a.comeBack(p)
		}
		a.ask(0, a.admin, `mutation { createUser(input: {username: "last", email: "last@example.com"}) { user { id } } }`)
		for i, f := range followers {
			deletes := f.until("last")
			for _, p := range persons {
				for _, id := range p.ids {
					if deletes[id] != 1 {
						t.Errorf("follower %d: got %d deletes of %s, want 1", i, deletes[id], id)
					}
				}
			}
		}
		db := migrated.Open(t, e, func(o *database.Options) { o.URL = a.url })
		dump := migrated.Dump(t, db)
		for _, p := range persons {
			for _, text := range []string{p.name, p.subject} { // the name is in the address too
				if at := strings.Index(dump, text); at >= 0 {
					t.Errorf("got %q in a table, want no byte of the person: %.200q", text, dump[max(0, at-100):])
				}
			}
		}
		for _, s := range a.servers {
			s.stop(t, syscall.SIGTERM)
		}
	})
}

// personal is two servers with people.
type personal struct {
	*accessible
	engine dbtest.Engine
	took   time.Duration // of the last erasure that was not killed
}

// erased is a person.
type erased struct {
	name, subject, token string
	ids                  []string // of its user and its posts
	create               string   // the mutation that created it
}

// live creates a person, who then writes.
func (a *personal) live(n int) *erased {
	a.Helper()
	p := &erased{name: fmt.Sprintf("person%dx", n), subject: fmt.Sprintf("subject|%dx", n)}
	p.create = fmt.Sprintf(`mutation { createUser(input: {username: "%[1]s", email: "%[1]s@example.com", identity: {issuer: "https://id.example.com/", subject: %[2]q}}) { user { username email } } }`, p.name, p.subject)
	a.wants(a.keyed(a.admin, "create "+p.name, p.create), p.name)
	user := a.text(a.ask(1, a.admin, fmt.Sprintf(`{ user(by: {username: %q}) { id } }`, p.name)), "user", "id")
	p.ids = []string{user}
	p.token = a.roster("token", "mint", "--subject="+p.subject, "--roles=MEMBER")
	for i := range 3 {
		answer := a.keyed(p.token, fmt.Sprint("post ", i), fmt.Sprintf(`mutation { createPost(input: {authorId: %q, title: "by %s"}) { post { id title author { email } } } }`, user, p.name))
		p.ids = append(p.ids, a.text(answer, "createPost", "post", "id"))
	}
	a.wants(a.keyed(p.token, "rename", fmt.Sprintf(`mutation { updateUser(input: {id: %q, username: %q}) { user { username } } }`, user, strings.ToUpper(p.name))), strings.ToUpper(p.name))
	a.wants(a.keyed(p.token, "rename back", fmt.Sprintf(`mutation { updateUser(input: {id: %q, username: %q}) { user { id } } }`, user, p.name)), user)

	var x struct {
		User                                          struct{ Username, Email string }
		Posts, ChangesAbout, ChangesBy, StoredAnswers []any
	}
	text := rosterOn(a.Context(), a.T, a.binary, a.url, "user", "export", user)
	if err := json.Unmarshal([]byte(text), &x); err != nil || x.User.Username != p.name || len(x.Posts) != 3 || len(x.ChangesAbout) != 6 || len(x.ChangesBy) != 5 || len(x.StoredAnswers) != 6 {
		a.Errorf("got %v, the export\n%s\nwant the user, 3 posts, 6 changes about it, 5 by it, and 6 answers", err, text)
	}
	return p
}

// keyed sends a mutation to a random server, with an idempotency key, and returns the answer.
func (a *personal) keyed(credentials, key, query string) string {
	a.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		a.Fatal(err)
	}
	url := a.servers[rand.IntN(len(a.servers))].URL
	request, err := http.NewRequestWithContext(a.Context(), http.MethodPost, url+"/graphql", strings.NewReader(string(body)))
	if err != nil {
		a.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+credentials)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	return send(a.T, request)
}

func (a *personal) wants(answer, want string) {
	a.Helper()
	if !strings.Contains(answer, want) || strings.Contains(answer, `"errors"`) {
		a.Fatalf("got %s, want %s and no error", answer, want)
	}
}

// erase runs an erasure that is killed: at a request to the database, or for SQLite at a random moment. It reports whether
// the erasure was killed before its end.
func (a *personal) erase(p *erased, moment int) (killed bool) {
	a.Helper()
	url, kill := a.url, make(chan struct{})
	if a.engine != dbtest.SQLite {
		behind, proxy := dbtest.ProxyURL(a.T, a.url)
		var mu sync.Mutex
		left := moment
		url = behind
		proxy.LoseAnswers(func([]byte) bool {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				close(kill)
			}
			return left <= 0
		})
	}
	cmd := exec.CommandContext(a.Context(), a.binary, "user", "erase", p.ids[0], "--posts=delete")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+url)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		a.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	var timer <-chan time.Time
	if a.engine == dbtest.SQLite && a.took > 0 {
		timer = time.After(time.Duration(rand.Int64N(int64(a.took))))
	}
	var err error
	select {
	case err = <-end:
	case <-kill:
		_ = cmd.Process.Kill()
		err = <-end
	case <-timer:
		_ = cmd.Process.Kill()
		err = <-end
	}
	if err == nil {
		a.took = time.Since(began)
	}
	return err != nil
}

// complete runs an erasure to its end, and again.
func (a *personal) complete(p *erased) {
	a.Helper()
	first := rosterOn(a.Context(), a.T, a.binary, a.url, "user", "erase", p.ids[0], "--posts=delete")
	again := rosterOn(a.Context(), a.T, a.binary, a.url, "user", "erase", p.ids[0])
	if !strings.Contains(first, "What remains") || !strings.Contains(again, "Nothing is left to erase.") {
		a.Errorf("got\n%s\nand then\n%s\nwant that nothing is left", first, again)
	}
}

// comeBack sends the mutation again that created a person, and checks that nobody comes back.
func (a *personal) comeBack(p *erased) {
	a.Helper()
	answer := a.keyed(a.admin, "create "+p.name, p.create)
	if !strings.Contains(answer, `"code":"NOT_FOUND"`) || strings.Contains(answer, p.name) {
		a.Errorf("sent again: got %s, want NOT_FOUND", answer)
	}
	if got := a.ask(0, a.admin, fmt.Sprintf(`{ user(by: {username: %q}) { id } }`, p.name)); !strings.Contains(got, `{"user":null}`) {
		a.Errorf("got %s, want no user", got)
	}
	actor := a.ask(1, a.admin, fmt.Sprintf(`{ changes(first: 1000, actor: %q) { changes { kind } } }`, p.subject))
	if strings.Contains(actor, "kind") {
		a.Errorf("got %s, want no change by the person", actor)
	}
	response := a.send(0, p.token, fmt.Sprintf(`mutation { createPost(input: {authorId: %q, title: "back"}) { post { id } } }`, p.ids[0]), "application/json")
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(body), `"errors"`) { // NOT_FOUND until the server knows that the user is deleted, then FORBIDDEN
		a.Errorf("a mutation of the person: got %s, %v, want an error", body, err)
	}
}

// follower follows the changes on an event stream.
type follower struct {
	*testing.T
	events *bufio.Scanner
}

func (a *personal) follow(server int) *follower {
	a.Helper()
	response := a.send(server, a.admin, "subscription { changes { kind nodeId node { ... on User { username } } } }", "text/event-stream")
	if response.StatusCode != http.StatusOK {
		a.Fatalf("got %s, want an event stream", response.Status)
	}
	a.Cleanup(func() { _ = response.Body.Close() })
	return &follower{a.T, bufio.NewScanner(response.Body)}
}

// until reads the events up to the one of the user with a name, and returns the number of deletes of each ID.
func (f *follower) until(name string) map[string]int {
	f.Helper()
	deletes := map[string]int{}
	for f.events.Scan() {
		text, isData := strings.CutPrefix(f.events.Text(), "data: ")
		if !isData {
			continue
		}
		var event struct {
			Data struct {
				Changes struct {
					Kind, NodeID string
					Node         *struct{ Username string }
				}
			}
		}
		if err := json.Unmarshal([]byte(text), &event); err != nil {
			f.Fatalf("got %v in %s, want an event", err, text)
		}
		c := event.Data.Changes
		if c.Node != nil && c.Node.Username == name {
			return deletes
		}
		if c.Kind == "DELETED" {
			deletes[c.NodeID]++
		}
	}
	f.Fatalf("got the end of the events, %v, want one of %s", f.events.Err(), name)
	return nil
}
