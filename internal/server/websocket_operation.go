package server

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/budget"
	"roster/internal/codes"
	"roster/internal/documents"
)

// socketOperation is an operation on a socket.
type socketOperation struct {
	id      string
	cancel  context.CancelFunc
	lasting bool // it is a subscription
}

// subscribeRequest is the request of a subscribe message, or why it is refused.
type subscribeRequest struct {
	request documents.Request
	refused *refusal
}

// reader answers the messages of a socket.
type reader struct {
	*socket
	caller                    context.Context //nolint:containedctx // of the operations, as connection_init makes it
	initialised, acknowledged bool
}

// read answers messages until the connection ends, or the client breaks a rule, which is the fault.
// ctx is the connection's.
func (s *socket) read(ctx context.Context) *fault {
	r := &reader{socket: s, caller: ctx}
	for {
		account := s.budget.Open()
		m, f := s.receive(ctx, account)
		if m != nil {
			f = r.answer(ctx, m, account)
		}
		if m == nil || f != nil || m.kind != messageSubscribe {
			account.Close()
		}
		if m == nil || f != nil {
			return f
		}
	}
}

// receive waits for the next message and reads it, counted on an account. The message is nil when
// there is none any more.
func (s *socket) receive(ctx context.Context, account *budget.Answer) (*message, *fault) {
	reading, cancel := context.WithCancel(budget.WithAnswer(ctx, account))
	defer cancel()
	kind, content, err := s.conn.Reader(reading)
	if err != nil {
		return nil, nil
	}
	if limit := s.streams.options.ReadTimeout; limit > 0 {
		late := time.AfterFunc(limit, cancel)
		defer late.Stop()
	}
	data, err := io.ReadAll(newRequestReader(reading, content))
	switch {
	case errors.Is(err, budget.ErrBusy):
		return nil, &fault{closeTryAgain, "The server has no memory for the message now"}
	case err != nil:
		return nil, nil
	case kind != websocket.MessageText:
		return nil, &fault{closeInvalid, "a message must be text"}
	}
	m, err := parseMessage(data, s.maxValues)
	if err != nil {
		return nil, &fault{closeInvalid, shortened(err.Error(), maxReason)}
	}
	return &m, nil
}

// answer answers a message. An operation takes its account over.
func (r *reader) answer(ctx context.Context, m *message, account *budget.Answer) *fault {
	switch m.kind {
	case messageInit:
		if r.initialised {
			return &fault{closeTooManyRequests, "Too many initialisation requests"}
		}
		r.initialised = true
		caller, payload, err := r.connect(ctx, m.payload)
		if err != nil {
			return &fault{closeForbidden, "Forbidden"}
		}
		r.caller, r.acknowledged = caller, true
		close(r.socket.acknowledged)
		r.reply(ctx, replyMessage(messageAck, payload))
	case messagePing:
		r.reply(ctx, replyMessage(messagePong, m.payload))
	case messageSubscribe:
		request, refused := requestOf(m.payload)
		if refused != nil && !refused.operation {
			return &fault{closeInvalid, shortened(refused.message, maxReason)}
		}
		if !r.acknowledged {
			return &fault{closeUnauthorized, "Unauthorized"}
		}
		return r.subscribe(ctx, budget.WithAnswer(r.caller, account), m.id, subscribeRequest{request, refused})
	case messageComplete:
		r.complete(m.id)
	}
	return nil
}

// connect asks whether the client may go on.
func (s *socket) connect(ctx context.Context, payload map[string]any) (context.Context, map[string]any, error) {
	if s.streams.options.Connect == nil {
		return ctx, nil, nil
	}
	return s.streams.options.Connect(ctx, payload)
}

// subscribe starts an operation of whatever kind. conn is the context of the connection, caller the
// one that the operation's is made from, with the operation's account.
func (s *socket) subscribe(conn, caller context.Context, id string, asked subscribeRequest) *fault {
	s.mu.Lock()
	doubled := s.operations[id] != nil
	// One that the client has cancelled may take a moment to end, and must not pile up.
	most := s.streams.options.MaxOperations
	full := len(s.operations) >= most || s.running >= 2*most
	starts := !doubled && !full && !s.draining
	if starts {
		s.start(conn, caller, id, asked)
	}
	s.mu.Unlock()
	if !starts {
		budget.FromContext(caller).Close()
	}
	switch {
	case doubled:
		return &fault{closeDuplicate, duplicateReason(id)}
	case full:
		s.reply(conn, errorMessage(id, gqlerror.List{{
			Message:    "too many operations are under way on this socket",
			Extensions: map[string]any{"code": codes.CostLimit},
		}}))
	}
	return nil
}

// start is subscribe's. The caller holds mu.
func (s *socket) start(conn, caller context.Context, id string, asked subscribeRequest) {
	ctx, cancel := context.WithCancel(caller)
	o := &socketOperation{id: id, cancel: cancel}
	s.operations[id] = o
	s.running++
	s.group.Go(func() {
		defer budget.FromContext(ctx).Close()
		defer s.finish(o)
		defer s.recoverOperation(ctx)
		s.run(conn, ctx, o, asked)
	})
}

// finish frees the place of an operation that has ended.
func (s *socket) finish(o *socketOperation) {
	o.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.operations[o.id] == o {
		delete(s.operations, o.id)
	}
}

// recoverOperation is deferred. What panics here is the program's own mistake, for guard takes what
// the executor does; the client sees its socket closed.
func (s *socket) recoverOperation(ctx context.Context) {
	if cause := recover(); cause != nil {
		logPanic(ctx, s.logger, cause)
		s.close(fault{closeInternal, messageInternal})
	}
}

// complete ends an operation because the client wants no more of it. One that has just ended, or
// never was, is no fault.
func (s *socket) complete(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.operations[id]; o != nil {
		delete(s.operations, id)
		o.cancel()
	}
}

// run executes an operation and sends what comes of it.
func (s *socket) run(conn, ctx context.Context, o *socketOperation, asked subscribeRequest) {
	leave, refused := s.requests.enter()
	if refused == nil && asked.refused != nil {
		leave()
		refused = asked.refused
	}
	if refused != nil {
		s.send(conn, o, errorMessage(o.id, refused.errors()), true)
		return
	}
	defer leave()
	account := budget.FromContext(ctx)
	var operation *documents.Operation
	failed := s.guard(ctx, func() (response *graphql.Response) {
		operation, response = s.executor.Prepare(asked.request)
		return response
	})
	if failed != nil {
		leave()
		s.send(conn, o, errorMessage(o.id, failed.Errors), true)
		return
	}
	if operation.Definition.Operation == ast.Subscription {
		leave()
		if account.Last() != nil {
			s.send(conn, o, errorMessage(o.id, refuseBusy().errors()), true)
			return
		}
		if !s.lasts(o) {
			return
		}
	}
	for response := range s.responses(ctx, operation) {
		leave()                                       // A slow reader takes nobody's place, but the memory of its answer.
		account.Settle(2 * int64(len(response.Data))) // as the answer and as a message
		if response.Data == nil {
			s.send(conn, o, errorMessage(o.id, response.Errors), true)
			return
		}
		if !s.send(conn, o, nextMessage(o.id, response), false) {
			return
		}
		account.Settle(0) // nothing is held until the next event
	}
	s.send(conn, o, completeMessage(o.id), true)
}

// lasts notes that an operation is a subscription; false when the socket is about to be closed, and
// would wait for its end in vain.
func (s *socket) lasts(o *socketOperation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.lasting = true
	return !s.draining
}

// send sends a message of an operation, unless the client awaits none, and reports whether it could
// take another. The last one frees the ID before it is sent.
func (s *socket) send(conn context.Context, o *socketOperation, message []byte, last bool) bool {
	if !s.lock(conn) {
		return false
	}
	defer s.unlock()
	return s.awaited(o, last) && s.write(conn, message)
}

func (s *socket) awaited(o *socketOperation, last bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.operations[o.id] != o {
		return false
	}
	if last {
		delete(s.operations, o.id)
	}
	return true
}
