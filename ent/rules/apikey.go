package rules

import (
	"slices"
	"strings"
	"time"
)

// KeyNameLimit is the longest name of an API key, in code points.
const KeyNameLimit = 80

// KeyName checks the name of an API key and returns the text by which names are compared and sorted.
func KeyName(s string) (key string, fault *Fault) {
	if f := text(s, KeyNameLimit); f != nil {
		return "", f
	}
	return FoldKeyName(s), nil
}

// FoldKeyName folds the name of an API key or a part of one.
func FoldKeyName(s string) string { return fold(s) }

// Roles checks the roles of an API key.
func Roles(roles []Role) *Fault {
	for i, r := range roles {
		switch {
		case r != Admin && r != Member:
			return &Fault{Invalid, "must be ADMIN or MEMBER"}
		case slices.Contains(roles[:i], r):
			return &Fault{Invalid, "must not have a role twice"}
		}
	}
	if len(roles) == 0 {
		return &Fault{Blank, "must not be empty"}
	}
	return nil
}

// FutureTime checks a time that must come after now and that every database can store.
func FutureTime(t, now time.Time) *Fault {
	switch {
	case !t.After(now):
		return &Fault{Invalid, "must be in the future"}
	case !Storable(t):
		return &Fault{Invalid, "must be before the year 10000"}
	}
	return nil
}

// A RoleList is a list of roles as the database stores it: their names, separated by commas.
type RoleList string

// NewRoleList returns the list of roles.
func NewRoleList(roles []Role) RoleList {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return RoleList(strings.Join(names, ","))
}

// Roles returns the roles of the list.
func (l RoleList) Roles() []Role {
	var roles []Role
	for name := range strings.SplitSeq(string(l), ",") {
		roles = append(roles, Role(name))
	}
	return roles
}
