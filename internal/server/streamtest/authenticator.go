package streamtest

import (
	"context"
	"errors"
	"sync"

	"roster/ent/rules"
	"roster/internal/auth"
	"roster/internal/server"
)

// An Authenticator takes each token for the name of its caller, except for the tokens below. A caller without a token may
// do what rules allow to everyone, unless the Authenticator is closed.
type Authenticator struct {
	// Closed makes a caller without a token nobody. It is set before the first use.
	Closed bool
	// Reader lets nobody read. It is set before the first use.
	Reader bool

	mu      sync.Mutex
	watches map[*watch]struct{}
	seen    map[string]bool // the tokens that were accepted
}

// The tokens that are no names. Hanging waits for the end of the request.
const (
	Expired     = "expired"
	Odd         = "odd" // its error has characters that a header may not have
	Suspended   = "suspended"
	Forbidden   = "forbidden"
	Unavailable = "unavailable"
	Broken      = "broken"
	Hanging     = "hanging"
)

var _ server.Authenticator = (*Authenticator)(nil)

type watch struct {
	name string
	end  func(error)
}

type callerKey struct{}

// CallerFrom returns the name of the caller in ctx. It is empty for nobody.
func CallerFrom(ctx context.Context) string {
	name, _ := ctx.Value(callerKey{}).(string)
	return name
}

// NewAuthenticator returns an Authenticator that watches nobody.
func NewAuthenticator() *Authenticator {
	return &Authenticator{watches: map[*watch]struct{}{}, seen: map[string]bool{}}
}

// Authenticate implements server.Authenticator.
func (a *Authenticator) Authenticate(ctx context.Context, authorization ...string) (context.Context, error) {
	token, err := auth.Bearer(authorization...)
	if errors.Is(err, auth.ErrNoCredentials) {
		if a.Closed {
			return rules.WithCaller(ctx, rules.Caller{Reader: a.Reader}), nil
		}
		return rules.WithCaller(ctx, rules.Everyone()), nil
	}
	if err != nil {
		return nil, err
	}
	switch token {
	case Expired:
		return nil, &auth.InvalidError{Description: "the token has expired", Detail: "detail-of-the-token"}
	case Odd:
		return nil, &auth.InvalidError{Description: "the \"scope\" is\r\nX: a\\é"}
	case Suspended:
		return nil, auth.ErrSuspended
	case Forbidden:
		return nil, &auth.ForbiddenError{Description: "the token leaves out groups", Reason: "detail for the operator"}
	case Unavailable:
		return nil, auth.ErrUnavailable
	case Broken:
		return nil, errors.New("a secret of the database")
	case Hanging:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	a.mu.Lock()
	a.seen[token] = true
	a.mu.Unlock()
	ctx = rules.WithCaller(ctx, rules.Caller{Subject: token})
	return context.WithValue(ctx, callerKey{}, token), nil
}

// Known implements server.Authenticator. The first token of each name is new.
func (a *Authenticator) Known(authorization ...string) bool {
	token, err := auth.Bearer(authorization...)
	a.mu.Lock()
	defer a.mu.Unlock()
	return err == nil && a.seen[token]
}

// Watch implements server.Authenticator.
func (a *Authenticator) Watch(ctx context.Context, end func(reason error)) (stop func()) {
	w := &watch{CallerFrom(ctx), end}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watches[w] = struct{}{}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.watches, w)
	}
}

// End ends the streams of a caller for a reason. It returns their number.
func (a *Authenticator) End(name string, reason error) int {
	var ended []*watch
	a.mu.Lock()
	for w := range a.watches {
		if w.name == name {
			ended = append(ended, w)
		}
	}
	a.mu.Unlock()
	for _, w := range ended { // without the lock: a watch may be stopped meanwhile
		w.end(reason)
	}
	return len(ended)
}

// Watched returns the number of watches.
func (a *Authenticator) Watched() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.watches)
}
