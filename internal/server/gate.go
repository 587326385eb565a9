package server

import (
	"net/http"
	"sync"

	"roster/internal/codes"
)

// A gate lets only so many requests in at a time. A nil gate lets all in.
type gate chan struct{}

func newGate(most int) gate {
	if most == 0 {
		return nil
	}
	return make(gate, most)
}

// enter returns what is to be called when the request is done, once or more often, or refuses the request: one that
// waited for its turn would take a place in memory, too, and its client can try again.
func (g gate) enter() (leave func(), refused *refusal) {
	if g == nil {
		return func() {}, nil
	}
	select {
	case g <- struct{}{}:
		return sync.OnceFunc(func() { <-g }), nil
	default:
		refused := refuseFor(http.StatusServiceUnavailable, codes.Unavailable, "the server has as many requests as it takes at a time: try again")
		refused.retry = true
		return nil, refused
	}
}
