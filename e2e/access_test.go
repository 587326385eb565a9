package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roster/internal/dbtest"
)

// TestAccess has two servers with authentication. The first ADMIN comes in with a key of the command line. A user is
// suspended and a key is revoked on one server: both servers end their streams and refuse their requests.
func TestAccess(t *testing.T) {
	t.Parallel()
	binary := build(t)
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		a := newAccessible(t, e, binary)
		const issuer = "https://id.example.com/"
		created := a.ask(0, a.admin, `mutation { createUser(input: {username: "ada", email: "ada@example.com", identity: {issuer: "`+issuer+`", subject: "ada"}}) { user { id } } }`)
		user := a.text(created, "createUser", "user", "id")
		token := a.roster("token", "mint", "--subject=ada", "--roles=ADMIN")
		if got := a.ask(1, token, "{ viewer { subject roles user { username } } }"); !strings.Contains(got, `{"viewer":{"subject":"ada","roles":["ADMIN"],"user":{"username":"ada"}}}`) {
			t.Errorf("got %s, want ada", got)
		}
		created = a.ask(1, a.admin, `mutation { createApiKey(input: {name: "script", roles: [ADMIN]}) { secret apiKey { id } } }`)
		script, scriptID := a.text(created, "createApiKey", "secret"), a.text(created, "createApiKey", "apiKey", "id")

		ends := make(chan string)
		streams := 0
		for server := range a.servers {
			for _, credentials := range []string{token, script} {
				streams += 2
				a.listen(server, credentials, ends)
				a.socket(server, credentials, ends)
			}
		}
		a.ask(0, a.admin, `mutation { updateUser(input: {id: "`+user+`", status: SUSPENDED}) { user { status } } }`)
		a.ask(0, a.admin, `mutation { revokeApiKey(input: {id: "`+scriptID+`"}) { apiKey { revokedAt } } }`)
		began := time.Now()
		got := map[string]int{}
		for range streams {
			got[<-ends]++
		}
		t.Logf("%s: the streams ended within %s", e, time.Since(began).Round(time.Millisecond))
		for _, end := range []string{"FORBIDDEN on an event stream", "UNAUTHENTICATED on an event stream", "4403: the API key is revoked", "4403: your user is suspended"} {
			n := 0
			for text, times := range got {
				if strings.HasPrefix(text, end) {
					n += times
				}
			}
			if n != 2 {
				t.Errorf("got %v, want %q twice", got, end)
			}
		}
		for server := range a.servers {
			a.becomes(server, token, http.StatusForbidden)
			a.becomes(server, script, http.StatusUnauthorized)
		}
		a.ask(1, a.admin, `mutation { updateUser(input: {id: "`+user+`", status: ACTIVE}) { user { status } } }`)
		for server := range a.servers {
			a.becomes(server, token, http.StatusOK)
		}
		viewer := a.ask(0, a.admin, "{ viewer { subject } apiKeys(first: 1) { nodes { id lastUsedAt version } } }")
		first := a.text(viewer, "apiKeys", "nodes", "id")
		if !strings.Contains(viewer, `"viewer":{"subject":"first"}`) || !strings.Contains(viewer, `"version":1`) {
			t.Errorf("got %s, want the first key, which has not changed", viewer)
		}
		const changes = `{ changes(first: 100, actor: %q) { changes { kind changedFields } } }`
		if got := strings.Count(a.ask(0, a.admin, fmt.Sprintf(changes, first)), `"kind"`); got != 5 { // the user, twice its status, and both of the other key
			t.Errorf("got %d changes by the first key, want 5", got)
		}
		for _, s := range a.servers {
			s.stop(t, syscall.SIGTERM)
		}
	})
}

// accessible is two servers of one database.
type accessible struct {
	*testing.T
	binary, url string
	flags       []string // of authentication
	admin       string   // the first key
	servers     []*process
}

func newAccessible(t *testing.T, e dbtest.Engine, binary string) *accessible {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	write(t, file, strings.Repeat("s", 32))
	a := &accessible{T: t, binary: binary, url: dbtest.Empty(t, e), flags: []string{
		"--auth-hs256-secret-file=" + file, "--auth-issuer=https://id.example.com/", "--auth-audience=roster",
	}}
	create := exec.CommandContext(t.Context(), binary, "keys", "create", "--name=first", "--role=ADMIN", "--database-url="+a.url)
	secret, err := create.Output()
	if err != nil {
		t.Fatalf("got %v, want a key", err)
	}
	a.admin = strings.TrimSpace(string(secret))
	for range 2 {
		a.servers = append(a.servers, start(t, binary, a.url, displayName(t, e, a.url), a.flags...))
	}
	return a
}

// roster runs a command with the settings of authentication, and returns what it prints.
func (a *accessible) roster(args ...string) string {
	a.Helper()
	out, err := exec.CommandContext(a.Context(), a.binary, append(args, a.flags...)...).Output()
	if err != nil {
		a.Fatalf("%v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// send sends an operation to a server.
func (a *accessible) send(server int, credentials, query, accept string) *http.Response {
	a.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		a.Fatal(err)
	}
	r, err := http.NewRequestWithContext(a.Context(), http.MethodPost, a.servers[server].URL+"/graphql", strings.NewReader(string(body)))
	if err != nil {
		a.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+credentials)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", accept)
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		a.Fatal(err)
	}
	return response
}

// ask returns the answer to an operation, which must succeed.
func (a *accessible) ask(server int, credentials, query string) string {
	a.Helper()
	response := a.send(server, credentials, query, "application/json")
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || strings.Contains(string(answer), `"errors"`) {
		a.Fatalf("%s: got %s, %s, %v, want success", query, response.Status, answer, err)
	}
	return string(answer)
}

// text returns a text in the data of an answer. It takes the first element of a list.
func (a *accessible) text(answer string, path ...string) string {
	a.Helper()
	var body struct{ Data any }
	if err := json.Unmarshal([]byte(answer), &body); err != nil {
		a.Fatalf("got %s, %v, want JSON", answer, err)
	}
	value := body.Data
	for _, name := range path {
		if list, ok := value.([]any); ok && len(list) > 0 {
			value = list[0]
		}
		object, _ := value.(map[string]any)
		value = object[name]
	}
	text, ok := value.(string)
	if !ok {
		a.Fatalf("got %s, want a text at %v", answer, path)
	}
	return text
}

// becomes waits until a server answers credentials with a status.
func (a *accessible) becomes(server int, credentials string, status int) {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		response := a.send(server, credentials, "{ viewer { subject } }", "application/json")
		_ = response.Body.Close()
		if response.StatusCode == status {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			a.Fatalf("got %s, want the status %d", response.Status, status)
		}
	}
}

// listen follows the feed on an event stream. It returns when the stream is open. ends gets the code of the error at its
// end.
func (a *accessible) listen(server int, credentials string, ends chan<- string) {
	a.Helper()
	response := a.send(server, credentials, "subscription { changes { kind } }", "text/event-stream") //nolint:bodyclose // the goroutine does
	if response.StatusCode != http.StatusOK {
		a.Fatalf("got %s, want an event stream", response.Status)
	}
	go func() {
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		for _, code := range []string{"FORBIDDEN", "UNAUTHENTICATED"} {
			if strings.Contains(string(text), `"code":"`+code+`"`) {
				ends <- code + " on an event stream"
				return
			}
		}
		ends <- fmt.Sprintf("%s, %v", text, err)
	}()
}

// socket opens a WebSocket. It returns when the server has accepted the credentials. ends gets the code and the reason of
// its end.
func (a *accessible) socket(server int, credentials string, ends chan<- string) {
	a.Helper()
	c, _, err := websocket.Dial(a.Context(), a.servers[server].URL+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}}) //nolint:bodyclose // the library does
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { _ = c.CloseNow() })
	if err := c.Write(a.Context(), websocket.MessageText, []byte(`{"type":"connection_init","payload":{"Authorization":"Bearer `+credentials+`"}}`)); err != nil {
		a.Fatal(err)
	}
	if _, text, err := c.Read(a.Context()); err != nil || !strings.Contains(string(text), "connection_ack") {
		a.Fatalf("got %s, %v, want connection_ack", text, err)
	}
	go func() {
		for {
			_, _, err := c.Read(context.WithoutCancel(a.Context()))
			if err != nil {
				closed, _ := errors.AsType[websocket.CloseError](err)
				ends <- fmt.Sprintf("%d: %s", closed.Code, closed.Reason)
				return
			}
		}
	}()
}
