//go:build cluster

package cluster

import (
	"flag"
	"time"
)

// length is how long each test puts load on its cluster, apart from the time that it takes to start.
var length = flag.Duration("cluster", time.Minute, "length of the load in each test")
