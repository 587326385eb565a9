package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"roster/e2e/abuse"
)

// TestAbuse sends each request of the corpus several times at once, and one that is well meant beside them: the hostile
// ones are refused as their files say, briefly, and the other one is answered.
func TestAbuse(t *testing.T) {
	t.Parallel()
	requests, err := abuse.Requests()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "roster.db")
	server := start(t, build(t), "sqlite:"+file, "SQLite ("+file+")")
	for _, r := range requests {
		t.Run(r.Name, func(t *testing.T) {
			var senders sync.WaitGroup
			for i := range 4 {
				senders.Go(func() { refused(t, server.URL, r, i%2 == 0) })
			}
			server.serves(t)
			senders.Wait()
		})
	}
	server.stop(t, syscall.SIGTERM)
}

// serves checks that a well-meant request is answered.
func (p *process) serves(t *testing.T) {
	t.Helper()
	const none = `{"data":{"users":{"nodes":[]}}}`
	if got := p.ask(t, "{ users { nodes { id } } }"); got != none {
		t.Errorf("a well-meant request: got %s, want %s", got, none)
	}
}

// refused sends a request and checks the refusal. A body can be sent with its length, or without.
func refused(t *testing.T, url string, r abuse.Request, withLength bool) {
	status, text, err := post(t, url, r, withLength)
	// Of a body that is refused unread the server takes no more: half a second after its answer it closes, and a client
	// that was not given the CPU by then finds the connection reset, and the answer gone. It is to send again.
	for tries := 1; r.Padding > 0 && tries < 5 && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)); tries++ {
		status, text, err = post(t, url, r, withLength)
	}
	if err != nil {
		t.Error(err)
		return
	}
	var answer struct {
		Data   json.RawMessage
		Errors []struct {
			Message    string
			Extensions struct{ Code string }
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Data != nil || len(answer.Errors) == 0 || len(answer.Errors) > 10 {
		t.Errorf("got %v, %s, want 1 to 10 errors without data", err, text)
		return
	}
	if e := answer.Errors[0]; status != r.Status || e.Extensions.Code != r.Code || !r.RefusedWith(e.Message) {
		t.Errorf("got %d %s\n%s\nwant %d %s\n%s", status, e.Extensions.Code, e.Message, r.Status, r.Code, r.Message)
	}
	if len(text) > 5_000 {
		t.Errorf("got a refusal of %d bytes, want at most 5000: %.1000s", len(text), text)
	}
}

// post sends a request and returns the status and the body of the answer.
func post(t *testing.T, url string, r abuse.Request, withLength bool) (status int, text []byte, err error) {
	body := io.MultiReader(bytes.NewReader(r.Body), io.LimitReader(spaces{}, r.Padding))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/graphql", body)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/graphql-response+json")
	if withLength {
		request.ContentLength = int64(len(r.Body)) + r.Padding
	}
	response, err := newClient().Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	text, err = io.ReadAll(response.Body)
	return response.StatusCode, text, err
}

// newClient returns a client with connections of its own.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// spaces is white space without end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestSlowClients leaves many requests half sent, in their headers and in their bodies: others are answered.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "roster.db")
	server := start(t, build(t), "sqlite:"+file, "SQLite ("+file+")", "--max-requests=1")
	const body = `{"query":"{ users { nodes { id } } }"}`
	request := "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\nConnection: close\r\n\r\n" + body
	var slow []net.Conn
	for i := range 100 {
		var dialer net.Dialer
		conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(server.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		sent := len(request) - 1 // all but the end of the body
		if i%2 == 0 {
			sent = 20 // a part of the headers
		}
		if _, err := io.WriteString(conn, request[:sent]); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			slow = append(slow, conn)
		}
	}
	server.serves(t)
	for _, conn := range slow { // what comes at last is answered, too
		if _, err := io.WriteString(conn, "}"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK\r\n") {
			t.Fatalf("got %v, %q, want 200 OK", err, answer)
		}
	}
	server.stop(t, syscall.SIGTERM)
}
