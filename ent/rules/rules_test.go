package rules_test

import (
	"errors"
	"strings"
	"testing"

	"roster/ent/rules"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	var faults rules.Faults
	faults.Add(nil, "input", "username")
	if err := faults.Err(); err != nil {
		t.Errorf("no fault is the error %v", err)
	}
	faults.Add(&rules.Fault{Code: rules.Blank, Message: "must not be blank"}, "input", "posts", 3, "title")
	faults.Add(rules.MalformedID("post"), "id")
	if !faults.Has("input", "posts", 3, "title") || faults.Has("input", "posts", 2, "title") || faults.Has("input") {
		t.Error("the wrong fields have a fault")
	}
	err := faults.Err()
	var found rules.Faults
	if !errors.As(err, &found) || len(found) != 2 || found[1].Code != rules.Invalid {
		t.Errorf("the error is %#v", err)
	}
	for _, part := range []string{"posts 3 title", "must not be blank", "post_"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

func TestMay(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, test := range []struct {
		caller rules.Caller
		may    bool
	}{
		{rules.CallerFrom(ctx), false}, // nobody
		{rules.Caller{Subject: "ada"}, false},
		{rules.Caller{Subject: "ada", Roles: []rules.Role{rules.Member}}, false},
		{rules.Caller{Roles: []rules.Role{rules.Member, rules.Admin}}, true},
		{rules.CallerFrom(rules.WithCaller(ctx, rules.Everyone())), true},
	} {
		for _, action := range []rules.Action{rules.Read, rules.Create, rules.Update, rules.Delete} {
			if got := rules.May(test.caller, action, "User"); got != test.may {
				t.Errorf("%+v %s: %t", test.caller, action, got)
			}
		}
	}
}
