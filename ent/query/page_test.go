package query_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"roster/ent/query"
	"roster/ent/rules"
	"roster/internal/statement"
	"roster/internal/typeid"
)

// table has a column of each kind that an order may have.
func table() *statement.Table {
	return &statement.Table{
		Type: "post", GraphQL: "Post", Name: "posts", ID: "id",
		Columns: []statement.Column{
			{Name: "id", Kind: statement.ID},
			{Name: "created_at", Kind: statement.Time},
			{Name: "updated_at", Kind: statement.Time},
			{Name: "version", Kind: statement.Int},
			{Name: "title_key", Kind: statement.Text},
		},
	}
}

// row is a row by its columns.
type row map[string]any

func value(r *row, column string) any { return (*r)[column] }

func id(n byte) typeid.ID {
	return typeid.New("post", uuid.UUID{0: 1, 15: n})
}

func example() *row {
	return &row{
		"id": id(7), "title_key": "é, and more",
		"created_at": time.Date(2026, 1, 31, 9, 30, 0, 123_456_000, time.UTC),
		"updated_at": time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// orders are different orders of one connection.
func orders() [][]statement.Order {
	return [][]statement.Order{
		nil,
		{{Column: "id", Desc: true}},
		{{Column: "title_key"}},
		{{Column: "title_key", Desc: true}},
		{{Column: "created_at"}},
		{{Column: "updated_at"}},
		{{Column: "created_at"}, {Column: "title_key"}},
		{{Column: "title_key"}, {Column: "created_at"}},
		{{Column: "title_key"}, {Column: "created_at", Desc: true}},
		{{Column: "title_key", Desc: true}, {Column: "created_at"}, {Column: "updated_at", Desc: true}},
		{{Column: "title_key"}, {Column: "id", Desc: true}},
	}
}

func first(t *testing.T, order []statement.Order) *query.Page {
	t.Helper()
	p, err := query.New("Posts", table(), query.Args{}, order...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// codes are those of the faults in an error, each with its field.
func codes(t *testing.T, err error) string {
	t.Helper()
	var faults rules.Faults
	if err != nil && !errors.As(err, &faults) {
		t.Fatal(err)
	}
	list := make([]string, len(faults))
	for i, f := range faults {
		list[i] = fmt.Sprint(f.Path[0], " ", f.Code)
	}
	return strings.Join(list, ", ")
}

func TestArguments(t *testing.T) {
	t.Parallel()
	n := func(i int) *int { return &i }
	s := func(s string) *string { return &s }
	good := query.Cursor(first(t, nil), example(), value)
	for _, test := range []struct {
		args query.Args
		want string
	}{
		{query.Args{}, ""},
		{query.Args{First: n(1)}, ""},
		{query.Args{Last: n(100), Before: &good, After: &good}, ""},
		{query.Args{First: n(0)}, "first INVALID"},
		{query.Args{First: n(101)}, "first INVALID"},
		{query.Args{Last: n(-1)}, "last INVALID"},
		{query.Args{First: n(5), Last: n(5)}, "last INVALID"},
		{query.Args{After: s("")}, "after CURSOR_INVALID"},
		{query.Args{Before: s("x"), After: &good}, "before CURSOR_INVALID"},
		{query.Args{First: n(-5), Last: n(500), After: s("x"), Before: s("y")}, "first INVALID, last INVALID, last INVALID, after CURSOR_INVALID, before CURSOR_INVALID"},
	} {
		p, err := query.New("Posts", table(), test.args)
		if got := codes(t, err); got != test.want || (p == nil) != (err != nil) {
			t.Errorf("%+v: got %q, want %q", test.args, got, test.want)
		}
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	n := func(i int) *int { return &i }
	order := []statement.Order{{Column: "title_key", Desc: true}, {Column: "created_at"}}
	cursor := query.Cursor(first(t, order), example(), value)
	for _, test := range []struct {
		args                 query.Args
		limit                int
		order                []statement.Order
		after, before        bool
		columns, wantColumns []string
	}{
		{
			query.Args{},
			21,
			[]statement.Order{{Column: "title_key", Desc: true}, {Column: "created_at"}, {Column: "id"}},
			false, false,
			[]string{"id", "version"},
			[]string{"id", "version", "title_key", "created_at"},
		},
		{
			query.Args{First: n(3), After: &cursor},
			4,
			[]statement.Order{{Column: "title_key", Desc: true}, {Column: "created_at"}, {Column: "id"}},
			true, false,
			nil,
			[]string{"id", "title_key", "created_at"},
		},
		{
			query.Args{Last: n(3), After: &cursor},
			4,
			[]statement.Order{{Column: "title_key"}, {Column: "created_at", Desc: true}, {Column: "id", Desc: true}},
			false, true,
			nil,
			[]string{"id", "title_key", "created_at"},
		},
		{
			query.Args{Last: n(3), Before: &cursor},
			4,
			[]statement.Order{{Column: "title_key"}, {Column: "created_at", Desc: true}, {Column: "id", Desc: true}},
			true, false,
			nil,
			[]string{"id", "title_key", "created_at"},
		},
	} {
		p, err := query.New("Posts", table(), test.args, order...)
		if err != nil {
			t.Fatal(err)
		}
		s := p.Rows(query.ColumnsOf(table(), test.columns...))
		if s.Limit != test.limit || !slices.Equal(s.Order, test.order) || !slices.Equal(s.Columns, test.wantColumns) {
			t.Errorf("%+v: got the limit %d, the order %v and the columns %v, want another statement", test.args, s.Limit, s.Order, s.Columns)
		}
		want := []any{(*example())["title_key"], (*example())["created_at"], (*example())["id"]}
		if (s.After != nil) != test.after || (s.Before != nil) != test.before ||
			test.after && !slices.Equal(s.After, want) || test.before && !slices.Equal(s.Before, want) {
			t.Errorf("%+v: got after %v and before %v, want those of the arguments", test.args, s.After, s.Before)
		}
		if c := p.Count(); !c.Count || c.Limit != 0 || c.After != nil || c.Before != nil {
			t.Errorf("%+v: got the count %+v, want one of all pages", test.args, c)
		}
	}
}

// Pages that differ in anything have different keys: they do not share what is loaded.
func TestKey(t *testing.T) {
	t.Parallel()
	n := func(i int) *int { return &i }
	cursor := query.Cursor(first(t, nil), example(), value)
	other := query.Cursor(first(t, nil), &row{"id": id(8)}, value)
	seen := map[string]query.Args{}
	for _, args := range []query.Args{
		{}, {First: n(1)}, {Last: n(1)}, {Last: n(20)}, {After: &cursor}, {Before: &cursor}, {After: &other}, {After: &cursor, Before: &other},
	} {
		for _, filter := range []string{"", "a", "b"} {
			p, err := query.New("Posts", table(), args)
			if err != nil {
				t.Fatal(err)
			}
			p.Filter(nil, filter)
			if one, ok := seen[p.Key()]; ok {
				t.Errorf("%+v and %+v: got the same key, want two keys", one, args)
			}
			seen[p.Key()] = args
			if p.CountKey() != filter {
				t.Errorf("count with the filter %q: got the key %q, want the filter", filter, p.CountKey())
			}
		}
	}
	for _, order := range orders()[1:] {
		p := first(t, order)
		if one, ok := seen[p.Key()]; ok {
			t.Errorf("%+v and the order %+v: got the same key, want two keys", one, order)
		}
		seen[p.Key()] = query.Args{}
	}
	twenty, err := query.New("Posts", table(), query.Args{First: n(20)})
	if err != nil || twenty.Key() != first(t, nil).Key() {
		t.Errorf("first: 20: got another key or %v, want the key of the default", err)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	n := func(i int) *int { return &i }
	rows := []*row{{"id": id(1)}, {"id": id(2)}, {"id": id(3)}}
	cursor := query.Cursor(first(t, nil), &row{"id": id(9)}, value)
	for _, test := range []struct {
		args           query.Args
		found          []*row
		want           []*row
		next, previous bool
	}{
		{query.Args{First: n(2)}, rows, rows[:2], true, false},
		{query.Args{First: n(3)}, rows, rows, false, false},
		{query.Args{First: n(2), After: &cursor, Before: &cursor}, rows[:1], rows[:1], false, true},
		{query.Args{Last: n(2)}, rows, []*row{rows[1], rows[0]}, false, true},
		{query.Args{Last: n(3), Before: &cursor, After: &cursor}, rows, []*row{rows[2], rows[1], rows[0]}, true, false},
		{query.Args{First: n(2)}, nil, nil, false, false},
		{query.Args{Last: n(2), Before: &cursor}, nil, nil, true, false},
	} {
		p, err := query.New("Posts", table(), test.args)
		if err != nil {
			t.Fatal(err)
		}
		nodes, info := query.Cut(p, test.found, value)
		same := slices.EqualFunc(nodes, test.want, func(a, b *row) bool { return (*a)["id"] == (*b)["id"] })
		if !same || info.HasNextPage != test.next || info.HasPreviousPage != test.previous {
			t.Errorf("%+v: got %v, %+v, want other nodes or another PageInfo", test.args, nodes, info)
		}
		if (info.StartCursor == nil) != (len(test.want) == 0) || (info.EndCursor == nil) != (len(test.want) == 0) {
			t.Errorf("%+v: got the cursors %v and %v, want them if there are nodes", test.args, info.StartCursor, info.EndCursor)
		}
		if len(nodes) > 0 && (*info.StartCursor != query.Cursor(p, nodes[0], value) || *info.EndCursor != query.Cursor(p, nodes[len(nodes)-1], value)) {
			t.Errorf("%+v: got other cursors, want those of the first and the last node", test.args)
		}
	}
}

// decoded returns the values of a cursor, if it is one of that order.
func decoded(t *testing.T, scope, cursor string, order []statement.Order) ([]any, bool) {
	t.Helper()
	p, err := query.New(scope, table(), query.Args{After: &cursor}, order...)
	if err != nil {
		if got := codes(t, err); got != "after CURSOR_INVALID" {
			t.Fatalf("%q: got %s, want CURSOR_INVALID", cursor, got)
		}
		return nil, false
	}
	return p.Rows(0).After, true
}

// A cursor is one of its connection in its order alone; and it keeps what orders rows.
func TestCursor(t *testing.T) {
	t.Parallel()
	for i, order := range orders() {
		p := first(t, order)
		cursor := query.Cursor(p, example(), value)
		for j, other := range orders() {
			for _, scope := range []string{"Posts", "Users", "User.posts"} {
				values, ok := decoded(t, scope, cursor, other)
				if own := i == j && scope == "Posts"; ok != own {
					t.Errorf("a cursor of Posts %v as one of %s %v: got %t, want the opposite", order, scope, other, ok)
				}
				for k, v := range values {
					if want := (*example())[p.Rows(0).Order[k].Column]; v != want {
						t.Errorf("values of a cursor: got %[2]v, want %[1]v", want, v)
					}
				}
			}
		}
	}
}

// What differs from a cursor in one character, what is a part of one, and what is more than one, is none.
func TestDamagedCursor(t *testing.T) {
	t.Parallel()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ \n\r\x00é"
	for _, order := range orders() {
		cursor := query.Cursor(first(t, order), example(), value)
		damaged := []string{"\n" + cursor, cursor + "\n", cursor[:8] + "\r\n" + cursor[8:], cursor + "=", cursor + cursor, strings.ToUpper(cursor), "=" + cursor}
		for i := range len(cursor) + 1 {
			damaged = append(damaged, cursor[:i], cursor[i:])
			for _, c := range alphabet {
				damaged = append(damaged, cursor[:i]+string(c)+cursor[i:])
				if i < len(cursor) {
					damaged = append(damaged, cursor[:i]+string(c)+cursor[i+1:])
				}
			}
		}
		raw, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			for b := range 256 {
				changed := slices.Clone(raw)
				changed[i] = byte(b)
				damaged = append(damaged, base64.RawURLEncoding.EncodeToString(changed))
			}
			damaged = append(damaged, base64.RawURLEncoding.EncodeToString(raw[:i]), base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw), raw[:i+1]...)))
		}
		for _, d := range damaged {
			if _, ok := decoded(t, "Posts", d, order); ok && d != cursor {
				t.Errorf("%q: got the values of %q, want CURSOR_INVALID", d, cursor)
			}
		}
	}
}

func FuzzCursor(f *testing.F) {
	for i, order := range orders() {
		p, err := query.New("Posts", table(), query.Args{}, order...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(query.Cursor(p, example(), value), uint8(i))
	}
	f.Add("AQ", uint8(0))
	f.Fuzz(func(t *testing.T, cursor string, n uint8) { keeps(t, cursor, orders()[int(n)%len(orders())]) })
}

// A forged cursor has the right checksum, and its values are checked like all input.
func FuzzForgedCursor(f *testing.F) {
	for i, order := range orders() {
		p, err := query.New("Posts", table(), query.Args{}, order...)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(query.Cursor(p, example(), value))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw[5:], uint8(i))
	}
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), uint8(2)) // a length beyond all lengths
	f.Add([]byte("\x02a\x00"), uint8(2))
	f.Add([]byte("\x01\xff"), uint8(2))
	f.Fuzz(func(t *testing.T, values []byte, n uint8) {
		order := orders()[int(n)%len(orders())]
		keeps(t, query.Forge(first(t, order), values), order)
	})
}

// keeps checks that a cursor is none, or one of values that every database takes and of which Cursor makes one again.
func keeps(t *testing.T, cursor string, order []statement.Order) {
	t.Helper()
	values, ok := decoded(t, "Posts", cursor, order)
	if !ok {
		return
	}
	p, r := first(t, order), row{}
	for i, o := range p.Rows(0).Order {
		r[o.Column] = values[i]
		switch v := values[i].(type) {
		case string:
			if !utf8.ValidString(v) || strings.Contains(v, "\x00") {
				t.Fatalf("got the text %q, want valid UTF-8 without NUL", v)
			}
		case time.Time:
			if v.Year() < 1000 || v.Year() > 9999 || v.Nanosecond()%1000 != 0 || v.Location() != time.UTC {
				t.Fatalf("got the time %v, want one that can be stored", v)
			}
		case typeid.ID:
			if v.Type() != "post" {
				t.Fatalf("got the ID %v, want one of the table", v)
			}
		default:
			t.Fatalf("got a %T, want an ID, a text or a time", v)
		}
	}
	if again, ok := decoded(t, "Posts", query.Cursor(p, &r, value), order); !ok || !slices.Equal(again, values) {
		t.Fatalf("%q with the values %v: got another cursor with %v, want the same", cursor, values, again)
	}
}
