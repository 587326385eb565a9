package rules

import (
	"context"
	"slices"
	"strings"

	"roster/internal/typeid"
)

// An Action is an operation on an entity.
type Action string

// The actions.
const (
	Read   Action = "read"
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
)

// An Extent says on which rows of a type a caller may perform an action.
type Extent int

// The extents. Own rows are those whose owner is the user of the caller.
const (
	Nothing Extent = iota
	Own
	Everything
)

// A permission is a line of the table of permissions.
type permission struct {
	kind   string // the name of a type in GraphQL, or of a type and a field with a dot between them
	action Action
	reader Extent // callers that only read: an API key of a MEMBER, and anonymous callers where they may read
	member Extent // a MEMBER with a user
	user   Extent // a user without a role
}

// permissionOf returns a line of the table of what callers other than an ADMIN may do. What is not in the table, only an
// ADMIN may do. A field without a line may be read like its type.
func permissionOf(a Action, kind string) (permission, bool) {
	for _, p := range [...]permission{
		{"User", Read, Everything, Everything, Own},
		{"User", Update, Nothing, Own, Nothing}, // the fields of memberFields
		{"User.identity", Read, Nothing, Own, Own},
		{"Post", Read, Everything, Everything, Own},
		{"Post", Create, Nothing, Own, Nothing},
		{"Post", Update, Nothing, Own, Nothing},
		{"Post", Delete, Nothing, Own, Nothing},
	} {
		if p.kind == kind && p.action == a {
			return p, true
		}
	}
	if of, _, isField := strings.Cut(kind, "."); isField && a == Read {
		return permissionOf(a, of)
	}
	return permission{}, false
}

// memberFields are the fields of its own user that a MEMBER may change.
func memberFields(c Caller) []string {
	if c.LinksByEmail {
		return []string{"username"}
	}
	return []string{"username", "email"}
}

// Reach returns the extent of an action of the caller on a type. kind is the name of a type in GraphQL, such as "User",
// or of one of its fields, such as "User.identity".
func Reach(c Caller, a Action, kind string) Extent {
	if c.Has(Admin) {
		return Everything
	}
	p, ok := permissionOf(a, kind)
	user := c.User != (typeid.ID{})
	switch {
	case !ok:
	case c.Has(Member) && user:
		return p.member
	case c.Has(Member) && c.Key != (typeid.ID{}), c.Reader:
		return p.reader
	case user:
		return p.user
	}
	return Nothing
}

// ForbiddenError is the error of an action that the rules refuse.
type ForbiddenError struct {
	Action Action
	Type   string // the type, or the type and the field with a dot between them
	Bulk   bool   // the caller may not perform the action on many rows at once
	// Nobody says that the caller has no credentials: with credentials, it may be allowed.
	Nobody bool
}

func (e *ForbiddenError) Error() string {
	bulk := ""
	if e.Bulk {
		bulk = " in bulk"
	}
	return "the caller may not " + string(e.Action) + " " + e.Type + bulk
}

// Permit returns a *ForbiddenError unless the caller in ctx may perform the action on all rows of a type.
func Permit(ctx context.Context, a Action, kind string) error {
	return permit(CallerFrom(ctx), a, kind, Everything)
}

// PermitSome returns a *ForbiddenError if the caller in ctx may perform the action on no row of a type.
func PermitSome(ctx context.Context, a Action, kind string) error {
	return permit(CallerFrom(ctx), a, kind, Own)
}

func permit(c Caller, a Action, kind string, least Extent) error {
	if Reach(c, a, kind) >= least {
		return nil
	}
	return &ForbiddenError{Action: a, Type: kind, Nobody: c.Nobody()}
}

// PermitRow returns a *ForbiddenError if the caller in ctx may not perform the action on one row of a type. owners are
// the owners of the row before and after the action. fields are the fields that an update changes, by their names in
// GraphQL.
func PermitRow(ctx context.Context, a Action, kind string, owners []typeid.ID, fields ...string) error {
	c := CallerFrom(ctx)
	reach := Reach(c, a, kind)
	own := reach == Own && c.User != (typeid.ID{}) && !slices.ContainsFunc(owners, func(id typeid.ID) bool { return id != c.User })
	if own && a == Update && kind == "User" {
		own = !slices.ContainsFunc(fields, func(f string) bool { return !slices.Contains(memberFields(c), f) })
	}
	if own || reach == Everything {
		return nil
	}
	return &ForbiddenError{Action: a, Type: kind, Nobody: c.Nobody()}
}
