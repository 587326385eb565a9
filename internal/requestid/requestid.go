// Package requestid carries the ID of a request from the HTTP layer to whatever answers the
// request or logs about it. It knows neither HTTP nor GraphQL.
package requestid

import "context"

// MaxLength is the longest ID that [Valid] takes, in bytes.
const MaxLength = 128

type contextKey struct{}

// WithContext returns a context that carries id.
func WithContext(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// FromContext returns the ID that ctx carries, or "" outside a request.
func FromContext(ctx context.Context) string {
	id, _ := ctx.Value(contextKey{}).(string)
	return id
}

// Valid reports whether id, as a client sent it, can be taken over: 1 to [MaxLength] bytes of
// A-Z, a-z, 0-9, '.', '_' and '-', so that it is safe in a header, a log line and an answer.
func Valid(id string) bool {
	if id == "" || len(id) > MaxLength {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
