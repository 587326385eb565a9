package server

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"roster/internal/codes"
)

// StreamOptions are the bounds of the answers that last. Every field but Connect is required.
type StreamOptions struct {
	// MaxStreams is how many WebSockets and event streams may be open at a time.
	MaxStreams int
	// MaxOperations is how many operations may be under way on one WebSocket.
	MaxOperations int
	// PingInterval is the time between two signs of life that the server gives, and how long the
	// client of a WebSocket may take to answer one. It is shorter than the time after which proxies
	// give up idle connections, often a minute.
	PingInterval time.Duration
	// InitTimeout is how long a WebSocket may be open without being acknowledged.
	InitTimeout time.Duration
	// ReadTimeout is how long the client of a WebSocket may take to send a message, once it has begun. 0 is no bound.
	ReadTimeout time.Duration
	// WriteTimeout is how long a client may take to accept a message.
	WriteTimeout time.Duration
	// Connect decides about a WebSocket by the payload of its connection_init, nil without one. It
	// returns the context of the socket's operations, made from the one that it got, and the payload
	// of the acknowledgement, nil for none. An error closes the socket with 4403 and is not shown.
	// Without Connect everybody is acknowledged.
	Connect func(ctx context.Context, payload map[string]any) (context.Context, map[string]any, error)
}

// Streams are the answers under way that end when the client or the server wants it: WebSockets and
// the event streams of subscriptions. They are counted, and ended when the server stops.
type Streams struct {
	options StreamOptions

	mu       sync.Mutex
	open     map[*stream]struct{}
	stopping bool
	idle     chan struct{} // closed when none is open and none will be
}

// stream is one of the Streams.
type stream struct {
	// end ends the stream in good order; when its context ends, at once.
	end func(context.Context)
}

// NewStreams returns Streams of which none is open.
func NewStreams(o StreamOptions) *Streams {
	return &Streams{options: o, open: map[*stream]struct{}{}, idle: make(chan struct{})}
}

// enter takes a stream in. Its caller calls leave when the stream is over.
func (s *Streams) enter(end func(context.Context)) (leave func(), refused *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, refuseFor(http.StatusServiceUnavailable, codes.Unavailable, "the server is stopping")
	}
	if len(s.open) >= s.options.MaxStreams {
		return nil, refuseFor(http.StatusServiceUnavailable, codes.Unavailable, "the server has as many streams as it keeps: try again later")
	}
	one := &stream{end: end}
	s.open[one] = struct{}{}
	return func() { s.leave(one) }, nil
}

func (s *Streams) leave(one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, one)
	if s.stopping && len(s.open) == 0 {
		close(s.idle)
	}
}

// stop lets no stream in any more, ends those that are open and waits for that. When ctx ends first
// it returns an error, and what was still open is cut off. It is called once.
func (s *Streams) stop(ctx context.Context) error {
	var ends sync.WaitGroup
	s.mu.Lock()
	s.stopping = true
	if len(s.open) == 0 {
		close(s.idle)
	}
	for one := range s.open {
		ends.Go(func() { one.end(ctx) })
	}
	s.mu.Unlock()
	select {
	case <-s.idle:
		ends.Wait()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end streams: %w", ctx.Err())
	}
}
