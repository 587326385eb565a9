//go:build unix

package handover_test

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"roster/internal/handover"
)

// log is a log that is read while it is written.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestRefused sends SIGUSR2 to a process that cannot be handed over. The tests in e2e have the others.
func TestRefused(t *testing.T) { //nolint:paralleltest // the signal comes to all processes of the test
	for _, test := range []struct {
		pid   int
		ready bool
		want  string
	}{
		{1, true, "this is process 1, and a container ends with it"},
		{os.Getpid(), false, "this server is still starting"},
	} {
		out := new(log)
		p, err := handover.New(handover.Options{
			Program: "/no/such/program", Getenv: func(string) string { return "" }, PID: test.pid,
			Timeout: time.Minute, Logger: slog.New(slog.NewTextHandler(out, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if test.ready {
			if err := p.Ready(func() { t.Error("got a hand-over, want none") }); err != nil {
				t.Fatal(err)
			}
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); !strings.Contains(out.String(), test.want); <-time.After(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("got the log %q, want %q", out, test.want)
			}
		}
		p.Close()
	}
}
