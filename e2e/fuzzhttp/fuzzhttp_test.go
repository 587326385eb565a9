// Package fuzzhttp sends random requests to the whole program and to its transports.
package fuzzhttp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/e2e/abuse"
	"roster/graph"
	"roster/graph/graphtest"
	"roster/internal/cli"
	"roster/internal/dbtest"
	"roster/internal/server"
	"roster/internal/server/streamtest"
)

var (
	fuzzHTTP = flag.Duration("fuzzhttp", 0, "how long TestFuzzHTTP goes on in all; 0: a bounded number of exchanges")
	seed     = flag.Uint64("seed", 1, "where the random requests start")
	exchange = flag.Uint64("exchange", 0, "the only exchange that TestFuzzHTTP has with each server; 0: all")
)

// What TestFuzzHTTP does, and what it allows a server.
const (
	fuzzClients   = 16
	fuzzExchanges = 400
	// answerLimit is the time for an answer, and for all to be gone when the clients are.
	answerLimit = 30 * time.Second
	// heapGrowth is what may stay in memory: the cache of documents, the pools, the statements of the connections.
	heapGrowth = 32 << 20
)

// TestFuzzHTTP sends random requests over HTTP, WebSockets and event streams, from right ones to noise, to the whole
// program on each engine, and to the transports on the schema of streamtest, whose subscriptions go in every way. Every
// answer keeps to the contract, none says INTERNAL, a well-meant client is answered meanwhile, and when all clients are
// gone nothing of them is left. On a server with a rate limit, no caller gets more than its share.
//
// Each exchange follows from -seed and its number alone, but for what the others do to the data at the same time:
// -seed=S -exchange=N has one again.
//
//nolint:paralleltest // It counts the goroutines of the process.
func TestFuzzHTTP(t *testing.T) {
	t.Logf("-seed=%d", *seed)
	seeds := readSeeds(t)
	for _, e := range dbtest.Engines() {
		t.Run(string(e), func(t *testing.T) {
			url := dbtest.Empty(t, e)
			f := &fuzz{T: t, schema: gqlparser.MustLoadSchema(&ast.Source{Input: graph.SDL()}), seeds: seeds, ids: fill(t, url)}
			f.against(func(ctx context.Context, stdout, stderr io.Writer) error {
				return serveProgram(ctx, url, noEnvironment, stdout, stderr)
			})
		})
	}
	t.Run("limits", func(t *testing.T) {
		url, c := dbtest.Empty(t, dbtest.SQLite), newCallers(t)
		f := &fuzz{T: t, schema: gqlparser.MustLoadSchema(&ast.Source{Input: graph.SDL()}), seeds: seeds, ids: fill(t, url), callers: c}
		f.against(func(ctx context.Context, stdout, stderr io.Writer) error {
			return c.serve(ctx, url, stdout, stderr)
		})
		if *exchange == 0 { // one exchange says nothing about a budget
			c.check(t, f.seen["429 Too Many Requests"])
		}
	})
	t.Run("streams", func(t *testing.T) {
		f := &fuzz{T: t, schema: gqlparser.MustLoadSchema(&ast.Source{Input: streamtest.SDL()}), streams: true}
		backend := streamtest.New()
		f.against(func(ctx context.Context, stdout, stderr io.Writer) error {
			return serveStreams(ctx, backend, stdout, stderr)
		})
		if n := backend.Active(); n > 0 {
			t.Errorf("got %d running subscriptions, want none", n)
		}
	})
}

// fill makes users and posts in a database, and returns their IDs.
func fill(t *testing.T, url string) (ids []string) {
	t.Helper()
	command := func(args ...string) string {
		var stdout, stderr bytes.Buffer
		args = append(args, "--log-level=error", "--database-url="+url)
		if code := cli.Run(t.Context(), args, noEnvironment, strings.NewReader(""), &stdout, &stderr, "1.2.3"); code != 0 {
			t.Fatalf("%v: got exit code %d, %s, want 0", args, code, &stderr)
		}
		return stdout.String()
	}
	command("seed", "--users=40", "--posts-per-user=5")
	for _, entity := range []string{"users", "posts"} {
		rows, err := csv.NewReader(strings.NewReader(command("export", entity))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows[1:] {
			ids = append(ids, row[0])
		}
	}
	return ids
}

// noEnvironment is an environment without secrets.
func noEnvironment(string) string { return "" }

// serveProgram runs "roster serve" until ctx ends.
func serveProgram(
	ctx context.Context, url string, getenv func(string) string, stdout, stderr io.Writer, flags ...string,
) error {
	code := cli.Run(ctx, append([]string{
		"serve", "--listen=127.0.0.1:0", "--drain=0s", "--slow-operation=0s", "--slow-statement=0s", "--database-url=" + url, "--document-cache-bytes=4194304",
		"--ping-interval=1s", "--cors-origins=https://app.example.com",
	}, flags...), getenv, strings.NewReader(""), stdout, stderr, "1.2.3")
	if code != 0 {
		return fmt.Errorf("exit code %d", code)
	}
	return nil
}

// serveStreams serves the schema of streamtest with the transports until ctx ends.
func serveStreams(ctx context.Context, backend *streamtest.Schema, stdout, stderr io.Writer) error {
	var network net.ListenConfig
	listener, err := network.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "endpoint http://%s/graphql\n", listener.Addr())
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	streams := server.NewStreams(server.StreamOptions{
		MaxStreams: 100, MaxOperations: 10, PingInterval: time.Second, InitTimeout: 2 * time.Second, WriteTimeout: 5 * time.Second,
	})
	handler := server.New(server.Options{
		Executor:      backend.Executor(),
		Authenticator: streamtest.NewAuthenticator(),
		Ready:         func(context.Context, bool) error { return nil },
		Logger:        logger,
		Clock:         time.Now,
		NewRequestID:  func() string { return "made-here" },
		MaxBodyBytes:  1 << 20,
		MaxValues:     21_000,
		MaxRequests:   100,
		Origins:       []string{"https://app.example.com"},
		Streams:       streams,
	})
	return server.Serve(ctx, listener, nil, handler, streams, server.Timeouts{
		ReadHeader: 10 * time.Second, Read: 30 * time.Second, Write: time.Minute, Shutdown: 10 * time.Second,
	}, logger)
}

// fuzz is the exchanges with one server.
type fuzz struct {
	*testing.T
	schema  *ast.Schema
	seeds   []seedRequest
	ids     []string // of the rows
	streams bool     // the server has the schema of streamtest
	callers *callers // of a server with a rate limit; nil for the others

	address string
	codes   map[string]bool // of the contract
	mu      sync.Mutex
	seen    map[string]int // answers, by status and code
}

// against has the exchanges with a server, which serve runs until its context ends. The server prints the URL of its
// endpoint, and logs to stderr.
func (f *fuzz) against(serve func(ctx context.Context, stdout, stderr io.Writer) error) {
	f.Helper()
	f.seen, f.codes = map[string]int{}, map[string]bool{}
	for _, v := range gqlparser.MustLoadSchema(&ast.Source{Input: graph.SDL()}).Types["ErrorCode"].EnumValues {
		f.codes[v.Name] = true
	}
	// A server asks for signals. This starts a goroutine that stays as long as the process.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	signal.Stop(signals)
	goroutines, descriptors, heap := runtime.NumGoroutine(), openDescriptors(f.T), heapInUse()
	ctx, stop := context.WithCancel(f.Context())
	defer stop()
	stdout, writer := io.Pipe()
	log := new(lines)
	stopped := make(chan error, 1)
	go func() {
		err := serve(ctx, writer, log)
		_ = writer.Close() // a pipe's never fails
		stopped <- err
	}()
	output := bufio.NewScanner(stdout)
	for f.address == "" && output.Scan() {
		if _, rest, ok := strings.Cut(output.Text(), "endpoint"); ok {
			f.address = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(rest), "http://"), "/graphql")
		}
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }() // until serve is done
	if f.address == "" {
		f.Fatalf("got no server, but %v, %v, want its address", <-stopped, log.take())
	}
	f.exchanges()
	f.eventually("connections of clients that are gone", func() int { return strings.Count(allStacks(), "net/http.(*conn).serve(") })
	stop()
	if err := <-stopped; err != nil {
		f.Errorf("the server's end: got %v, want no error", err)
	}
	for _, line := range log.take() {
		if !strings.Contains(line, "level=INFO") {
			f.Errorf("got the log line %s, want only level INFO", line)
		}
	}
	f.eventually("goroutines that are left", func() int { return runtime.NumGoroutine() - goroutines })
	f.eventually("file descriptors that are left", func() int { return openDescriptors(f.T) - descriptors })
	f.eventually("megabytes of memory that are left", func() int { return (heapInUse() - heap - heapGrowth) >> 20 })
	var counts []string
	for _, key := range slices.Sorted(maps.Keys(f.seen)) {
		counts = append(counts, fmt.Sprintf("%s: %d", key, f.seen[key]))
	}
	f.Logf("%s", strings.Join(counts, "; "))
}

// exchanges has them, with several clients at a time.
func (f *fuzz) exchanges() {
	f.Helper()
	if *exchange > 0 {
		f.exchange(*exchange)
		return
	}
	if f.callers != nil {
		f.callers.begin(f)
	}
	targets := len(dbtest.Engines()) + 2
	end := time.Now().Add(*fuzzHTTP / time.Duration(targets))
	var next atomic.Uint64
	var busy sync.WaitGroup
	for range fuzzClients {
		busy.Go(func() {
			for !f.Failed() {
				n := next.Add(1)
				if *fuzzHTTP == 0 && n > fuzzExchanges || *fuzzHTTP > 0 && time.Now().After(end) {
					return
				}
				f.exchange(n)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		busy.Wait()
		close(done)
	}()
	f.serves(done)
	f.Logf("%d exchanges", next.Load())
}

// serves sends well-meant requests until done is closed.
func (f *fuzz) serves(done <-chan struct{}) {
	f.Helper()
	token := ""
	if f.callers != nil {
		token = f.callers.wellMeant
	}
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		select {
		case <-done:
			return
		case <-pause.C:
		}
		if !f.answers(token) {
			return
		}
	}
}

// answers sends a well-meant request with a token, unless it is empty, and reports whether it is answered.
func (f *fuzz) answers(token string) bool {
	f.Helper()
	const body, want = `{"query":"{ __typename }"}`, `{"data":{"__typename":"Query"}}`
	client := &http.Client{Timeout: answerLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(f.Context(), http.MethodPost, "http://"+f.address+"/graphql", strings.NewReader(body))
	if err != nil {
		f.Error(err)
		return false
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		f.Errorf("a well-meant request: got %v, want %s", err, want)
		return false
	}
	text, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || string(text) != want {
		f.Errorf("a well-meant request: got %v, %s, want %s", err, text, want)
		return false
	}
	return true
}

// exchange has the exchange of a number.
func (f *fuzz) exchange(n uint64) {
	r := newRequester(f, rand.New(rand.NewPCG(*seed, n)))
	dialer := net.Dialer{Timeout: answerLimit}
	conn, err := dialer.DialContext(f.Context(), "tcp", f.address)
	if err != nil {
		f.Errorf("exchange %d: got %v, want a connection", n, err)
		return
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		f.Error(err)
		return
	}
	var sent []byte
	if r.Chance(4) {
		sent, err = f.converse(conn, r)
	} else {
		sent, err = f.ask(conn, r)
	}
	if err != nil {
		f.Errorf("%v\nin exchange %d (-seed=%d -exchange=%d), which sent\n%q", err, n, *seed, n, sent[:min(len(sent), 20_000)])
	}
}

// lines is a log, line by line.
type lines struct {
	mu   sync.Mutex
	list []string
}

// Write adds a line.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, string(line))
	return len(line), nil
}

// take returns the lines and forgets them.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list
	l.list = nil
	return list
}

// count notes an answer.
func (f *fuzz) count(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen[what]++
}

// eventually waits until there is none of something.
func (f *fuzz) eventually(what string, excess func() int) {
	f.Helper()
	limit := time.After(answerLimit)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for excess() > 0 {
		select {
		case <-limit:
			f.Fatalf("%s: got %d, want none:\n%s", what, excess(), allStacks())
		case <-again.C:
		}
	}
}

func allStacks() string {
	buffer := make([]byte, 1<<20)
	for {
		if n := runtime.Stack(buffer, true); n < len(buffer) {
			return string(buffer[:n])
		}
		buffer = make([]byte, 2*len(buffer))
	}
}

func heapInUse() int {
	runtime.GC()
	runtime.GC() // what was in a sync.Pool stays for one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// openDescriptors is how many files and sockets the process has, where that can be seen.
func openDescriptors(t *testing.T) int {
	t.Helper()
	const directory = "/proc/self/fd"
	if runtime.GOOS != "linux" {
		return 0
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// seedRequest is a request to begin with.
type seedRequest struct {
	document  string
	variables string // JSON, or nothing
	body      string // instead of a document
}

// readSeeds returns what tests send: the requests of testdata, and the hostile ones.
func readSeeds(t *testing.T) (seeds []seedRequest) {
	t.Helper()
	hostile, err := abuse.Requests()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range hostile {
		seeds = append(seeds, seedRequest{body: string(r.Body)})
	}
	files, err := filepath.Glob("../../graph/testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("got the files %v, %v, want those of graph/testdata", files, err)
	}
	for _, file := range files {
		scenario, err := graphtest.ReadScenario(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range scenario.Steps {
			seeds = append(seeds, seedRequest{step.Section(""), step.Section("variables"), step.Section("body")})
		}
	}
	return seeds
}

// verify checks a response of GraphQL by the contract.
func (f *fuzz) verify(text []byte) error {
	var response map[string]json.RawMessage
	if err := json.Unmarshal(text, &response); err != nil {
		return fmt.Errorf("no JSON object: %w in %.1000q", err, text)
	}
	for key := range response {
		if key != "data" && key != "errors" && key != "extensions" {
			return fmt.Errorf("got the member %q, want data, errors and extensions alone: %.1000q", key, text)
		}
	}
	data, executed := response["data"]
	switch {
	case executed && string(data) != "null" && !bytes.HasPrefix(data, []byte("{")):
		return fmt.Errorf("got %.1000q, want an object or null as data", text)
	case response["errors"] != nil:
		return f.verifyErrors(response["errors"])
	case !executed || string(data) == "null":
		return fmt.Errorf("got %.1000q, want data or errors", text)
	}
	f.count("data")
	return nil
}

// verifyErrors checks the errors of a response.
func (f *fuzz) verifyErrors(text []byte) error {
	var errors []struct {
		Message    string
		Extensions struct {
			Code      string
			RequestID string
		}
	}
	if err := json.Unmarshal(text, &errors); err != nil {
		return fmt.Errorf("no errors: %w in %.1000q", err, text)
	}
	if len(errors) == 0 || len(errors) > 10 || len(text) > 20_000 {
		return fmt.Errorf("got %d errors in %d bytes, want 1 to 10 in at most 20000: %.2000q", len(errors), len(text), text)
	}
	for _, e := range errors {
		if e.Message == "" || !f.codes[e.Extensions.Code] || e.Extensions.Code == "INTERNAL" {
			return fmt.Errorf("got %.2000q, want messages, and codes of the contract except INTERNAL", text)
		}
	}
	f.count(errors[0].Extensions.Code)
	return nil
}
