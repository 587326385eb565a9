package server

import "sync"

// A gate bounds the number of requests that are executed at the same time. A nil gate has no bound.
type gate chan struct{}

func newGate(most int) gate {
	if most == 0 {
		return nil
	}
	return make(gate, most)
}

// enter refuses a request if there are too many. Otherwise the caller calls leave after the request, once or more
// often. Requests do not wait here, because a waiting request takes memory too, and its client can try again.
func (g gate) enter() (leave func(), refused *refusal) {
	if g == nil {
		return func() {}, nil
	}
	select {
	case g <- struct{}{}:
		return sync.OnceFunc(func() { <-g }), nil
	default:
		return nil, refuseUnavailable("the server has as many requests as it takes at a time: try again")
	}
}
