//go:build cluster

package cluster

import (
	"flag"
	"testing"
	"time"
)

// length is how long each test puts load on its cluster, apart from the time that it takes to start.
var length = flag.Duration("cluster", time.Minute, "length of the load in each test")

// fullLength is the length from which on a test makes the numbers of requests that the promises name.
const fullLength = time.Minute

// sideBySide lets short tests run at the same time, since most of their time is that of starting servers.
func sideBySide(t *testing.T) {
	t.Helper()
	if *length < fullLength {
		t.Parallel()
	}
}
