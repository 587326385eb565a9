package server

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"roster/internal/auth"
	"roster/internal/codes"
)

// authenticateTimeout is the maximum time to find the caller of a request. Verification may wait for the keys of the
// identity provider, and then for the database.
const authenticateTimeout = 10 * time.Second

// bodyPatience is the time that a body may take to arrive without another look at its caller. A client could otherwise send
// the headers, and the end of the body long after its user was suspended.
const bodyPatience = 300 * time.Millisecond

// An Authenticator finds the caller of a request, and knows when it may no longer use the server. All methods may be
// called concurrently.
type Authenticator interface {
	// Authenticate returns a context with the caller, made from ctx. authorization has the values of the header
	// Authorization. Without a value, the caller is nobody, or everyone on a server without authentication. The error is
	// an *auth.InvalidError, an *auth.ForbiddenError, auth.ErrAmbiguous for several values, or auth.ErrSuspended. Any other
	// error says that the caller cannot be found now: auth.ErrUnavailable, an error of the database, or that of ctx.
	Authenticate(ctx context.Context, authorization ...string) (context.Context, error)
	// Known reports whether Authenticate is likely to accept the values without the work of verifying a new token. It is
	// asked before a client is refused that has sent many wrong ones.
	Known(authorization ...string) bool
	// Watch calls end at most once, with an error as from Authenticate, when the caller in ctx may no longer use the
	// server: its token expired, its API key was revoked, or its user was suspended. Watch may call end before it
	// returns, and while stop runs. end does not block. stop ends the watch and is called once.
	Watch(ctx context.Context, end func(reason error)) (stop func())
}

// authenticate returns a context with the caller of a request, made from ctx. The address of the client pays for wrong
// credentials. The caller of authenticate calls cancel after the request.
func (e endpoint) authenticate(
	ctx context.Context, client netip.Addr, authorization []string,
) (caller context.Context, cancel context.CancelFunc, refused *refusal) {
	if len(authorization) == 0 { // there is nothing to wait for
		caller, err := e.authenticator.Authenticate(ctx)
		if err != nil {
			return nil, nil, e.refuseCaller(ctx, err)
		}
		return caller, func() {}, nil
	}
	address := e.limiter.Address(client)
	if wait := address.Wait(1); wait > 0 && !e.authenticator.Known(authorization...) {
		return nil, nil, refuseRate(wait)
	}
	bounded, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(authenticateTimeout, cancel) // unlike a deadline, it ends with the authentication
	caller, err := e.authenticator.Authenticate(bounded, authorization...)
	if !late.Stop() && err == nil {
		err = bounded.Err()
	}
	if err != nil {
		cancel()
		_, invalid := errors.AsType[*auth.InvalidError](err)
		_, forbidden := errors.AsType[*auth.ForbiddenError](err)
		if invalid || forbidden { // neither is remembered, so its signature was verified for nothing
			address.Penalize()
		}
		return nil, nil, e.refuseCaller(ctx, err)
	}
	return caller, cancel, nil
}

// refuseCaller returns the answer for an error of the Authenticator.
func (e endpoint) refuseCaller(ctx context.Context, err error) *refusal {
	if invalid, ok := errors.AsType[*auth.InvalidError](err); ok {
		e.logger.DebugContext(ctx, "refused credentials", "description", invalid.Description, "detail", invalid.Detail)
		r := refuseFor(http.StatusUnauthorized, codes.Unauthenticated, invalid.Description)
		if invalid.NoToken { // RFC 6750, section 3.1: then no error
			return r
		}
		r.challenge = challenge + ` error="invalid_token", error_description="` + quotable(invalid.Description) + `"`
		return r
	}
	if forbidden, ok := errors.AsType[*auth.ForbiddenError](err); ok {
		e.logger.WarnContext(ctx, "refused the bearer of valid credentials", "reason", forbidden.Reason)
		return refuseFor(http.StatusForbidden, codes.Forbidden, forbidden.Description)
	}
	switch {
	case errors.Is(err, auth.ErrAmbiguous):
		return refuse(http.StatusBadRequest, "the header Authorization is doubled")
	case errors.Is(err, auth.ErrSuspended):
		return refuseFor(http.StatusForbidden, codes.Forbidden, "your user is suspended: ask an administrator")
	}
	if ctx.Err() == nil { // otherwise the client has disconnected
		e.logger.WarnContext(ctx, "the caller of a request cannot be found", "error", err)
	}
	return refuseUnavailable("the server cannot check credentials now: try again")
}

// headerAuthorization has the credentials of a request.
const headerAuthorization = "Authorization"

// challenge is the header WWW-Authenticate of a request without credentials (RFC 6750, section 3).
const challenge = "Bearer"

// quotable replaces the characters that error_description may not have (RFC 6750, section 3).
func quotable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\\' || r < ' ' || r > '~':
			return '?'
		}
		return r
	}, text)
}
