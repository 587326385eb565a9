//go:build cluster

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roster/internal/dbtest"
	"roster/internal/dbtest/servers"
)

// reads is the number of reads with a token that a test of full length makes at least.
const (
	reads      = 100_000
	fullLength = time.Minute
)

// maxStaleness is the limit of reads without a token.
const maxStaleness = 2 * time.Second

// replicated is a primary with two replicas.
type replicated struct {
	primary  *servers.Server
	replicas [2]*servers.Server
	create   string // the statement that creates the database
	hold     string // the statement that stops a replica from replaying the log
	goOn     string
	promote  func(ctx context.Context, s *servers.Server) error
}

// TestReplicas lets clients write through one server and read through two, with the token of what they have written, while the
// replicas of the database are killed, paused and lag, and one is promoted. No read is stale, and no client gets an error.
func TestReplicas(t *testing.T) {
	binary := build(t)
	for name, start := range map[string]func(*testing.T) *replicated{"postgres": postgresReplicas, "mariadb": mariadbReplicas} {
		t.Run(name, func(t *testing.T) {
			start(t).test(t, binary)
		})
	}
}

func postgresReplicas(t *testing.T) *replicated {
	t.Helper()
	r := &replicated{
		create: "CREATE DATABASE roster TEMPLATE template0", hold: "SELECT pg_wal_replay_pause()", goOn: "SELECT pg_wal_replay_resume()",
		promote: func(ctx context.Context, s *servers.Server) error { return s.Promote(ctx) },
	}
	r.primary = dbtest.Keep(t)(servers.StartPostgresPrimary(t.Context()))
	for i := range r.replicas {
		// The second replica is always a little late, so that reads have to wait for it.
		settings := []string{}
		if i == 1 {
			settings = []string{"recovery_min_apply_delay=50ms"}
		}
		r.replicas[i] = dbtest.Keep(t)(servers.StartPostgresStandby(t.Context(), r.primary, "replica"+strconv.Itoa(i), settings...))
	}
	return r
}

func mariadbReplicas(t *testing.T) *replicated {
	t.Helper()
	r := &replicated{
		create: "CREATE DATABASE roster CHARACTER SET utf8mb4", hold: "STOP SLAVE SQL_THREAD", goOn: "START SLAVE",
		promote: func(ctx context.Context, s *servers.Server) error {
			return s.Execute(ctx, "STOP SLAVE", "RESET SLAVE ALL", "CREATE DATABASE own")
		},
	}
	r.primary = dbtest.Keep(t)(servers.StartMariaDBPrimary(t.Context()))
	for i := range r.replicas {
		r.replicas[i] = dbtest.Keep(t)(servers.StartMariaDBReplica(t.Context(), r.primary, i+2))
	}
	return r
}

// database returns the URL of the database roster on a server.
func database(t *testing.T, s *servers.Server) string {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal("a URL is malformed")
	}
	u.Path = "/roster"
	return u.String()
}

func (r *replicated) test(t *testing.T, binary string) {
	t.Helper()
	if err := r.primary.Execute(t.Context(), r.create); err != nil {
		t.Fatal(err)
	}
	flags := []string{
		"--database-replica-urls=" + database(t, r.replicas[0]) + "," + database(t, r.replicas[1]),
		"--replica-max-staleness=" + maxStaleness.String(),
	}
	l := &readLoad{servers: []*program{
		start(t, binary, database(t, r.primary), flags...), start(t, binary, database(t, r.primary), flags...),
	}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() { l.write(ctx, t, i) })
	}
	began := time.Now()
	for round := 0; round == 0 || time.Since(began) < *length*3/4; round++ {
		r.fail(ctx, t, round, *length/16)
	}
	if err := r.promote(ctx, r.replicas[1]); err != nil {
		t.Error(err)
	}
	full := *length >= fullLength
	wait(ctx, t, *length-time.Since(began), func() bool { return full && l.reads.Load() < reads && !t.Failed() })
	cancel()
	writers.Wait()
	t.Logf("%d reads with a token, %d without, %d mutations; the longest read took %v", l.reads.Load(), l.others.Load(), l.mutations.Load(), time.Duration(l.longest.Load()))
	if full && l.reads.Load() < reads {
		t.Errorf("got %d reads, want %d", l.reads.Load(), reads)
	}
	for _, s := range l.servers {
		if log := s.log.String(); !strings.Contains(log, "a replica answers queries") || !strings.Contains(log, "it takes changes itself") {
			t.Errorf("the log does not have that replicas were used, and that the promoted one was left out:\n%s", log)
		}
		s.stop(t)
	}
}

// fail makes one replica fail, and then the other one, each for a time.
func (r *replicated) fail(ctx context.Context, t *testing.T, round int, each time.Duration) {
	t.Helper()
	first, second := r.replicas[round%2], r.replicas[(round+1)%2]
	for _, step := range []func() error{
		first.Kill,
		func() error { return first.Start(ctx) },
		second.Pause,
		second.Resume,
		func() error { return first.Execute(ctx, r.hold) },
		func() error { return first.Execute(ctx, r.goOn) },
	} {
		if err := step(); err != nil {
			t.Error(err)
		}
		wait(ctx, t, each, func() bool { return false })
	}
}

// wait waits for a time, and then as long as more says so.
func wait(ctx context.Context, t *testing.T, d time.Duration, more func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for until := time.Now().Add(d); time.Now().Before(until) || more(); {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// readLoad is the load of clients that read what they have written.
type readLoad struct {
	servers                           []*program
	reads, others, mutations, longest atomic.Int64
}

// values are the numbers that a client has written, and the times after which each was acknowledged.
type values []struct {
	at time.Time
	n  int
}

// write creates a user, and writes the next number into it and reads it again until ctx ends. Only this client writes the user.
func (l *readLoad) write(ctx context.Context, t *testing.T, client int) {
	t.Helper()
	own := &http.Client{Timeout: 8 * time.Second, Transport: &http.Transport{}} // less than a statement may take
	defer own.CloseIdleConnections()
	name := "client" + strconv.Itoa(client)
	a, err := post(ctx, own, l.servers[0].url, "", `mutation ($i: CreateUserInput!) { createUser(input: $i) { user { id } } }`,
		map[string]any{"i": map[string]any{"username": name, "email": name + "-0@example.com"}})
	var created struct {
		CreateUser struct{ User struct{ ID string } }
	}
	if err != nil || json.Unmarshal(a.Data, &created) != nil || created.CreateUser.User.ID == "" {
		t.Errorf("create a user: got %+v, %v, want data", a, err)
		return
	}
	id, token := created.CreateUser.User.ID, a.header.Get("Roster-Consistency")
	written := values{{time.Now(), 0}}
	for n := 1; ctx.Err() == nil && !t.Failed(); n++ {
		a, err := post(ctx, own, l.servers[n%2].url, "", `mutation ($i: UpdateUserInput!) { updateUser(input: $i) { user { id } } }`,
			map[string]any{"i": map[string]any{"id": id, "email": fmt.Sprintf("%s-%d@example.com", name, n)}})
		if ctx.Err() != nil {
			return
		}
		if err != nil || a.code() != "" || a.header.Get("Roster-Consistency") < token {
			t.Errorf("a mutation: got %+v, %v, want data and a token that is not less", a, err)
			return
		}
		l.mutations.Add(1)
		token = a.header.Get("Roster-Consistency")
		written = append(written, struct {
			at time.Time
			n  int
		}{time.Now(), n})
		for i := range 40 {
			l.read(ctx, t, own, i, id, token, n)
		}
		l.readAny(ctx, t, own, n, id, written)
	}
}

// documents have one statement, and several.
func documents() []string {
	return []string{
		`query ($id: ID!) { user(by: { id: $id }) { email } }`,
		`query ($id: ID!) { user(by: { id: $id }) { email posts(first: 1) { nodes { id } } } }`,
		`query ($id: ID!) { user(by: { id: $id }) { email } viewer { subject } }`,
	}
}

// read wants the last number.
func (l *readLoad) read(ctx context.Context, t *testing.T, client *http.Client, i int, id, token string, want int) {
	t.Helper()
	began := time.Now()
	got, err := l.number(ctx, client, i, id, token)
	if ctx.Err() != nil {
		return
	}
	if err != nil || got != want {
		t.Errorf("a read with the token: got %d, %v, want %d", got, err, want)
	}
	l.reads.Add(1)
	for took := int64(time.Since(began)); ; {
		longest := l.longest.Load()
		if took <= longest || l.longest.CompareAndSwap(longest, took) {
			return
		}
	}
}

// readAny wants, without a token, at least the number that was acknowledged before the limit of the staleness.
func (l *readLoad) readAny(ctx context.Context, t *testing.T, client *http.Client, i int, id string, written values) {
	t.Helper()
	least := absent
	for _, w := range written {
		if time.Since(w.at) > maxStaleness {
			least = w.n
		}
	}
	got, err := l.number(ctx, client, i, id, "")
	if ctx.Err() != nil {
		return
	}
	l.others.Add(1)
	if err != nil || got < least {
		t.Errorf("a read without a token: got %d, %v, want at least %d, which was committed more than %v before", got, err, least, maxStaleness)
	}
}

// absent is the number of a user that is not there.
const absent = -1

// number reads the number of a user.
func (l *readLoad) number(ctx context.Context, client *http.Client, i int, id, token string) (int, error) {
	body, err := json.Marshal(map[string]any{"query": documents()[i%len(documents())], "variables": map[string]any{"id": id}})
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.servers[i%2].url+"/graphql", strings.NewReader(string(body)))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Roster-Consistency", token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var answer struct {
		Data   struct{ User *struct{ Email string } }
		Errors []struct{ Message string }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if len(answer.Errors) > 0 {
		return 0, fmt.Errorf("errors: %v", answer.Errors)
	}
	if answer.Data.User == nil {
		return absent, nil
	}
	_, rest, _ := strings.Cut(answer.Data.User.Email, "-")
	digits, _, _ := strings.Cut(rest, "@")
	return strconv.Atoi(digits)
}
