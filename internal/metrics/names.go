package metrics

import "sync"

// The bounds of names that clients choose: their number, and their length in bytes. Beyond, the name of an operation is
// otherName.
const (
	maxNames      = 100
	maxNameLength = 64
)

// Names of operations that have none, and of those beyond the bounds.
const (
	unnamed   = "unnamed"
	otherName = "other"
)

// names are the names of operations that have series of their own. Clients choose names, so without a bound a client could make
// any number of series.
type names struct {
	trusted map[string]bool

	mu    sync.RWMutex
	known map[string]bool // the first ones of clients
}

func newNames(trusted []string) *names {
	n := &names{trusted: make(map[string]bool, len(trusted)), known: map[string]bool{}}
	for _, name := range trusted {
		n.trusted[name] = true
	}
	return n
}

// label returns the label for the name of an operation.
func (n *names) label(name string) string {
	if name == "" {
		return unnamed
	}
	if n.trusted[name] {
		return name
	}
	if len(name) > maxNameLength {
		return otherName
	}
	n.mu.RLock()
	known, full := n.known[name], len(n.known) >= maxNames
	n.mu.RUnlock()
	if known {
		return name
	}
	if full {
		return otherName
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.known[name] && len(n.known) >= maxNames {
		return otherName
	}
	n.known[name] = true
	return name
}
