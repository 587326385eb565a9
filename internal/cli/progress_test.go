package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		terminal bool
		size     int64
		want     string
	}{
		{"lines", false, 1000, " 25 %, 2500 rows, 250 rows/s, 30s left\n 50 %, 5000 rows, 250 rows/s, 20s left\n"},
		{"lines, of what is not known", false, 0, "2500 rows, 250 rows/s\n5000 rows, 250 rows/s\n"},
		{
			"a bar", true, 1000,
			"\r\x1b[K[" + strings.Repeat("█", 7) + strings.Repeat("░", 23) + "]  25 %, 2500 rows, 250 rows/s, 30s left" +
				"\r\x1b[K[" + strings.Repeat("█", 15) + strings.Repeat("░", 15) + "]  50 %, 5000 rows, 250 rows/s, 20s left\r\x1b[K",
		},
		{"a bar, of what is not known", true, 0, "\r\x1b[K2500 rows, 250 rows/s\r\x1b[K5000 rows, 250 rows/s\r\x1b[K"},
	} {
		var out bytes.Buffer
		now := time.Unix(0, 0)
		p := newProgress(&out, test.size, func() time.Time { return now })
		p.terminal = test.terminal
		now = now.Add(10 * time.Millisecond)
		p.update(10, 10) // too early
		now = now.Add(10*time.Second - 10*time.Millisecond)
		p.update(2500, 250)
		p.update(2501, 251) // too early again
		now = now.Add(10 * time.Second)
		p.update(5000, 500)
		p.clear()
		if got := out.String(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
