package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"roster/internal/codes"
	"roster/internal/documents"
)

// The event streams follow the distinct connections mode of GraphQL over Server-Sent Events
// (https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md): one request has one operation and one stream.

// serveEvents answers a subscription with an event stream, unless it refuses the request. The stream ends with the
// subscription, when the client disconnects, when the caller has no points for an event or may no longer use the server, or
// when the server stops.
func (e endpoint) serveEvents(
	ctx context.Context, w http.ResponseWriter, r *http.Request, operation *documents.Operation, each toll,
) *refusal {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	leave, _, refused := e.streams.enter(func(context.Context) { cancel(errStopping) }, false)
	if refused != nil {
		return refused
	}
	defer leave()
	defer e.authenticator.Watch(ctx, func(reason error) { cancel(&expulsion{reason}) })()
	next, failure := e.subscribe(ctx, operation)
	if failure != nil {
		if refused := refusalOf(failure); refused != nil {
			return refused
		}
		setRetryAfter(w.Header(), failure)
	}
	events := &eventStream{w: w, control: http.NewResponseController(w), timeout: e.streams.options.WriteTimeout, http2: r.ProtoMajor > 1}
	e.observer.Opened(EventStream)
	end := streamDisconnected
	defer func() { e.observer.Ended(EventStream, end) }()
	if events.open() != nil {
		return nil
	}
	var heartbeat sync.WaitGroup
	defer heartbeat.Wait()
	defer cancel(nil)
	heartbeat.Go(func() {
		defer cancel(nil) // the client has disconnected
		events.beat(ctx, e.streams.options.PingInterval)
	})
	failed, last := false, codes.Code("")
	for response := range e.inTurn(ctx, next, true, each, 1) {
		if ctx.Err() != nil {
			break
		}
		failed = response.Data == nil
		last = codeOf(response.Errors)
		if events.send(response) != nil {
			return nil
		}
	}
	expelled, ok := errors.AsType[*expulsion](context.Cause(ctx))
	switch {
	case ok && !failed: // otherwise the client has got an error already
		refused := e.refuseCaller(context.WithoutCancel(ctx), expelled.reason)
		e.observer.Refused(refused.status, refused.code())
		if events.send(&graphql.Response{Errors: refused.errors()}) != nil {
			return nil
		}
		failed, last = true, refused.code()
	case !ok && ctx.Err() != nil: // a stream that was cut off has no end, so that the client asks for the rest
		if errors.Is(context.Cause(ctx), errStopping) {
			end = streamStopping
		}
		return nil
	}
	if events.write(completeEvent()) == nil {
		end = streamComplete
	}
	if failed && last != "" {
		end = string(last)
	}
	return nil
}

// errStopping is the cause of the end of an event stream when the server stops.
var errStopping = fmt.Errorf("the server is stopping: %w", context.Canceled)

// expulsion is the cause of the end of a context: the caller may no longer use the server.
type expulsion struct{ reason error }

func (e *expulsion) Error() string {
	return "the caller may no longer use the server: " + e.reason.Error()
}

// eventStream is an event stream with its head written. Its methods may be called at the same time. Their errors say
// that the client has disconnected.
type eventStream struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // the time that a client may take to accept an event
	http2   bool          // here a write deadline ends the stream even if nothing is being written
}

// open sends the head of the answer and a comment. Some browsers and proxies forward the head only together with a
// body.
func (s *eventStream) open() error {
	h := s.w.Header()
	announceEvents(h)
	h.Set("Content-Type", typeEvents+"; charset=utf-8")
	if !s.http2 {
		h.Set("Connection", "close") // the deadlines of the stream must not hold for another request on the connection
	}
	s.w.WriteHeader(http.StatusOK)
	return s.write(comment())
}

// send sends a response.
func (s *eventStream) send(response *graphql.Response) error {
	data, err := parts(response)
	if err != nil {
		panic(unencodable(err))
	}
	return s.write(nextEvent(data)...)
}

func (s *eventStream) write(parts ...[]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeLocked(parts)
}

func (s *eventStream) writeLocked(parts [][]byte) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(s.timeout)) // a writer without deadlines does not block
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

// beat sends a comment at every interval until ctx ends or the client has disconnected. Comments keep proxies from
// closing the connection, and show whether the client is still there.
func (s *eventStream) beat(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !s.mu.TryLock() { // an event is being written, which serves as well
			continue
		}
		err := s.writeLocked([][]byte{comment()})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// announceEvents sets headers that keep caches and proxies from delaying events. nginx reads X-Accel-Buffering.
// no-transform forbids compression, which would wait for more data.
func announceEvents(h http.Header) {
	h.Set("Cache-Control", "no-store, no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no")
}

// nextEvent returns the event with a response, which comes in parts. A line break between two tokens of the JSON would
// end the data of the event, so it becomes a space.
func nextEvent(response [][]byte) [][]byte {
	event := [][]byte{[]byte("event: next\ndata: ")}
	for _, part := range response {
		if bytes.ContainsAny(part, "\r\n") { // otherwise no copy is needed
			part = bytes.ReplaceAll(bytes.ReplaceAll(part, []byte("\n"), []byte(" ")), []byte("\r"), []byte(" "))
		}
		event = append(event, part)
	}
	return append(event, []byte("\n\n"))
}

// completeEvent returns the event at the end of an operation. Browsers ignore an event without data, so its data is
// empty.
func completeEvent() []byte { return []byte("event: complete\ndata:\n\n") }

// comment returns a comment. Clients ignore it.
func comment() []byte { return []byte(":\n\n") }
