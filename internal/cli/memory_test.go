package cli_test

import (
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"roster/internal/cli"
)

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	const gibibyte = 1 << 30
	none := func() (uint64, error) { return 0, memlimit.ErrNoLimit }
	for _, test := range []struct {
		name                        string
		container, process, machine memlimit.Provider
		limit, answers              int64
	}{
		{"a machine", none, none, memlimit.Limit(16 * gibibyte), 8 * gibibyte, gibibyte},
		{"a large container", memlimit.Limit(4 * gibibyte), none, memlimit.Limit(16 * gibibyte), 3_865_470_566, gibibyte},
		{"a small container", memlimit.Limit(gibibyte / 2), none, memlimit.Limit(16 * gibibyte), 352 << 20, 176 << 20},
		{"a tiny container", memlimit.Limit(gibibyte / 8), none, memlimit.Limit(16 * gibibyte), 64 << 20, 32 << 20},
		{"a small process", none, memlimit.Limit(gibibyte / 2), memlimit.Limit(16 * gibibyte), 214_748_364, 107_374_182},
		{"a small process in a smaller container", memlimit.Limit(gibibyte / 4), memlimit.Limit(gibibyte), memlimit.Limit(16 * gibibyte), 128 << 20, 64 << 20},
	} {
		limit := cli.MemoryLimit(test.container, test.process, test.machine)
		if answers := cli.AnswerMemory(0, limit); limit != test.limit || answers != test.answers {
			t.Errorf("%s: got the limit %d and %d for answers, want %d and %d", test.name, limit, answers, test.limit, test.answers)
		}
	}
	if got := cli.AnswerMemory(7, gibibyte); got != 7 {
		t.Errorf("as configured: got %d, want 7", got)
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	const mebibyte, gibibyte = 1 << 20, 1 << 30
	for _, test := range []struct{ heap, beside, most, want int64 }{
		{0, 10 * mebibyte, gibibyte, 82 * mebibyte},
		{30 * mebibyte, 10 * mebibyte, gibibyte, 82 * mebibyte},
		{5 * mebibyte, 40 * mebibyte, gibibyte, 112 * mebibyte},
		{60 * mebibyte, 40 * mebibyte, gibibyte, 200 * mebibyte},
		{60 * mebibyte, 200 * mebibyte, gibibyte, 520 * mebibyte},
		{300 * mebibyte, 10 * mebibyte, gibibyte, 620 * mebibyte},
		{600 * mebibyte, 10 * mebibyte, gibibyte, gibibyte},
		{50 * mebibyte, 10 * mebibyte, 64 * mebibyte, 64 * mebibyte},
	} {
		if got := cli.Pace(test.heap, test.beside, test.most); got != test.want {
			t.Errorf("%d bytes in the heap and %d beside it of %d: got the limit %d, want %d",
				test.heap, test.beside, test.most, got, test.want)
		}
	}
}

// Streams and subscriptions wait on stacks, so a limit without stacks would leave no room for the heap.
func TestMemoryInUseCountsStacks(t *testing.T) {
	t.Parallel()
	const goroutines, stack = 1000, 8 << 10
	_, before := cli.MemoryInUse()
	started, end := make(chan int), make(chan struct{})
	defer close(end)
	for range goroutines {
		go func() {
			started <- deep(stack)
			<-end
		}()
	}
	for range goroutines {
		<-started
	}
	if _, after := cli.MemoryInUse(); after-before < goroutines*stack/2 {
		t.Errorf("%d goroutines with stacks of %d bytes: got %d more bytes in use", goroutines, stack, after-before)
	}
}

// deep uses a stack of at least so many bytes.
func deep(stack int) int {
	var frame [256]byte
	if stack <= 0 {
		return 0
	}
	frame[stack%len(frame)] = 1
	return deep(stack-len(frame)) + int(frame[0])
}
