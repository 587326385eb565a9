package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// changesWorkload is the name of the change feed in -workloads.
const changesWorkload = "changes"

const (
	changesWriters   = 8
	changesDelivered = 100 // commits whose delivery is timed
	changesPause     = 50 * time.Millisecond
)

// fanOut is the greatest number of subscribers.
const fanOut = 1000

// reportChanges measures the cost of the change feed for writers, and the time of a change to its followers.
func (b *bench) reportChanges(ctx context.Context, engine string, create workload, r *report, out io.Writer) error {
	create.roster = b.authorised(create)
	writers := *b
	writers.connections = changesWriters
	commits := min(changesDelivered, b.requests)
	fmt.Fprintf(out, "\nChanges: %d writers that create users, and %d more commits, with the time from each answer to each subscriber\n", changesWriters, commits)
	fmt.Fprintf(out, "%11s%15s%15s%15s%12s%12s%20s%15s%10s\n", "subscribers", "commits/s", "server CPU ms", "database ms", "p50 ms", "p99 ms", "server CPU ms each", "database ms", "peak MiB")
	for _, subscribers := range []int{0, 1, fanOut} {
		written, server, database := "-", "-", "-"
		if subscribers < fanOut { // a thousand followers of thousands of changes a second are too much for one machine
			f, err := writers.followed(ctx, create, subscribers)
			if err != nil {
				return err
			}
			r.Results = append(r.Results, &result{Engine: engine, Workload: fmt.Sprint("followers ", subscribers), Roster: medians([]figures{f})})
			written, server, database = decimal(0, f.perSecond), cpuTime(f.server), cpuTime(f.database)
		}
		fmt.Fprintf(out, "%11d%15s%15s%15s", subscribers, written, server, database)
		if subscribers > 0 {
			f, err := b.deliver(ctx, create, subscribers, commits)
			if err != nil {
				return err
			}
			r.Results = append(r.Results, &result{Engine: engine, Workload: fmt.Sprint("fan-out ", subscribers), Roster: medians([]figures{f})})
			fmt.Fprintf(out, "%12s%12s%20s%15s%10d", decimal(2, p50(f)), decimal(2, p99(f)), cpuTime(f.server), cpuTime(f.database), f.peak>>20)
		}
		fmt.Fprintln(out)
	}
	return nil
}

// followed runs a workload while subscribers follow the changes.
func (b *bench) followed(ctx context.Context, create workload, subscribers int) (figures, error) {
	f, err := newFollowers(ctx, b.roster.address, b.tokens.admin, subscribers)
	if err != nil {
		return figures{}, err
	}
	defer f.stop()
	go func() {
		for range f.arrivals { // take them, so that nobody waits
		}
	}()
	return b.run(ctx, create, b.roster, create.roster)
}

// deliver creates users one after the other. The latencies are the times from each answer to the change at each subscriber. The
// CPU is that of a commit with its deliveries.
func (b *bench) deliver(ctx context.Context, create workload, subscribers, commits int) (figures, error) {
	f, err := newFollowers(ctx, b.roster.address, b.tokens.admin, subscribers)
	if err != nil {
		return figures{}, err
	}
	defer f.stop()
	one := load{n: 1, connections: 1, request: asks(create, create.roster), check: create.check}
	if _, err := f.commit(ctx, one, b.roster.address, subscribers); err != nil { // some subscribers may not have been ready
		return figures{}, err
	}
	forgetPeak(b.roster.ID())
	server, database, started := processTime(b.roster.ID()), familyTime(b.databaseServer), time.Now()
	var delays latencies
	for range commits {
		<-time.After(time.Duration(mathrand.Int64N(int64(changesPause)))) //nolint:gosec // any pause will do, so that the feed is at rest now and then
		some, err := f.commit(ctx, one, b.roster.address, subscribers)
		if err != nil {
			return figures{}, err
		}
		delays = append(delays, some...)
	}
	slices.Sort(delays)
	return figures{
		perSecond: float64(commits) / time.Since(started).Seconds(),
		latencies: delays,
		server:    share(server, processTime(b.roster.ID()), commits),
		database:  share(database, familyTime(b.databaseServer), commits),
		peak:      peakMemory(b.roster.ID()),
	}, nil
}

// commit creates a user, and waits for its change at each subscriber.
func (f *followers) commit(ctx context.Context, one load, address string, subscribers int) (delays latencies, err error) {
	if _, err := one.drive(ctx, address); err != nil {
		return nil, err
	}
	answered := time.Now()
	for range subscribers {
		select {
		case a, ok := <-f.arrivals:
			if !ok {
				return nil, errors.New("a subscription has ended")
			}
			delays = append(delays, max(a.at.Sub(answered), 0))
		case <-time.After(answerLimit):
			return nil, errors.New("a change does not come")
		}
	}
	return delays, nil
}

// An arrival is that of a change at a follower.
type arrival struct {
	at       time.Time
	username string // of the user that was created
}

// followers are clients of the change feed.
type followers struct {
	ctx      context.Context //nolint:containedctx // it is their life
	cancel   context.CancelFunc
	reading  sync.WaitGroup
	arrivals chan arrival
	after    string // the cursor where all of them begin
}

// newFollowers returns n followers.
func newFollowers(ctx context.Context, address, token string, n int) (*followers, error) {
	f := &followers{arrivals: make(chan arrival, 1<<16)}
	f.ctx, f.cancel = context.WithCancel(ctx)
	end := load{
		n: 1, connections: 1,
		request: func(int) (request, string) {
			r := graphQL("{ changes(first: 1) { caughtUp } changesCursor }", nil)
			r.token = token
			return r, ""
		}, // changes numbers all changes; the cursor is after the last one
		check: func(_ string, _ int, body []byte) error {
			var answer struct {
				Data struct{ ChangesCursor string }
			}
			err := json.Unmarshal(body, &answer)
			f.after = answer.Data.ChangesCursor
			return err
		},
	}
	_, err := end.drive(ctx, address)
	client := &http.Client{Transport: new(http.Transport)} // each subscription has a connection of its own
	for range n {
		if err == nil {
			err = f.add(client, address, token)
		}
	}
	if err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

// stop ends the followers.
func (f *followers) stop() {
	f.cancel()
	f.reading.Wait()
	close(f.arrivals)
}

// add adds a follower.
func (f *followers) add(client *http.Client, address, token string) error {
	const document = "subscription($after: String!) { changes(after: $after) { cursor kind nodeId version node { ... on User { username } } } }"
	subscribe := graphQL(document, map[string]string{"after": f.after})
	subscribe.token = token
	r, err := subscribe.http(f.ctx, address)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "text/event-stream")
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("subscribe: %s", response.Status), response.Body.Close())
	}
	f.reading.Go(func() {
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), `data: {"data":{"changes":{`) {
				now := time.Now()
				_, after, _ := strings.Cut(lines.Text(), `"username":"`)
				username, _, _ := strings.Cut(after, `"`)
				f.arrivals <- arrival{now, username}
			}
		}
	})
	return nil
}
