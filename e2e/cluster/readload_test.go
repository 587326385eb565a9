//go:build cluster

package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roster/e2e/program"
	"roster/internal/consistency"
)

const (
	// fullReads is the number of reads with a token that a test of full length makes at least. A shorter test makes a tenth of its
	// share, because it has no time before the first failure.
	fullReads = 100_000
	// readClients is the number of clients, and readsEach that of reads after each mutation of one.
	readClients = 6
	readsEach   = 40
	// complaintKinds bounds the different warnings and errors in the log of a server. How many there are of each depends on the machine,
	// but there is not one for each request: requestsEach is the number of requests for each.
	complaintKinds = 15
	requestsEach   = 10
)

// readLoad are clients that read what they have written, with the token that docs/clients.md lets them keep. A client has only one
// mutation at a time, and nobody else writes its user. While the primary is away, it repeats the mutation with the same key.
type readLoad struct {
	*testing.T
	servers []*server // take the reads in turn
	takers  []*server // take the mutations in turn
	stop    chan struct{}
	working sync.WaitGroup
	clients []*readClient

	reads, others, mutations, longest atomic.Int64

	mu       sync.Mutex
	away     time.Time      // a request that begins before may find no primary
	replaced time.Time      // a request that begins before may be answered by a former primary
	told     map[string]int // the answers without data
}

// readClient is a client of a readLoad.
type readClient struct {
	*readLoad
	http        *http.Client
	name        string
	id, token   string
	n           int // the last acknowledged number
	last        acknowledgement
	written     []write
	acknowledge atomic.Int64 // the time of the last acknowledgement, in Unix nanoseconds
}

// acknowledgement is the token of the answer to a mutation, and the time at which its request began.
type acknowledgement struct {
	token string
	began time.Time
}

// write is a number that a client has written, and the time at which it was acknowledged.
type write struct {
	n  int
	at time.Time
}

// newReadLoad starts the clients. They work until finish.
func newReadLoad(t *testing.T, servers, takers []*server) *readLoad {
	t.Helper()
	l := &readLoad{T: t, servers: servers, takers: takers, stop: make(chan struct{}), told: map[string]int{}}
	for i := range readClients {
		c := &readClient{readLoad: l, name: "client" + strconv.Itoa(i), http: &http.Client{Timeout: answerLimit, Transport: &http.Transport{}}}
		l.clients = append(l.clients, c)
		l.working.Go(c.work)
	}
	t.Cleanup(l.end)
	return l
}

// end ends the clients.
func (l *readLoad) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.working.Wait()
	for _, c := range l.clients {
		c.http.CloseIdleConnections()
	}
}

func (l *readLoad) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return l.Failed()
	}
}

// idle lets the clients work for a time.
func (l *readLoad) idle(d time.Duration) {
	ticker := time.NewTicker(rest)
	defer ticker.Stop()
	for until := time.Now().Add(d); time.Now().Before(until) && !l.Failed(); {
		<-ticker.C
	}
}

// least is the number of reads with a token that the test makes at least.
func (l *readLoad) least() int64 {
	if *length >= fullLength {
		return fullReads
	}
	return fullReads * int64(*length) / int64(fullLength) / 10
}

func (l *readLoad) lacksReads() bool { return !l.Failed() && l.reads.Load() < l.least() }

// fails says that the primary fails now.
func (l *readLoad) fails() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = time.Now().Add(patience)
	l.replaced = l.away
}

// promoted says that another server has just taken the place of the primary.
func (l *readLoad) promoted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = time.Now().Add(serviceLimit)
}

// replaces says that the new primary has acknowledged a mutation of each client.
func (l *readLoad) replaces() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replaced = time.Now()
}

// acknowledged waits until each client has had an acknowledgement from now on. It fails the test if the first one takes longer than
// a limit, and returns how long it took.
func (l *readLoad) acknowledged(limit time.Duration) (first time.Duration) {
	l.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for since := time.Now(); ; <-ticker.C {
		later := 0
		for _, c := range l.clients {
			if at := time.Unix(0, c.acknowledge.Load()); at.After(since) {
				later++
				if took := at.Sub(since); first == 0 || took < first {
					first = took
				}
			}
		}
		switch took := time.Since(since); {
		case first > limit, first == 0 && took > limit:
			l.Fatalf("got no acknowledgement within %s, want one", limit)
		case later == len(l.clients):
			return first
		case l.Failed(), took > patience:
			l.Fatalf("got acknowledgements of %d clients within %s, want those of %d", later, took, len(l.clients))
		}
	}
}

const update = `mutation ($i: UpdateUserInput!) { change: updateUser(input: $i) { user { id version } } }`

// work creates a user, and writes the next number into it and reads it again until the end.
func (c *readClient) work() {
	created := c.mutate(`mutation ($i: CreateUserInput!) { change: createUser(input: $i) { user { id version } } }`,
		map[string]any{"username": c.name, "email": c.name + "-0@example.com"})
	if created == nil {
		return
	}
	c.id = created.ID
	for {
		for i := range readsEach {
			if c.stopped() {
				return
			}
			c.read(i)
		}
		c.readAny()
		c.n++
		changed := c.mutate(update, map[string]any{"id": c.id, "email": fmt.Sprintf("%s-%d@example.com", c.name, c.n)})
		if changed == nil {
			return
		}
		if changed.Version != c.n+1 {
			c.Errorf("%s: got the version %d after %d updates, want %d", c.name, changed.Version, c.n, c.n+1)
		}
		c.mutateStale()
	}
}

// versioned is the user in the answer to a mutation.
type versioned struct {
	ID      string
	Version int
}

// keep keeps a token by the rule of docs/clients.md: of one database, the greater one; otherwise the last one.
func (c *readClient) keep(token string) {
	const database = 15 // the number of characters that name it
	if token != "" && (c.token == "" || token[:database] != c.token[:database] || token > c.token) {
		c.token = token
	}
}

// follows checks that the token of an acknowledged mutation is not less than that of the one before, if both are of one primary. A
// token of a commit whose position is unknown can be greater than those of later commits.
func (c *readClient) follows(next acknowledgement) {
	c.mu.Lock()
	replaced := c.replaced
	c.mu.Unlock()
	before, err := consistency.Parse(c.last.token)
	if known := err == nil && before.Server != math.MaxUint32; known && c.last.began.After(replaced) && next.token < c.last.token {
		c.Errorf("a mutation: got the token %q after %q, want one that is not less: the primary has not changed", next.token, c.last.token)
	}
	c.last = next
}

// mutate sends a mutation until it is acknowledged.
func (c *readClient) mutate(query string, input map[string]any) *versioned {
	o := operation{query: query, variables: map[string]any{"i": input}, key: fmt.Sprint(c.name, " ", c.n)}
	for turn, deadline := c.n, time.Now().Add(patience); ; turn++ {
		began := time.Now()
		a := c.ask(c.takers[turn%len(c.takers)], o, "", "UNAVAILABLE", "OUTCOME_UNKNOWN")
		switch {
		case c.Failed():
			return nil
		case a == nil && time.Now().After(deadline):
			c.Errorf("%s: got no acknowledgement of %d within %v", c.name, c.n, patience)
			return nil
		case a == nil:
			continue
		}
		var data struct{ Change struct{ User versioned } }
		token := a.header.Get("Roster-Consistency")
		if err := json.Unmarshal(a.Data, &data); err != nil || token == "" {
			c.Errorf("a mutation: got %s, %v and the token %q, want data and a token", a.Data, err, token)
			return nil
		}
		c.follows(acknowledgement{token, began})
		now := time.Now()
		c.written = append(c.written, write{c.n, now})
		c.acknowledge.Store(now.UnixNano())
		c.mutations.Add(1)
		return &data.Change.User
	}
}

// mutateStale sends a mutation that fails. Its answer has a token too.
func (c *readClient) mutateStale() {
	input := map[string]any{"id": c.id, "email": "stale@example.com", "expectedVersion": c.n}
	a := c.ask(c.takers[c.n%len(c.takers)], operation{query: update, variables: map[string]any{"i": input}}, "STALE_VERSION", "UNAVAILABLE", "OUTCOME_UNKNOWN")
	if a != nil && a.header.Get("Roster-Consistency") == "" {
		c.Error("a mutation with STALE_VERSION: got no token, want one")
	}
}

// ask sends an operation once, and keeps the token of its answer, which has data or the code that is wanted. While the primary may be
// away, it may have one of some other codes: then ask waits a little, and returns nil.
func (c *readClient) ask(p *server, o operation, want string, codes ...string) *answer {
	began := time.Now()
	a, err := post(context.WithoutCancel(c.Context()), c.http, p.URL, o)
	if err != nil {
		c.Errorf("%s: got %v after %v, want an answer", o.query, err, time.Since(began))
		return nil
	}
	c.keep(a.header.Get("Roster-Consistency"))
	code := a.code()
	if code == want {
		return a
	}
	verb, _, _ := strings.Cut(o.query, " ")
	c.mu.Lock()
	c.told[verb+" "+code]++
	away := c.away
	c.mu.Unlock()
	switch {
	case !slices.Contains(codes, code) || !began.Before(away):
		c.Errorf("%s: got %+v from %s after %v, want %s", o.query, a.Errors, p.URL, time.Since(began), cmp.Or(want, "data"))
	case code == "UNAVAILABLE" && a.header.Get("Retry-After") == "":
		c.Errorf("%s: got UNAVAILABLE without Retry-After, want it", o.query)
	}
	<-time.After(rest)
	return nil
}

// readDocuments have one statement, and several.
func readDocuments() []string {
	return []string{
		`query ($id: ID!) { user(by: { id: $id }) { email version } }`,
		`query ($id: ID!) { user(by: { id: $id }) { email version posts(first: 1) { nodes { id } } } }`,
		`query ($id: ID!) { user(by: { id: $id }) { email version } viewer { subject } }`,
	}
}

// absent is the number of a user that is not there.
const absent = -1

// number reads the number of the client's user. It reports whether there was an answer.
func (c *readClient) number(i int, token string) (n int, ok bool) {
	documents := readDocuments()
	a := c.ask(c.servers[i%len(c.servers)], operation{
		query: documents[i%len(documents)], variables: map[string]any{"id": c.id}, token: token,
	}, "", "UNAVAILABLE")
	if a == nil {
		return 0, false
	}
	var data struct {
		User *struct {
			Email   string
			Version int
		}
	}
	if err := json.Unmarshal(a.Data, &data); err != nil {
		c.Errorf("a read: got %s, %v, want a user", a.Data, err)
		return 0, false
	}
	if data.User == nil {
		return absent, true
	}
	_, rest, _ := strings.Cut(data.User.Email, "-")
	digits, _, _ := strings.Cut(rest, "@")
	if n, err := strconv.Atoi(digits); err != nil || data.User.Version != n+1 {
		c.Errorf("a read: got %+v, want the version that belongs to the address", *data.User)
	}
	n, _ = strconv.Atoi(digits)
	return n, true
}

// read wants the last number.
func (c *readClient) read(i int) {
	began := time.Now()
	got, ok := c.number(i, c.token)
	if !ok {
		return
	}
	if got != c.n {
		c.Errorf("%s: a read with the token %s on %s: got %d, want %d", c.name, c.token, c.servers[i%len(c.servers)].URL, got, c.n)
	}
	c.reads.Add(1)
	for took := int64(time.Since(began)); ; {
		longest := c.longest.Load()
		if took <= longest || c.longest.CompareAndSwap(longest, took) {
			return
		}
	}
}

// readAny wants, without a token, at least the number that was acknowledged before the limit of the staleness.
func (c *readClient) readAny() {
	least, began := absent, time.Now()
	for _, w := range slices.Backward(c.written) {
		if began.Sub(w.at) > maxStaleness {
			least = w.n
			break
		}
	}
	got, ok := c.number(c.n, "")
	if !ok {
		return
	}
	c.others.Add(1)
	if got < least || got > c.n {
		c.Errorf("%s: a read without a token on %s: got %d, want %d to %d: the first was committed more than %v before", c.name, c.servers[c.n%len(c.servers)].URL, got, least, c.n, maxStaleness)
	}
}

// finish ends the clients, and checks that no acknowledged mutation is lost or doubled, that the clients have read enough, and that
// the logs have few complaints.
func (l *readLoad) finish(failures int) {
	l.Helper()
	l.end()
	if l.Failed() {
		return
	}
	for _, c := range l.clients {
		for i := range readDocuments() {
			c.read(i) // with the version, which counts the updates
		}
	}
	l.Logf("%d failures; %d reads with a token, %d without, %d mutations; the longest read took %v; answers without data: %v",
		failures, l.reads.Load(), l.others.Load(), l.mutations.Load(), time.Duration(l.longest.Load()).Round(time.Millisecond), l.told)
	if l.reads.Load() < l.least() {
		l.Errorf("got %d reads, want at least %d", l.reads.Load(), l.least())
	}
	for i, p := range l.servers {
		replicas, all := p.replicaReads(l.T)
		fallbacks := p.metrics(l.T, "roster_replica_fallbacks_total")
		l.Logf("server %d: replicas answered %.0f of %.0f reads; to the primary went %v", i+1, replicas, all, fallbacks)
		requests := int(l.reads.Load() + l.others.Load() + l.mutations.Load())
		if kinds := p.complainsLittle(l.T, requests/requestsEach); kinds > complaintKinds {
			l.Errorf("%s: got %d different warnings and errors, want at most %d", p.URL, kinds, complaintKinds)
		}
	}
}

// shares are the reads of each server, and those of them that replicas have answered, while replicas are in use.
type shares struct {
	*readLoad
	replicas, all []float64
}

// shares counts from begin to end, and again.
func (l *readLoad) shares() *shares {
	return &shares{l, make([]float64, len(l.servers)), make([]float64, len(l.servers))}
}

func (s *shares) begin() { s.add(-1) }
func (s *shares) end()   { s.add(1) }

func (s *shares) add(sign float64) {
	s.Helper()
	for i, p := range s.servers {
		replicas, all := p.replicaReads(s.T)
		s.replicas[i] += sign * replicas
		s.all[i] += sign * all
	}
}

// atLeast checks that replicas have answered a share of the counted reads on each server.
func (s *shares) atLeast(share float64) {
	s.Helper()
	for i := range s.servers {
		replicas, all := s.replicas[i], s.all[i]
		s.Logf("server %d: while replicas were in use, they answered %.0f of %.0f reads", i+1, replicas, all)
		if all == 0 || replicas < share*all {
			s.Errorf("server %d: want at least %.0f %% of the reads on replicas", i+1, 100*share)
		}
	}
}

// replicaReads returns the number of reads that replicas have answered, and that of all.
func (s *server) replicaReads(t *testing.T) (replicas, all float64) {
	t.Helper()
	for labels, n := range s.metrics(t, "roster_reads_total") {
		if all += n; labels != `server="primary"` {
			replicas += n
		}
	}
	return replicas, all
}

// readsOf returns the number of reads that a database server has answered as a replica.
func (s *server) readsOf(t *testing.T, addr string) (n float64) {
	t.Helper()
	for labels, reads := range s.metrics(t, "roster_reads_total") {
		if strings.Contains(labels, "("+addr+"/") {
			n += reads
		}
	}
	return n
}

// metrics returns the values of a metric by its labels.
func (s *server) metrics(t *testing.T, name string) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for key, value := range program.Metrics(t, s.admin) {
		if labels, ok := strings.CutPrefix(key, name+"{"); ok {
			values[strings.TrimSuffix(labels, "}")] = value
		}
	}
	return values
}
