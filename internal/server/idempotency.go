package server

import (
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"

	"roster/internal/idempotency"
)

// The headers of a mutation that a client may repeat. The request has the key of the client. The answer has
// headerReplayed if it is the answer of an earlier request. The key follows
// https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/, but quotes are part of the key.
const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotency-Replayed"
)

// keyOf returns the key of a mutation, or "". It ignores the key of a query, which may be repeated anyway.
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
