package graph_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"roster/internal/dbtest"
)

// object is a filter, or a part of one.
type object = map[string]any

// engines is a server on each engine; what is done to one is done to all, and all answer the same bytes.
type engines []*tester

func serveAll(t *testing.T) engines {
	t.Helper()
	var all engines
	for _, e := range dbtest.Engines() {
		all = append(all, serve(t, e, settings{}))
	}
	return all
}

// do sends an operation to each engine.
func (all engines) do(document string, variables ...any) *answer {
	all[0].Helper()
	body := all[0].body(document, variables...)
	_, first := all[0].send(http.MethodPost, all[0].url, body)
	for _, s := range all[1:] {
		if _, other := s.send(http.MethodPost, s.url, body); !bytes.Equal(first, other) {
			s.Errorf("%s\n%v\n%s answers\n%s\nand %s\n%s", document, variables, all[0].engine, first, s.engine, other)
		}
	}
	a := new(answer)
	decode(all[0], first, a)
	return a
}

// must sends an operation that succeeds, and decodes its data into the value to which into points.
func (all engines) must(into any, document string, variables ...any) {
	all[0].Helper()
	a := all.do(document, variables...)
	if len(a.Errors) > 0 {
		all[0].Fatalf("%s\n%v\nfailed: %+v", document, variables, a.Errors)
	}
	decode(all[0], a.Data, into)
}

// decode reads JSON into the value to which into points.
func decode(t *tester, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// strange is the texts that the filters of this file are tried on: in different cases, composed and decomposed, full and
// half width, with and without accents, and with what means something in SQL.
func strange() (usernames, titles []string) {
	usernames = []string{
		"Ada", "josé", "Zoe\u0308", "Ｗｉｄｅ", "ΟΔΥΣΣΕΎΣ", "straße", "STRASSE", "100%", "a_b", "axb", "o'neill", "Жанна", "İpek", "名前",
	}
	titles = []string{
		"Straße", "STRASSE", "strasser", "Ångström", "A\u030angstro\u0308m", "angstrom", "ΟΔΥΣΣΕΎΣ", "Οδυσσεύς", "100% sure", "100 percent",
		"snake_case", "snakeXcase", `back\slash`, "it's", `say "hi"`, "😀 grin", "😀😁😂", "👩\u200d🚀 astronaut", "ﬁne", "FINE", "Ｗｉｄｅ",
		"İstanbul", "istanbul", "ıstanbul", " led by a space", "名前", "éclair", "e\u0301clair", "\U0010ffff\U0010ffff", "\ud7ff\ue000", "z",
	}
	return usernames, titles
}

// unicode creates the users and the posts of the second of them, and returns that one's ID.
func (all engines) unicode() (id string) {
	all[0].Helper()
	usernames, titles := strange()
	for i, username := range usernames {
		var posts []object
		if i == 1 {
			for _, title := range titles {
				posts = append(posts, object{"title": title})
			}
		}
		var made struct {
			CreateUser struct{ User struct{ ID string } }
		}
		all.must(&made, `mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } } }`,
			"input", object{"username": username, "email": fmt.Sprintf("User%d@Example.com", i), "posts": posts})
		if i == 1 {
			id = made.CreateUser.User.ID
		}
	}
	return id
}

// TestFilters reads users and posts by filters, at the root and below a user. A filter has the same meaning everywhere.
func TestFilters(t *testing.T) {
	t.Parallel()
	all := serveAll(t)
	author := all.unicode()
	_, titles := strange()

	posts := func(name string, where object, want ...string) {
		t.Helper()
		type nodes struct{ Nodes []struct{ Title string } }
		var found struct {
			Posts nodes
			Node  struct{ Posts nodes }
			Users struct{ Nodes []struct{ Posts nodes } }
		}
		all.must(&found, `query ($where: PostWhere, $author: ID!) {
			posts(first: 100, where: $where) { nodes { title } }
			node(id: $author) { ... on User { posts(first: 100, where: $where) { nodes { title } } } }
			users(first: 2) { nodes { posts(first: 100, where: $where) { nodes { title } } } }
		}`, "where", where, "author", author)
		for _, nodes := range []nodes{found.Posts, found.Node.Posts, found.Users.Nodes[1].Posts} {
			got := make([]string, len(nodes.Nodes))
			for i, n := range nodes.Nodes {
				got[i] = n.Title
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: posts where %v\nare  %q\nwant %q", name, where, got, want)
			}
		}
	}
	title := func(operator string, v any) object { return object{"title": object{operator: v}} }
	rest := func(without ...string) []string {
		return slices.DeleteFunc(slices.Clone(titles), func(s string) bool { return slices.Contains(without, s) })
	}

	posts("full case folding", title("eq", "straSSE"), "Straße", "STRASSE")
	posts("composed or not", title("eq", "a\u030aNGSTRO\u0308M"), "Ångström", "A\u030angstro\u0308m")
	posts("accents count", title("eq", "Angstrom"), "angstrom")
	posts("every sigma is one", title("eq", "οδυσσεύσ"), "ΟΔΥΣΣΕΎΣ", "Οδυσσεύς")
	posts("ligatures fold", title("startsWith", "fin"), "ﬁne", "FINE")
	posts("width counts in titles", title("eq", "wide"))
	posts("but not its case", title("eq", "ｗＩＤＥ"), "Ｗｉｄｅ")
	posts("a dotted I is i and a dot", title("eq", "i\u0307stanbul"), "İstanbul")
	posts("a dotless one is another letter", title("startsWith", "I"), "it's", "İstanbul", "istanbul")
	posts("in", title("in", []string{"z", "STRAßE", "z", "nothing"}), "Straße", "STRASSE", "z")
	posts("starts", title("startsWith", "STRASSE"), "Straße", "STRASSE", "strasser")
	posts("starts with all", title("startsWith", ""), titles...)
	posts("starts with a space", title("startsWith", " "), " led by a space")
	posts("starts with the last character", title("startsWith", "\U0010ffff"), "\U0010ffff\U0010ffff")
	posts("starts before the surrogates", title("startsWith", "\ud7ff"), "\ud7ff\ue000")
	posts("starts with half an accent", title("startsWith", "e"))
	posts("starts with the whole of it", title("startsWith", "E\u0301"), "éclair", "e\u0301clair")
	posts("percent", title("contains", "00%"), "100% sure")
	posts("underscore", title("contains", "e_c"), "snake_case")
	posts("no wildcards", title("contains", "%%%"))
	posts("no wildcard for one", title("contains", "snake_"), "snake_case")
	posts("backslash", title("contains", `k\s`), `back\slash`)
	posts("backslash and percent", title("contains", `\%\`))
	posts("quote", title("contains", "t's"), "it's")
	posts("quotes", title("contains", `"HI"`), `say "hi"`)
	posts("SQL", title("contains", "' OR 1=1 --"))
	posts("three emoji", title("contains", "😀😁😂"), "😀😁😂")
	posts("an astronaut is three", title("contains", "👩\u200d🚀"), "👩\u200d🚀 astronaut")
	posts("folded inside", title("contains", "RASS"), "Straße", "STRASSE", "strasser")
	posts("shorter when folded", title("contains", "e\u0301c"), "éclair", "e\u0301clair")
	posts("not", object{"not": title("startsWith", "STRASSE")}, rest("Straße", "STRASSE", "strasser")...)

	// What is absent, null or empty.
	none := title("in", []string{})
	posts("nothing", nil, titles...)
	posts("no condition", object{}, titles...)
	posts("null", object{"title": nil, "id": nil, "createdAt": nil, "and": nil, "or": nil, "not": nil}, titles...)
	posts("no operator", object{"title": object{}, "id": object{}, "createdAt": object{}}, titles...)
	posts("null operators", object{"title": object{"eq": nil, "in": nil, "startsWith": nil, "contains": nil}, "id": object{"eq": nil, "in": nil}, "createdAt": object{"gt": nil, "gte": nil, "lt": nil, "lte": nil}}, titles...)
	posts("in nothing", none)
	posts("no ID", object{"id": object{"in": []string{}}})
	posts("not in nothing", object{"not": none}, titles...)
	posts("not no ID", object{"not": object{"id": object{"in": []string{}}}}, titles...)
	posts("not no author", object{"not": object{"authorId": object{"in": []string{}, "eq": author}}}, titles...)
	posts("and of none", object{"and": []object{}}, titles...)
	posts("or of none", object{"or": []object{}})
	posts("not and of none", object{"not": object{"and": []object{}}})
	posts("not or of none", object{"not": object{"or": []object{}}}, titles...)
	posts("not everything", object{"not": object{}})
	posts("or everything", object{"or": []object{none, {}}}, titles...)
	posts("and everything", object{"and": []object{none, {}}})
	posts("both", object{"title": object{"startsWith": "s", "contains": "case"}}, "snake_case", "snakeXcase")
	posts("both lists", object{"and": []object{title("startsWith", "s")}, "or": []object{title("contains", "x C"), title("contains", "xCa")}}, "snakeXcase")
	posts("brackets", object{"title": object{"eq": "z"}, "or": []object{{"or": []object{title("eq", "z"), title("eq", "istanbul")}}}}, "z")
	posts("brackets of brackets", object{"and": []object{title("eq", "z"), {"or": []object{{"or": []object{{"or": []object{title("eq", "FINE"), {}}}}}}}}}, "z")
	posts("not in brackets", object{"not": object{"or": []object{{"not": object{"and": []object{title("eq", "z"), {}}}}}}}, "z")

	users := func(name string, where object, want ...string) {
		t.Helper()
		var found struct {
			Users struct{ Nodes []struct{ Username string } }
		}
		all.must(&found, `query ($where: UserWhere) { users(first: 100, where: $where) { nodes { username } } }`, "where", where)
		var got []string
		for _, n := range found.Users.Nodes {
			got = append(got, n.Username)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: users where %v\nare  %q\nwant %q", name, where, got, want)
		}
	}
	username := func(operator string, v any) object { return object{"username": object{operator: v}} }

	users("case", username("eq", "ADA"), "Ada")
	users("composed", username("eq", "zo\u00eb"), "Zoe\u0308")
	users("decomposed", username("eq", "JOSE\u0301"), "josé")
	users("width", username("eq", "wide"), "Ｗｉｄｅ")
	users("other width", username("eq", "ＡＤＡ"), "Ada")
	users("sigma keeps its place", username("eq", "οδυσσεύσ"), "ΟΔΥΣΣΕΎΣ")
	users("a final one is another", username("eq", "οδυσσεύς"))
	users("ß is one letter", username("startsWith", "stras"), "STRASSE")
	users("and not two", username("eq", "STRAßE"), "straße")
	users("wildcards", username("startsWith", "a_"), "a_b")
	users("percent", username("contains", "00%"), "100%")
	users("quote", username("contains", "O'N"), "o'neill")
	users("Cyrillic", username("contains", "АНН"), "Жанна")
	users("email", object{"email": object{"eq": "USER0@EXAMPLE.COM"}}, "Ada")
	users("any text", username("in", []string{"not a name", "", "ada"}), "Ada")
	users("with posts", object{"hasPosts": true}, "josé")
	users("without posts", object{"hasPosts": false, "username": object{"startsWith": "a"}}, "Ada", "a_b", "axb")
	users("not without posts", object{"not": object{"hasPosts": false}}, "josé")
	users("with or without", object{"hasPosts": nil, "username": object{"eq": "ada"}}, "Ada")
	users("with posts or", object{"or": []object{{"hasPosts": true}, username("eq", "axb")}}, "josé", "axb")

	// The times of the creation of two users, who were created one after the other.
	var made struct {
		A, B struct{ CreatedAt string }
	}
	all.must(&made, `{ a: user(by: {username: "axb"}) { createdAt } b: user(by: {username: "o'neill"}) { createdAt } }`)
	a, b := made.A.CreatedAt, made.B.CreatedAt
	if a >= b || !strings.HasSuffix(a, "Z") {
		t.Fatal(a, b)
	}
	created := func(operators object) object {
		return object{"createdAt": operators, "username": object{"in": []string{"axb", "o'neill"}}}
	}
	users("at it", created(object{"gte": a, "lte": a}), "axb")
	users("after it", created(object{"gt": a}), "o'neill")
	users("from it", created(object{"gte": a}), "axb", "o'neill")
	users("before it", created(object{"lt": b}), "axb")
	users("to it", created(object{"lte": b}), "axb", "o'neill")
	users("between", created(object{"gt": a, "lt": b}))
	microsecond := func(s string, by int) string { // a time a microsecond later or earlier, without a carry
		digit := s[len(s)-2] + byte(by)
		if digit < '0' || digit > '9' {
			t.Fatalf("choose a time whose last digit is not at an end: %s", s)
		}
		return s[:len(s)-2] + string(digit) + "Z"
	}
	users("a microsecond less", created(object{"gt": microsecond(a, -1), "lt": b}), "axb")
	users("a microsecond more", created(object{"gte": microsecond(a, +1)}), "o'neill")
	users("to a microsecond less", created(object{"lte": microsecond(b, -1)}), "axb")
	users("to a microsecond more", created(object{"lt": microsecond(b, +1)}), "axb", "o'neill")
	offset := strings.Replace(strings.TrimSuffix(a, "Z"), "T09:30", "T15:15", 1) + "+05:45"
	users("with an offset", created(object{"gte": offset, "lte": offset}), "axb")
	users("the first time", created(object{"gte": "1000-01-01T00:00:00Z"}), "axb", "o'neill")
	users("the last time", created(object{"gte": "9999-12-31T23:59:59.999999Z"}))
}

// TestBadFilters sends filters and pages that are none, at the root and below a user. Each has its code, and the field
// at fault.
func TestBadFilters(t *testing.T) {
	t.Parallel()
	all := serveAll(t)
	author := all.unicode()
	var found struct {
		User struct {
			Posts struct{ PageInfo struct{ EndCursor string } }
		}
		Posts struct {
			Nodes    []struct{ ID string }
			PageInfo struct{ EndCursor string }
		}
		ByTitle, ByTime, Back struct{ PageInfo struct{ EndCursor string } }
		Users                 struct{ PageInfo struct{ EndCursor string } }
	}
	all.must(&found, `query ($id: ID!) {
		user(by: {id: $id}) { posts(first: 3) { pageInfo { endCursor } } }
		users(first: 3) { pageInfo { endCursor } }
		posts(first: 3) { nodes { id } pageInfo { endCursor } }
		byTitle: posts(first: 3, orderBy: {field: TITLE}) { pageInfo { endCursor } }
		back: posts(first: 3, orderBy: {field: TITLE, direction: DESC}) { pageInfo { endCursor } }
		byTime: posts(first: 3, orderBy: [{field: CREATED_AT}, {field: TITLE}]) { pageInfo { endCursor } }
	}`, "id", author)
	post := found.Posts.Nodes[0].ID

	const parameters = "$first: Int, $last: Int, $after: String, $before: String, $where: PostWhere, $orderBy: [PostOrder!]"
	const connection = "posts(first: $first, last: $last, after: $after, before: $before, where: $where, orderBy: $orderBy) { nodes { id } }"
	// bad sends arguments of posts, and wants the errors: their codes and fields, where a point is between two parts.
	bad := func(name, want string, arguments ...any) {
		t.Helper()
		for _, document := range []string{
			"query (" + parameters + ") { " + connection + " }",
			"query (" + parameters + ", $author: ID!) { node(id: $author) { ... on User { " + connection + " } } }",
		} {
			variables := arguments
			if strings.Contains(document, "$author") {
				variables = append(slices.Clip(arguments), "author", author)
			}
			var errors []string
			for _, e := range all.do(document, variables...).Errors {
				parts := make([]string, len(e.Extensions.Field))
				for i, p := range e.Extensions.Field {
					parts[i] = fmt.Sprint(p)
				}
				errors = append(errors, e.Extensions.Code+" "+strings.Join(parts, "."))
			}
			if got := strings.Join(errors, ", "); got != want {
				t.Errorf("%s: %s\nanswers %s\nwant    %s", name, document, got, want)
			}
		}
	}
	filter := func(where object) []any { return []any{"where", where} }

	bad("first and last", "INVALID last", "first", 1, "last", 1)
	bad("none", "INVALID first", "first", 0)
	bad("too many", "INVALID first", "first", 101)
	bad("less than none", "INVALID last", "last", -1)
	bad("too many from the end", "INVALID last", "last", 101)

	own := map[bool]string{false: found.Posts.PageInfo.EndCursor, true: found.User.Posts.PageInfo.EndCursor}
	bad("no cursor", "CURSOR_INVALID after, CURSOR_INVALID before", "after", "", "before", "nonsense")
	bad("of another field", "CURSOR_INVALID after", "after", found.Users.PageInfo.EndCursor)
	bad("of another order", "CURSOR_INVALID after", "after", found.ByTitle.PageInfo.EndCursor)
	bad("of the other direction", "CURSOR_INVALID after", "after", found.Back.PageInfo.EndCursor, "orderBy", object{"field": "TITLE"})
	bad("of a longer order", "CURSOR_INVALID before", "before", found.ByTime.PageInfo.EndCursor, "orderBy", object{"field": "CREATED_AT"})
	bad("of the same order the other way round", "CURSOR_INVALID before", "before", found.ByTime.PageInfo.EndCursor, "orderBy", []object{{"field": "TITLE"}, {"field": "CREATED_AT"}})
	for nested, cursor := range own {
		document := "query ($after: String) { posts(after: $after) { nodes { id } } }"
		variables := []any{}
		if nested {
			document = "query ($after: String, $author: ID!) { node(id: $author) { ... on User { posts(after: $after) { nodes { id } } } } }"
			variables = []any{"author", author}
		}
		damaged := []string{own[!nested], cursor + "A", cursor + "AAAA", "A" + cursor, cursor + cursor, strings.ToLower(cursor)}
		for i := range len(cursor) {
			damaged = append(damaged, cursor[:i]) // cut
			for _, c := range []byte("A_9") {     // a changed byte
				if c != cursor[i] {
					damaged = append(damaged, cursor[:i]+string(c)+cursor[i+1:])
				}
			}
		}
		for _, c := range damaged {
			if got := all[0].do(document, append(variables, "after", c)...).codes(); got != "CURSOR_INVALID" {
				t.Errorf("%s\nwith the cursor %s, changed from %s: got %q, want CURSOR_INVALID", document, c, cursor, got)
			}
		}
		if a := all.do(document, append(variables, "after", cursor)...); len(a.Errors) > 0 {
			t.Errorf("%s\nwith its own cursor: got %+v, want no error", document, a.Errors)
		}
	}

	many := func(n int, s string) []string { return slices.Repeat([]string{s}, n) }
	deep := func(n int) object {
		where := object{}
		for range n {
			where = object{"not": where}
		}
		return where
	}
	path := func(n int) string { return "where" + strings.Repeat(".not", n) }
	bad("a thousand values", "", filter(object{"title": object{"in": many(1000, "x")}, "id": object{"in": many(1000, post)}})...)
	bad("one more", "INVALID where.title.in", filter(object{"title": object{"in": many(1001, "x")}})...)
	bad("one ID more", "INVALID where.id.in", filter(object{"id": object{"in": many(1001, post)}})...)
	bad("10 deep", "", filter(deep(10))...)
	bad("20 deep", "INVALID "+path(11), filter(deep(20))...)
	bad("200 objects", "", filter(object{"or": slices.Repeat([]object{{}}, 199)})...)
	bad("one object more", "INVALID where.or.199", filter(object{"or": slices.Repeat([]object{{}}, 200)})...)
	bad("two characters", "", filter(object{"title": object{"contains": "小明"}})...)
	bad("one character", "INVALID where.title.contains", filter(object{"title": object{"contains": "明"}})...)
	bad("one character in two", "INVALID where.title.contains", filter(object{"title": object{"contains": "e\u0301"}})...)
	bad("no character", "INVALID where.and.0.title.contains", filter(object{"and": object{"title": object{"contains": ""}}})...)
	bad("an emoji", "INVALID where.title.contains", filter(object{"title": object{"contains": "😀"}})...)
	bad("an ID of another type", "INVALID where.id.eq", filter(object{"id": object{"eq": author}})...)
	bad("IDs of other types", "INVALID where.id.in.1, INVALID where.or.1.authorId.in.0", filter(object{
		"id": object{"in": []string{post, author}}, "or": []object{{}, {"authorId": object{"in": []string{post}}}},
	})...)
	bad("no ID", "INVALID where.not.id.eq", filter(object{"not": object{"id": object{"eq": "1"}}})...)
	bad("NUL", "INVALID where.title.eq, INVALID where.title.in.1, INVALID where.title.startsWith, INVALID where.title.contains", filter(object{
		"title": object{"eq": "a\x00b", "in": []string{"a", "\x00"}, "startsWith": "\x00", "contains": "a\x00b"},
	})...)
	bad("a long text", "INVALID where.title.startsWith", filter(object{"title": object{"startsWith": strings.Repeat("x", 1001)}})...)
	bad("nine digits", "INVALID where.createdAt.gt", filter(object{"createdAt": object{"gt": "2026-01-31T09:30:00.123456789Z"}})...)
	bad("no time", "INVALID where.createdAt.gt", filter(object{"createdAt": object{"gt": "2026-01-31"}})...)
	bad("a time before all", "INVALID where.createdAt.lt", filter(object{"createdAt": object{"lt": "0999-12-31T23:59:59Z"}})...)
	bad("an offset beyond all", "INVALID where.updatedAt.lte", filter(object{"updatedAt": object{"lte": "9999-12-31T23:59:59-01:00"}})...)
	bad("page and filter", "INVALID first, INVALID where.id.eq", "first", 0, "where", object{"id": object{"eq": "1"}})
	bad("no order", "GRAPHQL_VALIDATION_FAILED ", "orderBy", object{"field": "BODY"})
	bad("a field twice", "", "orderBy", []object{{"field": "TITLE"}, {"field": "TITLE", "direction": "DESC"}})
}

// TestLongOrders sorts by the same fields again and again, which changes nothing, and goes on from the page's cursor.
func TestLongOrders(t *testing.T) {
	t.Parallel()
	all := serveAll(t)
	all.unicode()
	type page struct {
		Nodes    []struct{ Title string }
		PageInfo struct{ EndCursor string }
	}
	const document = `query ($by: [PostOrder!], $after: String) { posts(first: 20, orderBy: $by, after: $after) { nodes { title } pageInfo { endCursor } } }`
	short := []object{{"field": "TITLE", "direction": "DESC"}, {"field": "CREATED_AT"}}
	long := slices.Concat(short, slices.Repeat([]object{{"field": "TITLE"}, {"field": "CREATED_AT", "direction": "DESC"}}, 499))
	var cursor any
	for range 2 {
		var want, got struct{ Posts page }
		all.must(&want, document, "by", short, "after", cursor)
		all.must(&got, document, "by", long, "after", cursor)
		if len(want.Posts.Nodes) < 11 || !slices.Equal(got.Posts.Nodes, want.Posts.Nodes) || got.Posts.PageInfo != want.Posts.PageInfo {
			t.Errorf("by a thousand orders: %v\nby the first two:     %v", got, want)
		}
		cursor = want.Posts.PageInfo.EndCursor
	}
}
