package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"roster/internal/budget"
	"roster/internal/codes"
	"roster/internal/documents"
	"roster/internal/strictjson"
)

// The parameters of a GraphQL request.
const (
	paramQuery         = "query"
	paramOperationName = "operationName"
	paramVariables     = "variables"
	paramExtensions    = "extensions"
	paramDocumentID    = "documentId"
)

func paramNames() []string {
	return []string{paramQuery, paramOperationName, paramVariables, paramExtensions, paramDocumentID}
}

// received is a request that a client has sent.
type received struct {
	documents.Request
	size int // of its body, its message or its query string, in bytes
}

// bodyLimit bounds the size of a body.
type bodyLimit struct {
	bytes int64
	over  func() *refusal // of a larger body
}

// readPost reads the parameters from a JSON body. limit bounds its size, values is its maximum number of JSON values. The
// body must be application/json in UTF-8. This also keeps out the forms of other sites: browsers send them without asking,
// but never with this type.
func readPost(ctx context.Context, w http.ResponseWriter, r *http.Request, limit bodyLimit, values int) (request received, refused *refusal) {
	if !isJSON(r.Header.Get("Content-Type")) {
		return request, refuse(http.StatusUnsupportedMediaType, "the body must be application/json in UTF-8")
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return request, refuse(http.StatusUnsupportedMediaType, "the body must not be compressed")
	}
	body, refused := readBody(ctx, w, r, limit)
	request.size = len(body)
	if refused != nil {
		return request, refused
	}
	object, err := strictjson.Parse(body, values)
	if e, ok := errors.AsType[*strictjson.Error](err); ok && e.TooMany {
		return request, refuseFor(http.StatusRequestEntityTooLarge, codes.CostLimit, fmt.Sprintf("the body has more than %d values", values))
	}
	if err != nil {
		return request, refuse(http.StatusBadRequest, "the body must be one JSON object: "+err.Error())
	}
	request.Request, refused = requestOf(object)
	return request, refused
}

// isJSON reports whether a Content-Type is application/json in UTF-8.
func isJSON(contentType string) bool {
	if contentType == typeJSON { // as most clients write it
		return true
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	charset, given := params["charset"]
	return err == nil && mediaType == typeJSON && (!given || isUTF8(charset))
}

// isUTF8 reports whether a charset is UTF-8. Some clients send the second name of the Encoding standard, utf8.
func isUTF8(charset string) bool {
	return strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}

// readBody reads a body. With a refusal, it returns the part that has arrived.
func readBody(ctx context.Context, w http.ResponseWriter, r *http.Request, limit bodyLimit) ([]byte, *refusal) {
	if r.ContentLength > limit.bytes {
		if r.Header.Get("Expect") != "" { // the client sends the body only after 100 Continue
			return nil, limit.over()
		}
		limit.bytes = 0
	}
	body, err := io.ReadAll(newRequestReader(ctx, http.MaxBytesReader(unwrapped(w), r.Body, limit.bytes)))
	if errors.Is(err, budget.ErrBusy) {
		return body, refuseBusy()
	}
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return body, limit.over()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return body, refuse(http.StatusRequestTimeout, "the body did not arrive in time")
	}
	if err != nil {
		return body, refuse(http.StatusBadRequest, "the body did not arrive as a whole")
	}
	return body, nil
}

// copiesOfRequest is the approximate number of copies of a request in memory: the body, the decoded JSON, the document,
// and the arguments.
const copiesOfRequest = 4

// newRequestReader returns a reader of a request. The account in ctx pays for the memory of the request. The error of a
// read may be budget.ErrBusy.
func newRequestReader(ctx context.Context, r io.Reader) io.Reader {
	return &requestReader{ctx, r, budget.FromContext(ctx)}
}

type requestReader struct {
	ctx     context.Context //nolint:containedctx // io.Reader has none, and the reader lives for one call
	from    io.Reader
	account *budget.Answer
}

func (r *requestReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if full := r.account.Request(r.ctx, int64(n)*copiesOfRequest); full != nil {
		return n, full
	}
	return n, err
}

// unwrapped returns the writer of net/http below all wrappers. http.MaxBytesReader needs it: it tells this writer that
// a body is too large, and then net/http lets the client read the answer before it closes the connection.
func unwrapped(w http.ResponseWriter) http.ResponseWriter {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}

// readGet reads the parameters from the URL. variables and extensions are JSON texts. In the URL standard, only &
// separates parameters, and ; belongs to a value. Go would refuse the ;.
func readGet(r *http.Request) (request received, refused *refusal) {
	request.size = len(r.URL.RawQuery)
	values, err := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "%3B"))
	if err != nil {
		return request, refuse(http.StatusBadRequest, "the query string of the URL is broken")
	}
	object := make(map[string]any, len(values))
	for key, list := range values {
		object[key] = list[0]
	}
	for _, name := range paramNames() {
		text := values.Get(name)
		switch {
		case len(values[name]) > 1:
			return request, refuseParam(name, "is doubled")
		case !utf8.ValidString(text):
			return request, refuseParam(name, "is not UTF-8")
		case name != paramVariables && name != paramExtensions:
		case text == "", text == "null":
			delete(object, name)
		default:
			if object[name], err = strictjson.Parse([]byte(text), 0); err != nil { // the headers bound the URL
				return request, refuseParam(name, "must be one JSON object: "+err.Error())
			}
		}
	}
	request.Request, refused = requestOf(object)
	return request, refused
}

// requestOf reads the parameters from an object. A null is the same as no parameter. It ignores other keys. But it
// refuses a key that differs from a parameter only in case, because a proxy might take it for the parameter.
func requestOf(object map[string]any) (request documents.Request, refused *refusal) {
	others := false
	for key := range object {
		others = others || !slices.Contains(paramNames(), key)
	}
	if others { // as in few requests
		if refused := refuseOtherCase(object); refused != nil {
			return request, refused
		}
	}
	switch {
	case !take(object, paramQuery, &request.Text):
		return request, refuseParam(paramQuery, "must be a string")
	case !take(object, paramOperationName, &request.OperationName):
		return request, refuseParam(paramOperationName, "must be a string")
	case !take(object, paramVariables, &request.Variables):
		return request, refuseParam(paramVariables, "must be an object")
	case !take(object, paramExtensions, &request.Extensions):
		return request, refuseParam(paramExtensions, "must be an object")
	case !take(object, paramDocumentID, &request.DocumentID):
		return request, refuseParam(paramDocumentID, "must be a string").ofOperation()
	}
	persisted := request.Extensions[documents.PersistedQuery] != nil
	switch {
	case request.DocumentID != "" && persisted:
		return request, refuseParam(paramDocumentID, "says the same as the extension "+documents.PersistedQuery+": send one of them").ofOperation()
	case request.DocumentID != "", request.Text != "", persisted:
		return request, nil
	case object[paramQuery] == "":
		return request, refuseParam(paramQuery, "is empty").ofOperation()
	}
	return request, refuseParam(paramQuery, "is missing")
}

// refuseOtherCase refuses an object with a key that differs from a parameter only in case.
func refuseOtherCase(object map[string]any) *refusal {
	for _, name := range paramNames() {
		for key := range object {
			if key != name && strings.EqualFold(key, name) {
				return refuseParam(name, "is written in another case")
			}
		}
	}
	return nil
}

// take stores the value of a key in target. It reports false if the value has another type.
func take[T any](object map[string]any, key string, target *T) bool {
	value := object[key]
	if value == nil {
		return true
	}
	typed, ok := value.(T)
	*target = typed
	return ok
}

func refuseParam(name, fault string) *refusal {
	return refuse(http.StatusBadRequest, "the parameter "+name+" "+fault)
}
