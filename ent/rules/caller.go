package rules

import (
	"context"
	"slices"
)

// A Role gives permissions to a caller. The contract does not name roles.
type Role string

// The roles. An Admin may do everything.
const (
	Admin  Role = "ADMIN"
	Member Role = "MEMBER"
)

// A Caller is the person or program for which an operation runs. The zero Caller is nobody and may do nothing: code
// that calls Roster's Go packages must set a caller.
type Caller struct {
	// Subject names the caller. It is empty if the server runs without authentication.
	Subject string
	Roles   []Role
}

// Everyone returns the caller of a server without authentication: anyone who reaches the server may do everything.
func Everyone() Caller { return Caller{Roles: []Role{Admin}} }

// An Action is an operation on an entity.
type Action string

// The actions.
const (
	Read   Action = "read"
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
)

// May reports whether the caller may perform an action on entities of a type, such as "User".
func May(c Caller, _ Action, _ string) bool {
	return slices.Contains(c.Roles, Admin)
}

// ForbiddenError is the error of an action that May refuses.
type ForbiddenError struct {
	Action Action
	Type   string
}

func (e *ForbiddenError) Error() string { return "may not " + string(e.Action) + " a " + e.Type }

// Permit returns a *ForbiddenError if the caller in ctx may not perform the action on entities of a type.
func Permit(ctx context.Context, a Action, kind string) error {
	if May(CallerFrom(ctx), a, kind) {
		return nil
	}
	return &ForbiddenError{Action: a, Type: kind}
}

type callerKey struct{}

// WithCaller returns a context with the caller c.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the caller in a context, or the zero Caller.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
