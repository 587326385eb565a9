package server

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent/rules"
	"roster/internal/budget"
	"roster/internal/codes"
	"roster/internal/documents"
	"roster/internal/ratelimit"
)

// endpoint answers /graphql.
type endpoint struct {
	executor      Executor
	authenticator Authenticator
	clients       clients
	limiter       *ratelimit.Limiter
	clock         func() time.Time
	logger        *slog.Logger
	maxBodyBytes  int64
	maxValues     int
	requests      gate
	streams       *Streams
	budget        *budget.Budget
	compressors   compressors
	writeTimeout  time.Duration
	observer      Observer
	profiles      bool
}

func (e endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if wantsSocket(r) {
		e.serveSocket(w, r)
		return
	}
	w.Header().Add("Vary", "Accept, Accept-Encoding, Authorization")
	mediaType := negotiate(r.Header.Values("Accept"))
	if mediaType == "" {
		refuse(http.StatusNotAcceptable, "nothing of what is accepted can be given: accept "+typeResponse+" or "+typeJSON).write(w, typeJSON)
		return
	}
	// The caller is found before the body is read, and outside the gate, because this may take some time.
	client := e.clients.address(r.Context(), r)
	ctx, cancel, refused := e.authenticate(r.Context(), client, r.Header.Values(headerAuthorization))
	if refused != nil {
		refused.write(w, mediaType)
		return
	}
	defer cancel()
	from := visitor{client, e.budgetOf(ctx, client)}
	if refused := refuseRate(from.points.Wait(0)); refused != nil { // in debt; otherwise the price of the request decides
		refused.write(w, mediaType)
		return
	}
	account := e.budget.Open()
	defer account.Close()
	if refused := e.serve(budget.WithAnswer(ctx, account), w, r, from, mediaType); refused != nil {
		refused.write(w, mediaType)
	}
}

// serve answers a request in a media type, unless it refuses the request.
func (e endpoint) serve(ctx context.Context, w http.ResponseWriter, r *http.Request, from visitor, mediaType string) *refusal {
	account := budget.FromContext(ctx)
	request, slow, refused := e.read(ctx, w, r)
	if refused != nil {
		from.points.Charge(priceOfRefused(request.size))
		return refused
	}
	if slow { // the caller may have lost its permissions meanwhile
		var cancel context.CancelFunc
		if ctx, cancel, refused = e.authenticate(ctx, from.client, r.Header.Values(headerAuthorization)); refused != nil {
			return refused
		}
		defer cancel()
	}
	if ctx, refused = e.profiled(ctx, r.Header); refused != nil {
		from.points.Charge(priceOfRefused(request.size))
		return refused
	}
	after, refused := positionOf(r.Header)
	if refused != nil {
		from.points.Charge(priceOfRefused(request.size))
		return refused
	}
	leave, refused := e.requests.enter()
	if refused != nil {
		return refused
	}
	defer leave()
	operation, response := e.executor.Prepare(ctx, request.Request)
	if response != nil {
		from.points.Charge(priceOfRefused(request.size))
		e.observer.Refused(http.StatusBadRequest, codeOf(response.Errors))
	} else {
		price := priceOf(operation.Cost, request.size)
		if refused := from.pay(price, request.size); refused != nil {
			return refused
		}
		kind := operation.Definition.Operation
		if refused := fits(kind, r); refused != nil {
			return refused
		}
		if kind == ast.Subscription {
			leave()
			if refused := refuseProfile(r.Header); refused != nil {
				return refused
			}
			if account.Last() != nil {
				return refuseBusy()
			}
			return e.serveEvents(ctx, w, r, operation, toll{from.points, price})
		}
		key, refused := keyOf(kind, r.Header)
		if refused != nil {
			return refused
		}
		var receipt documents.Receipt
		response, receipt = e.execute(ctx, operation, documents.Terms{Key: key, After: after})
		if busy(ctx) {
			return refuseBusy()
		}
		if receipt.Replayed {
			w.Header().Set(headerReplayed, "true")
		}
		setPosition(w.Header(), receipt.Position)
		setTiming(w.Header(), response)
	}
	setRetryAfter(w.Header(), response)
	leave() // while the client reads slowly, other requests may be executed
	account.Settle(int64(len(response.Data)))
	if refused := refusalOf(response); refused != nil {
		return refused
	}
	status := http.StatusOK
	if response.Data == nil {
		status = requestErrorStatus(response, mediaType)
	}
	out := answer{status, mediaType, e.compressors, r.Header.Values("Accept-Encoding"), response}
	if e.writeTimeout > 0 { // a writer without deadlines does not block
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(e.writeTimeout))
	}
	out.write(w)
	return nil
}

// fits refuses an operation that does not fit the method or the Accept header.
func fits(kind ast.Operation, r *http.Request) *refusal {
	switch {
	case kind == ast.Mutation && r.Method != http.MethodPost:
		return refuseMethod(http.MethodPost)
	case kind == ast.Subscription && r.Method == http.MethodHead:
		return refuseMethod("GET, POST")
	case kind == ast.Subscription && !acceptsEvents(r.Header.Values("Accept")):
		return refuse(http.StatusNotAcceptable, "a subscription has more than one answer: accept "+typeEvents+", or use a WebSocket")
	}
	return nil
}

// read reads a request. slow says that its body did not arrive at once.
func (e endpoint) read(ctx context.Context, w http.ResponseWriter, r *http.Request) (request received, slow bool, refused *refusal) {
	switch r.Method {
	case http.MethodPost:
		began := e.clock()
		request, refused = readPost(ctx, w, r, e.bodyLimit(ctx), e.maxValues)
		return request, e.clock().Sub(began) >= bodyPatience, refused
	case http.MethodGet, http.MethodHead:
		request, refused = readGet(r)
		return request, false, refused
	}
	return request, false, refuseMethod("GET, HEAD, POST")
}

// guestBodyBytes is the maximum size of a body of nobody, in bytes. What nobody may ask for is much smaller.
const guestBodyBytes = 64 << 10

// bodyLimit returns the limit of a body or message of the caller in ctx. The bodies of callers without credentials must not
// fill the memory for those of the others.
func (e endpoint) bodyLimit(ctx context.Context) bodyLimit {
	if c := rules.CallerFrom(ctx); c.Nobody() && !c.Reader && e.maxBodyBytes > guestBodyBytes {
		const message = "a body of this size needs credentials: send the header Authorization with Bearer and a token or an API key"
		return bodyLimit{guestBodyBytes, func() *refusal { return refuseFor(http.StatusUnauthorized, codes.Unauthenticated, message) }}
	}
	return bodyLimit{e.maxBodyBytes, func() *refusal { return refuse(http.StatusRequestEntityTooLarge, "the body is too large") }}
}

// requestErrorStatus returns the HTTP status of a request that was not executed. For application/json, the
// specification requires 200 except for a malformed request, because old clients take another status for a broken
// network. An event stream always has the status 200, because EventSource in browsers shows nothing of an answer with
// another status.
func requestErrorStatus(response *graphql.Response, mediaType string) int {
	if mediaType == typeEvents {
		return http.StatusOK
	}
	malformed := len(response.Errors) > 0 && response.Errors[0].Extensions["code"] == codes.BadRequest
	if mediaType == typeResponse || malformed {
		return http.StatusBadRequest
	}
	return http.StatusOK
}
