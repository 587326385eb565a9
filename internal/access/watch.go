package access

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"roster/ent/rules"
	"roster/internal/auth"
	"roster/internal/typeid"
)

// A proof is what makes a caller the one that it is: a token and its user, or an API key.
type proof struct {
	identity rules.Identity // of the token
	user     typeid.ID      // of the identity, or zero
	key      hash           // of the API key; zero for a token
	expires  time.Time      // zero: never
}

type proofKey struct{}

func withProof(ctx context.Context, p *proof) context.Context {
	return context.WithValue(ctx, proofKey{}, p)
}

// isKey reports whether the proof is an API key.
func (p *proof) isKey() bool { return p.key != hash{} }

// expired returns the error of credentials that have expired at a time, or nil.
func (p *proof) expired(now time.Time) error {
	switch {
	case p.expires.IsZero() || now.Before(p.expires):
		return nil
	case p.isKey():
		return &auth.InvalidError{Description: "the API key has expired"}
	default:
		return &auth.InvalidError{Description: "the token has expired"}
	}
}

// lost returns the error of a caller whose user is u now, or nil. A caller that had no user may have got one: it may do
// no less than before.
func (p *proof) lost(u owner) error {
	switch {
	case u.suspended:
		return auth.ErrSuspended
	case p.user != (typeid.ID{}) && p.user != u.id:
		return &auth.InvalidError{Description: "the user of the token has lost its identity", Detail: p.user.String()}
	default:
		return nil
	}
}

// watches are the callers of open streams.
type watches struct {
	mu  sync.Mutex
	all map[*watched]struct{}
}

func newWatches() watches { return watches{all: map[*watched]struct{}{}} }

// watched is the caller of an open stream.
type watched struct {
	*proof
	end func(reason error)
}

// Watch calls end at most once, with an error as from Authenticate, when the caller in ctx may no longer use the server:
// its token or API key expired, its key was revoked, its user was suspended, deleted or given another identity. This
// takes less than a second, as long as the database answers. While the database is away, only expiry ends a stream:
// nothing new comes on it meanwhile. end must not block. It may be called while stop runs. stop ends the watch.
func (a *Access) Watch(ctx context.Context, end func(reason error)) (stop func()) {
	p, _ := ctx.Value(proofKey{}).(*proof)
	if p == nil { // nobody has nothing to lose
		return func() {}
	}
	w := &watched{p, end}
	a.watches.mu.Lock()
	defer a.watches.mu.Unlock()
	a.watches.all[w] = struct{}{}
	return func() { a.watches.remove(w) }
}

// remove removes a caller, and reports whether it was watched.
func (s *watches) remove(w *watched) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, was := s.all[w]
	delete(s.all, w)
	return was
}

// list returns the watched callers.
func (s *watches) list() []*watched {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.all))
}

// watch checks the watched callers again and again until ctx ends.
func (a *Access) watch(ctx context.Context) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			a.check(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// check ends the streams of callers that may no longer use the server. It sends a statement for each maxBatch
// identities, and for each maxBatch keys.
func (a *Access) check(ctx context.Context) {
	identities, keys := map[rules.Identity][]*watched{}, map[hash][]*watched{}
	now := a.Clock()
	for _, w := range a.watches.list() {
		switch err := w.expired(now); {
		case err != nil:
			a.end(w, err)
		case w.isKey():
			keys[w.key] = append(keys[w.key], w)
		default:
			identities[w.identity] = append(identities[w.identity], w)
		}
	}
	recheck(ctx, a, identities, a.readOwners, func(w *watched, u owner) error { return w.lost(u) })
	recheck(ctx, a, keys, a.readKeys, func(_ *watched, k *apiKey) error {
		err := k.refusal(now)
		if err == nil { // an open stream is a use
			a.use(k)
		}
		return err
	})
}

// recheck reads the values of keys, and ends the watched callers that judge returns an error for.
func recheck[K comparable, V any](
	ctx context.Context, a *Access, all map[K][]*watched, read func(context.Context, []K) (map[K]V, error), judge func(*watched, V) error,
) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for batch := range slices.Chunk(slices.Collect(maps.Keys(all)), maxBatch) {
		values, err := read(ctx, batch)
		if err != nil {
			return // the database is away
		}
		for _, key := range batch {
			for _, w := range all[key] {
				if err := judge(w, values[key]); err != nil {
					a.end(w, err)
				}
			}
		}
	}
}

// end ends the stream of a caller, unless its watch has ended.
func (a *Access) end(w *watched, reason error) {
	if a.watches.remove(w) {
		w.end(reason)
	}
}
