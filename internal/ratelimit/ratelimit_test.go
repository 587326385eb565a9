package ratelimit_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roster/internal/ratelimit"
)

// clock is a clock that tests set.
type clock struct{ now time.Time }

func (c *clock) time() time.Time { return c.now }

func TestTake(t *testing.T) {
	t.Parallel()
	c := &clock{time.Unix(1_000_000, 0)}
	b := ratelimit.New(600, c.time).Subject("issuer", "ada") // 10 points a second
	for _, step := range []struct {
		after  time.Duration
		points int64
		wait   time.Duration
	}{
		{0, 500, 0},
		{0, 100, 0},
		{0, 1, 100 * time.Millisecond},
		{0, 50, 5 * time.Second},
		{time.Second, 10, 0},
		{0, 1, 100 * time.Millisecond},
		{time.Hour, 600, 0},                          // a budget is never more than full
		{0, 10, time.Second},                         //
		{time.Minute, 1_000_000, 0},                  // more than a full budget takes a full one
		{0, 1_000_000, time.Minute},                  //
		{-time.Hour, 1, 100 * time.Millisecond},      // a clock that steps back gives nothing
		{time.Second, 11, 100 * time.Millisecond},    // and from there on the budget refills as before
		{0, 10, 0},                                   //
		{0, 0, 0},                                    //
		{time.Second / 20, 1, 50 * time.Millisecond}, // half a point is none
		{time.Second / 20, 1, 0},                     //
	} {
		c.now = c.now.Add(step.after)
		if wait := b.Take(step.points); wait != step.wait {
			t.Fatalf("after %s, take %d: got a wait of %s, want %s", step.after, step.points, wait, step.wait)
		}
	}
}

func TestCharge(t *testing.T) {
	t.Parallel()
	c := &clock{time.Unix(1_000_000, 0)}
	b := ratelimit.New(600, c.time).Subject("issuer", "ada")
	b.Charge(590)
	if wait := b.Wait(1); wait != 0 {
		t.Errorf("got a wait of %s with ten points, want none", wait)
	}
	b.Charge(30)
	if wait := b.Wait(1); wait != 2100*time.Millisecond {
		t.Errorf("got a wait of %s with a debt of 20 points, want 2.1s", wait)
	}
	if wait := b.Wait(0); wait != 2*time.Second {
		t.Errorf("got a wait of %s until the debt is paid, want 2s", wait)
	}
	if wait := b.Take(1); wait != 2100*time.Millisecond {
		t.Errorf("got a wait of %s, want 2.1s", wait)
	}
	c.now = c.now.Add(2100 * time.Millisecond)
	if wait := b.Take(1); wait != 0 {
		t.Errorf("got a wait of %s after the wait, want none", wait)
	}
	b.Charge(1_000_000) // at most a full budget
	if wait := b.Wait(1); wait != time.Minute+100*time.Millisecond {
		t.Errorf("got a wait of %s, want 1m0.1s", wait)
	}
	var group sync.WaitGroup
	for range 100 { // the debt stays
		group.Go(func() { b.Charge(600) })
	}
	group.Wait()
	if wait := b.Wait(1); wait != time.Minute+100*time.Millisecond {
		t.Errorf("after more charges: got a wait of %s, want 1m0.1s", wait)
	}
}

func TestPenalize(t *testing.T) {
	t.Parallel()
	for points, want := range map[int64]int{1: 1, 10: 1, 100: 10, 1_000: 100, 1_000_000: 100_000, 30_000_000: 100_000} {
		c := &clock{time.Unix(1_000_000, 0)}
		b, failures := ratelimit.New(points, c.time).Address(netip.MustParseAddr("192.0.2.1")), 0
		for ; b.Wait(1) == 0; failures++ {
			b.Penalize()
		}
		if failures != want {
			t.Errorf("a budget of %d: got %d failures, want %d", points, failures, want)
		}
	}
}

func TestBudgets(t *testing.T) {
	t.Parallel()
	c := &clock{time.Unix(1_000_000, 0)}
	l := ratelimit.New(1, c.time)
	address := func(text string) *ratelimit.Budget {
		a, _ := netip.ParseAddr(text) // the zero address for ""
		return l.Address(a)
	}
	for _, step := range []struct {
		name   string
		budget *ratelimit.Budget
		shared bool // with an earlier step
	}{
		{"a subject", l.Subject("issuer", "ada"), false},
		{"the subject again", l.Subject("issuer", "ada"), true},
		{"another subject", l.Subject("issuer", "bob"), false},
		{"the subject of another issuer", l.Subject("other", "ada"), false},
		{"an API key with the name of a subject", l.Subject("", "ada"), false},
		{"issuer and subject, cut elsewhere", l.Subject("issuera", "da"), false},
		{"an IPv4 address", address("192.0.2.1"), false},
		{"the IPv4 address in IPv6", address("::ffff:192.0.2.1"), true},
		{"the next IPv4 address", address("192.0.2.2"), false},
		{"an IPv6 address", address("2001:db8::1"), false},
		{"an address of the same /64", address("2001:db8::ffff:0:0:2"), true},
		{"an address of the next /64", address("2001:db8:0:1::1"), false},
		{"an address with a zone", address("fe80::1%eth0"), false},
		{"the address without the zone", address("fe80::1"), true},
		{"the address with another zone", address("fe80::1%eth1"), true},
		{"no address", address(""), false},
		{"no address again", address(""), true},
	} {
		if wait := step.budget.Take(1); (wait > 0) != step.shared {
			t.Errorf("%s: got a wait of %s, want one: %t", step.name, wait, step.shared)
		}
	}
}

func TestNoLimit(t *testing.T) {
	t.Parallel()
	for _, points := range []int64{0, -1} {
		l := ratelimit.New(points, time.Now)
		for _, b := range []*ratelimit.Budget{l.Subject("issuer", "ada"), l.Address(netip.MustParseAddr("192.0.2.1"))} {
			b.Charge(1 << 40)
			b.Penalize()
			if wait := b.Take(1 << 40); wait != 0 || b.Wait(1) != 0 {
				t.Errorf("%d points a minute: got a wait of %s, want no limit", points, wait)
			}
		}
	}
}

// TestManyAddresses spends the budget of an address and of a subject. Then far more addresses come than there are budgets.
// They push out the address, but not the subject, and take no more memory than the bound says.
func TestManyAddresses(t *testing.T) { //nolint:paralleltest // it reads the memory of the program
	c := &clock{time.Unix(1_000_000, 0)}
	l := ratelimit.New(1, c.time)
	ada := l.Subject("issuer", "ada")
	ada.Charge(1)
	l.Address(netip.MustParseAddr("192.0.2.1")).Charge(1)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 200_000 {
		l.Address(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})).Charge(1)
	}
	if after := heap(); after > before+20<<20 {
		t.Errorf("got %d bytes for 200,000 addresses, want at most 20 MiB", after-before)
	}
	if l.Subject("issuer", "ada").Wait(1) == 0 {
		t.Error("got a new budget for the subject, want that from before the addresses")
	}
	if l.Address(netip.AddrFrom4([4]byte{10, 3, 13, 63})).Wait(1) == 0 {
		t.Error("got a new budget for the last address, want its own")
	}
	if wait := l.Address(netip.MustParseAddr("192.0.2.1")).Wait(1); wait != 0 {
		t.Errorf("got a wait of %s for the address that was pushed out, want a new budget", wait)
	}
}

// TestConcurrently takes from a few budgets at once. Each budget gives what it has, and no more.
func TestConcurrently(t *testing.T) {
	t.Parallel()
	c := &clock{time.Unix(1_000_000, 0)}
	l := ratelimit.New(1_000, c.time)
	var taken [4]atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range 4_000 {
				of := i % len(taken)
				if l.Subject("issuer", fmt.Sprint(of)).Take(1) == 0 {
					taken[of].Add(1)
				}
			}
		})
	}
	group.Wait()
	for i := range taken {
		if got := taken[i].Load(); got != 1_000 {
			t.Errorf("budget %d: got %d points, want 1000", i, got)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	l := ratelimit.New(1_000_000_000, time.Now)
	b.ReportAllocs()
	for b.Loop() {
		l.Subject("https://login.example.com", "ada").Take(2)
	}
}
