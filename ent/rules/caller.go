package rules

import (
	"context"
	"slices"
)

// A Role says what a caller may do. The contract does not name roles.
type Role string

// The roles. An Admin may do everything.
const (
	Admin  Role = "ADMIN"
	Member Role = "MEMBER"
)

// A Caller is on whose behalf an operation runs. The zero Caller is nobody and may do nothing: what calls Roster's
// Go packages says who it is.
type Caller struct {
	// Subject names the caller; empty where the server runs without authentication.
	Subject string
	Roles   []Role
}

// Everyone is the caller where the server runs without authentication: anyone who reaches it may do everything.
func Everyone() Caller { return Caller{Roles: []Role{Admin}} }

// An Action is what a caller does with an entity.
type Action string

// The actions.
const (
	Read   Action = "read"
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
)

// May reports whether the caller may do that to entities of the given type, such as "User".
func May(c Caller, _ Action, _ string) bool {
	return slices.Contains(c.Roles, Admin)
}

// ForbiddenError says that May said no.
type ForbiddenError struct {
	Action Action
	Type   string
}

func (e *ForbiddenError) Error() string { return "may not " + string(e.Action) + " a " + e.Type }

type callerKey struct{}

// WithCaller returns a context in which c is the caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the caller of an operation; nobody when there is none in the context.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
