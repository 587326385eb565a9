package graph_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"roster/ent/rules"
	"roster/internal/budget"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/directory"
	"roster/internal/transfer"
	"roster/internal/typeid"
)

var valuesFor = flag.Duration("values", 0, "how long TestValues goes on; 0: a few rounds")

// TestValues gives random users and posts to an engine, by an import and by mutations: values at the edge of what the
// rules let through, and beyond. Whatever is accepted is read as it was given, can be updated, and comes out of an
// export, into each other engine and out of it again, as the same bytes; and there it can be updated again.
func TestValues(t *testing.T) {
	t.Parallel()
	var engines []*tester
	for _, e := range dbtest.Engines() {
		// A page of all posts may have 25 of the longest bodies, which are more than an answer usually has.
		engines = append(engines, serve(t, e, settings{answers: budget.New(budget.Options{Memory: 4 << 30, Wait: time.Minute})}))
	}
	started := time.Now()
	counts := map[string]int{}
	rounds := 0
	for ; !t.Failed() && (*valuesFor == 0 && rounds < 9 || time.Since(started) < *valuesFor); rounds++ {
		number := *seed + uint64(rounds)
		g := &givenValues{Rand: rand.New(rand.NewPCG(number, 7)), counts: counts}
		from := rounds % len(engines)
		g.round(engines[from], engines[(from+1)%3], engines[(from+2)%3])
		if t.Failed() {
			t.Logf("repeat it with -seed=%d", number)
		}
	}
	for _, seen := range []string{"import ", "import INVALID", "import TOO_LONG", "import BLANK", "create ", "update ", "update INVALID", "update TAKEN", "update TOO_LONG"} {
		if counts[seen] == 0 {
			t.Errorf("got no %q, want at least one: %v", seen, counts)
		}
	}
	t.Logf("%d rounds: %v", rounds, counts)
}

// givenValues makes the values of one round.
type givenValues struct {
	*rand.Rand
	counts map[string]int // of codes by what was done; the empty code for what was accepted
	users  []string       // the IDs of users that exist
}

// givenRow is a row of a file: texts by the names of the fields. An empty text is not written.
type givenRow map[string]string

func (g *givenValues) round(first, second, third *tester) {
	for _, s := range []*tester{first, second, third} {
		wipe(s)
	}
	users := g.rows(25, g.user)
	g.take(first, users)
	g.create(first)
	g.users = ids(first, "users")
	posts := g.rows(25, g.post)
	g.take(first, posts)
	g.read(first, users, posts)
	g.update(first)
	format := pick(g.Rand, transfer.CSV, transfer.JSONLines)
	usersFile, postsFile := exported(first, format)
	for _, s := range []*tester{second, third} {
		restore(s, usersFile, postsFile)
		if u, p := exported(s, format); u != usersFile || p != postsFile {
			s.Errorf("%s: an export of %s has become\n%s%s\nfrom\n%s%s", s.engine, first.engine, u, p, usersFile, postsFile)
		}
	}
	g.update(second)
	wipe(third)
	usersFile, postsFile = exported(second, format)
	restore(third, usersFile, postsFile)
	if u, p := exported(third, format); u != usersFile || p != postsFile {
		third.Errorf("%s: an export of %s has become\n%s%s\nfrom\n%s%s", third.engine, second.engine, u, p, usersFile, postsFile)
	}
}

func (*givenValues) rows(n int, one func() givenRow) []givenRow {
	list := make([]givenRow, n)
	for i := range list {
		list[i] = one()
	}
	return list
}

// text is a random text of runes at the edges of what engines and formats treat in their own ways.
func (g *givenValues) text(limit int, alphabet string) string {
	runes := []rune(alphabet)
	n := pick(g.Rand, 0, 1, 2, 5, g.IntN(limit+1), limit-1, limit, limit+1)
	one := g.IntN(4) == 0 // the same again and again
	var b strings.Builder
	for i := range n {
		if i == 0 || !one {
			g.Shuffle(len(runes), func(i, j int) { runes[i], runes[j] = runes[j], runes[i] })
		}
		b.WriteRune(runes[0])
	}
	return b.String()
}

const (
	letters = "aZ0ß\u0130ıσςΣéE\u0301\u0345ﬁＡ𠀀\u1e9eǅ\u0958Ꮭꮭ\U0001d15e-_.'"
	marks   = letters + " \"'\\`%_,;|\t\n\r\x01\x7f\u0085\u2028\ufffe\uffff\ufeff\ufffd\u200d\u0390\u1fb7😀\U0010ffff<&>{}[]"
)

func (g *givenValues) username() string {
	return pick(g.Rand, g.text(rules.UsernameLimit, letters), fmt.Sprintf("user%d", g.IntN(30)), fmt.Sprintf("User%d", g.IntN(1000)), strings.Repeat(pick(g.Rand, "ａ", "é", "𠀀", "ß", "\u1e9e", "ﾞ", "क"), 1+g.IntN(rules.UsernameLimit)))
}

func (g *givenValues) email() string {
	return pick(g.Rand, g.text(64, letters)+"@example.com", fmt.Sprintf("U%d@Example.com", g.IntN(10000)), fmt.Sprintf("%s%d@例子.example", strings.Repeat("\u0390", g.IntN(30)), g.IntN(1000)), fmt.Sprintf("u%d@example.com", g.IntN(1000)), g.text(20, letters)+"@"+g.text(63, letters)+".example", g.text(10, marks))
}

func (g *givenValues) title() string {
	return pick(g.Rand, g.text(rules.TitleLimit, marks), g.text(rules.TitleLimit, letters), g.text(8, marks), "null", " x ", "\\N", "=1+1", "\ufeff", "x\u0000", strings.Repeat("\u0390", rules.TitleLimit), strings.Repeat("\U0001d160", rules.TitleLimit))
}

func (g *givenValues) body() string {
	if g.IntN(40) == 0 {
		return strings.Repeat(pick(g.Rand, "x", "\"", "\x01", "\\", "\n"), pick(g.Rand, rules.BodyLimit, rules.BodyLimit+1))
	}
	return pick(g.Rand, g.text(2000, marks), g.text(3, marks), "null", "", " ", "\r", "\r\n", "\"", "\x00", "\\.", "\ufeff")
}

// sent is the body of a mutation: JSON does not make it longer than the request may be.
func (g *givenValues) sent() string {
	text := g.body()
	if len(text) > 1<<20 {
		return strings.Repeat("x", len(text))
	}
	return text
}

func (g *givenValues) time() string {
	if g.IntN(3) > 0 {
		return pick(g.Rand, "", "2026-01-31T09:30:00Z", "1000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2999-06-01T00:00:00.000001Z", "1969-12-31T23:59:59.999999Z")
	}
	return pick(g.Rand, "", "", "2026-01-31T09:30:00Z", "1000-01-01T00:00:00Z", "1000-01-01T00:30:00+01:00", "0999-12-31T23:30:00-01:00", "0999-12-31T23:59:59.999999Z",
		"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999-00:01", "9999-12-31T23:59:59+23:59", "2016-12-31T23:59:60Z", "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z",
		"0001-01-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-31T09:30:00.1234567Z", "2026-01-31T09:30:00.100000Z", "2999-06-01T00:00:00.000001Z",
		"1582-10-10T12:00:00Z", "1900-02-28T23:59:59.5-12:00", "not a time")
}

func (g *givenValues) version() string {
	if g.IntN(3) > 0 {
		return pick(g.Rand, "", "1", "2", "1999999990", "1999999999", "2000000000")
	}
	return pick(g.Rand, "", "1", "2", "1999999990", "1999999999", "2000000000", "2000000001", "2147483646", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "0", "-1", "1.5", "1e3")
}

func (g *givenValues) id(kind string) string {
	random := func(bytes ...byte) string {
		var u uuid.UUID
		for i := range u {
			u[i] = byte(g.IntN(256))
		}
		copy(u[:], bytes)
		return typeid.New(kind, u).String()
	}
	if g.IntN(4) > 0 {
		return pick(g.Rand, "", random(), random(), random(0xff), random(0))
	}
	return pick(g.Rand, "", random(), random(0xff, 0xff), random(0, 0), kind+"_7zzzzzzzzzzzzzzzzzzzzzzzzz", kind+"_0000000000000000000000000"+pick(g.Rand, "0", "1", "g"), "other_0000000000000000000000000g", "x")
}

// history adds what a row may say of the past.
func (g *givenValues) history(r givenRow) givenRow {
	if g.IntN(2) == 0 {
		r["createdAt"], r["updatedAt"], r["version"] = g.time(), g.time(), g.version()
	}
	return r
}

func (g *givenValues) user() givenRow {
	r := givenRow{"id": g.id("user"), "username": g.username(), "email": g.email()}
	if g.IntN(2) == 0 {
		r["status"] = pick(g.Rand, "", "ACTIVE", "SUSPENDED", "SUSPENDED", "active", "x")
	}
	if g.IntN(2) == 0 {
		r["identityIssuer"], r["identitySubject"] = g.part(), g.part()
	}
	return g.history(r)
}

// part is an issuer or a subject.
func (g *givenValues) part() string {
	if g.IntN(4) > 0 {
		return pick(g.Rand, g.text(40, marks), "i", "I", "i ", " i", "https://id.example.com/", fmt.Sprint(g.IntN(1000)), "null", "\\N", strings.Repeat("é", 127)+"x")
	}
	return pick(g.Rand, "", "", "x\x00", strings.Repeat("é", 128), strings.Repeat("\x01", rules.IdentityLimit), strings.Repeat("x", rules.IdentityLimit+1), g.text(rules.IdentityLimit, marks))
}

func (g *givenValues) post() givenRow {
	author := g.id("user")
	if len(g.users) > 0 && g.IntN(8) > 0 {
		author = pick(g.Rand, g.users...)
	}
	return g.history(givenRow{"id": g.id("post"), "authorId": author, "title": g.title(), "body": g.body()})
}

// file writes rows as CSV or JSON lines, compressed or not.
func (g *givenValues) file(rows []givenRow) []byte {
	fields := []string{"id", "username", "email", "status", "identityIssuer", "identitySubject", "createdAt", "updatedAt", "version"}
	if _, ok := rows[0]["authorId"]; ok {
		fields = []string{"id", "authorId", "title", "body", "createdAt", "updatedAt", "version"}
	}
	var b bytes.Buffer
	if g.IntN(2) == 0 {
		b.WriteString(strings.Join(fields, ",") + "\n")
		for _, r := range rows {
			texts := make([]string, len(fields))
			for i, f := range fields {
				texts[i] = `"` + strings.ReplaceAll(r[f], `"`, `""`) + `"`
			}
			b.WriteString(strings.Join(texts, ",") + pick(g.Rand, "\n", "\r\n"))
		}
	} else {
		for _, r := range rows {
			members := map[string]any{}
			for _, f := range fields {
				if members[f] = r[f]; f == "version" {
					members[f] = json.RawMessage(r[f])
				}
				if r[f] == "" {
					members[f] = nil
				}
			}
			if r["identityIssuer"]+r["identitySubject"] != "" {
				members["identity"] = map[string]any{"issuer": members["identityIssuer"], "subject": members["identitySubject"]}
			}
			delete(members, "identityIssuer")
			delete(members, "identitySubject")
			line, err := json.Marshal(members)
			if err != nil { // a version that is no JSON
				line = []byte("{}")
			}
			b.Write(append(line, '\n'))
		}
	}
	if g.IntN(3) > 0 {
		return b.Bytes()
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(b.Bytes()) // a buffer takes it
	_ = z.Close()
	return zipped.Bytes()
}

// take imports rows, and counts what became of them.
func (g *givenValues) take(s *tester, rows []givenRow) {
	before := len(all(s))
	for _, f := range load(s, g.file(rows), directory.Fail) {
		g.counts["import "+string(f.Code)]++
		if f.Code == "" || f.Message == "" {
			s.Errorf("%s: a fault says %+v", s.engine, f)
		}
	}
	g.counts["import "] += len(all(s)) - before
}

// load imports a file, and returns what is wrong with it.
func load(s *tester, file []byte, mode directory.OnConflict) (faults []transfer.Fault) {
	s.Helper()
	r, err := transfer.NewReader(bytes.NewReader(file), "", 1<<25)
	if err != nil {
		s.Fatalf("%v: %.1000q", err, file)
	}
	now := time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC)
	_, err = transfer.Import(rules.WithCaller(s.Context(), rules.Everyone()), s.db, r, transfer.ImportOptions{
		OnConflict: mode, Tolerant: true, Now: now, IDs: typeid.NewSource(func() time.Time { return now }, rand.NewChaCha8([32]byte{byte(len(file))})),
		Reject: func(list []transfer.Fault) error {
			faults = append(faults, list...)
			return nil
		},
	})
	if err != nil {
		s.Fatalf("%s: %v: %.1000q", s.engine, err, file)
	}
	return faults
}

// restore imports exports, of which nothing may be rejected.
func restore(s *tester, users, posts string) {
	s.Helper()
	for _, file := range []string{users, posts} {
		if file == "" {
			continue
		}
		if faults := load(s, []byte(file), directory.Fail); len(faults) > 0 {
			s.Errorf("%s: an export cannot be imported: %+v: %.2000q", s.engine, faults, file)
		}
	}
}

func exported(s *tester, format transfer.Format) (users, posts string) {
	s.Helper()
	var texts [2]string
	for i, kind := range []transfer.Kind{transfer.Users, transfer.Posts} {
		var b bytes.Buffer
		if _, err := transfer.Export(rules.WithCaller(s.Context(), rules.Everyone()), s.db, kind, format, &b); err != nil {
			s.Fatalf("%s: %v", s.engine, err)
		}
		texts[i] = b.String()
	}
	return texts[0], texts[1]
}

// wipe deletes everything.
func wipe(s *tester) {
	s.Helper()
	ctx := rules.WithCaller(s.Context(), rules.Everyone())
	session := s.db.Session(database.Write)
	defer session.Rollback()
	_, err := database.Affected(ctx, session, "DELETE FROM posts")
	if err == nil {
		_, err = database.Affected(ctx, session, "DELETE FROM users")
	}
	if err = errors.Join(err, session.Commit()); err != nil {
		s.Fatal(err)
	}
}

// ids is the IDs of all users or posts.
func ids(s *tester, kind string) (list []string) {
	s.Helper()
	var page struct {
		All struct{ Nodes []struct{ ID string } }
	}
	s.must(&page, "{ all: "+kind+"(first: 100) { nodes { id } } }")
	for _, n := range page.All.Nodes {
		list = append(list, n.ID)
	}
	return list
}

// outcome counts the answer of a mutation, and reports whether it was done. A mutation is refused for its input alone.
func (g *givenValues) outcome(s *tester, what string, a *answer) bool {
	s.Helper()
	for _, e := range a.Errors {
		code := e.Extensions.Code
		g.counts[what+" "+code]++
		if !slices.Contains([]string{"BLANK", "INVALID", "TOO_LONG", "TAKEN", "NOT_FOUND"}, code) || len(e.Extensions.Field) == 0 {
			s.Errorf("%s: %s answers %+v", s.engine, what, e)
		}
	}
	if len(a.Errors) > 0 {
		return false
	}
	g.counts[what+" "]++
	return true
}

// create creates users with posts by mutations, and compares what they return.
func (g *givenValues) create(s *tester) {
	for range 6 {
		username, email, title, body := g.username(), g.email(), g.title(), g.sent()
		a := s.do(`mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id username email posts { nodes { title body } } } } }`, "input", map[string]any{
			"username": username, "email": email, "posts": []any{map[string]any{"title": title, "body": body}},
		})
		if !g.outcome(s, "create", a) {
			continue
		}
		var made struct {
			CreateUser struct {
				User struct {
					Username, Email string
					Posts           struct {
						Nodes []struct{ Title, Body string }
					}
				}
			}
		}
		if err := json.Unmarshal(a.Data, &made); err != nil {
			s.Fatal(err)
		}
		u := made.CreateUser.User
		if u.Username != username || u.Email != email || u.Posts.Nodes[0].Title != title || u.Posts.Nodes[0].Body != body {
			s.Errorf("%s: %q %q %q %.100q became %s", s.engine, username, email, title, body, short(u))
		}
	}
}

// thing is a user or a post as clients read it.
type thing struct {
	ID, Username, Email, Title, Body string
	Status                           string
	Identity                         struct{ Issuer, Subject string }
	CreatedAt, UpdatedAt             time.Time
	Version                          int
}

const (
	userFields = "id username email status identity { issuer subject } createdAt updatedAt version"
	postFields = "id title body createdAt updatedAt version"
)

func all(s *tester) (things map[string]thing) {
	s.Helper()
	things = map[string]thing{}
	var page struct{ Users, Posts struct{ Nodes []thing } }
	s.must(&page, "{ users(first: 100) { nodes { "+userFields+" } } posts(first: 100) { nodes { "+postFields+" } } }")
	for _, n := range slices.Concat(page.Users.Nodes, page.Posts.Nodes) {
		things[n.ID] = n
		switch {
		case n.UpdatedAt.Before(n.CreatedAt), n.Version < 1, n.Version > rules.MaxVersion, !utf8.ValidString(n.Title + n.Body):
			s.Errorf("%s: there is %s", s.engine, short(n))
		}
	}
	return things
}

// read checks that what was accepted of files is what clients read.
func (*givenValues) read(s *tester, rows ...[]givenRow) {
	things := all(s)
	seen := map[string]bool{}
	for _, r := range slices.Concat(rows...) {
		n, ok := things[r["id"]]
		if !ok || seen[r["id"]] { // rejected, or without an ID
			continue
		}
		same := n.Username == r["username"] && n.Email == r["email"] && n.Title == r["title"] && n.Body == r["body"]
		if n.Username != "" {
			same = same && n.Status == cmp.Or(r["status"], "ACTIVE") && n.Identity.Issuer == r["identityIssuer"] && n.Identity.Subject == r["identitySubject"]
		}
		if at, f := rules.StoredTime(r["createdAt"]); r["createdAt"] != "" {
			same = same && f == nil && at.Equal(n.CreatedAt)
		}
		if at, f := rules.StoredTime(r["updatedAt"]); r["updatedAt"] != "" {
			same = same && f == nil && at.Equal(n.UpdatedAt)
		}
		if r["version"] != "" {
			same = same && r["version"] == fmt.Sprint(n.Version)
		}
		if seen[n.ID] = same; same {
			continue
		}
		if !slices.ContainsFunc(slices.Concat(rows...), func(o givenRow) bool {
			return o["id"] == n.ID && o["username"] == n.Username && o["title"] == n.Title && o["body"] == n.Body && o["identitySubject"] == n.Identity.Subject
		}) {
			s.Errorf("%s: %s became %s", s.engine, short(r), short(n))
		}
	}
}

// update updates everything: what has a version to come takes valid values.
func (g *givenValues) update(s *tester) {
	things := all(s)
	for _, id := range slices.Sorted(maps.Keys(things)) {
		was := things[id]
		kind, input := "Post", map[string]any{"id": id}
		if strings.HasPrefix(id, "user_") {
			kind = "User"
		}
		valid := g.IntN(2) == 0
		switch {
		case kind == "User" && valid:
			input["username"], input["status"] = fmt.Sprintf("renamed%d", g.Uint64()), pick(g.Rand, "ACTIVE", "SUSPENDED")
			input["identity"] = pick(g.Rand, nil, any(map[string]any{"issuer": "i", "subject": fmt.Sprint(g.Uint64())}))
		case kind == "User":
			input["username"], input["email"] = g.username(), g.email()
			input["identity"] = map[string]any{"issuer": g.part(), "subject": g.part()}
		case valid:
			input["title"], input["body"] = fmt.Sprintf("t%d", g.Uint64()), "body"
		default:
			input["title"], input["body"] = g.title(), g.sent()
		}
		fields := userFields
		if kind == "Post" {
			fields = postFields
		}
		a := s.do("mutation ($input: Update"+kind+"Input!) { update: update"+kind+"(input: $input) { node: "+strings.ToLower(kind)+" { "+fields+" } } }", "input", input)
		done := g.outcome(s, "update", a)
		if valid && done != (was.Version < rules.MaxVersion) {
			s.Errorf("%s: an update of version %d: %+v", s.engine, was.Version, a.Errors)
		}
		if !done {
			continue
		}
		var data struct{ Update struct{ Node thing } }
		if err := json.Unmarshal(a.Data, &data); err != nil {
			s.Fatal(err)
		}
		n := data.Update.Node
		changed := 0
		if n.Username != was.Username || n.Email != was.Email || n.Status != was.Status || n.Identity != was.Identity || n.Title != was.Title || n.Body != was.Body {
			changed = 1
		}
		if n.Version != was.Version+changed || n.UpdatedAt.Before(was.UpdatedAt) || !n.CreatedAt.Equal(was.CreatedAt) {
			s.Errorf("%s: an update made %s of %s", s.engine, short(n), short(was))
		}
	}
	all(s)
}

// short is a value as far as people read it.
func short(v any) string { return fmt.Sprintf("%.500s", fmt.Sprintf("%+v", v)) }
