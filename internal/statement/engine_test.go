package statement_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"

	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// thing is a row of the test: it has one owner, and many tags have it.
type thing struct {
	id, owner typeid.ID
	name      string
	tags      []typeid.ID
}

const (
	ownerCount = 1030 // more than one statement takes on MySQL
	tagCount   = 1030
)

// things are three of each owner; each has the tag of its number and the one after it.
func things() []thing {
	list := make([]thing, 3*ownerCount)
	owners, tags := ids("user", ownerCount), ids("tag", tagCount)
	for i, id := range ids("post", len(list)) {
		list[i] = thing{id: id, owner: owners[i*7%ownerCount], name: fmt.Sprintf("n%d", i%5)}
		for j := range 2 {
			list[i].tags = append(list[i].tags, tags[(i+j)%tagCount])
		}
	}
	return list
}

// store puts the things into a new database.
func store(t *testing.T, e dbtest.Engine, all []thing) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), database.Options{
		URL: dbtest.Empty(t, e), MaxConnections: 2, PoolWait: time.Minute, ConnectTimeout: 10 * time.Second, StatementTimeout: time.Minute, StatementCache: 16,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	kind := map[string]string{dialect.SQLite: "blob", dialect.Postgres: "uuid", dialect.MySQL: "binary(16)"}[db.Dialect()]
	session := db.Session(database.Write)
	exec := func(query string, args ...any) {
		t.Helper()
		if err := session.Exec(t.Context(), query, append([]any{}, args...), nil); err != nil {
			t.Fatalf("%v in %.200s", err, query)
		}
	}
	exec("CREATE TABLE posts (id " + kind + " PRIMARY KEY, author_id " + kind + " NOT NULL, title_key varchar(20) NOT NULL)")
	exec("CREATE TABLE tag_posts (tag_id " + kind + " NOT NULL, post_id " + kind + " NOT NULL, PRIMARY KEY (tag_id, post_id))")
	exec("CREATE INDEX post_author_id_id ON posts (author_id, id)")
	exec("CREATE INDEX by_post ON tag_posts (post_id)")
	for some := range slices.Chunk(all, 500) {
		posts := sql.Dialect(db.Dialect()).Insert("posts").Columns("id", "author_id", "title_key")
		tags := sql.Dialect(db.Dialect()).Insert("tag_posts").Columns("tag_id", "post_id")
		for _, one := range some {
			posts.Values(one.id, one.owner, one.name)
			for _, tag := range one.tags {
				tags.Values(tag, one.id)
			}
		}
		for _, insert := range []*sql.InsertBuilder{posts, tags} {
			query, args := insert.Query()
			exec(query, args...)
		}
	}
	if err := session.Commit(); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"posts", "tag_posts"} { // as a server does sooner or later: who plans without knowing, plans badly
		analyze := "ANALYZE " + table
		if db.Dialect() == dialect.MySQL {
			analyze = "ANALYZE TABLE " + table
		}
		session := db.Session(database.Write)
		if err := session.Exec(t.Context(), analyze, []any{}, nil); err != nil {
			t.Fatal(err)
		}
		if err := session.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// TestParents reads pages and counts of more parents than one statement takes, of both kinds of edges.
func TestParents(t *testing.T) {
	t.Parallel()
	all := things()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := store(t, e, all)
		own := &statement.Parents{IDs: ids("user", ownerCount), Column: "author_id"}
		shared := &statement.Parents{IDs: ids("tag", tagCount), Column: "tag_id", Join: "tag_posts", Child: "post_id"}
		down := []statement.Order{{Column: "id", Desc: true}}
		byName := []statement.Order{{Column: "title_key", Desc: true}, {Column: "id"}}
		named := func(s *sql.Selector) { s.Where(statement.In(s.C("title_key"), []string{"n1", "n3", "n4"})) }
		manyNames := slices.Repeat([]string{"n1", "n3", "n4"}, 300)
		// So long a filter fits into no union, and matches what named does.
		long := func(s *sql.Selector) { s.Where(statement.In(s.C("title_key"), manyNames)) }
		middle := all[len(all)/2].id
		for _, test := range []struct {
			name    string
			parents int
			statement.Select
		}{
			{"all", ownerCount, statement.Select{Order: byID()}},
			{"pages", ownerCount, statement.Select{Order: byID(), Limit: 2}},
			{"pages that match, after a row", ownerCount, statement.Select{Order: byName, Limit: 2, After: []any{"n3", middle}, Filter: named}},
			{"counts", ownerCount, statement.Select{Count: true}},
			{"all after a row, that match", 100, statement.Select{Order: byID(), After: []any{middle}, Filter: named}},
			{"pages backwards", 100, statement.Select{Order: down, Limit: 2}},
			{"pages by name", 100, statement.Select{Order: byName, Limit: 2}},
			{"pages after a row", 100, statement.Select{Order: byID(), Limit: 2, After: []any{middle}}},
			{"pages before a row, backwards", 100, statement.Select{Order: down, Limit: 2, After: []any{middle}}},
			{"pages between two rows", 100, statement.Select{Order: byID(), Limit: 5, After: []any{all[100].id}, Before: []any{middle}}},
			{"pages that match a long list", 100, statement.Select{Order: byName, Limit: 2, Filter: long}},
			{"counts of those that match", 100, statement.Select{Count: true, Filter: named}},
			{"a page of one", 1, statement.Select{Order: byID(), Limit: 2}},
			{"the count of one", 1, statement.Select{Count: true}},
		} {
			for _, parents := range []*statement.Parents{own, shared} {
				s, p := test.Select, *parents
				p.IDs = p.IDs[:min(test.parents, len(p.IDs))]
				if test.parents == 100 {
					p.IDs = append(ids("nobody", 3000)[2950:], p.IDs...) // who has nothing
				}
				s.Table, s.Columns, s.Parents = table(), []string{"id", "title_key"}, &p
				if got, want := children(t, db, &s), expected(all, &s); !maps.EqualFunc(got, want, slices.Equal) {
					t.Errorf("%s, of %s: %d parents have\n%v\nwant %d:\n%v", test.name, p.Column, len(got), got, len(want), want)
				}
			}
		}
	})
}

// children runs a statement: what is found of each parent, by its bare ID, as IDs and names or as a number.
func children(t *testing.T, db *database.DB, s *statement.Select) map[typeid.ID][]string {
	t.Helper()
	found := map[typeid.ID][]string{}
	for part := range s.Parts(db.Dialect()) {
		rows := query(t, db, part)
		for rows.Next() {
			var parent, id typeid.ID
			var text string
			dest := []any{&parent, &id, &text}
			if s.Count {
				dest = []any{&parent, &text}
			}
			if err := rows.Scan(dest...); err != nil {
				t.Fatal(err)
			}
			if !s.Count {
				text = id.UUID().String() + " " + text
			}
			found[parent] = append(found[parent], text)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func query(t *testing.T, db *database.DB, s *statement.Select) *sql.Rows {
	t.Helper()
	text, args, err := s.Build(db.Dialect())
	if err != nil {
		t.Fatal(err)
	}
	rows := new(sql.Rows)
	if err := db.Session(database.Single).Query(context.WithoutCancel(t.Context()), text, args, rows); err != nil {
		t.Fatalf("%v in %.500s", err, text)
	}
	return rows
}

// expected is what the statement should find.
func expected(all []thing, s *statement.Select) map[typeid.ID][]string {
	sorted := slices.Clone(all)
	less := func(a thing, id typeid.ID, name string) int {
		for _, o := range s.Order {
			c := a.id.Compare(id)
			if o.Column != "id" {
				c = strings.Compare(a.name, name)
			}
			if o.Desc {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	}
	against := func(a thing, values []any) int { // those of the order's columns, the ID last
		id, _ := values[len(values)-1].(typeid.ID)
		name, _ := values[0].(string)
		return less(a, id, name)
	}
	slices.SortFunc(sorted, func(a, b thing) int { return less(a, b.id, b.name) })
	found := map[typeid.ID][]string{}
	wanted := map[typeid.ID]bool{}
	for _, id := range s.Parents.IDs {
		wanted[id] = true
	}
	for _, one := range sorted {
		if s.Filter != nil && !slices.Contains([]string{"n1", "n3", "n4"}, one.name) ||
			s.After != nil && against(one, s.After) <= 0 || s.Before != nil && against(one, s.Before) >= 0 {
			continue
		}
		parents := []typeid.ID{one.owner}
		if s.Parents.Join != "" {
			parents = one.tags
		}
		for _, p := range parents {
			if bare := p.As(""); wanted[p] && (s.Limit == 0 || len(found[bare]) < s.Limit) {
				found[bare] = append(found[bare], one.id.UUID().String()+" "+one.name)
			}
		}
	}
	if s.Count {
		for id, list := range found {
			found[id] = []string{fmt.Sprint(len(list))}
		}
	}
	return found
}

// TestLists reads by lists of IDs and texts of all lengths, what is doubled and what is not there among them.
func TestLists(t *testing.T) {
	t.Parallel()
	all := things()[:300]
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := store(t, e, all)
		for _, n := range []int{0, 1, 2, 3, 5, 64, 100, 300} {
			wanted := []typeid.ID{}
			for _, one := range all[:n] {
				wanted = append(wanted, one.id, one.id, one.owner)
			}
			rows := query(t, db, &statement.Select{Table: table(), Columns: []string{"id"}, IDs: wanted, Order: byID()})
			var got []typeid.ID
			for rows.Next() {
				var id typeid.ID
				if err := rows.Scan(&id); err != nil {
					t.Fatal(err)
				}
				got = append(got, id.As("post"))
			}
			want := map[typeid.ID]bool{}
			for _, one := range all {
				if slices.ContainsFunc(wanted, func(id typeid.ID) bool { return id.UUID() == one.id.UUID() }) {
					want[one.id] = true
				}
			}
			if len(got) != len(want) || !slices.IsSortedFunc(got, typeid.ID.Compare) {
				t.Errorf("%d IDs: %d rows, want %d", len(wanted), len(got), len(want))
			}
		}
		texts := []string{"n1", "n1", "", `"`, `\`, "n4", "{}", "[]", "é\u2028", "'; --"}
		for n := range len(texts) + 1 {
			s := &statement.Select{Table: table(), Count: true, Filter: func(s *sql.Selector) { s.Where(statement.In(s.C("title_key"), texts[:n])) }}
			rows := query(t, db, s)
			var got int
			for rows.Next() {
				if err := rows.Scan(&got); err != nil {
					t.Fatal(err)
				}
			}
			want := 60 * (min(n, 1) + min(max(n-5, 0), 1)) // a fifth of all has each name
			if got != want {
				t.Errorf("%q: %d rows, want %d", texts[:n], got, want)
			}
		}
	})
}

// Engines store booleans and numbers, from one row and from many.
func TestWriteKinds(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := store(t, e, nil)
		session := db.Session(database.Write)
		defer session.Rollback()
		types := map[string][2]string{dialect.SQLite: {"bool", "real"}, dialect.Postgres: {"bool", "double precision"}, dialect.MySQL: {"bool", "double"}}[db.Dialect()]
		if err := session.Exec(t.Context(), "CREATE TABLE kinds (number bigint PRIMARY KEY, flag "+types[0]+", amount "+types[1]+")", []any{}, nil); err != nil {
			t.Fatal(err)
		}
		flags, amounts := []any{true, false, nil, true}, []any{0.1, -1e300, nil, 1.0}
		w := &statement.Write{
			Table: &statement.Table{Name: "kinds", ID: "number", Columns: []statement.Column{
				{Name: "number", Kind: statement.Int}, {Name: "flag", Kind: statement.Bool}, {Name: "amount", Kind: statement.Float},
			}},
			Columns: []string{"number", "flag", "amount"},
			Rows:    3,
			Value: func(row int, column string) any {
				return map[string]any{"number": row, "flag": flags[row], "amount": amounts[row]}[column]
			},
		}
		one := *w
		one.Rows, one.Value = 1, func(_ int, column string) any { return w.Value(3, column) }
		for _, w := range []*statement.Write{w, &one} {
			query, args, err := w.Insert(db.Dialect())
			if err == nil {
				err = session.Exec(t.Context(), query, args, nil)
			}
			if err != nil {
				t.Fatalf("%v in %s", err, query)
			}
		}
		rows := new(sql.Rows)
		if err := session.Query(t.Context(), "SELECT flag, amount FROM kinds ORDER BY number", []any{}, rows); err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		i := 0
		for ; rows.Next(); i++ {
			var flag sql.NullBool
			var amount sql.NullFloat64
			if err := rows.Scan(&flag, &amount); err != nil {
				t.Fatal(err)
			}
			if want := flags[i]; flag.Valid != (want != nil) || flag.Valid && flag.Bool != want {
				t.Errorf("row %d: got the flag %v, want %v", i, flag, want)
			}
			if want := amounts[i]; amount.Valid != (want != nil) || amount.Valid && amount.Float64 != want {
				t.Errorf("row %d: got the amount %v, want %v", i, amount, want)
			}
		}
		if err := rows.Err(); err != nil || i != len(flags) {
			t.Errorf("got %d rows, %v, want %d", i, err, len(flags))
		}
	})
}
