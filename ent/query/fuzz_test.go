package query_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"entgo.io/ent/dialect"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
)

// FuzzFilter builds statements from any JSON that is a filter: it has faults, or a statement whose arguments are as many
// as it asks for, and which SQLite runs.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"or": [{"or": [{}, {"not": {}}]}], "and": []}`, `{"id": {"eq": "user_01jvsz5r0xe3k8m1p4s6t9w2yb", "in": []}}`,
		`{"username": {"in": ["a", "b", "c"], "startsWith": "É\udbff\udfff", "contains": "%_\\"}, "email": {"eq": "\u0000"}}`,
		`{"createdAt": {"gt": "2026-01-31T09:30:00.123456789+14:00", "lte": "0000-01-01T00:00:00Z"}, "hasPosts": false, "not": {"hasPosts": true}}`,
		`{"not":{"not":{"not":{"not":{"not":{"not":{"not":{"not":{"not":{"not":{"not":{}}}}}}}}}}}}`,
	} {
		f.Add(seed)
	}
	db := migrated.Open(f, dbtest.SQLite)
	f.Fuzz(func(t *testing.T, text string) {
		where := new(ent.UserWhere)
		if json.Unmarshal([]byte(text), where) != nil {
			return
		}
		for _, d := range []string{dialect.SQLite, dialect.Postgres, dialect.MySQL} {
			query, args, err := build(t.Context(), d, where)
			var faults rules.Faults
			if err != nil && (!errors.As(err, &faults) || len(faults) > 10) {
				t.Fatalf("on %s: got %v, want no error", d, err)
			}
			if placeholders := strings.Count(query, "?"); err == nil && d != dialect.Postgres && placeholders != len(args) {
				t.Fatalf("on %s: got %d arguments, want one for each placeholder of\n%s", d, len(args), query)
			}
		}
		s := db.Session(database.Single)
		defer s.Rollback()
		ctx := rules.WithCaller(t.Context(), rules.Everyone())
		page, err := query.ReadPage(ctx, ent.NewClient(ent.Driver(s)).User.Reader(), "Users", query.All, query.Args{}, where, nil)
		var faults rules.Faults
		switch {
		case errors.As(err, &faults):
		case err != nil:
			t.Fatalf("SQLite: got %v, want no error", err)
		case len(page.Nodes()) != 0:
			t.Fatalf("got %d users in an empty database, want none", len(page.Nodes()))
		}
	})
}
