package query_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"entgo.io/ent/dialect"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/internal/typeid"
)

// recorder is ent's driver for an engine that is not there: it takes down the first statement that it gets.
type recorder struct {
	dialect string
	query   string
	args    []any
}

var errRecorded = errors.New("recorded")

var _ dialect.Driver = (*recorder)(nil)

func (r *recorder) Dialect() string                        { return r.dialect }
func (*recorder) Close() error                             { return nil }
func (r *recorder) Tx(context.Context) (dialect.Tx, error) { return dialect.NopTx(r), nil }

func (r *recorder) Exec(ctx context.Context, query string, args, v any) error {
	return r.Query(ctx, query, args, v)
}

func (r *recorder) Query(_ context.Context, query string, args, _ any) error {
	r.query = query
	r.args, _ = args.([]any)
	return errRecorded
}

// build returns the statement that a page of the users that match is. The error is that of the query.
func build(ctx context.Context, d string, where *ent.UserWhere) (text string, args []any, err error) {
	r := &recorder{dialect: d}
	client := ent.NewClient(ent.Driver(r))
	_, err = query.ReadPage(rules.WithCaller(ctx, rules.Everyone()), client.User.Reader(), "Users", query.All, query.Args{}, where, nil)
	if errors.Is(err, errRecorded) {
		err = nil
	}
	return r.query, r.args, err
}

// condition is what stands in a statement after WHERE, without its quotes.
func condition(t *testing.T, d string, where *ent.UserWhere) (text string, args []any) {
	t.Helper()
	query, args, err := build(t.Context(), d, where)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = strings.Cut(query, " WHERE ")
	text, _, _ = strings.Cut(text, " ORDER BY ")
	return strings.NewReplacer("`t`.", "", `"t".`, "", "`", "", `"`, "").Replace(text), args
}

// parse reads a filter as clients write it.
func parse(t testing.TB, text string) *ent.UserWhere {
	t.Helper()
	where := new(ent.UserWhere)
	if err := json.Unmarshal([]byte(text), where); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return where
}

func TestCondition(t *testing.T) {
	t.Parallel()
	id := typeid.New("user", [16]byte{15: 1})
	noon := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		filter string
		want   string // on every engine, with ? for PostgreSQL's $1
		args   []any
	}{
		{`{}`, "", nil},
		{`{"id": null, "username": null, "createdAt": null, "hasPosts": null, "and": null, "or": null, "not": null}`, "", nil},
		{`{"id": {}, "username": {}, "createdAt": {}, "and": [], "not": null}`, "", nil},
		{`{"and": [{}, {"and": []}, {"username": {}}]}`, "", nil},
		{`{"or": []}`, "1 = 0", nil},
		{`{"or": [{}]}`, "1 = 1", nil},
		{`{"or": [{"username": {"eq": "a"}}, {}]}`, "username_key = ? OR 1 = 1", []any{"a"}},
		{`{"not": {}}`, "1 = 0", nil},
		{`{"not": {"and": []}}`, "1 = 0", nil},
		{`{"not": {"or": []}}`, "NOT (1 = 0)", nil},
		{`{"not": {"not": {"email": {"eq": "A"}}}}`, "NOT (NOT (email_key = ?))", []any{"a"}},
		{`{"id": {"in": []}}`, "1 = 0", nil},
		{`{"username": {"in": []}}`, "1 = 0", nil},
		{`{"id": {"eq": "` + id.String() + `"}}`, "id = ?", []any{id}},
		{`{"id": {"in": ["` + id.String() + `"]}}`, "id = ?", []any{id}},
		{`{"username": {"eq": "ADA"}, "email": {"eq": "ADA@Example.com"}}`, "username_key = ? AND email_key = ?", []any{"ada", "ada@example.com"}},
		{`{"username": {"startsWith": "É"}}`, "username_key >= ? AND username_key < ?", []any{"é", "ê"}},
		{`{"username": {"startsWith": "aZ"}}`, "username_key >= ? AND username_key < ?", []any{"az", "a{"}},
		{`{"username": {"startsWith": ""}}`, "username_key >= ?", []any{""}},
		{`{"createdAt": {"gt": "2026-01-31T13:00:00+01:00", "lte": "2026-01-31T12:00:00Z"}}`, "created_at > ? AND created_at <= ?", []any{noon, noon}},
		{`{"updatedAt": {"gte": "2026-01-31T12:00:00Z", "lt": "2026-01-31T12:00:00Z"}}`, "updated_at >= ? AND updated_at < ?", []any{noon, noon}},
		{`{"hasPosts": true}`, "EXISTS (SELECT e.author_id FROM posts AS e WHERE e.author_id = id)", nil},
		{`{"hasPosts": false}`, "NOT (EXISTS (SELECT e.author_id FROM posts AS e WHERE e.author_id = id))", nil},
		{
			`{"username": {"eq": "a"}, "or": [{"username": {"eq": "b"}}, {"username": {"eq": "c"}, "email": {"eq": "d"}}]}`,
			"username_key = ? AND (username_key = ? OR (username_key = ? AND email_key = ?))",
			[]any{"a", "b", "c", "d"},
		},
		{
			`{"username": {"eq": "a"}, "or": [{"or": [{"or": [{"username": {"eq": "b"}}, {"username": {"eq": "c"}}]}]}]}`,
			"username_key = ? AND (username_key = ? OR username_key = ?)",
			[]any{"a", "b", "c"},
		},
		{
			`{"and": [{"or": [{"or": [{}, {"username": {"eq": "a"}}]}]}, {"not": {"or": [{"username": {"eq": "b"}}, {"and": [{"username": {"eq": "c"}}]}]}}]}`,
			"(1 = 1 OR username_key = ?) AND (NOT (username_key = ? OR username_key = ?))",
			[]any{"a", "b", "c"},
		},
	} {
		for _, d := range []string{dialect.SQLite, dialect.Postgres, dialect.MySQL} {
			got, args := condition(t, d, parse(t, test.filter))
			for i := range args {
				got = strings.ReplaceAll(got, fmt.Sprintf("$%d", i+1), "?")
			}
			if got != test.want || !slices.Equal(args, test.args) {
				t.Errorf("%s on %s is\n%s %v, want\n%s %v", test.filter, d, got, args, test.want, test.args)
			}
		}
	}
}

// TestDialects checks the texts that differ between engines.
func TestDialects(t *testing.T) {
	t.Parallel()
	texts := parse(t, `{"username": {"in": ["A", "b\"'\\", "c"]}}`)
	contains := parse(t, `{"username": {"contains": "%A_\\"}}`)
	for _, test := range []struct {
		dialect string
		where   *ent.UserWhere
		want    string
		args    []any
	}{
		{dialect.SQLite, texts, "username_key IN (SELECT value FROM json_each(?))", []any{`["a","b\"'\\","c"]`}},
		{dialect.Postgres, texts, "username_key = ANY($1::text[])", []any{[]byte("\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x19\x00\x00\x00\x03\x00\x00\x00\x01" + "\x00\x00\x00\x01a\x00\x00\x00\x04b\"'\\\x00\x00\x00\x01c")}},
		{dialect.MySQL, texts, "username_key IN (?, ?, ?, ?)", []any{"a", `b"'\`, "c", "c"}},
		{dialect.SQLite, contains, "instr(username_key, ?) > 0", []any{`%a_\`}},
		{dialect.Postgres, contains, "username_key LIKE $1", []any{`%\%a\_\\%`}},
		{dialect.MySQL, contains, "instr(username_key, ?) > 0", []any{`%a_\`}},
	} {
		if got, args := condition(t, test.dialect, test.where); got != test.want || !reflect.DeepEqual(args, test.args) {
			t.Errorf("on %s: got %s %q, want %s %q", test.dialect, got, args, test.want, test.args)
		}
	}
}

// A text lies in the range of startsWith when it starts with the prefix, and only then.
func TestStartsWith(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	text := func() string {
		runes := make([]rune, random.IntN(4))
		for i := range runes {
			runes[i] = []rune{'a', 'b', '%', '~', 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfffd, 0xffff, 0x10000, 0x10fffe, utf8.MaxRune}[random.IntN(15)]
		}
		return string(runes)
	}
	for range 20_000 {
		prefix, s := text(), text()
		if random.IntN(2) == 0 {
			s = prefix + s
		}
		_, args := condition(t, dialect.SQLite, &ent.UserWhere{Email: &query.TextFilter{StartsWith: &prefix}})
		from, _ := args[0].(string)
		in := s >= from
		if len(args) == 2 {
			to, _ := args[1].(string)
			in = in && s < to
		}
		if in != strings.HasPrefix(s, from) {
			t.Fatalf("%q and the prefix %q with the range %q: got %t, want the opposite", s, prefix, args, in)
		}
	}
}

// faults is what is wrong with a filter: the fields, each with a point between its parts.
func faults(t *testing.T, where *ent.UserWhere) []string {
	t.Helper()
	_, _, err := build(t.Context(), dialect.SQLite, where)
	var list rules.Faults
	if err != nil && !errors.As(err, &list) {
		t.Fatalf("got %v, want a fault of the filter", err)
	}
	var fields []string
	for _, f := range list {
		if f.Code != rules.Invalid {
			t.Errorf("%v: got the code %s, want INVALID", f, f.Code)
		}
		parts := make([]string, len(f.Path))
		for i, p := range f.Path {
			parts[i] = fmt.Sprint(p)
		}
		fields = append(fields, strings.Join(parts, "."))
	}
	return fields
}

func TestFaults(t *testing.T) {
	t.Parallel()
	deep := func(n int) *ent.UserWhere {
		where := new(ent.UserWhere)
		for range n {
			where = &ent.UserWhere{And: []ent.UserWhere{*where}}
		}
		return where
	}
	texts := func(n int) *ent.UserWhere {
		return &ent.UserWhere{Email: &query.TextFilter{In: slices.Repeat([]string{"x"}, n)}}
	}
	of := func(kind string, n int) *ent.UserWhere {
		return &ent.UserWhere{ID: &query.IDFilter{In: slices.Repeat([]typeid.ID{typeid.New(kind, [16]byte{1})}, n)}}
	}
	text := func(s string) *ent.UserWhere { return &ent.UserWhere{Username: &query.TextFilter{Eq: &s}} }
	or := func(n int) *ent.UserWhere { return &ent.UserWhere{Or: make([]ent.UserWhere, n)} }
	at := func(year int) *ent.UserWhere {
		time := time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)
		return &ent.UserWhere{UpdatedAt: &query.DateTimeFilter{Lt: &time}}
	}
	for name, test := range map[string]struct {
		where *ent.UserWhere
		want  []string
	}{
		"10 deep":         {deep(10), nil},
		"11 deep":         {deep(11), []string{"where" + strings.Repeat(".and.0", 11)}},
		"a thousand deep": {deep(1000), []string{"where" + strings.Repeat(".and.0", 11)}},
		"200 objects":     {or(199), nil},
		"201 objects":     {or(200), []string{"where.or.199"}},
		"many objects":    {or(100_000), []string{"where.or.199"}},
		"1000 texts":      {texts(1000), nil},
		"1001 texts":      {texts(1001), []string{"where.email.in"}},
		"1000 IDs":        {of("user", 1000), nil},
		"1001 IDs":        {of("user", 1001), []string{"where.id.in"}},
		"ten faults": {of("post", 30), slices.Collect(func(yield func(string) bool) {
			for i := range 10 {
				yield(fmt.Sprint("where.id.in.", i))
			}
		})},
		"no ID":            {of("", 1), []string{"where.id.in.0"}},
		"1000 characters":  {text(strings.Repeat("é", 1000)), nil},
		"1001 characters":  {text(strings.Repeat("é", 1001)), []string{"where.username.eq"}},
		"NUL":              {text("a\x00"), []string{"where.username.eq"}},
		"no UTF-8":         {text("\xff"), []string{"where.username.eq"}},
		"the first year":   {at(1000), nil},
		"before it":        {at(999), []string{"where.updatedAt.lt"}},
		"the last year":    {at(9999), nil},
		"after it":         {at(10_000), []string{"where.updatedAt.lt"}},
		"two characters":   {parse(t, `{"username": {"contains": "小明"}, "email": {"contains": "éé"}}`), nil},
		"two of 4 bytes":   {parse(t, `{"username": {"contains": "𠮷𠮷"}}`), nil},
		"two that are one": {parse(t, `{"username": {"contains": "e\u0301"}, "email": {"contains": "\u1112\u1161\u11ab"}}`), []string{"where.username.contains", "where.email.contains"}},
		"one":              {parse(t, `{"username": {"contains": "明"}, "email": {"contains": "𠮷"}}`), []string{"where.username.contains", "where.email.contains"}},
		"one that is NUL":  {parse(t, `{"username": {"contains": "\u0000"}}`), []string{"where.username.contains"}},
		"in the fields' order": {
			parse(t, `{"not": {"email": {"contains": "b"}}, "or": [{"email": {"contains": "c"}}], "username": {"contains": "a"}}`),
			[]string{"where.username.contains", "where.or.0.email.contains", "where.not.email.contains"},
		},
	} {
		if got := faults(t, test.where); !slices.Equal(got, test.want) {
			t.Errorf("%s: faults at %q, want %q", name, got, test.want)
		}
	}
}

// Two filters have one key when they mean the same to a reader of their text.
func TestFilterKey(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, text := range []string{
		`{}`, `{"or": []}`, `{"and": []}`, `{"username": {}}`, `{"username": {"in": []}}`, `{"username": {"eq": ""}}`, `{"username": {"eq": "a"}}`,
		`{"username": {"in": ["a"]}}`, `{"username": {"in": ["a", "b"]}}`, `{"username": {"in": ["a,b"]}}`, `{"email": {"eq": "a"}}`, `{"hasPosts": true}`, `{"hasPosts": false}`,
		`{"createdAt": {"gt": "2026-01-31T12:00:00Z"}}`, `{"createdAt": {"gt": "2026-01-31T12:00:00.000001Z"}}`, `{"not": {}}`,
	} {
		key := query.FilterKey(parse(t, text))
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s: got the same key %s, want two keys", text, other, key)
		}
		seen[key] = text
		if again := query.FilterKey(parse(t, text)); again != key {
			t.Errorf("%s: got the keys %s and %s, want one key", text, key, again)
		}
	}
}
