package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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

// reportChanges measures the cost of the change feed for writers, and the time of a change to its followers.
func (b *bench) reportChanges(ctx context.Context, create workload, out io.Writer) error {
	p := b.programs[0]
	writers := *b
	writers.connections = changesWriters
	fmt.Fprintf(out, "\nChanges: %d writers that create users, and how long after its answer each of %d more is delivered\n", changesWriters, changesDelivered)
	fmt.Fprintf(out, "%11s%15s%15s%15s%12s%12s\n", "subscribers", "commits/s", "server CPU ms", "database ms", "p50 ms", "p99 ms")
	for _, subscribers := range []int{0, 1, 1000} {
		rate, server, database, p50, p99 := "-", "-", "-", "-", "-"
		if subscribers < 1000 { // a thousand followers of thousands of changes a second are too much for one machine
			f, err := writers.followed(ctx, create, p, subscribers)
			if err != nil {
				return err
			}
			rate, server, database = decimal(0, f.perSecond), cpuTime(f.server), cpuTime(f.database)
		}
		if subscribers > 0 {
			delays, err := deliver(ctx, p.address, create, subscribers)
			if err != nil {
				return err
			}
			p50, p99 = decimal(2, milliseconds(delays.at(0.5))), decimal(2, milliseconds(delays.at(0.99)))
		}
		fmt.Fprintf(out, "%11d%15s%15s%15s%12s%12s\n", subscribers, rate, server, database, p50, p99)
	}
	return nil
}

// followed runs a workload while subscribers follow the changes.
func (b *bench) followed(ctx context.Context, create workload, p *program, subscribers int) (figures, error) {
	f, err := newFollowers(ctx, p.address, subscribers)
	if err != nil {
		return figures{}, err
	}
	defer f.stop()
	go func() {
		for range f.arrivals { // take them, so that nobody waits
		}
	}()
	return b.run(ctx, create, p, create.roster)
}

// deliver creates users one after the other. It returns the times from each answer to the change at each subscriber.
func deliver(ctx context.Context, address string, create workload, subscribers int) (latencies, error) {
	f, err := newFollowers(ctx, address, subscribers)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	var delays latencies
	one := load{n: 1, connections: 1, request: asks(create, create.roster), check: create.check}
	for i := range changesDelivered + 1 {
		<-time.After(time.Duration(rand.Int64N(int64(changesPause)))) //nolint:gosec // any pause will do, so that the feed is at rest now and then
		if _, err := one.drive(ctx, address); err != nil {
			return nil, err
		}
		answered := time.Now()
		for range subscribers {
			select {
			case at, ok := <-f.arrivals:
				if !ok {
					return nil, errors.New("a subscription has ended")
				}
				if i > 0 { // at the first one, some subscribers may not have been ready
					delays = append(delays, max(at.Sub(answered), 0))
				}
			case <-time.After(answerLimit):
				return nil, errors.New("a change does not come")
			}
		}
	}
	slices.Sort(delays)
	return delays, nil
}

// followers are clients of the change feed.
type followers struct {
	ctx      context.Context //nolint:containedctx // it is their life
	cancel   context.CancelFunc
	reading  sync.WaitGroup
	arrivals chan time.Time // of each change at each of them
	after    string         // the cursor where all of them begin
}

// newFollowers returns n followers.
func newFollowers(ctx context.Context, address string, n int) (*followers, error) {
	f := &followers{arrivals: make(chan time.Time, 1<<16)}
	f.ctx, f.cancel = context.WithCancel(ctx)
	end := load{
		n: 1, connections: 1,
		request: func(int) (request, string) {
			return graphQL("{ changes(first: 1) { caughtUp } changesCursor }", nil), ""
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
			err = f.add(client, address)
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
func (f *followers) add(client *http.Client, address string) error {
	const document = "subscription($after: String!) { changes(after: $after) { cursor kind nodeId version node { ... on User { username } } } }"
	r, err := graphQL(document, map[string]string{"after": f.after}).http(f.ctx, address)
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
				f.arrivals <- time.Now()
			}
		}
	})
	return nil
}
