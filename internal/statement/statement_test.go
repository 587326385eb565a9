package statement_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"roster/internal/statement"
	"roster/internal/typeid"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write what is built into testdata")
	os.Exit(m.Run())
}

func table() *statement.Table {
	return &statement.Table{
		Type: "post", GraphQL: "Post", Name: "posts", ID: "id",
		Columns: []statement.Column{
			{Name: "id", Kind: statement.ID},
			{Name: "title_key", Kind: statement.Text},
			{Name: "created_at", Kind: statement.Time},
			{Name: "version", Kind: statement.Int},
		},
		ByID: map[string]string{"author_id": "post_author_id_id"},
	}
}

func ids(kind string, n int) []typeid.ID {
	list := make([]typeid.ID, n)
	for i := range list {
		list[i] = typeid.New(kind, uuid.UUID{0: 0xaa, 14: byte((i + 1) >> 8), 15: byte(i + 1)})
	}
	return list
}

func byID() []statement.Order { return []statement.Order{{Column: "id"}} }

func byTwo() []statement.Order {
	return []statement.Order{{Column: "title_key", Desc: true}, {Column: "created_at"}, {Column: "id"}}
}

func moment() time.Time { return time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC) }

func titled(s *sql.Selector) { s.Where(sql.EQ(s.C("title_key"), "x")) }

// statements are those of testdata/statements.txt, in its order.
func statements() []struct {
	name string
	statement.Select
} {
	t, columns := table(), []string{"id", "title_key"}
	posts := func(n int) *statement.Parents { return &statement.Parents{IDs: ids("user", n), Column: "author_id"} }
	tagged := func(n int) *statement.Parents {
		return &statement.Parents{IDs: ids("tag", n), Column: "tag_id", Join: "tag_posts", Child: "post_id"}
	}
	after, before := []any{"m", moment(), ids("post", 1)[0]}, []any{"c", moment(), ids("post", 2)[1]}
	return []struct {
		name string
		statement.Select
	}{
		{"All rows", statement.Select{Table: t, Columns: columns}},
		{"A page", statement.Select{Table: t, Columns: columns, Order: byID(), Limit: 21}},
		{"The page after an ID", statement.Select{Table: t, Columns: columns, Order: byID(), After: []any{ids("post", 1)[0]}, Limit: 21}},
		{"Backwards, between two IDs", statement.Select{
			Table: t, Columns: columns, Order: []statement.Order{{Column: "id", Desc: true}},
			After: []any{ids("post", 2)[1]}, Before: []any{ids("post", 1)[0]}, Limit: 21,
		}},
		{"A page that matches, in the order of several columns", statement.Select{Table: t, Columns: columns, Filter: titled, Order: byTwo(), Limit: 21}},
		{"The page after a row in the order of several columns", statement.Select{Table: t, Columns: columns, Order: byTwo(), After: after, Limit: 21}},
		{"The page after a row, all columns in one direction", statement.Select{
			Table: t, Columns: columns, Order: []statement.Order{{Column: "title_key", Desc: true}, {Column: "id", Desc: true}}, After: []any{"m", ids("post", 1)[0]}, Limit: 21,
		}},
		{"Between two rows", statement.Select{Table: t, Columns: columns, Order: byTwo(), After: after, Before: before, Limit: 21}},
		{"One ID", statement.Select{Table: t, Columns: columns, IDs: ids("post", 1)}},
		{"Three IDs", statement.Select{Table: t, Columns: columns, IDs: ids("post", 3)}},
		{"No IDs", statement.Select{Table: t, Columns: columns, IDs: []typeid.ID{}}},
		{"Rows to lock", statement.Select{Table: t, Columns: columns, IDs: ids("post", 2), Lock: true}},
		{"The number of rows", statement.Select{Table: t, Count: true}},
		{"The number of those that match", statement.Select{Table: t, Filter: titled, Count: true}},
		{"All rows of three parents", statement.Select{Table: t, Columns: columns, Order: byID(), Parents: posts(3)}},
		{"A page of one parent", statement.Select{Table: t, Columns: columns, Order: byID(), Limit: 21, Parents: posts(1)}},
		{"A page of each of two parents", statement.Select{Table: t, Columns: columns, Order: byID(), Limit: 21, Parents: posts(2)}},
		{"The pages after a row, of those that match", statement.Select{
			Table: t, Columns: []string{"id", "title_key", "created_at"}, Filter: titled, Order: byTwo(), After: after, Limit: 21, Parents: posts(2),
		}},
		{"A page of each, of those that match more values than MySQL takes for each", statement.Select{
			Table: t, Columns: []string{"id", "title_key", "created_at"}, Order: byTwo(), After: after, Limit: 21, Parents: posts(2), Filter: func(s *sql.Selector) {
				if s.Dialect() == dialect.MySQL {
					s.Where(statement.In(s.C("id"), ids("post", 20_000)))
				}
			},
		}},
		{"The number of rows of each parent", statement.Select{Table: t, Count: true, Parents: posts(2)}},
		{"The number of those that match", statement.Select{Table: t, Filter: titled, Count: true, Parents: posts(1)}},
		{"All rows of parents that have them in common", statement.Select{Table: t, Columns: columns, Order: byID(), Parents: tagged(2)}},
		{"A page of one such parent", statement.Select{Table: t, Columns: columns, Order: byTwo(), After: after, Limit: 21, Parents: tagged(1)}},
		{"A page of each", statement.Select{Table: t, Columns: columns, Order: byID(), After: []any{ids("post", 1)[0]}, Limit: 21, Parents: tagged(2)}},
		{"A page of each, in another order", statement.Select{Table: t, Columns: []string{"id", "title_key", "created_at"}, Order: byTwo(), Limit: 21, Parents: tagged(2)}},
		{"The number of rows of each", statement.Select{Table: t, Count: true, Parents: tagged(2)}},
		{"The number of those that match of each", statement.Select{Table: t, Filter: titled, Count: true, Parents: tagged(2)}},
		{"Texts", statement.Select{Table: t, Columns: columns, Filter: func(s *sql.Selector) {
			s.Where(statement.In(s.C("title_key"), []string{"a", `b"'\`, "é"}))
		}}},
		{"No texts, and not no IDs", statement.Select{Table: t, Columns: columns, Filter: func(s *sql.Selector) {
			s.Where(sql.Or(statement.In[string](s.C("title_key"), nil), sql.Not(statement.In[typeid.ID](s.C("id"), nil))))
		}}},
	}
}

// TestBuild compares what is built with testdata/statements.txt; "go test ./internal/statement -update" writes it.
func TestBuild(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	for _, s := range statements() {
		fmt.Fprintf(&b, "=== %s\n", s.name)
		for _, d := range []string{dialect.SQLite, dialect.Postgres, dialect.MySQL} {
			query, args, err := s.Build(d)
			if err != nil {
				t.Errorf("%s on %s: got %v, want no error", s.name, d, err)
			}
			fmt.Fprintf(&b, "--- %s\n%s\n", d, broken(query))
			for i, arg := range args {
				if len(args) > 100 && i >= 5 && i < len(args)-10 { // nobody reads them
					continue
				}
				fmt.Fprintf(&b, "    %s\n", shown(arg))
			}
		}
		b.WriteString("\n")
	}
	golden(t, "testdata/statements.txt", b.Bytes())
}

// golden compares what is built with a file, or writes it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got other texts than in %s, want the same:\n%s", file, got)
	}
}

// broken breaks a statement into lines.
func broken(query string) string {
	query = regexp.MustCompile(`(\?, ){100,}`).ReplaceAllString(query, "?, …, ")
	return regexp.MustCompile(` (FROM|WHERE|SET|ORDER BY|GROUP BY|UNION ALL|CROSS JOIN|ON|JOIN|LIMIT|FOR UPDATE)\b`).ReplaceAllString(query, "\n  $1")
}

// shown is an argument as the database gets it.
func shown(arg any) string {
	switch v := arg.(type) {
	case typeid.ID:
		u := v.UUID()
		return "x'" + hex.EncodeToString(u[:]) + "'"
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case []byte:
		return "x'" + hex.EncodeToString(v) + "'"
	}
	return fmt.Sprintf("%v", arg)
}

// However many IDs and parents there are, the texts are few, so that the caches of prepared statements hold them.
func TestFewTexts(t *testing.T) {
	t.Parallel()
	for d, most := range map[string]int{dialect.SQLite: 2, dialect.Postgres: 2, dialect.MySQL: 12} {
		lists, pages, texts := map[string]bool{}, map[string]bool{}, map[string]bool{}
		for n := 1; n <= 1000; n += 1 + n/10 {
			list := statement.Select{Table: table(), Columns: []string{"id"}, IDs: ids("post", n)}
			page := statement.Select{Table: table(), Columns: []string{"id"}, Order: byID(), Limit: 3, Parents: &statement.Parents{IDs: ids("user", n), Column: "author_id"}}
			values := slices.Repeat([]string{"x"}, n)
			text := statement.Select{Table: table(), Columns: []string{"id"}, Filter: func(s *sql.Selector) { s.Where(statement.In(s.C("title_key"), values)) }}
			for into, s := range map[*map[string]bool]*statement.Select{&lists: &list, &pages: &page, &texts: &text} {
				query, args, err := s.Build(d)
				if err != nil {
					t.Fatal(err)
				}
				(*into)[query] = true
				if placeholders := strings.Count(query, "?"); d != dialect.Postgres && placeholders != len(args) {
					t.Fatalf("%d IDs on %s: got %d placeholders, want one for each of %d arguments", n, d, placeholders, len(args))
				}
			}
		}
		if len(lists) > most || len(pages) > most || len(texts) > most {
			t.Errorf("%s: got %d texts of lists of IDs, %d of pages and %d of lists of texts, want few", d, len(lists), len(pages), len(texts))
		}
	}
}

func TestParts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		dialect        string
		parents, limit int
		want           []int
	}{
		{dialect.MySQL, 1024, 5, []int{1024}},
		{dialect.MySQL, 1025, 5, []int{1024, 1}},
		{dialect.MySQL, 3000, 5, []int{1024, 1024, 952}},
		{dialect.MySQL, 1, 5, []int{1}},
		{dialect.MySQL, 3000, 0, []int{3000}}, // all rows are one list of parents
		{dialect.Postgres, 3000, 5, []int{3000}},
		{dialect.SQLite, 3000, 5, []int{3000}},
	} {
		s := statement.Select{Table: table(), Columns: []string{"id"}, Order: byID(), Limit: test.limit, Parents: &statement.Parents{IDs: ids("user", test.parents), Column: "author_id"}}
		var got []int
		var all []typeid.ID
		for part := range s.Parts(test.dialect) {
			got = append(got, len(part.Parents.IDs))
			all = append(all, part.Parents.IDs...)
		}
		if !slices.Equal(got, test.want) || !slices.Equal(all, s.Parents.IDs) {
			t.Errorf("%+v: got parts of %v parents, want all parents within the limit", test, got)
		}
		for range s.Parts(test.dialect) { // a caller may stop early
			break
		}
	}
	flat := statement.Select{Table: table(), Columns: []string{"id"}}
	for part := range flat.Parts(dialect.MySQL) {
		if part != &flat {
			t.Error("a statement without parents: got other parts, want itself alone")
		}
	}
}

// Each arm of a union has the arguments of the filter. Where they are more than MySQL takes, there is none.
func TestManyArguments(t *testing.T) {
	t.Parallel()
	for _, parents := range []int{2, 60, 64, 65, 1024} {
		for _, values := range []int{10, 200, 1000} {
			s := statement.Select{
				Table: table(), Columns: []string{"id"}, Order: byID(), Limit: 5, Parents: &statement.Parents{IDs: ids("user", parents), Column: "author_id"},
				Filter: func(s *sql.Selector) {
					s.Where(statement.In(s.C("title_key"), slices.Repeat([]string{"x"}, values)))
				},
			}
			query, args, err := s.Build(dialect.MySQL)
			if err != nil || len(args) > 65_535 || strings.Count(query, "?") != len(args) {
				t.Errorf("%d parents and %d values: got %d arguments, %v, want at most 65535", parents, values, len(args), err)
			}
		}
	}
}

func TestWith(t *testing.T) {
	t.Parallel()
	columns := []string{"id", "title_key"}
	if got := statement.With(columns, byTwo()); !slices.Equal(got, []string{"id", "title_key", "created_at"}) {
		t.Errorf("got %v, want the columns and those of the order", got)
	}
	if got := statement.With(nil, byID()); !slices.Equal(got, []string{"id"}) || !slices.Equal(columns, []string{"id", "title_key"}) {
		t.Errorf("got %v and the columns %v, want the columns unchanged", got, columns)
	}
	if got := table().Names(); !slices.Equal(got, []string{"id", "title_key", "created_at", "version"}) {
		t.Errorf("got the columns %v, want all in their order", got)
	}
}

// The text that was kept for one statement is right for others of its form, with their own arguments.
func TestTexts(t *testing.T) {
	t.Parallel()
	kept, all := 0, 0
	for _, d := range []string{dialect.SQLite, dialect.Postgres, dialect.MySQL} {
		for _, test := range append(statements(), struct {
			name string
			statement.Select
		}{"Three texts", statement.Select{Table: table(), Columns: []string{"id"}, Among: &statement.Among{Column: "title_key", Texts: []string{"a", "b", "c"}}}}) {
			query, args, err := test.Build(d)
			if err != nil {
				t.Fatal(err)
			}
			s := test.Select
			s.Texts = new(statement.Texts)
			for range 2 {
				got, gotArgs, err := s.Build(d)
				if err != nil || got != query || !reflect.DeepEqual(append([]any{}, gotArgs...), append([]any{}, args...)) {
					t.Errorf("%s: %s: got %s, %v, %v, want %s, %v", d, test.name, got, gotArgs, err, query, args)
				}
			}
			all++
			kept += s.Texts.Len()
		}
		// Other IDs, as many parents and another limit.
		s := statement.Select{Table: table(), Columns: []string{"id"}, Order: byID(), Texts: new(statement.Texts)}
		for _, n := range []int{1, 2, 3, 60, 1, 7} {
			for _, limit := range []int{0, 3, 21} {
				s.Parents, s.Limit = &statement.Parents{IDs: ids("user", n), Column: "author_id"}, limit
				plain := s
				plain.Texts = nil
				query, args, err := plain.Build(d)
				if err != nil {
					t.Fatal(err)
				}
				if got, gotArgs, err := s.Build(d); err != nil || got != query || !reflect.DeepEqual(gotArgs, args) {
					t.Errorf("%s: %d parents, at most %d: got %s, %v, %v, want %s, %v", d, n, limit, got, gotArgs, err, query, args)
				}
			}
		}
		for limit := range 100 {
			s.Limit = limit
			if _, _, err := s.Build(d); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.Texts.Len(); n > 8 {
			t.Errorf("%s: got %d texts, want at most 8", d, n)
		}
	}
	if kept < all/4 {
		t.Errorf("got texts of %d of %d statements, want at least a quarter", kept, all)
	}
}

// BenchmarkBuild writes each statement of testdata/statements.txt for PostgreSQL.
func BenchmarkBuild(b *testing.B) {
	all := statements()
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range all {
			if _, _, err := s.Build(dialect.Postgres); err != nil {
				b.Fatal(err)
			}
		}
	}
}
