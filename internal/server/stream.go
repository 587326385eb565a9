package server

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// StreamOptions are the bounds of WebSockets and event streams. Every field is required unless its comment
// says what its zero value means.
type StreamOptions struct {
	// MaxStreams is the maximum number of open WebSockets and event streams.
	MaxStreams int
	// MaxOperations is the maximum number of operations that run on one WebSocket.
	MaxOperations int
	// PingInterval is the time between two pings or comments of the server. The client of a WebSocket must answer a
	// ping within this time. It should be shorter than the time after which proxies close idle connections, often a
	// minute.
	PingInterval time.Duration
	// InitTimeout is the maximum time until connection_init comes on a WebSocket.
	InitTimeout time.Duration
	// GuestTimeout is the maximum time until a WebSocket has a caller with credentials. 0: no limit.
	GuestTimeout time.Duration
	// ReadTimeout is the maximum time from the start of a message on a WebSocket to its end. 0: no limit.
	ReadTimeout time.Duration
	// WriteTimeout is the maximum time that a client may take to accept a message.
	WriteTimeout time.Duration
}

// Streams are the open WebSockets, and the event streams of subscriptions. They are counted, and end when the server
// stops. Streams also tell the handler that the server is about to stop.
type Streams struct {
	options StreamOptions
	group   sync.WaitGroup // the open streams
	phase   atomic.Int32   // a phase. Serve sets it

	mu       sync.Mutex
	open     map[*stream]struct{}
	guests   int // the number of open streams that are guests
	stopping bool
}

// phase is how far the server is from its end.
type phase int32

const (
	serving    phase = iota
	handedOver       // another process accepts the connections that come to this address
	stopping         // the server will stop
)

func (s *Streams) is(p phase) bool { return phase(s.phase.Load()) == p }

type stream struct {
	// end ends the stream properly, or at once when its context ends.
	end func(context.Context)
	// guest says that the stream has no caller with credentials yet. Streams has its lock.
	guest bool
}

// guestShare is the part of the streams that guests may take. Guests cost nothing to open, and must not keep out others.
const guestShare = 4

// NewStreams returns Streams without an open stream.
func NewStreams(o StreamOptions) *Streams {
	return &Streams{options: o, open: map[*stream]struct{}{}}
}

// enter adds a stream. The caller calls leave when the stream has ended. A guest is a stream whose caller is not known.
// If it has a caller with credentials later, welcome makes it a stream like the others.
func (s *Streams) enter(end func(context.Context), guest bool) (leave, welcome func(), refused *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, nil, refuseUnavailable("the server is stopping")
	}
	if len(s.open) >= s.options.MaxStreams || guest && s.guests >= max(1, s.options.MaxStreams/guestShare) {
		return nil, nil, refuseUnavailable("the server has as many streams as it keeps: try again later")
	}
	one := &stream{end: end, guest: guest}
	s.open[one] = struct{}{}
	if guest {
		s.guests++
	}
	s.group.Add(1)
	welcome = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if one.guest {
			one.guest = false
			s.guests--
		}
	}
	return func() {
		welcome()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, one)
		s.group.Done()
	}, welcome, nil
}

// stop refuses new streams, ends the open ones and waits until they have ended. If ctx ends first, it returns an error
// and cuts off the streams that are left. It is called once.
func (s *Streams) stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	for one := range s.open {
		s.group.Go(func() { one.end(ctx) })
	}
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		s.group.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end streams: %w", ctx.Err())
	}
}
