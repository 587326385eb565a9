package server

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/budget"
)

// gzipFrom is the size of an answer, in bytes, from which it is compressed if the client accepts that. A smaller answer
// fits into a few packets anyway.
const gzipFrom = 4 << 10

// answer is a GraphQL response on its way to the client.
type answer struct {
	status      int
	mediaType   string
	compressors compressors // nil: the answer is not compressed
	encodings   []string    // the lines of Accept-Encoding
	response    *graphql.Response
}

// write sends the answer. It ignores an error, because then the client has disconnected. It panics if errors or
// extensions cannot be encoded as JSON, which is a bug.
func (a answer) write(w http.ResponseWriter) {
	parts, err := parts(a.response)
	if err != nil {
		panic(unencodable(err))
	}
	if a.mediaType == typeEvents {
		parts = append(nextEvent(parts), completeEvent())
		a.compressors = nil
		announceEvents(w.Header())
	}
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	w.Header().Set("Content-Type", a.mediaType+"; charset=utf-8")
	if a.compressors != nil && size >= gzipFrom && acceptsGzip(a.encodings) {
		compressed := a.compressors.compress(parts)
		a.response.Data = nil // while the client reads slowly, one copy is enough
		clear(parts)
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Length", strconv.Itoa(compressed.Len()))
		w.WriteHeader(a.status)
		_, _ = compressed.WriteTo(w)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(size))
	w.WriteHeader(a.status)
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return
		}
	}
}

// compressors compress answers, one for each processor. One takes about a megabyte, so no compressor waits for a client
// that reads slowly.
type compressors chan *gzip.Writer

func newCompressors() compressors {
	c := make(compressors, runtime.GOMAXPROCS(0))
	for range cap(c) {
		c <- gzip.NewWriter(io.Discard)
	}
	return c
}

func (c compressors) compress(parts [][]byte) *budget.Buffer {
	out := new(budget.Buffer)
	z := <-c
	defer func() { c <- z }()
	z.Reset(out)
	for _, part := range parts {
		_, _ = z.Write(part) // a buffer has no errors
	}
	_ = z.Close()
	return out
}

func unencodable(err error) error { return fmt.Errorf("encode a response: %w", err) }

// parts encodes a response as JSON, in parts. The data is JSON already. json.Marshal would scan and compact it again,
// so it is not used for the data.
func parts(response *graphql.Response) ([][]byte, error) {
	if len(response.Errors) == 0 && len(response.Extensions) == 0 && response.Data != nil {
		return [][]byte{[]byte(`{"data":`), response.Data, []byte("}")}, nil
	}
	head, err := json.Marshal(struct {
		Errors     gqlerror.List  `json:"errors,omitempty"`
		Extensions map[string]any `json:"extensions,omitempty"`
	}{response.Errors, response.Extensions})
	if err != nil || response.Data == nil {
		return [][]byte{head}, err
	}
	return [][]byte{append(head[:len(head)-1], `,"data":`...), response.Data, []byte("}")}, nil
}
