package graph

import (
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"roster/ent/rules"
)

// TestPermissions finds root fields without a permission, and permissions without a root field.
func TestPermissions(t *testing.T) {
	t.Parallel()
	schema, declared := served(), permissions()
	for _, kind := range []ast.Operation{ast.Query, ast.Mutation, ast.Subscription} {
		of := rootOf(schema, kind)
		for _, f := range of.Fields {
			name := of.Name + "." + f.Name
			p, ok := declared[name]
			if delete(declared, name); f.Name[:2] == "__" {
				continue
			}
			if !ok {
				t.Errorf("got no permission for %s, want one in permissions of graph/permission.go: only an ADMIN may select it now", name)
			} else if (p.kind == "" || p.action == "") != p.public {
				t.Errorf("%s: got %+v, want an action and a type, or public", name, p)
			}
		}
	}
	for name := range declared {
		t.Errorf("permissions of graph/permission.go declares %s, which schema.graphqls does not have: remove it", name)
	}
}

// TestKeyOwner compares the owners of idempotency keys.
func TestKeyOwner(t *testing.T) {
	t.Parallel()
	owners := map[string]rules.Caller{}
	for _, c := range []rules.Caller{
		rules.Everyone(), {Issuer: "a", Subject: "b"}, {Subject: "a b"}, {Issuer: "a b", Subject: "c"}, {Issuer: "a", Subject: "b c"}, {Issuer: `a" "b`, Subject: "c"},
	} {
		owner := keyOwner(c)
		if other, ok := owners[owner]; ok {
			t.Errorf("%+v: got the owner of %+v, want another", c, other)
		}
		owners[owner] = c
	}
	if _, ok := owners[""]; !ok {
		t.Error("everyone: got another owner, want that of servers without authentication")
	}
}
