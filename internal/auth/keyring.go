package auth

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// refreshInterval is the time between two fetches of the keys.
	refreshInterval = 10 * time.Minute
	// retryInterval is the time between a failed fetch and the next one.
	retryInterval = time.Minute
	// pace is the least time between two fetches that unknown keys cause.
	pace = 10 * time.Second
	// keysLifetime is how long keys are valid without another successful fetch.
	keysLifetime = 24 * time.Hour
)

// keyring has the current keys. It fetches those of a provider; secrets stay as they are.
type keyring struct {
	algorithms []jose.SignatureAlgorithm
	source     *source // nil: the keys are secrets
	clock      func() time.Time
	logger     *slog.Logger
	wanted     chan chan struct{} // size 1: a fetch that a token waits for; it is closed when the fetch is over
	stopped    chan struct{}      // closed when nobody fetches any more

	mu      sync.Mutex
	set     *keySet       // nil before the first successful fetch
	fetched time.Time     // time of the last successful fetch
	asked   time.Time     // time of the last fetch that an unknown key caused
	waiting chan struct{} // the fetch in wanted or under way; nil without one
	failure error         // ErrUnavailable, with the error of the last fetch if it failed
}

// newSecrets returns a keyring of secrets.
func newSecrets(secrets [][]byte) *keyring {
	return &keyring{algorithms: []jose.SignatureAlgorithm{jose.HS256}, set: secretKeys(secrets)}
}

// newKeyring returns a keyring that fetches a provider's keys. Tokens wait for the first fetch.
func newKeyring(s *source, clock func() time.Time, logger *slog.Logger) *keyring {
	r := &keyring{
		algorithms: []jose.SignatureAlgorithm{
			jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
			jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
		},
		source: s, clock: clock, logger: logger,
		wanted: make(chan chan struct{}, 1), stopped: make(chan struct{}),
		waiting: make(chan struct{}), failure: ErrUnavailable,
	}
	r.wanted <- r.waiting
	return r
}

// current returns the keys that verify tokens now. The error is ErrUnavailable.
func (r *keyring) current() (*keySet, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set == nil || r.source != nil && r.clock().Sub(r.fetched) >= keysLifetime {
		return nil, r.failure
	}
	return r.set, nil
}

// verify returns the payload of a token and the keys that verified it. If the token's key is unknown, it waits for a
// fetch of the keys.
func (r *keyring) verify(ctx context.Context, t token) ([]byte, *keySet, error) {
	set, err := r.current()
	payload, known := set.verify(t)
	if !known && r.source != nil {
		if err := r.renew(ctx); err != nil {
			return nil, nil, err
		}
		old := set
		if set, err = r.current(); set != old {
			payload, _ = set.verify(t)
		}
	}
	if err == nil && payload == nil {
		err = refuse("the token's signature is invalid, or its key is unknown", t.keyID)
	}
	return payload, set, err
}

// renew waits for a fetch of the keys. It returns at once if the last fetch is too recent for another one. The error is
// that of ctx.
func (r *keyring) renew(ctx context.Context) error {
	r.mu.Lock()
	if now := r.clock(); r.waiting == nil && now.Sub(r.asked) >= pace {
		r.asked = now
		r.waiting = make(chan struct{})
		r.wanted <- r.waiting
	}
	waiting := r.waiting
	r.mu.Unlock()
	if waiting == nil {
		return nil
	}
	select {
	case <-waiting:
	case <-r.stopped:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// run fetches the keys when a token waits for them, and at intervals, until ctx ends.
func (r *keyring) run(ctx context.Context) {
	if r.source == nil {
		return
	}
	defer close(r.stopped)
	timer := time.NewTimer(refreshInterval)
	defer timer.Stop()
	for {
		var waiting chan struct{}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case waiting = <-r.wanted:
		}
		set, err := r.source.fetch(ctx)
		if ctx.Err() != nil {
			return
		}
		timer.Reset(r.keep(ctx, set, err))
		if waiting != nil {
			r.mu.Lock()
			r.waiting = nil
			r.mu.Unlock()
			close(waiting)
		}
	}
}

// keep keeps the outcome of a fetch and returns the time until the next one. If the document is the same as before, the
// set stays, and so do the verified tokens in the cache.
func (r *keyring) keep(ctx context.Context, set *keySet, err error) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.logger.WarnContext(ctx, "the keys of the identity provider cannot be fetched", "error", err)
		r.failure = fmt.Errorf("%w: %w", ErrUnavailable, err)
		return retryInterval
	}
	r.fetched, r.failure = r.clock(), ErrUnavailable
	if r.set == nil || r.set.document != set.document {
		r.logger.InfoContext(ctx, "fetched new keys of the identity provider", "keys", len(set.keys))
		r.set = set
	}
	return refreshInterval
}
