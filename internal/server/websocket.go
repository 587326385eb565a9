package server

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// The WebSockets here follow GraphQL over WebSocket, the sub-protocol graphql-transport-ws
// (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md). The older sub-protocol
// graphql-ws is not served.
const subprotocol = "graphql-transport-ws"

// The codes with which a socket is closed. RFC 6455 has those below 4000.
const (
	closeGoingAway       = websocket.StatusGoingAway
	closeInternal        = websocket.StatusInternalError
	closeTryAgain        = websocket.StatusTryAgainLater
	closeInvalid         = websocket.StatusCode(4400)
	closeUnauthorized    = websocket.StatusCode(4401)
	closeForbidden       = websocket.StatusCode(4403)
	closeSubprotocol     = websocket.StatusCode(4406)
	closeInitTimeout     = websocket.StatusCode(4408)
	closeDuplicate       = websocket.StatusCode(4409)
	closeTooManyRequests = websocket.StatusCode(4429)
)

// fault is why the server closes a socket.
type fault struct {
	code   websocket.StatusCode
	reason string
}

// wantsSocket reports whether a request is the beginning of a WebSocket's handshake.
func wantsSocket(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	for protocol := range strings.SplitSeq(strings.Join(r.Header.Values("Upgrade"), ","), ",") {
		if strings.EqualFold(strings.TrimSpace(protocol), "websocket") {
			return true
		}
	}
	return false
}

// serveSocket does the handshake and then all that is asked for on the socket.
func (e endpoint) serveSocket(w http.ResponseWriter, r *http.Request) {
	s := &socket{
		endpoint:     e,
		begun:        make(chan struct{}),
		acknowledged: make(chan struct{}),
		writing:      make(chan struct{}, 1),
		operations:   map[string]*socketOperation{},
	}
	leave, refused := e.streams.enter(s.end)
	if refused != nil {
		refused.write(w, typeJSON)
		return
	}
	defer leave()
	handshake := &handshake{ResponseWriter: w}
	conn, err := websocket.Accept(handshake, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true, // origins.guard has looked at the origin.
	})
	if err != nil {
		close(s.begun)
		refuse(handshake.refused, "this is not how a WebSocket of version 13 begins").write(w, typeJSON)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	s.conn, s.cut = conn, cancel
	close(s.begun)
	s.serve(ctx)
}

// handshake takes the library's own refusals, which are plain text, out of an answer.
type handshake struct {
	http.ResponseWriter
	refused int // the status of the refusal, or 0
}

func (h *handshake) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		h.refused = status
		return
	}
	h.ResponseWriter.WriteHeader(status)
}

func (h *handshake) Write(p []byte) (int, error) {
	if h.refused != 0 {
		return len(p), nil
	}
	return h.ResponseWriter.Write(p)
}

// Unwrap lets the library take the connection over.
func (h *handshake) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// socket is one WebSocket. One goroutine reads its messages, one watches over it, and each operation
// has its own.
type socket struct {
	endpoint
	begun chan struct{} // closed after the handshake, when conn and cut are set if it succeeded
	conn  *websocket.Conn
	cut   context.CancelFunc // breaks the connection off

	acknowledged chan struct{} // closed when the client may send operations
	writing      chan struct{} // holds one element while a message is written

	mu         sync.Mutex
	operations map[string]*socketOperation // of which the client awaits more, by ID
	running    int                         // operations that have not ended
	draining   bool                        // no operation begins any more
	group      sync.WaitGroup              // of the operations that have not ended
}

// serve answers messages until either side closes the socket, and returns when all that it started
// has ended. The end of ctx breaks the connection off.
func (s *socket) serve(ctx context.Context) {
	var watch sync.WaitGroup
	defer s.group.Wait()
	defer watch.Wait()
	defer func() { _ = s.conn.CloseNow() }() // It may be closed already.
	defer s.cut()
	defer s.forget()
	watch.Go(func() { s.watch(ctx) })
	if s.conn.Subprotocol() != subprotocol {
		s.close(fault{closeSubprotocol, "Subprotocol not acceptable"})
		return
	}
	s.conn.SetReadLimit(s.maxBodyBytes)
	if f := s.read(ctx); f != nil {
		s.close(*f)
	}
}

// watch closes a socket that is not acknowledged in time, and breaks one off whose client gives no
// sign of life, until ctx ends.
func (s *socket) watch(ctx context.Context) {
	init := time.NewTimer(s.streams.options.InitTimeout)
	defer init.Stop()
	ping := time.NewTicker(s.streams.options.PingInterval)
	defer ping.Stop()
	acknowledged := s.acknowledged
	for {
		select {
		case <-ctx.Done():
			return
		case <-acknowledged:
			init.Stop()
			acknowledged = nil
		case <-init.C:
			s.close(fault{closeInitTimeout, "Connection initialisation timeout"})
			s.cut()
			return
		case <-ping.C:
			if s.ping(ctx) != nil {
				s.cut()
				return
			}
		}
	}
}

func (s *socket) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.streams.options.PingInterval)
	defer cancel()
	return s.conn.Ping(ctx)
}

// close ends all operations, says why and waits a few seconds for the client to close as well.
func (s *socket) close(f fault) {
	s.forget()
	_ = s.conn.Close(f.code, f.reason) // The client may be gone already.
}

// forget ends all operations without a word to the client.
func (s *socket) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for id, o := range s.operations {
		delete(s.operations, id)
		o.cancel()
	}
}

// end closes the socket because the server stops. Subscriptions end at once; queries and mutations
// may finish while ctx lasts.
func (s *socket) end(ctx context.Context) {
	select {
	case <-s.begun:
	case <-ctx.Done():
		return
	}
	if s.conn == nil {
		return
	}
	s.drain()
	finished := make(chan struct{})
	go func() {
		s.group.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		s.close(fault{closeGoingAway, "The server is stopping"})
	case <-ctx.Done():
		s.forget()
	}
	s.cut()
}

func (s *socket) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for id, o := range s.operations {
		if o.lasting {
			delete(s.operations, id)
			o.cancel()
		}
	}
}

// reply sends a message that belongs to no operation.
func (s *socket) reply(ctx context.Context, message []byte) {
	if s.lock(ctx) {
		defer s.unlock()
		s.write(ctx, message)
	}
}

// lock waits until no message is being written; false when the connection ended before.
func (s *socket) lock(ctx context.Context) bool {
	select {
	case s.writing <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *socket) unlock() { <-s.writing }

// write sends a message and reports whether that went well; if not, it breaks the connection off.
// The caller has the lock.
func (s *socket) write(ctx context.Context, message []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, s.streams.options.WriteTimeout)
	defer cancel()
	if s.conn.Write(ctx, websocket.MessageText, message) != nil {
		s.cut()
		return false
	}
	return true
}
