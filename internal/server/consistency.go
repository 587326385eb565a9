package server

import (
	"net/http"

	"github.com/99designs/gqlgen/graphql"

	"roster/internal/consistency"
)

// A token of a position is in the header of an answer and of a request. Messages on a WebSocket have no headers: there it is in
// the extensions of an answer and of a request, and in the payload of connection_init by the name of the header. An answer has
// a token if it says what replicas may lack, and if the database has replicas or is a Galera cluster. A request with the token reads at least as much.
const (
	headerConsistency    = "Roster-Consistency"
	extensionConsistency = "consistency"
)

// positionOf returns the position that the header of a request names, or the zero one.
func positionOf(header http.Header) (consistency.Position, *refusal) {
	const name = "the header " + headerConsistency
	switch tokens := header.Values(headerConsistency); len(tokens) {
	case 0:
		return consistency.Position{}, nil
	case 1:
		return parsePosition(name, tokens[0])
	}
	return consistency.Position{}, refuse(http.StatusBadRequest, name+" is doubled: send the later token")
}

// parsePosition reads the token that is in a place.
func parsePosition(place, token string) (consistency.Position, *refusal) {
	p, err := consistency.Parse(token)
	if err != nil {
		return consistency.Position{}, refuse(http.StatusBadRequest, place+" "+err.Error()+": send one as an answer had it, or leave it out")
	}
	return p, nil
}

// setPosition sets the header of an answer that has a position.
func setPosition(h http.Header, p consistency.Position) {
	if !p.IsZero() {
		h.Set(headerConsistency, p.String())
	}
}

// addPosition adds the position of an answer on a WebSocket to its extensions.
func addPosition(response *graphql.Response, p consistency.Position) {
	if p.IsZero() {
		return
	}
	if response.Extensions == nil {
		response.Extensions = map[string]any{}
	}
	response.Extensions[extensionConsistency] = p.String()
}

// reach remembers a position for the later operations of a socket. Of two positions in one database, the later one counts. The
// zero position is none.
func (s *socket) reach(p consistency.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.IsZero() && (p.Database != s.after.Database || p.Compare(s.after) > 0) {
		s.after = p
	}
}

// reachInit reads the position in the payload of connection_init. It counts instead of that of the handshake.
func (s *socket) reachInit(payload map[string]any) *fault {
	token, ok, err := headerIn(payload, headerConsistency)
	if err != nil {
		return &fault{closeInvalid, err.Error()}
	}
	if !ok {
		return nil
	}
	p, refused := parsePosition(headerConsistency+" in connection_init", token)
	if refused != nil {
		return &fault{closeInvalid, shortened(refused.message, maxReason)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = p
	return nil
}

// reachOf reads the position in the extensions of an operation on a socket.
func (s *socket) reachOf(extensions map[string]any) *refusal {
	value, ok := extensions[extensionConsistency]
	if !ok || value == nil {
		return nil
	}
	token, _ := value.(string) // "" is malformed too
	p, refused := parsePosition("the extension "+extensionConsistency, token)
	if refused == nil {
		s.reach(p)
	}
	return refused
}
