package server

import (
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"

	"roster/internal/idempotency"
)

// The headers of a mutation that may be sent again: the client's name for the request, and whether the answer is that of
// an earlier one (absent unless it is). The first follows
// https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/, but for the quotes, which are a part of
// the key where a client writes them.
const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotency-Replayed"
)

// keyOf returns the key of a mutation; "" without one. A query may be repeated anyway, so its key is ignored.
func keyOf(kind ast.Operation, header http.Header) (string, *refusal) {
	keys := header.Values(headerKey)
	if kind != ast.Mutation || len(keys) == 0 {
		return "", nil
	}
	if len(keys) > 1 {
		return "", refuse(http.StatusBadRequest, "the header "+headerKey+" is doubled")
	}
	if n := utf8.RuneCountInString(keys[0]); n == 0 || n > idempotency.MaxKeyCharacters {
		return "", refuse(http.StatusBadRequest, fmt.Sprintf("the header %s must have 1 to %d characters", headerKey, idempotency.MaxKeyCharacters))
	}
	return keys[0], nil
}
