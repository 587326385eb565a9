package rules_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"roster/ent/rules"
	"roster/internal/typeid"
)

// TestReach has all permissions of callers who are not an ADMIN.
func TestReach(t *testing.T) {
	t.Parallel()
	id, key := typeid.New("user", uuid.Must(uuid.NewV7())), typeid.New("api_key", uuid.Must(uuid.NewV7()))
	member, admin := []rules.Role{rules.Member}, []rules.Role{rules.Member, rules.Admin}
	reader := map[string]rules.Extent{"read User": rules.Everything, "read User.email": rules.Everything, "read Post": rules.Everything}
	for name, test := range map[string]struct {
		caller rules.Caller
		want   map[string]rules.Extent // Nothing for others
		all    rules.Extent
	}{
		"nobody":                   {},
		"anonymous reader":         {caller: rules.Caller{Reader: true}, want: reader},
		"token without a role":     {caller: rules.Caller{Subject: "ada"}},
		"MEMBER without a user":    {caller: rules.Caller{Subject: "ada", Roles: member}},
		"key of a MEMBER":          {caller: rules.Caller{Subject: "api_key_1", Key: key, Roles: member}, want: reader},
		"key without a role":       {caller: rules.Caller{Subject: "api_key_1", Key: key}},
		"user without a role":      {caller: rules.Caller{Subject: "ada", User: id}, want: map[string]rules.Extent{"read User": rules.Own, "read Post": rules.Own, "read User.email": rules.Own, "read User.identity": rules.Own}},
		"ADMIN without a user":     {caller: rules.Caller{Subject: "ada", Roles: admin}, all: rules.Everything},
		"ADMIN with a user":        {caller: rules.Caller{Subject: "ada", Roles: admin[1:], User: id}, all: rules.Everything},
		"key of an ADMIN":          {caller: rules.Caller{Subject: "api_key_1", Key: key, Roles: admin}, all: rules.Everything},
		"everyone, without tokens": {caller: rules.Everyone(), all: rules.Everything},
		"MEMBER": {caller: rules.Caller{Subject: "ada", Roles: member, User: id}, want: map[string]rules.Extent{
			"read User": rules.Everything, "update User": rules.Own, "read User.email": rules.Everything, "read User.identity": rules.Own,
			"read Post": rules.Everything, "create Post": rules.Own, "update Post": rules.Own, "delete Post": rules.Own,
		}},
	} {
		for _, action := range []rules.Action{rules.Read, rules.Create, rules.Update, rules.Delete} {
			for _, kind := range []string{"User", "User.email", "User.identity", "Post", "ApiKey", "Change", "Stats", "Later"} {
				want := max(test.want[string(action)+" "+kind], test.all)
				if got := rules.Reach(test.caller, action, kind); got != want {
					t.Errorf("%s: %s %s: got %d, want %d", name, action, kind, got, want)
				}
				ctx := rules.WithCaller(t.Context(), test.caller)
				for _, permit := range []struct {
					err  error
					want bool
				}{
					{rules.Permit(ctx, action, kind), want == rules.Everything},
					{rules.PermitSome(ctx, action, kind), want >= rules.Own},
				} {
					var forbidden *rules.ForbiddenError
					if refused := errors.As(permit.err, &forbidden); refused == permit.want {
						t.Errorf("%s: %s %s: got %v, want it permitted: %t", name, action, kind, permit.err, permit.want)
					}
				}
			}
		}
	}
}

// TestPermitRow has changes of rows by a MEMBER.
func TestPermitRow(t *testing.T) {
	t.Parallel()
	own, other := typeid.New("user", uuid.Must(uuid.NewV7())), typeid.New("user", uuid.Must(uuid.NewV7()))
	member := rules.Caller{Subject: "ada", Roles: []rules.Role{rules.Member}, User: own}
	linked := member
	linked.LinksByEmail = true
	stranger := rules.Caller{Subject: "eve", Roles: []rules.Role{rules.Member}}
	for name, test := range map[string]struct {
		caller rules.Caller
		action rules.Action
		kind   string
		owners []typeid.ID
		fields []string
		want   bool
	}{
		"its own username":            {member, rules.Update, "User", []typeid.ID{own}, []string{"username"}, true},
		"its own email":               {member, rules.Update, "User", []typeid.ID{own}, []string{"username", "email"}, true},
		"its own email, linked":       {linked, rules.Update, "User", []typeid.ID{own}, []string{"username", "email"}, false},
		"its own username, linked":    {linked, rules.Update, "User", []typeid.ID{own}, []string{"username"}, true},
		"its own status":              {member, rules.Update, "User", []typeid.ID{own}, []string{"status"}, false},
		"its own identity":            {member, rules.Update, "User", []typeid.ID{own}, []string{"email", "identity"}, false},
		"another user":                {member, rules.Update, "User", []typeid.ID{other}, nil, false},
		"no user":                     {member, rules.Update, "User", []typeid.ID{{}}, nil, false},
		"deletes itself":              {member, rules.Delete, "User", []typeid.ID{own}, nil, false},
		"creates a user":              {member, rules.Create, "User", []typeid.ID{own}, nil, false},
		"creates its post":            {member, rules.Create, "Post", []typeid.ID{own}, nil, true},
		"creates the post of another": {member, rules.Create, "Post", []typeid.ID{other}, nil, false},
		"gives its post away":         {member, rules.Update, "Post", []typeid.ID{own, other}, []string{"author"}, false},
		"takes a post":                {member, rules.Update, "Post", []typeid.ID{other, own}, []string{"author"}, false},
		"changes its post":            {member, rules.Update, "Post", []typeid.ID{own, own}, []string{"title", "body"}, true},
		"deletes its post":            {member, rules.Delete, "Post", []typeid.ID{own}, nil, true},
		"deletes another post":        {member, rules.Delete, "Post", []typeid.ID{other}, nil, false},
		"a member without a user":     {stranger, rules.Update, "User", []typeid.ID{{}}, nil, false},
		"an admin":                    {rules.Everyone(), rules.Update, "User", []typeid.ID{other}, []string{"status"}, true},
	} {
		err := rules.PermitRow(rules.WithCaller(t.Context(), test.caller), test.action, test.kind, test.owners, test.fields...)
		if (err == nil) != test.want {
			t.Errorf("%s: got %v, want it permitted: %t", name, err, test.want)
		}
	}
}

// TestNobody says which callers have no credentials.
func TestNobody(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		caller rules.Caller
		want   bool
	}{
		"no caller":        {rules.CallerFrom(t.Context()), true},
		"anonymous reader": {rules.Caller{Reader: true}, true},
		"a token":          {rules.Caller{Issuer: "https://id.example", Subject: "ada"}, false},
		"everyone":         {rules.CallerFrom(rules.WithCaller(t.Context(), rules.Everyone())), false},
	} {
		if got := test.caller.Nobody(); got != test.want {
			t.Errorf("%s: got %t, want %t", name, got, test.want)
		}
	}
}
