package server

import (
	"context"
	"errors"
)

// ErrSuspended says that the user of a caller is suspended.
var ErrSuspended = errors.New("the user is suspended")

// An Authenticator finds the caller of a request, and knows when it may no longer use the server.
type Authenticator interface {
	// Authenticate returns a context with the caller. authorization has the values of the header Authorization. Without a
	// value, the caller is nobody, or everyone on a server without authentication. The error is one of package auth, ErrSuspended,
	// or another error if the caller cannot be found now.
	Authenticate(ctx context.Context, authorization ...string) (context.Context, error)
	// Watch calls end once, with an error as from Authenticate, when the caller in ctx may no longer use the server: its
	// token expired, its API key was revoked, or its user was suspended. stop ends the watch.
	Watch(ctx context.Context, end func(reason error)) (stop func())
}
