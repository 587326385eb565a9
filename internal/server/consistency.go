package server

import (
	"net/http"

	"roster/internal/consistency"
)

// headerConsistency has the token of a position. The answer to a mutation has one, if the database has replicas. A request with it
// reads what the mutation has written.
const headerConsistency = "Roster-Consistency"

// positionOf returns the position that a request names, or the zero one.
func positionOf(header http.Header) (consistency.Position, *refusal) {
	tokens := header.Values(headerConsistency)
	if len(tokens) == 0 {
		return consistency.Position{}, nil
	}
	if len(tokens) > 1 {
		return consistency.Position{}, refuse(http.StatusBadRequest, "the header "+headerConsistency+" is doubled: send the greater token")
	}
	p, err := consistency.Parse(tokens[0])
	if err != nil {
		return consistency.Position{}, refuse(http.StatusBadRequest, "the header "+headerConsistency+" "+err.Error()+": send one as an answer had it, or leave it out")
	}
	return p, nil
}

// setPosition sets the header of an answer after which reads may be sent with the position.
func setPosition(h http.Header, p consistency.Position) {
	if !p.IsZero() {
		h.Set(headerConsistency, p.String())
	}
}
