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
	for _, test := range []struct{ live, most, want int64 }{
		{0, gibibyte, 88 * mebibyte},
		{50 * mebibyte, gibibyte, 88 * mebibyte},
		{100 * mebibyte, gibibyte, 212 * mebibyte},
		{300 * mebibyte, gibibyte, 812 * mebibyte},
		{500 * mebibyte, gibibyte, gibibyte},
		{50 * mebibyte, 64 * mebibyte, 64 * mebibyte},
	} {
		if got := cli.Pace(test.live, test.most); got != test.want {
			t.Errorf("%d bytes in use of %d: got the limit %d, want %d", test.live, test.most, got, test.want)
		}
	}
}
