package server

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"

	"roster/internal/budget"
	"roster/internal/documents"
)

// The Server-Sent Events here follow the distinct connections mode of GraphQL over Server-Sent
// Events (https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md): one request, one
// operation, one stream.

// serveEvents answers a subscription with an event stream that lasts until the subscription is over,
// the client goes away or the server stops.
func (e endpoint) serveEvents(ctx context.Context, w http.ResponseWriter, r *http.Request, operation *documents.Operation) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	leave, refused := e.streams.enter(func(context.Context) { cancel() })
	if refused != nil {
		refused.write(w, typeEvents)
		return
	}
	defer leave()
	events := &eventStream{w: w, control: http.NewResponseController(w), timeout: e.streams.options.WriteTimeout, http2: r.ProtoMajor > 1}
	if events.open() != nil {
		return
	}
	var heartbeat sync.WaitGroup
	defer heartbeat.Wait()
	defer cancel()
	heartbeat.Go(func() {
		defer cancel() // a client that takes no heartbeat is gone
		events.beat(ctx, e.streams.options.PingInterval)
	})
	account := budget.FromContext(ctx)
	for response := range e.responses(ctx, operation) {
		account.Settle(int64(len(response.Data)))
		data, err := parts(response)
		if err != nil {
			panic(unencodable(err))
		}
		if events.write(nextEvent(data)...) != nil {
			return
		}
		account.Settle(0) // nothing is held until the next event
	}
	if ctx.Err() == nil { // else it was cut off, and the client may ask for the rest
		_ = events.write(completeEvent())
	}
}

// eventStream is an event stream that has begun. Its methods may be called at the same time. An
// error of theirs means that the client is gone.
type eventStream struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // for a client to accept an event
	http2   bool          // where a deadline ends the stream even when nothing is being written
}

// open sends the head of the answer, and a comment, since some browsers and proxies pass on no head
// without a body.
func (s *eventStream) open() error {
	h := s.w.Header()
	announceEvents(h)
	h.Set("Content-Type", typeEvents+"; charset=utf-8")
	if !s.http2 { // On HTTP/2, each stream has its own deadlines, and the others on the connection go on.
		h.Set("Connection", "close") // The deadlines of the stream are not for what would follow it.
	}
	s.w.WriteHeader(http.StatusOK)
	return s.write(comment())
}

func (s *eventStream) write(parts ...[]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeLocked(parts)
}

func (s *eventStream) writeLocked(parts [][]byte) error {
	// A writer that knows no deadline is none that could block.
	_ = s.control.SetWriteDeadline(time.Now().Add(s.timeout))
	if s.http2 {
		defer func() { _ = s.control.SetWriteDeadline(time.Time{}) }()
	}
	for _, part := range parts {
		if _, err := s.w.Write(part); err != nil {
			return err
		}
	}
	return s.control.Flush()
}

// beat sends a comment at every interval until ctx ends or the client is gone. It keeps proxies from
// giving the connection up, and finds out that the client has gone without a word.
func (s *eventStream) beat(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !s.mu.TryLock() { // an event is being written, which is a sign of life, too
			continue
		}
		err := s.writeLocked([][]byte{comment()})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// announceEvents sets the headers that keep caches and proxies from holding events back: nginx reads
// X-Accel-Buffering, and no-transform forbids compression, which waits for more.
func announceEvents(h http.Header) {
	h.Set("Cache-Control", "no-store, no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no")
}

// nextEvent wraps a response as it comes from parts into an event. A line break between two tokens
// of its JSON would end the data, and becomes a space.
func nextEvent(response [][]byte) [][]byte {
	event := [][]byte{[]byte("event: next\ndata: ")}
	for _, part := range response {
		if bytes.ContainsAny(part, "\r\n") { // else it need not be copied
			part = bytes.ReplaceAll(bytes.ReplaceAll(part, []byte("\n"), []byte(" ")), []byte("\r"), []byte(" "))
		}
		event = append(event, part)
	}
	return append(event, []byte("\n\n"))
}

// completeEvent is the event at the end of an operation. It has an empty data line, since a browser
// passes no event on that has none.
func completeEvent() []byte { return []byte("event: complete\ndata:\n\n") }

// comment is what clients pass over.
func comment() []byte { return []byte(":\n\n") }
