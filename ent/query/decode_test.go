package query_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"entgo.io/ent/dialect"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/internal/typeid"
)

// kindOf returns the kind of a type.
func kindOf(t *testing.T, name string) *query.Kind {
	t.Helper()
	for _, k := range ent.Kinds() {
		if k.GraphQL == name {
			return k
		}
	}
	t.Fatalf("no kind %s", name)
	return nil
}

// Arguments as they are in a document make the statement of the same arguments as Go values.
func TestPageOfArguments(t *testing.T) {
	t.Parallel()
	ctx := rules.WithCaller(t.Context(), rules.Everyone())
	const id, moment = "user_01jvsz5r0xe3k8m1p4s6t9w2yb", "2026-01-31T09:30:00+01:00"
	args := map[string]any{
		"first": json.Number("3"), "last": nil, "where": map[string]any{
			"id": map[string]any{"eq": id, "in": id}, "username": map[string]any{"startsWith": "A", "in": []any{"b", "c"}, "eq": nil},
			"createdAt": map[string]any{"gt": moment}, "status": "ACTIVE", "hasPosts": true, "email": nil,
			"and": map[string]any{"hasPosts": false}, "or": []any{}, "not": map[string]any{},
		},
		"orderBy": map[string]any{"field": "USERNAME", "direction": "DESC"},
	}
	page, err := kindOf(t, "User").Page(ctx, "Users", args)
	if err != nil {
		t.Fatal(err)
	}
	got, gotArgs, err := page.Rows(0).Build(dialect.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	at, fault := rules.Time(moment)
	if fault != nil {
		t.Fatal(fault)
	}
	one, err := typeid.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	active, yes, no, a, three := rules.Active, true, false, "A", 3
	where := &ent.UserWhere{
		ID: &query.IDFilter{Eq: &one, In: []typeid.ID{one}}, Username: &query.TextFilter{StartsWith: &a, In: []string{"b", "c"}},
		CreatedAt: &query.DateTimeFilter{Gt: &at}, Status: &active, HasPosts: &yes,
		And: []ent.UserWhere{{HasPosts: &no}}, Or: []ent.UserWhere{}, Not: &ent.UserWhere{},
	}
	r := &recorder{dialect: dialect.SQLite}
	_, _ = query.ReadPage(ctx, ent.NewClient(ent.Driver(r)).User.Reader(), "Users", 0, query.Args{First: &three}, where,
		[]ent.UserOrder{{Field: "USERNAME", Direction: query.Desc}})
	if got != r.query || !reflect.DeepEqual(gotArgs, r.args) {
		t.Errorf("got %s %v, want %s %v", got, gotArgs, r.query, r.args)
	}
}

// An argument of another type is an error, which resolvers report.
func TestPageOfWrongArguments(t *testing.T) {
	t.Parallel()
	ctx := rules.WithCaller(t.Context(), rules.Everyone())
	for name, args := range map[string]map[string]any{
		"a size that is a text":     {"first": "3"},
		"a size that is too large":  {"last": json.Number("2147483648")},
		"a size with a fraction":    {"first": json.Number("1.5")},
		"a cursor that is a number": {"after": json.Number("1")},
		"a filter that is a text":   {"where": "x"},
		"an unknown condition":      {"where": map[string]any{"nope": true}},
		"a condition that is none":  {"where": map[string]any{"hasPosts": "true"}},
		"a text that is a number":   {"where": map[string]any{"username": map[string]any{"eq": json.Number("1")}}},
		"a time that is none":       {"where": map[string]any{"createdAt": map[string]any{"gt": "yesterday"}}},
		"an order that is a number": {"orderBy": []any{json.Number("1")}},
		"an unknown order":          {"orderBy": map[string]any{"field": "NOPE"}},
	} {
		if _, err := kindOf(t, "User").Page(ctx, "Users", args); err == nil {
			t.Errorf("%s: got no error, want one", name)
		}
	}
}
