package fuzzhttp

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"roster/graph/graphtest"
)

// ask sends an HTTP request and checks the answer. It returns what it sent.
func (f *fuzz) ask(conn net.Conn, r *requester) (sent []byte, err error) {
	q := r.request()
	sent = q.wire(r)
	broken := q.cut
	if r.Chance(12) {
		sent, broken = r.mutate(sent), true
	}
	if q.cut {
		sent = sent[:r.Random.IntN(len(sent)+1)]
	}
	sizes := []int{len(sent) + 1}
	if r.Chance(6) {
		sizes = []int{1 + r.Random.IntN(100), 1 + r.Random.IntN(2000)}
	}
	var writing sync.WaitGroup
	defer writing.Wait()
	defer conn.Close()
	writing.Go(func() { // A server that refuses a request may not read all of it.
		for rest, i := sent, 0; len(rest) > 0; i++ {
			n := min(len(rest), sizes[min(i, len(sizes)-1)])
			if _, err := conn.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
		if tcp, ok := conn.(*net.TCPConn); ok && broken {
			_ = tcp.CloseWrite() // nothing follows that the server could wait for
		}
	})
	if r.Chance(30) { // does not wait
		return sent, nil
	}
	err = f.answer(conn, q, broken, r)
	if reset := errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE); reset && len(sent) > 64<<10 {
		err = nil // a body that is refused unread
	}
	return sent, err
}

// answer reads and checks the answer to a request. Of a broken one the server may not know where it ends.
func (f *fuzz) answer(conn net.Conn, q *httpRequest, broken bool, r *requester) error {
	in := bufio.NewReader(conn)
	method := q.method
	if broken {
		method = http.MethodPost // what HEAD became has a body
	}
	var response *http.Response
	for {
		var err error
		response, err = http.ReadResponse(in, &http.Request{Method: method}) //nolint:bodyclose // Its end is that of the connection.
		if err != nil && broken {
			return nil // there need be none
		}
		if err != nil {
			return fmt.Errorf("no answer: %w", err)
		}
		if response.StatusCode >= 200 {
			break
		}
		if response.StatusCode != http.StatusContinue {
			f.count(response.Status)
			return nil // another protocol, by chance
		}
	}
	f.count(response.Status)
	ofHandler := response.Header.Get("X-Request-Id") != ""
	if !ofHandler { // net/http's own answer to what it does not take for a request
		if q.plain && !broken && response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			return fmt.Errorf("got %s from net/http, want an answer of the server", response.Status)
		}
		return nil
	}
	if response.StatusCode >= 500 && response.StatusCode != http.StatusServiceUnavailable {
		return fmt.Errorf("got %s, want no server error but 503", response.Status)
	}
	if broken || q.path != "/graphql" || method == http.MethodHead || response.StatusCode == http.StatusNoContent {
		return nil
	}
	mediaType, parameters, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || parameters["charset"] != "utf-8" {
		return fmt.Errorf("got the type %q, want one with utf-8", response.Header.Get("Content-Type"))
	}
	if mediaType == "text/event-stream" {
		return f.events(response.Body, q, r)
	}
	if mediaType != "application/json" && mediaType != "application/graphql-response+json" {
		return fmt.Errorf("got the type %q, want JSON or an event stream", mediaType)
	}
	text, err := io.ReadAll(response.Body)
	if err == nil && response.Header.Get("Content-Encoding") == "gzip" {
		text, err = unzip(text)
	}
	if err != nil {
		return fmt.Errorf("%s, but the answer breaks off: %w", response.Status, err)
	}
	if err := f.verify(text); err != nil {
		return fmt.Errorf("%s: %w", response.Status, err)
	}
	executed := bytes.HasPrefix(text, []byte(`{"data":`)) || bytes.Contains(text, []byte(`,"data":`))
	if executed {
		f.callers.pays(r.caller, text)
	}
	wait, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	limited := bytes.Contains(text, []byte(`"code":"RATE_LIMITED"`))
	switch {
	case (response.StatusCode == http.StatusTooManyRequests) != limited, limited && (wait < 1 || wait > 3600):
		return fmt.Errorf("got %s with Retry-After %q, want what goes with %.1000q", response.Status, response.Header.Get("Retry-After"), text)
	case executed && response.StatusCode != http.StatusOK,
		!executed && response.StatusCode == http.StatusOK && mediaType == "application/graphql-response+json":
		return fmt.Errorf("got %s, want the status that goes with %.1000q", response.Status, text)
	case response.StatusCode == http.StatusMethodNotAllowed && response.Header.Get("Allow") == "":
		return errors.New("405 without Allow")
	}
	return nil
}

func unzip(text []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}

// events reads an event stream to its end, or as much as the client likes.
func (f *fuzz) events(body io.Reader, q *httpRequest, r *requester) error {
	most := 1 + r.Random.IntN(20)
	lines := bufio.NewReader(body)
	event, data := "", ""
	for n := 0; n < most; {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return nil // the server stops, or did not want more
		}
		if err != nil {
			return fmt.Errorf("the stream of %s breaks off: %w in %.1000q", q.path, err, line)
		}
		line = strings.TrimSuffix(line, "\n")
		switch name, value, _ := strings.Cut(line, ":"); {
		case line == "" && event == "next":
			if err := f.verify([]byte(data)); err != nil {
				return fmt.Errorf("event %d: %w", n, err)
			}
			if strings.Contains(data, `"data":`) {
				f.callers.pays(r.caller, []byte(data))
			}
			event, n = "", n+1
		case line == "" && event == "complete":
			rest, err := io.ReadAll(lines)
			if err != nil || len(rest) > 0 {
				return fmt.Errorf("after complete: %w, %q", err, rest)
			}
			f.count("complete")
			return nil
		case line == "": // between events
		case name == "": // a comment: a client that listens for silence would wait for ever
			n += 10
		case name == "event" && (value == " next" || value == " complete"):
			event = strings.TrimSpace(value)
		case name == "data":
			data = strings.TrimPrefix(value, " ")
		default:
			return fmt.Errorf("no line of an event stream: %.1000q", line)
		}
	}
	return nil
}

// httpRequest is a request before it is written.
type httpRequest struct {
	method, path, query string
	headers             [][2]string
	body                []byte
	chunked             bool
	cut                 bool // it ends before its end
	plain               bool // as HTTP it is right
}

// request makes a random request.
func (r *requester) request() *httpRequest {
	q := &httpRequest{method: "POST", path: "/graphql", plain: true, cut: r.Chance(25)}
	if r.Chance(25) {
		q.method = graphtest.Pick(r.Random, "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY", "TRACE")
	}
	if r.Chance(40) {
		q.path = graphtest.Pick(r.Random, "/", "/healthz", "/readyz", "/schema.graphql", "/playground/x", "/graphql/", "/nothing")
	}
	members := r.members()
	if r.Chance(5) {
		q.method, q.query = graphtest.Pick(r.Random, "GET", "GET", "GET", "HEAD"), r.queryString(members)
	} else {
		q.body = r.body(members)
		q.chunked = r.Chance(5)
	}
	q.headers = append(q.headers, [2]string{"Host", "localhost"})
	q.headers = append(q.headers, r.credentials()...)
	if !r.Chance(30) && len(q.body) > 0 {
		q.headers = append(q.headers, [2]string{"Content-Type", r.contentType()})
	}
	if !r.Chance(4) {
		q.headers = append(q.headers, [2]string{"Accept", r.accept()})
	}
	if r.Chance(3) {
		q.headers = append(q.headers, [2]string{"Accept-Encoding", graphtest.Pick(r.Random, "gzip", "br, gzip;q=0.5", "gzip;q=0, *", "*", "identity", ";q=", "gzip;q=x")})
	}
	for r.Chance(4) {
		q.headers = append(q.headers, r.oddHeader())
	}
	return q
}

// credentials returns headers that say who asks, if the server wants to know.
func (r *requester) credentials() (headers [][2]string) {
	if r.callers != nil {
		headers, r.caller = r.callers.credentials(r)
	}
	return headers
}

func (r *requester) contentType() string {
	if r.Chance(20) {
		return graphtest.Pick(r.Random, "application/json; charset=latin1", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
			"application/graphql", "application/json; charset=\"UTF-8", "APPLICATION/JSON;charset=UTF-8", "*/*", ";", string(printable(r.mutate([]byte("application/json")))))
	}
	return graphtest.Pick(r.Random, "application/json", "application/json; charset=utf-8")
}

func (r *requester) accept() string {
	accept := graphtest.Pick(r.Random, "application/json", "application/graphql-response+json", "*/*", "text/event-stream",
		"application/graphql-response+json, application/json;q=0.9", "text/event-stream;q=0.5, application/json", "application/*;q=0.1",
		"application/json;q=0, */*", "text/event-stream, multipart/mixed;deferSpec=20220824")
	if r.Chance(20) {
		accept = graphtest.Pick(r.Random, "text/html", ", ,", "application/json;charset=utf-16", "*/*;q=0")
	}
	if r.Chance(20) {
		accept = string(printable(r.mutate([]byte(accept))))
	}
	return accept
}

// oddHeader is a header that may change what the server does.
func (r *requester) oddHeader() [2]string {
	return graphtest.Pick(r.Random,
		[2]string{"Content-Encoding", graphtest.Pick(r.Random, "gzip", "identity", "br", "")},
		[2]string{"Origin", graphtest.Pick(r.Random, "https://app.example.com", "https://evil.example.com", "null", "http://localhost", "%")},
		[2]string{"Sec-Fetch-Site", graphtest.Pick(r.Random, "cross-site", "same-origin", "none", "x")},
		[2]string{"Access-Control-Request-Method", "POST"},
		[2]string{"X-Request-Id", graphtest.Pick(r.Random, "abc", strings.Repeat("x", 1000), "a b", "é")},
		[2]string{"Idempotency-Key", graphtest.Pick(r.Random, "", "k", strings.Repeat("k", 255), strings.Repeat("k", 256), "k"+strconv.Itoa(r.Random.IntN(50)))},
		[2]string{"Expect", graphtest.Pick(r.Random, "100-continue", "100-continue")},
		[2]string{"Connection", graphtest.Pick(r.Random, "close", "keep-alive")},
		[2]string{"Authorization", "Bearer " + strings.Repeat("a", r.Random.IntN(2000))},
		[2]string{"X-Filler", strings.Repeat("f", r.Random.IntN(20_000))},
		[2]string{"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		[2]string{"Last-Event-ID", "7"},
	)
}

// wire is the request as it is sent.
func (q *httpRequest) wire(r *requester) []byte {
	var b bytes.Buffer
	target := q.path
	if q.query != "" {
		target += "?" + q.query
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", q.method, target)
	for _, h := range q.headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	switch length := len(q.body); {
	case q.chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for chunk := range slices.Chunk(q.body, 1+r.Random.IntN(5000)) {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(chunk), chunk)
		}
		b.WriteString("0\r\n\r\n")
	case r.Chance(30): // says that there is more than there is, or less
		q.cut, q.plain = true, false
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", max(0, length+r.Random.IntN(21)-10), q.body)
	default:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", length, q.body)
	}
	return b.Bytes()
}
