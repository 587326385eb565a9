package dbtest

import (
	"testing"

	"roster/internal/dbtest/servers"
)

// Keep returns a function that takes a server that was started for one test, such as servers.StartPostgresPrimary(…). The server
// stops when the test ends. If it did not start, the test fails.
func Keep(tb testing.TB) func(*servers.Server, error) *servers.Server {
	tb.Helper()
	return func(s *servers.Server, err error) *servers.Server {
		tb.Helper()
		if err != nil {
			tb.Fatalf("dbtest: %v", err)
		}
		tb.Cleanup(func() {
			if err := s.Stop(); err != nil {
				tb.Errorf("dbtest: %v", err)
			}
		})
		return s
	}
}
