package documents

import "roster/internal/consistency"

// Terms are what a request says about the execution of its operation.
type Terms struct {
	// Key is the idempotency key of a mutation. "": none.
	Key string
	// After is the position that a query reads, or a later one. Zero: none.
	After consistency.Position
}

// A Receipt says how an operation was executed.
type Receipt struct {
	// Replayed reports that the response is that of an earlier request with the key.
	Replayed bool
	// Position is one from which reads see what a mutation has written or an error says, and what the cursor of the changes
	// covers. Zero: the server keeps no positions, or the answer says nothing of this kind.
	Position consistency.Position
}
