package server

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"time"

	"roster/ent/rules"
	"roster/internal/codes"
	"roster/internal/ratelimit"
)

// The prices of requests, in points. A point is a point of the cost of an operation, which is about the work for an object.
const (
	// perKiB is the price of each full KiB of a request that is refused, and of a message without an operation. To read it is
	// the work then.
	perKiB = 10
	// openPoints is the price of a WebSocket, without its operations.
	openPoints = 1
)

// priceOf returns the price of an operation. size is that of its request, in bytes.
func priceOf(cost int64, size int) int64 { return max(cost, int64(size>>10), 1) }

// priceOfRefused returns the price of a request that is refused before an operation is executed.
func priceOfRefused(size int) int64 { return max(priceOfReading(size), 1) }

// priceOfReading returns the price of reading a request or a message. A short one is free.
func priceOfReading(size int) int64 { return perKiB * int64(size>>10) }

// A visitor sends requests.
type visitor struct {
	client netip.Addr
	points *ratelimit.Budget // pays for the requests
}

// pay takes the price of an operation. If there are too few points, it takes the price of reading the request, and returns
// the refusal.
func (v visitor) pay(price int64, size int) *refusal {
	wait := v.points.Take(price)
	if wait == 0 {
		return nil
	}
	if reading := priceOfReading(size); reading > 0 {
		v.points.Charge(reading)
		wait = max(v.points.Wait(price), wait)
	}
	return refuseRate(wait)
}

// A toll is paid for each event of a subscription. The zero toll is none.
type toll struct {
	points *ratelimit.Budget
	price  int64
}

// pay returns the refusal of an event for which there are too few points, or nil.
func (t toll) pay() *refusal { return refuseRate(t.points.Take(t.price)) }

// budgetOf returns the budget that pays for the caller in ctx: that of the caller or, without credentials, that of the
// address of its client.
func (e endpoint) budgetOf(ctx context.Context, client netip.Addr) *ratelimit.Budget {
	if c := rules.CallerFrom(ctx); c.Subject != "" {
		return e.limiter.Subject(c.Issuer, c.Subject)
	}
	return e.limiter.Address(client)
}

// refuseRate refuses a request that its client may send after a time. It returns nil if that is now.
func refuseRate(wait time.Duration) *refusal {
	if wait <= 0 {
		return nil
	}
	seconds := max(int(math.Ceil(wait.Seconds())), 1)
	r := refuseFor(http.StatusTooManyRequests, codes.RateLimited, fmt.Sprintf("too many requests: try again in %d s", seconds))
	r.retryAfter = seconds
	return r
}
