// Package ratelimit gives each client a fair share of a server. A client has a budget of points, which refills steadily. The
// budgets are those of one server: other servers do not know them. The package knows neither HTTP nor GraphQL, and not what
// a point is.
package ratelimit

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// maxBudgets is the maximum number of budgets of subjects, and of networks. The budget that was not used for the longest
// time is forgotten first: that is a full budget, unless so many clients come within a minute. All budgets together take
// about 20 MB.
const maxBudgets = 1 << 15

// A Limiter has the budgets of the clients. A nil Limiter has no limits. All methods may be called concurrently.
type Limiter struct {
	points int64 // of a full budget, which refills within a minute
	clock  func() time.Time

	mu sync.Mutex
	// Strangers choose their addresses, so these must not push out the budgets of subjects.
	subjects *simplelru.LRU[subject, *tokens]
	networks *simplelru.LRU[netip.Prefix, *tokens]
}

// tokens are the points of a budget.
type tokens struct {
	*rate.Limiter

	charging sync.Mutex // held while Charge looks how deep the debt is
}

// subject names a caller with credentials.
type subject struct{ issuer, name string }

// New returns a Limiter with the size of each budget, which is also what it gets in a minute. 0 is no limit: New returns nil.
func New(pointsPerMinute int64, clock func() time.Time) *Limiter {
	if pointsPerMinute <= 0 {
		return nil
	}
	subjects, _ := simplelru.NewLRU[subject, *tokens](maxBudgets, nil) // the error is for sizes below 1
	networks, _ := simplelru.NewLRU[netip.Prefix, *tokens](maxBudgets, nil)
	return &Limiter{points: pointsPerMinute, clock: clock, subjects: subjects, networks: networks}
}

// Subject returns the budget of a caller with credentials. An empty issuer is that of API keys.
func (l *Limiter) Subject(issuer, name string) *Budget {
	if l == nil {
		return nil
	}
	return budgetOf(l, l.subjects, subject{issuer, name})
}

// Address returns the budget of an address. It belongs to the network of the address: to all of an IPv6 /64, which a
// provider gives to one customer. An address that is not valid has the budget of all such addresses.
func (l *Limiter) Address(a netip.Addr) *Budget {
	if l == nil {
		return nil
	}
	a = a.Unmap()
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	network, _ := a.Prefix(bits) // without the zone; an address that is not valid has the zero prefix
	return budgetOf(l, l.networks, network)
}

func budgetOf[K comparable](l *Limiter, budgets *simplelru.LRU[K, *tokens], key K) *Budget {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := budgets.Get(key)
	if !ok {
		t = &tokens{Limiter: rate.NewLimiter(rate.Limit(float64(l.points)/time.Minute.Seconds()), int(l.points))}
		budgets.Add(key, t)
	}
	return &Budget{limiter: l, tokens: t}
}

// A Budget has the points of one client. A nil Budget has no limit. All methods may be called concurrently.
type Budget struct {
	limiter *Limiter
	tokens  *tokens
}

// Take takes points. If the budget has too few, Take takes none, and returns the time until it will have enough. Of more
// points than a full budget has, Take takes a full budget.
func (b *Budget) Take(points int64) (wait time.Duration) {
	if b == nil {
		return 0
	}
	now, points := b.limiter.clock(), min(points, b.limiter.points)
	if b.tokens.AllowN(now, int(points)) {
		return 0
	}
	return max(b.until(now, points), time.Nanosecond)
}

// Charge takes points for what was done already, even if the budget has too few: then it has less than none. The debt is at
// most a full budget. Otherwise many requests at once could shut out an address for hours.
func (b *Budget) Charge(points int64) {
	if b == nil {
		return
	}
	b.tokens.charging.Lock()
	defer b.tokens.charging.Unlock()
	now := b.limiter.clock()
	left := int64(b.tokens.TokensAt(now)) + b.limiter.points
	b.tokens.ReserveN(now, int(max(min(points, left, b.limiter.points), 0)))
}

// Penalize charges for credentials that were not valid. A small budget has room for as many of them as people send by
// mistake, and a large one for no more than a program guesses in a minute without harm.
func (b *Budget) Penalize() {
	if b != nil {
		b.Charge(max(b.limiter.points/maxFailures, minFailurePoints))
	}
}

const (
	// maxFailures is the maximum number of failures that a full budget pays for.
	maxFailures = 100_000
	// minFailurePoints is the least price of a failure. It is about the work of verifying a signature.
	minFailurePoints = 10
)

// Wait returns the time until the budget has a number of points, or 0 if it has them. More points than a full budget has
// count as a full budget.
func (b *Budget) Wait(points int64) time.Duration {
	if b == nil {
		return 0
	}
	return b.until(b.limiter.clock(), min(points, b.limiter.points))
}

// until returns the time until the budget has a number of points.
func (b *Budget) until(now time.Time, points int64) time.Duration {
	missing := float64(points) - b.tokens.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	b.tokens.ReserveN(now, 0) // notes the time: otherwise a clock that steps back would stop the refill until it has caught up
	return time.Duration(missing / float64(b.tokens.Limit()) * float64(time.Second))
}
