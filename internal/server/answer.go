package server

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// gzipFrom is the size in bytes from which an answer is compressed for those who accept it; below,
// it fits into a few packets anyway.
const gzipFrom = 4 << 10

// answer is a GraphQL response on its way to the client.
type answer struct {
	status    int
	mediaType string
	gzip      bool // the client accepts it
	response  *graphql.Response
}

// write sends the answer. A failure to write means that the client is gone: there is nobody left to
// tell, and the access log has the request. It panics when the response's errors or extensions
// cannot be JSON, a mistake in the program.
func (a answer) write(w http.ResponseWriter) {
	parts, err := parts(a.response)
	if err != nil {
		panic(unencodable(err))
	}
	if a.mediaType == typeEvents {
		parts = append(nextEvent(parts), completeEvent())
		a.gzip = false
		announceEvents(w.Header())
	}
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	var out io.Writer = w
	w.Header().Set("Content-Type", a.mediaType+"; charset=utf-8")
	if a.gzip && size >= gzipFrom {
		w.Header().Set("Content-Encoding", "gzip")
		compressor := gzip.NewWriter(w)
		defer func() { _ = compressor.Close() }()
		out = compressor
	} else {
		w.Header().Set("Content-Length", strconv.Itoa(size))
	}
	w.WriteHeader(a.status)
	for _, part := range parts {
		if _, err := out.Write(part); err != nil {
			return
		}
	}
}

func unencodable(err error) error { return fmt.Errorf("encode a response: %w", err) }

// parts lays a response out as JSON. The data is finished JSON already and is passed on as it is,
// which json.Marshal would not do: it scans and compacts a RawMessage.
func parts(response *graphql.Response) ([][]byte, error) {
	head, err := json.Marshal(struct {
		Errors     gqlerror.List  `json:"errors,omitempty"`
		Extensions map[string]any `json:"extensions,omitempty"`
	}{response.Errors, response.Extensions})
	if err != nil || response.Data == nil {
		return [][]byte{head}, err
	}
	key := `,"data":`
	if string(head) == "{}" {
		key = `"data":`
	}
	return [][]byte{append(head[:len(head)-1], key...), response.Data, []byte("}")}, nil
}
