package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/budget"
	"roster/internal/codes"
	"roster/internal/consistency"
	"roster/internal/documents"
)

// socketOperation is an operation on a socket.
type socketOperation struct {
	id      string
	cancel  context.CancelFunc
	lasting bool // it is a subscription
}

// read answers messages until the connection ends or the client breaks a rule of the protocol. Then it returns the
// fault.
func (s *socket) read(ctx context.Context) *fault {
	for {
		account := s.budget.Open()
		m, f := s.receive(ctx, account)
		taken := false
		if m != nil {
			taken, f = s.answer(ctx, m, account)
		}
		if !taken {
			account.Close()
		}
		if m == nil || f != nil {
			return f
		}
	}
}

// receive waits for the next message and reads it. The account pays for its memory. The message is nil after the last
// one.
func (s *socket) receive(ctx context.Context, account *budget.Answer) (*message, *fault) {
	ctx, cancel := context.WithCancel(budget.WithAnswer(ctx, account))
	defer cancel()
	kind, content, err := s.conn.Reader(ctx)
	if err != nil {
		s.ends(websocket.CloseStatus(err))
		return nil, nil
	}
	if limit := s.streams.options.ReadTimeout; limit > 0 {
		late := time.AfterFunc(limit, cancel)
		defer late.Stop()
	}
	data, err := io.ReadAll(newRequestReader(ctx, content))
	switch {
	case errors.Is(err, budget.ErrBusy):
		return nil, &fault{closeTryAgain, "The server has no memory for the message now"}
	case errors.Is(err, websocket.ErrMessageTooBig):
		s.ends(websocket.StatusMessageTooBig) // the library has closed the socket
		s.observer.Refused(http.StatusRequestEntityTooLarge, codes.BadRequest)
		return nil, nil
	case err != nil:
		s.ends(websocket.CloseStatus(err))
		return nil, nil
	case kind != websocket.MessageText:
		return nil, &fault{closeInvalid, "a message must be text"}
	}
	if len(data) >= 1<<10 { // nobody in debt can keep the server busy with long messages
		if refused := refuseRate(s.from.points.Wait(0)); refused != nil {
			return nil, s.refuse(refused)
		}
	}
	m, err := parseMessage(data, s.maxValues)
	if err != nil || m.kind != messageSubscribe {
		s.from.points.Charge(priceOfReading(len(data)))
	}
	if err != nil {
		return nil, &fault{closeInvalid, shortened(err.Error(), maxReason)}
	}
	return &m, nil
}

// answer answers a message. taken says that an operation closes the account.
func (s *socket) answer(ctx context.Context, m *message, account *budget.Answer) (taken bool, f *fault) {
	switch m.kind {
	case messageInit:
		if s.caller != nil {
			return false, &fault{closeTooManyRequests, "Too many initialisation requests"}
		}
		close(s.initiated)
		if f := s.admit(ctx, m.payload); f != nil {
			return false, f
		}
		if f := s.reachInit(m.payload); f != nil {
			return false, f
		}
		s.reply(ctx, replyMessage(messageAck, nil))
	case messagePing:
		s.reply(ctx, replyMessage(messagePong, m.payload))
	case messageSubscribe:
		request, refused := requestOf(m.payload)
		if refused != nil && !refused.operation {
			return false, &fault{closeInvalid, shortened(refused.message, maxReason)}
		}
		if s.caller == nil {
			return false, &fault{closeUnauthorized, "Unauthorized"}
		}
		return s.subscribe(ctx, budget.WithAnswer(s.caller, account), m.id, received{request, m.size}, refused)
	case messageComplete:
		s.complete(m.id)
	}
	return false, nil
}

// subscribe starts an operation of any kind, in a context made from caller. refused is the error of its request, or
// nil.
func (s *socket) subscribe(conn, caller context.Context, id string, request received, refused *refusal) (started bool, f *fault) {
	s.mu.Lock()
	duplicate := s.operations[id] != nil
	// An operation that the client cancelled still runs for a moment. Such operations must not pile up.
	most := s.streams.options.MaxOperations
	full := len(s.operations) >= most || s.running >= 2*most
	started = !duplicate && !full && !s.draining
	if started {
		ctx, cancel := context.WithCancel(caller)
		o := &socketOperation{id: id, cancel: cancel}
		s.operations[id] = o
		s.running++
		s.group.Go(func() {
			defer budget.FromContext(ctx).Close()
			defer s.finish(o)
			defer s.recoverOperation(ctx)
			s.run(conn, ctx, o, request, refused)
		})
	}
	s.mu.Unlock()
	switch {
	case duplicate:
		return false, &fault{closeDuplicate, duplicateReason(id)}
	case full:
		s.observer.Refused(http.StatusTooManyRequests, codes.CostLimit)
		s.reply(conn, errorMessage(id, gqlerror.List{{
			Message:    "this socket has too many running operations: complete one first",
			Extensions: map[string]any{"code": codes.CostLimit},
		}}))
	}
	return started, nil
}

// finish removes an operation that has ended.
func (s *socket) finish(o *socketOperation) {
	o.cancel()
	s.awaits(o, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
}

// recoverOperation is deferred. It logs a panic and closes the socket. The panics of the executor do not come here:
// guard handles them.
func (s *socket) recoverOperation(ctx context.Context) {
	if cause := recover(); cause != nil {
		logPanic(ctx, s.logger, cause)
		s.close(fault{closeInternal, messageInternal})
	}
}

// complete cancels an operation for the client. It ignores an ID without an operation: the operation may just have
// ended.
func (s *socket) complete(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.operations[id]; o != nil {
		delete(s.operations, id)
		o.cancel()
	}
}

// run executes an operation in ctx and sends its responses.
func (s *socket) run(conn, ctx context.Context, o *socketOperation, request received, refused *refusal) {
	leave, full := s.requests.enter()
	if full != nil {
		s.refuseOperation(conn, o, full)
		return
	}
	defer leave()
	if refused == nil {
		refused = s.reachOf(request.Extensions)
	}
	if debt := refuseRate(s.from.points.Wait(0)); debt != nil {
		refused = debt
	} else if refused != nil {
		s.from.points.Charge(priceOfRefused(request.size))
	}
	if refused != nil {
		leave()
		s.refuseOperation(conn, o, refused)
		return
	}
	var operation *documents.Operation
	failed := s.guard(ctx, func() (response *graphql.Response) {
		operation, response = s.executor.Prepare(ctx, request.Request)
		return response
	})
	if failed != nil {
		leave()
		s.from.points.Charge(priceOfRefused(request.size))
		s.observer.Refused(http.StatusBadRequest, codeOf(failed.Errors))
		s.send(conn, o, errorMessage(o.id, failed.Errors), true)
		return
	}
	price := priceOf(operation.Cost, request.size)
	if refused := s.from.pay(price, request.size); refused != nil {
		leave()
		s.refuseOperation(conn, o, refused)
		return
	}
	if operation.Definition.Operation == ast.Subscription {
		leave()
		if budget.FromContext(ctx).Last() != nil {
			s.refuseOperation(conn, o, refuseBusy())
			return
		}
		if !s.lasts(o) {
			return
		}
	}
	var position consistency.Position // of the answer
	told := func(r documents.Receipt) {
		position = r.Position
		s.reach(position)
	}
	for response := range s.responses(ctx, operation, s.terms(), told, toll{s.from.points, price}, 2) { // in memory as a response and as a message
		leave() // while the client reads slowly, other requests may be executed
		if response.Data == nil {
			s.send(conn, o, errorMessage(o.id, response.Errors), true)
			return
		}
		addPosition(response, position)
		if !s.send(conn, o, nextMessage(o.id, response), false) {
			return
		}
	}
	s.send(conn, o, completeMessage(o.id), true)
}

// terms returns those of an operation. The socket remembers the position that it has reached.
func (s *socket) terms() documents.Terms {
	s.mu.Lock()
	defer s.mu.Unlock()
	return documents.Terms{After: s.after}
}

// refuseOperation ends an operation that is not executed.
func (s *socket) refuseOperation(conn context.Context, o *socketOperation, r *refusal) {
	s.observer.Refused(r.status, r.code())
	s.send(conn, o, errorMessage(o.id, r.errors()), true)
}

// lasts notes that an operation is a subscription. It returns false if the socket is about to be closed: then the
// operation must not start, since nothing would cancel it.
func (s *socket) lasts(o *socketOperation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.lasting = true
	return !s.draining
}

// send sends a message of an operation if the client still waits for it, and reports whether more messages may follow.
// The last message frees the ID before it is sent.
func (s *socket) send(conn context.Context, o *socketOperation, message []byte, last bool) bool {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.awaits(o, last) && s.write(conn, message)
}

// awaits reports whether the client waits for messages of an operation. last frees its ID.
func (s *socket) awaits(o *socketOperation, last bool) bool {
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
