package server

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"roster/ent/rules"
	"roster/internal/auth"
	"roster/internal/consistency"
)

// The WebSockets follow GraphQL over WebSocket, the sub-protocol graphql-transport-ws
// (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md). The server does not support the older sub-protocol
// graphql-ws.
const subprotocol = "graphql-transport-ws"

// The codes that close a socket. RFC 6455 defines those below 4000.
const (
	closeGoingAway       = websocket.StatusGoingAway
	closeInternal        = websocket.StatusInternalError
	closeServiceRestart  = websocket.StatusServiceRestart
	closeTryAgain        = websocket.StatusTryAgainLater
	closeInvalid         = websocket.StatusCode(4400)
	closeUnauthorized    = websocket.StatusCode(4401)
	closeForbidden       = websocket.StatusCode(4403)
	closeSubprotocol     = websocket.StatusCode(4406)
	closeInitTimeout     = websocket.StatusCode(4408)
	closeDuplicate       = websocket.StatusCode(4409)
	closeTooManyRequests = websocket.StatusCode(4429)
)

// fault is the reason of the server to close a socket.
type fault struct {
	code   websocket.StatusCode
	reason string
}

// wantsSocket reports whether a request starts the handshake of a WebSocket.
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

// serveSocket does the handshake and serves the socket until it is closed. The handshake needs no credentials, because
// pages in browsers cannot set its headers: connection_init brings them.
func (e endpoint) serveSocket(w http.ResponseWriter, r *http.Request) {
	client := e.clients.address(r.Context(), r)
	s := &socket{
		endpoint:      e,
		from:          visitor{client, e.limiter.Address(client)},
		authorization: r.Header.Values(headerAuthorization),
		begun:         make(chan struct{}),
		initiated:     make(chan struct{}),
		known:         make(chan struct{}),
		operations:    map[string]*socketOperation{},
	}
	if refused := refuseProfile(r.Header); refused != nil {
		refused.write(w, typeJSON)
		return
	}
	after, refused := positionOf(r.Header)
	if refused != nil {
		refused.write(w, typeJSON)
		return
	}
	s.after = after
	if len(s.authorization) > 1 {
		e.refuseCaller(r.Context(), auth.ErrAmbiguous).write(w, typeJSON)
		return
	}
	leave, welcome, refused := e.streams.enter(s.end, true)
	if refused != nil {
		refused.write(w, typeJSON)
		return
	}
	defer leave()
	s.welcome = welcome
	handshake := &handshake{ResponseWriter: w}
	conn, err := websocket.Accept(handshake, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true, // origins.guard has checked the origin
	})
	if err != nil {
		close(s.begun)
		refuse(handshake.refused, "this is not how a WebSocket of version 13 begins").write(w, typeJSON)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	s.conn, s.cut = conn, cancel
	close(s.begun)
	s.observer.Opened(WebSocket)
	defer func() { s.observer.Ended(WebSocket, s.endCode()) }()
	s.serve(ctx)
}

// ends notes the code with which the socket ends, unless it has one.
func (s *socket) ends(code websocket.StatusCode) { s.code.CompareAndSwap(0, int32(code)) } //nolint:gosec // G115: at most 4999

// endCode returns the code with which the socket has ended: that of the side that closed it first.
func (s *socket) endCode() string {
	code := websocket.StatusCode(s.code.Load())
	switch {
	case code <= 0: // without a close frame
		code = websocket.StatusAbnormalClosure
	case code >= 3000 && !slices.Contains(ownCodes(), code), code < 1000, code > websocket.StatusTLSHandshake && code < 3000:
		return OtherCode
	}
	return strconv.Itoa(int(code))
}

// ownCodes are the codes of the sub-protocol.
func ownCodes() []websocket.StatusCode {
	return []websocket.StatusCode{
		closeInvalid, closeUnauthorized, closeForbidden, closeSubprotocol, closeInitTimeout, closeDuplicate, closeTooManyRequests,
	}
}

// handshake leaves out the refusals of the library, which are plain text.
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

// Unwrap gives the library access to the connection.
func (h *handshake) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// socket is one WebSocket. One goroutine reads its messages, one watches it, and each operation has its own goroutine.
type socket struct {
	endpoint
	authorization []string // the header of the handshake
	from          visitor  // its address pays until connection_init

	begun chan struct{} // closed after the handshake. If it succeeded, the next two fields are set
	conn  *websocket.Conn
	cut   context.CancelFunc // breaks the connection

	// Only the goroutine that reads uses these two. caller is the context of the operations, from connection_init on.
	caller context.Context //nolint:containedctx // nil until the client may start operations
	leave  func()          // ends the watch of the caller. It may be nil

	initiated chan struct{} // closed when connection_init has come
	known     chan struct{} // closed when connection_init has brought a caller that is not nobody
	welcome   func()        // ends that the socket is a guest of Streams
	writing   sync.Mutex    // held while a message is written

	mu         sync.Mutex
	after      consistency.Position        // what later operations read: that of the handshake, of connection_init, of a request or of an answer
	operations map[string]*socketOperation // the operations that the client waits for, by ID
	running    int                         // number of operations that have not ended
	draining   bool                        // no operation starts any more
	group      sync.WaitGroup              // the operations that have not ended
	ended      bool                        // the connection has ended, or is about to
	code       atomic.Int32                // with which the socket ends; 0: not known yet
	expelling  sync.WaitGroup              // closes the socket because of its caller
}

// serve answers messages until one side closes the socket. It returns when everything that it started has ended. ctx is
// the context of the connection, as in the other methods, except for end.
func (s *socket) serve(ctx context.Context) {
	var watch sync.WaitGroup
	defer s.expelling.Wait()
	defer s.group.Wait()
	defer watch.Wait()
	defer func() { _ = s.conn.CloseNow() }() // it may be closed already
	defer s.cut()
	defer s.drain(true)
	defer s.endWatch()
	watch.Go(func() { s.watch(ctx) })
	if s.conn.Subprotocol() != subprotocol {
		s.close(fault{closeSubprotocol, "Subprotocol not acceptable"})
		return
	}
	s.conn.SetReadLimit(min(s.maxBodyBytes, guestBodyBytes)) // admit raises it
	if f := s.read(ctx); f != nil {
		s.close(*f)
	}
}

// watch closes a socket on which connection_init or credentials do not come in time. It breaks the connection when the client does not
// answer a ping.
func (s *socket) watch(ctx context.Context) {
	init := time.NewTimer(s.streams.options.InitTimeout)
	defer init.Stop()
	ping := time.NewTicker(s.streams.options.PingInterval)
	defer ping.Stop()
	var guest <-chan time.Time
	if limit := s.streams.options.GuestTimeout; limit > 0 {
		guest = time.After(limit)
	}
	initiated, known := s.initiated, s.known
	for {
		select {
		case <-ctx.Done():
			return
		case <-initiated:
			init.Stop()
			initiated = nil
		case <-known:
			known, guest = nil, nil
		case <-guest:
			s.close(fault{closeForbidden, "send credentials in connection_init: a socket without them is closed after a while"})
			s.cut()
			return
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

// close ends all operations, sends the reason, and waits a few seconds for the client to close the socket as well.
func (s *socket) close(f fault) {
	s.drain(true)
	s.ends(f.code)
	_ = s.conn.Close(f.code, f.reason) // the client may have disconnected
}

// admit finds the caller of the socket by the payload of connection_init, and watches it. If the caller may not use the
// server, admit returns the fault.
func (s *socket) admit(ctx context.Context, payload map[string]any) *fault {
	authorization := s.authorization
	switch value, ok, err := headerIn(payload, headerAuthorization); {
	case err != nil:
		return &fault{closeForbidden, err.Error()}
	case ok:
		authorization = []string{value}
	case payload["headers"] != nil && !isObject(payload["headers"]):
		return &fault{closeForbidden, "headers in connection_init must be an object"}
	}
	caller, _, refused := s.authenticate(ctx, s.from.client, authorization) // the end of ctx, which is that of the connection, cancels it
	if refused != nil {
		return s.refuse(refused)
	}
	s.from.points = s.budgetOf(caller, s.from.client)
	if refused := refuseRate(s.from.points.Take(openPoints)); refused != nil {
		return s.refuse(refused)
	}
	s.caller = caller
	s.conn.SetReadLimit(s.bodyLimit(caller).bytes)
	c := rules.CallerFrom(caller)
	if !c.Nobody() {
		s.welcome()
	}
	if !c.Nobody() || c.Reader { // an anonymous reader may stay
		close(s.known)
	}
	s.leave = s.authenticator.Watch(caller, func(reason error) { s.expel(ctx, reason) })
	return nil
}

// expel closes the socket because its caller may no longer use the server. It does not wait.
func (s *socket) expel(ctx context.Context, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.expelling.Go(func() {
		s.close(*s.refuse(s.refuseCaller(ctx, reason)))
		s.cut()
	})
}

// endWatch ends the watch of the caller. After endWatch, expel does nothing.
func (s *socket) endWatch() {
	if s.leave != nil {
		s.leave()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// refuse returns the fault of a socket whose caller is refused.
func (s *socket) refuse(r *refusal) *fault {
	s.observer.Refused(r.status, r.code())
	code := closeForbidden
	if r.retryAfter > 0 {
		code = closeTryAgain
	}
	return &fault{code, shortened(r.message, maxReason)}
}

// drain lets no operation start any more, and cancels the subscriptions or, with all, all operations. It sends nothing.
func (s *socket) drain(all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for id, o := range s.operations {
		if all || o.lasting {
			delete(s.operations, id)
			o.cancel()
		}
	}
}

// end closes the socket because the server stops. It cancels subscriptions at once. Queries and mutations may go on
// until ctx ends.
func (s *socket) end(ctx context.Context) {
	select {
	case <-s.begun:
	case <-ctx.Done():
		return
	}
	if s.conn == nil {
		return
	}
	s.drain(false)
	finished := make(chan struct{})
	go func() {
		s.group.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		if s.streams.is(handedOver) {
			s.close(fault{closeServiceRestart, "The server is restarting"})
		} else {
			s.close(fault{closeGoingAway, "The server is stopping"})
		}
	case <-ctx.Done():
		s.drain(true)
	}
	s.cut()
}

// reply sends a message that belongs to no operation.
func (s *socket) reply(ctx context.Context, message []byte) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.write(ctx, message)
}

// write sends a message and reports whether it was sent. If not, it breaks the connection. The caller holds writing.
func (s *socket) write(ctx context.Context, message []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, s.streams.options.WriteTimeout)
	defer cancel()
	if s.conn.Write(ctx, websocket.MessageText, message) != nil {
		s.cut()
		return false
	}
	return true
}
