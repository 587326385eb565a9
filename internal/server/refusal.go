package server

import (
	"cmp"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/codes"
)

// messageInternal is the message of an unexpected error. Clients see no more of it.
const messageInternal = "internal error"

const (
	headerRetryAfter = "Retry-After"
	// busySeconds is the value of Retry-After for an answer with UNAVAILABLE.
	busySeconds = 1
)

// refusal is an answer of the HTTP layer itself. Its message never repeats what the client sent.
type refusal struct {
	status     int
	allow      string // the Allow header of a 405
	challenge  string // the WWW-Authenticate header of a 401. "": that of a request without credentials
	retryAfter int    // the seconds after which trying again may help. 0: it does not help
	operation  bool   // a WebSocket stays open: the message has the form of the protocol
	extensions map[string]any
	message    string
	response   *graphql.Response // of the executor, instead of message and extensions. It may be nil
}

// ofOperation sets operation.
func (r *refusal) ofOperation() *refusal {
	r.operation = true
	return r
}

func refuse(status int, message string) *refusal {
	return refuseFor(status, codes.BadRequest, message)
}

func refuseFor(status int, code codes.Code, message string) *refusal {
	return &refusal{status: status, message: message, extensions: map[string]any{"code": code}}
}

// refuseUnavailable refuses a request that may be sent again soon.
func refuseUnavailable(message string) *refusal {
	r := refuseFor(http.StatusServiceUnavailable, codes.Unavailable, message)
	r.retryAfter = busySeconds
	return r
}

// refuseBusy refuses a request because there is no memory for its answer now.
func refuseBusy() *refusal {
	return refuseUnavailable("the server has no memory for this answer now: try again")
}

// setRetryAfter sets the header of an answer with an error that says that the same operation may succeed soon.
func setRetryAfter(h http.Header, response *graphql.Response) {
	if slices.ContainsFunc(response.Errors, func(e *gqlerror.Error) bool { return codeOf(gqlerror.List{e}) == codes.Unavailable }) {
		h.Set(headerRetryAfter, strconv.Itoa(busySeconds))
	}
}

// refusalOf returns the refusal of a request as a whole because of its caller, from the response of the executor. It
// returns nil for other responses.
func refusalOf(response *graphql.Response) *refusal {
	if response.Data != nil || len(response.Errors) == 0 {
		return nil
	}
	switch response.Errors[0].Extensions["code"] {
	case codes.Unauthenticated:
		return &refusal{status: http.StatusUnauthorized, response: response}
	case codes.Forbidden:
		return &refusal{status: http.StatusForbidden, response: response}
	}
	return nil
}

// refuseMethod refuses a method. allow lists the allowed methods.
func refuseMethod(allow string) *refusal {
	r := refuse(http.StatusMethodNotAllowed, "this method is not allowed here: use "+allow)
	r.allow = allow
	return r
}

// write sends the refusal in a media type. Instead of an event stream, it sends JSON, because the stream has not
// started.
func (r *refusal) write(w http.ResponseWriter, mediaType string) {
	if mediaType == typeEvents {
		mediaType = typeJSON
	}
	if r.allow != "" {
		w.Header().Set("Allow", r.allow)
	}
	if r.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", cmp.Or(r.challenge, challenge))
	}
	if r.retryAfter > 0 {
		w.Header().Set(headerRetryAfter, strconv.Itoa(r.retryAfter))
	}
	if recorder, ok := w.(*recorder); ok {
		recorder.refused = r
	}
	response := r.response
	if response == nil {
		response = &graphql.Response{Errors: r.errors()}
	}
	answer{status: r.status, mediaType: mediaType, response: response}.write(w)
}

// code returns the code of the first error.
func (r *refusal) code() codes.Code {
	if r.response != nil {
		return codeOf(r.response.Errors)
	}
	return codeOf(r.errors())
}

// codeOf returns the code of the first error, or "".
func codeOf(errs gqlerror.List) codes.Code {
	if len(errs) == 0 {
		return ""
	}
	switch code := errs[0].Extensions["code"].(type) {
	case codes.Code:
		return code
	case string: // of an executor that does not know package codes
		return codes.Code(code)
	}
	return ""
}

// errors returns the errors of a refusal without a response.
func (r *refusal) errors() gqlerror.List {
	return gqlerror.List{{Message: r.message, Extensions: r.extensions}}
}

// writePlain answers with a text. It ignores an error: the client has closed the connection.
func writePlain(w http.ResponseWriter, status int, contentType, text string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}
