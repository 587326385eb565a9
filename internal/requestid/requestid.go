// Package requestid carries the ID of a request in a context, for errors and logs. It does not depend on HTTP or
// GraphQL.
package requestid

import (
	"context"
	"strings"
)

// MaxLength is the maximum length of an ID, in bytes.
const MaxLength = 128

type contextKey struct{}

// WithContext returns a context with an ID.
func WithContext(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// FromContext returns the ID in a context, or "" outside a request.
func FromContext(ctx context.Context) string {
	id, _ := ctx.Value(contextKey{}).(string)
	return id
}

// Valid reports whether an ID of a client is safe in a header, a log line and an answer. It must have 1 to [MaxLength]
// bytes of A-Z, a-z, 0-9, '.', '_' and '-'.
func Valid(id string) bool {
	const safe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return id != "" && len(id) <= MaxLength && strings.Trim(id, safe) == ""
}
