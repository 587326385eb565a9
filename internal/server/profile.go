package server

import (
	"context"
	"net/http"

	"github.com/99designs/gqlgen/graphql"

	"roster/ent/rules"
	"roster/internal/codes"
	"roster/internal/profile"
)

// The headers of a profile. The request asks for the profile of its operation: 1, or explain for the plans of the statements
// too. The answer has the totals (https://www.w3.org/TR/server-timing/), and the rest in its extensions.
const (
	headerProfile = "X-Roster-Profile"
	headerTiming  = "Server-Timing"
)

// profiled returns a context whose operation is profiled if the request asks for that. It refuses a caller who may not see a
// profile.
func (e endpoint) profiled(ctx context.Context, header http.Header) (context.Context, *refusal) {
	values := header.Values(headerProfile)
	if len(values) == 0 {
		return ctx, nil
	}
	if len(values) > 1 || values[0] != "1" && values[0] != "explain" {
		return nil, refuse(http.StatusBadRequest, "the header "+headerProfile+" must be 1 or explain")
	}
	caller := rules.CallerFrom(ctx)
	switch {
	case e.profiles || caller.Has(rules.Admin):
		return profile.WithRequest(ctx, profile.Request{Plans: values[0] == "explain"}), nil
	case caller.Nobody():
		return nil, refuseFor(http.StatusUnauthorized, codes.Unauthenticated, "a profile needs credentials with the role ADMIN here")
	}
	return nil, refuseFor(http.StatusForbidden, codes.Forbidden, "only an ADMIN may ask for a profile here: leave out the header "+headerProfile)
}

// refuseProfile refuses a profile of what has several answers. header is that of the request.
func refuseProfile(header http.Header) *refusal {
	if len(header.Values(headerProfile)) == 0 {
		return nil
	}
	return refuse(http.StatusBadRequest, "a WebSocket and a subscription have no profile: leave out the header "+headerProfile+", or send a query or a mutation by HTTP")
}

// setTiming sets the header with the totals of the profile in a response, if it has one.
func setTiming(h http.Header, response *graphql.Response) {
	if p, ok := response.Extensions[profile.Extension].(*profile.Profile); ok {
		h.Set(headerTiming, p.ServerTiming())
	}
}
