package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const answerLimit = 30 * time.Second

// latencies of requests, sorted.
type latencies []time.Duration

// at returns the latency that a part of the requests, 0 to 1, did not exceed. Of none it returns 0.
func (l latencies) at(part float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[min(int(part*float64(len(l))), len(l)-1)]
}

// A load is the requests of several clients to a server.
type load struct {
	n, connections int
	request        func(i int) (r request, key string)
	check          func(key string, status int, body []byte) error
	limit          time.Duration // for one answer; 0: answerLimit
}

// drive makes n requests over keep-alive connections. Each connection waits for one answer at a time. The first wrong answer ends
// the load, and is its error.
func (l load) drive(ctx context.Context, address string) (latencies, error) {
	var next atomic.Int64
	times := make(latencies, l.n)
	clients, running := errgroup.WithContext(ctx)
	for range l.connections {
		clients.Go(func() error { return l.client(running, address, &next, times) })
	}
	if err := errors.Join(clients.Wait(), ctx.Err()); err != nil {
		return nil, err
	}
	slices.Sort(times)
	return times, nil
}

// client sends one request after the other. It uses the bare connection, which leaves the server more CPU than an http.Client.
func (l load) client(ctx context.Context, address string, next *atomic.Int64, times latencies) (err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	reader, writer := bufio.NewReader(conn), bufio.NewWriter(conn)
	var body bytes.Buffer
	for i := next.Add(1) - 1; i < int64(l.n) && ctx.Err() == nil; i = next.Add(1) - 1 {
		asked, key := l.request(int(i))
		r, err := asked.http(ctx, address)
		if err != nil {
			return err
		}
		start := time.Now()
		if err := conn.SetDeadline(start.Add(cmp.Or(l.limit, answerLimit))); err != nil {
			return err
		}
		status, err := exchange(r, reader, writer, &body)
		times[i] = time.Since(start)
		if err != nil {
			return fmt.Errorf("%s: %w", asked.path, err)
		}
		if err := l.check(key, status, body.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// exchange sends a request and reads the answer's body into a buffer.
func exchange(r *http.Request, reader *bufio.Reader, writer *bufio.Writer, body *bytes.Buffer) (status int, err error) {
	if err := errors.Join(r.Write(writer), writer.Flush()); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(reader, r)
	if err != nil {
		return 0, err
	}
	body.Reset()
	_, err = body.ReadFrom(answer.Body)
	return answer.StatusCode, errors.Join(err, answer.Body.Close())
}
