package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// countingReader counts the bytes that are read.
type countingReader struct {
	io.Reader
	n atomic.Int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n.Add(int64(n))
	return n, err
}

// The intervals of progress: as a bar on a terminal, and as lines elsewhere.
const (
	barInterval  = 200 * time.Millisecond
	lineInterval = 10 * time.Second
)

// progress shows how much of a file is read or written.
type progress struct {
	w        io.Writer
	terminal bool
	size     int64                                        // of the file, in bytes; 0: unknown
	rates    func(done int, elapsed time.Duration) string // what is done, and how fast
	clock    func() time.Time
	started  time.Time
	shown    time.Time
	drawn    bool // the terminal shows a bar
}

func newProgress(w io.Writer, size int64, clock func() time.Time) *progress {
	f, ok := w.(*os.File)
	if ok {
		info, err := f.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	now := clock()
	return &progress{w: w, terminal: ok, size: size, rates: rowRate, clock: clock, started: now, shown: now}
}

// update shows the number of rows, and the part of the file that is done.
func (p *progress) update(rows int, read int64) {
	now := p.clock()
	interval := lineInterval
	if p.terminal {
		interval = barInterval
	}
	if now.Sub(p.shown) < interval {
		return
	}
	p.shown = now
	var done float64
	if p.size > 0 {
		done = min(1, float64(read)/float64(p.size))
	}
	if text := progressText(p.rates(rows, now.Sub(p.started)), done, now.Sub(p.started)); p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K", progressBar(done), text)
		p.drawn = true
	} else {
		fmt.Fprintln(p.w, text)
	}
}

// clear removes the bar.
func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func rowRate(rows int, elapsed time.Duration) string {
	return fmt.Sprintf("%d rows, %.0f rows/s", rows, float64(rows)/elapsed.Seconds())
}

func byteRate(bytes int, elapsed time.Duration) string {
	return fmt.Sprintf("%s, %s/s", size(int64(bytes)), size(int64(float64(bytes)/elapsed.Seconds())))
}

// size returns a number of bytes for people.
func size(bytes int64) string {
	const k = 1000
	value, unit := float64(bytes), "bytes"
	for _, larger := range []string{"kB", "MB", "GB", "TB"} {
		if value < k {
			break
		}
		value, unit = value/k, larger
	}
	if unit == "bytes" {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// progressText returns what is done. If the part that is done is known, it adds the remaining time.
func progressText(text string, done float64, elapsed time.Duration) string {
	if done > 0 {
		left := time.Duration(float64(elapsed) * (1 - done) / done).Round(time.Second)
		text = fmt.Sprintf("%3.0f %%, %s, %s left", 100*done, text, left)
	}
	return text
}

// progressBar draws the part that is done. An unknown part gives no bar.
func progressBar(done float64) string {
	const width = 30
	if done == 0 {
		return ""
	}
	n := int(done * width)
	return "[" + strings.Repeat("█", n) + strings.Repeat("░", width-n) + "] "
}
