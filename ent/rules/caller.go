package rules

import (
	"context"
	"slices"

	"roster/internal/typeid"
)

// A Role gives permissions to a caller. It is a value of the enum Role of the contract.
type Role string

// The roles.
const (
	Admin  Role = "ADMIN"
	Member Role = "MEMBER"
)

// A Caller is the person or program for which an operation runs. The zero Caller is nobody.
type Caller struct {
	// Issuer and Subject name the caller: the claims of its token, or for an API key no issuer and the ID of the key. Both
	// are empty for nobody, and for everyone on a server without authentication.
	Issuer, Subject string
	// Name is the name for people: the subject of the token, or the name of the API key.
	Name  string
	Roles []Role
	// User is the ID of the user with the identity of the token. It is zero if there is none. An API key has no user.
	User typeid.ID
	// Key is the ID of the API key, or zero.
	Key typeid.ID
	// Reader lets a caller without roles read what a MEMBER may read. Anonymous callers have it on a server that allows it.
	Reader bool
	// LinksByEmail says that the server links callers to users by email address. Then a MEMBER may not change its own address:
	// it could take the address of somebody who is not linked yet.
	LinksByEmail bool
}

// Everyone returns the caller of a server without authentication and of a command of the operator. It may do everything.
func Everyone() Caller { return Caller{Roles: []Role{Admin}} }

// Nobody reports whether the caller has no credentials.
func (c Caller) Nobody() bool { return c.Subject == "" && !c.Has(Admin) }

// Has reports whether the caller has a role.
func (c Caller) Has(r Role) bool { return slices.Contains(c.Roles, r) }

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
