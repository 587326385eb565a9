package e2e

import (
	"fmt"
	"syscall"
	"testing"

	"roster/internal/consistency"
)

// TestAheadToken reads with a token that is ahead of the log, as clients get when the primary does not tell a position. A failover to
// another server comes after the token. Each read has what the other server of Roster has just acknowledged.
func TestAheadToken(t *testing.T) {
	t.Parallel()
	binary := build(t)
	eachPair(t, func(t *testing.T, p pair) {
		p.create(t)
		second := p.second(t)
		before := p.serve(t, binary)
		known, err := consistency.Parse(before.rename(t, "first@example.com"))
		if err != nil {
			t.Fatal(err)
		}
		before.stop(t, syscall.SIGTERM)
		known.Number += 1 << 20
		ahead := consistency.Ahead(known).String()

		first, other := p.failOver(t, binary, second, "1h")
		other.rename(t, "third@example.com")
		first.email(t, "after the failover", "third@example.com", tokenHeader, ahead)
		// The other server has no replica that it may use.
		for n := range 3 {
			email := fmt.Sprintf("%d@example.com", n)
			other.rename(t, email)
			for _, r := range []*replicated{first, other} {
				r.email(t, "after another mutation", email, tokenHeader, ahead)
			}
		}
		first.stop(t, syscall.SIGTERM)
		other.stop(t, syscall.SIGTERM)
	})
}
