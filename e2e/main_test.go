package e2e

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// TestMain lets the programs under test receive SIGHUP, even where nohup started the tests: a child inherits that a signal
// is ignored, but not that it is handled.
func TestMain(m *testing.M) {
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	os.Exit(m.Run())
}
