package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// endpoint answers /graphql.
type endpoint struct {
	executor     graphql.GraphExecutor
	maxBodyBytes int64
}

func (e endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	mediaType := negotiate(r.Header.Values("Accept"))
	if mediaType == "" {
		refuse(http.StatusNotAcceptable, "nothing of what is accepted can be given: accept "+typeResponse+" or "+typeJSON).write(w, typeJSON)
		return
	}
	response, status, refused := e.answer(w, r, mediaType)
	if refused != nil {
		refused.write(w, mediaType)
		return
	}
	answer{
		status:    status,
		mediaType: mediaType,
		gzip:      acceptsGzip(r.Header.Values("Accept-Encoding")),
		response:  response,
	}.write(w)
}

// answer executes the request and returns what it gave with its HTTP status, or why it was refused.
func (e endpoint) answer(w http.ResponseWriter, r *http.Request, mediaType string) (*graphql.Response, int, *refusal) {
	params, refused := e.read(w, r)
	if refused != nil {
		return nil, 0, refused
	}
	ctx := graphql.StartOperationTrace(r.Context())
	operation, errs := e.executor.CreateOperationContext(ctx, params)
	if len(errs) > 0 {
		response := e.executor.DispatchError(graphql.WithOperationContext(ctx, operation), errs)
		response.Data = nil
		return response, requestErrorStatus(response, mediaType), nil
	}
	switch kind := operation.Operation.Operation; {
	case kind == ast.Subscription:
		return nil, 0, refuse(http.StatusBadRequest, "a subscription has more than one answer: it is not served here")
	case kind == ast.Mutation && r.Method != http.MethodPost:
		return nil, 0, refuseMethod(http.MethodPost)
	}
	next, ctx := e.executor.DispatchOperation(ctx, operation)
	response := next(ctx)
	if response == nil { // gqlgen's way to say that the context had ended
		response = interrupted(ctx)
	}
	if response.Data == nil {
		return response, requestErrorStatus(response, mediaType), nil
	}
	return response, http.StatusOK, nil
}

func (e endpoint) read(w http.ResponseWriter, r *http.Request) (*graphql.RawParams, *refusal) {
	switch r.Method {
	case http.MethodPost:
		return readPost(w, r, e.maxBodyBytes)
	case http.MethodGet, http.MethodHead:
		return readGet(r)
	}
	return nil, refuseMethod("GET, HEAD, POST")
}

// requestErrorStatus is the HTTP status of a request that was not executed. With
// application/json the specification wants 200 for everything but a malformed request, for old
// clients, which take another status for a broken network.
func requestErrorStatus(response *graphql.Response, mediaType string) int {
	malformed := len(response.Errors) > 0 && fmt.Sprint(response.Errors[0].Extensions["code"]) == codeBadRequest
	if mediaType == typeResponse || malformed {
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// interrupted is the response of an operation whose context ended before it had one: by its
// deadline, or because the client went away, who then does not see it.
func interrupted(ctx context.Context) *graphql.Response {
	message := "the operation was cancelled"
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		message = "the operation took too long"
	}
	return &graphql.Response{
		Data:   []byte("null"),
		Errors: gqlerror.List{{Message: message, Extensions: map[string]any{"code": codeTimeout}}},
	}
}
