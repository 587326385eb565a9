package transfer_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"entgo.io/ent/dialect/sql"

	"roster/ent/rules"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/fixture"
	"roster/internal/dbtest/migrated"
	"roster/internal/directory"
	"roster/internal/feed"
	"roster/internal/seed"
	"roster/internal/transfer"
	"roster/internal/typeid"
)

func everyone(t *testing.T) context.Context {
	t.Helper()
	return rules.WithCaller(t.Context(), rules.Everyone())
}

// world is a database to which files are imported, one after the other. The same files make the same world, down to the
// IDs.
type world struct {
	db  *database.DB
	now time.Time
	ids *typeid.Source
}

func newWorld(db *database.DB) *world {
	w := &world{db: db, now: time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)}
	w.ids = typeid.NewSource(func() time.Time { return w.now }, mathrand.NewChaCha8([32]byte{}))
	return w
}

// take imports a text, and returns the summary and what was wrong.
func (w *world) take(t *testing.T, text string, o transfer.ImportOptions) (transfer.Summary, []string, error) {
	t.Helper()
	r, err := transfer.NewReader(strings.NewReader(text), "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	w.now = w.now.Add(time.Hour)
	o.Now, o.IDs = w.now, w.ids
	o.Reject = func(found []transfer.Fault) error {
		for _, f := range found {
			faults = append(faults, fmt.Sprintf("%d %s %s", f.Line, f.Field, f.Message))
		}
		return nil
	}
	summary, err := transfer.Import(everyone(t), w.db, r, o)
	return summary, faults, err
}

// export is all that there is.
func (w *world) export(t *testing.T, format transfer.Format) (users, posts string) {
	t.Helper()
	var texts [2]string
	for i, kind := range []transfer.Kind{transfer.Users, transfer.Posts} {
		var b bytes.Buffer
		if _, err := transfer.Export(everyone(t), w.db, kind, format, &b); err != nil {
			t.Fatal(err)
		}
		texts[i] = b.String()
	}
	return texts[0], texts[1]
}

// changes is the whole feed.
func (w *world) changes(t *testing.T) (all []string) {
	t.Helper()
	ctx := everyone(t)
	if err := feed.Number(ctx, w.db); err != nil {
		t.Fatal(err)
	}
	session := w.db.Session(database.Snapshot)
	defer session.Rollback()
	for after := (*feed.Cursor)(nil); ; {
		page, err := feed.Read(ctx, session, feed.Request{After: after, First: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Changes {
			all = append(all, fmt.Sprint(c.NodeID, " ", c.Kind, " ", c.Version, " ", c.Fields, " ", c.At.Format(time.RFC3339)))
		}
		if after = &page.End; page.CaughtUp {
			return all
		}
	}
}

// former returns the hashes of the identities that users had and lost, and of the users that had and lost one.
func (w *world) former(t *testing.T) (all []string) {
	t.Helper()
	session := w.db.Session(database.Single)
	defer session.Rollback()
	err := database.Each(everyone(t), session, "SELECT id FROM former_identities ORDER BY id", nil, func(rows *sql.Rows) error {
		var hash string
		err := rows.Scan(&hash)
		all = append(all, hash)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// file makes rows of few names, addresses and IDs, so that each kind of conflict comes up: with what is there, and with
// rows before.
type file struct {
	random *mathrand.Rand
	users  []typeid.ID
	posts  []typeid.ID
}

func newFile(random *mathrand.Rand) *file {
	f := &file{random: random}
	ids := typeid.NewSource(func() time.Time { return time.UnixMilli(1_700_000_000_000) }, mathrand.NewChaCha8([32]byte{1}))
	for range 6 {
		f.users, f.posts = append(f.users, ids.New("user")), append(f.posts, ids.New("post"))
	}
	return f
}

func (f *file) pick(of ...string) string { return of[f.random.IntN(len(of))] }

func (f *file) name() string {
	return f.pick("ada", "Ada", "ADA", "bob", "Bob", "cleo", "dora", "élise", "ÉLISE", "", "no name")
}

func (f *file) address() string {
	return f.pick("a", "A", "b", "c", "d", "e", "é", "É") + f.pick("@example.com", "@example.com", "@EXAMPLE.com", "@example.org", "")
}

// identity is one of a few, none, or wrong.
func (f *file) identity() string {
	return f.pick("null", "null", `{"issuer": "i", "subject": "s"}`, `{"issuer": "i", "subject": "S"}`, `{"issuer": "j", "subject": "s"}`, `{"issuer": "i", "subject": "s "}`, `{"issuer": "j", "subject": "S"}`, `{}`)
}

func (f *file) post(nested bool) string {
	parts := []string{fmt.Sprintf(`"title": %q`, f.pick("x", "y", "Engines", ""))}
	if f.random.IntN(2) == 0 {
		parts = append(parts, fmt.Sprintf(`"body": %q`, f.pick("", "text")))
	}
	if f.random.IntN(2) == 0 {
		parts = append(parts, fmt.Sprintf(`"id": "%s"`, f.posts[f.random.IntN(len(f.posts))]))
	}
	if !nested {
		parts = append(parts, fmt.Sprintf(`"authorId": "%s"`, f.users[f.random.IntN(len(f.users))]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (f *file) text(rows int) string {
	var b strings.Builder
	for range rows {
		if f.random.IntN(3) == 0 {
			b.WriteString(f.post(false) + "\n")
			continue
		}
		fmt.Fprintf(&b, `{"username": %q, "email": %q`, f.name(), f.address())
		if f.random.IntN(2) == 0 {
			fmt.Fprintf(&b, `, "id": "%s"`, f.users[f.random.IntN(len(f.users))])
		}
		if f.random.IntN(3) == 0 {
			fmt.Fprintf(&b, `, "createdAt": "2024-01-0%dT00:00:00Z", "version": %d`, 1+f.random.IntN(9), 1+f.random.IntN(3))
		}
		if f.random.IntN(3) == 0 {
			fmt.Fprintf(&b, `, "status": %q`, f.pick("ACTIVE", "ACTIVE", "ACTIVE", "SUSPENDED", "SUSPENDED", "SUSPENDED", "active"))
		}
		if f.random.IntN(3) == 0 {
			b.WriteString(`, "identity": ` + f.identity())
		}
		if n := f.random.IntN(3); n > 0 {
			posts := make([]string, n)
			for i := range posts {
				posts[i] = f.post(true)
			}
			b.WriteString(`, "posts": [` + strings.Join(posts, ", ") + "]")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// TestImportRowByRow imports random files in one piece, and each row in a transaction of its own: the outcome is the
// same, down to versions, faults and changes, whatever becomes of conflicts, and on every engine.
func TestImportRowByRow(t *testing.T) {
	t.Parallel()
	outcomes := make(chan []string, len(dbtest.Engines()))
	t.Run("engines", func(t *testing.T) {
		t.Parallel()
		dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
			random := mathrand.New(mathrand.NewPCG(3, 4))
			var log []string
			for range 8 {
				f := newFile(random)
				whole, single := newWorld(migrated.Open(t, e)), newWorld(migrated.Open(t, e))
				for _, mode := range []directory.OnConflict{directory.Fail, directory.Skip, directory.Update, directory.Update, directory.Fail} {
					text := f.text(1 + random.IntN(40))
					o := transfer.ImportOptions{OnConflict: mode, Tolerant: true}
					want := outcome(t, single, text, o, 1)
					if got := outcome(t, whole, text, o, 0); got != want {
						t.Fatalf("%s of\n%s\n got %s\nwant %s", mode, text, got, want)
					}
					log = append(log, want)
				}
			}
			outcomes <- log
		})
	})
	t.Cleanup(func() {
		close(outcomes)
		first := <-outcomes
		for other := range outcomes {
			if i := slices.IndexFunc(other, func(s string) bool { return !slices.Contains(first, s) }); i >= 0 || len(first) != len(other) {
				t.Errorf("got other outcomes on two engines, want the same: %s", other[max(i, 0)])
			}
		}
		all := strings.Join(first, "")
		for _, seen := range []string{"created", "updated", "[username]", "[email]", " status]", " identity]", " status identity]", "SUSPENDED", "identity is taken", "former", "[username email]", "[author]", "is taken", "belongs to no user", "belongs to a user"} {
			if !strings.Contains(all, seen) {
				t.Errorf("got no outcome with %q, want one", seen)
			}
		}
	})
}

// outcome imports a text in batches, and says all that came of it.
func outcome(t *testing.T, w *world, text string, o transfer.ImportOptions, batch int) string {
	t.Helper()
	o.Batch = batch
	summary, faults, err := w.take(t, text, o)
	if err != nil {
		t.Fatalf("%v of\n%s", err, text)
	}
	users, posts := w.export(t, transfer.CSV)
	text = fmt.Sprintf("%+v\n%s\n%s\n%s\n%s\n", summary, strings.Join(faults, "\n"), users, posts, strings.Join(w.changes(t), "\n"))
	for _, hash := range w.former(t) {
		text += "former " + hash + "\n"
	}
	return withoutNewIDs(text)
}

// withoutNewIDs replaces each ID that an import created by its place among them. The IDs of a file are of 2023. Imports that
// give the same rows may draw different numbers of IDs for them.
func withoutNewIDs(text string) string {
	places := map[string]int{}
	return regexp.MustCompile(`(user|post)_01k\w+`).ReplaceAllStringFunc(text, func(id string) string {
		if _, ok := places[id]; !ok {
			places[id] = len(places)
		}
		return fmt.Sprintf("%s new %d", id[:len("user")], places[id])
	})
}

// TestRoundTrip exports a database of more rows than are read or written at once, imports it on the next engine, and
// exports it there: the same bytes, in both formats, from engine to engine and back to the first.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	ctx := everyone(t)
	first := newWorld(migrated.Open(t, dbtest.SQLite))
	if err := seed.Fill(ctx, first.db, seed.Options{Users: 4200, PostsPerUser: 1, Seed: 7}); err != nil {
		t.Fatal(err)
	}
	awkward(t, first)
	for _, format := range []transfer.Format{transfer.CSV, transfer.JSONLines} {
		users, posts := first.export(t, format)
		if again, _ := first.export(t, format); again != users {
			t.Error("got other bytes from the second export, want the same")
		}
		for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL, dbtest.SQLite} {
			next := newWorld(migrated.Open(t, e))
			rows := 0
			for _, text := range []string{users, posts} {
				summary, faults, err := next.take(t, text, transfer.ImportOptions{OnConflict: directory.Fail})
				if err != nil || summary.Users[directory.Created]+summary.Posts[directory.Created] != summary.Rows() {
					t.Fatalf("%s: got %+v, %q, %v, want all rows created", e, summary, faults, err)
				}
				rows += summary.Rows()
			}
			nextUsers, nextPosts := next.export(t, format)
			if nextUsers != users || nextPosts != posts {
				t.Fatalf("%s from %s: %s", format, e, difference(nextUsers+nextPosts, users+posts))
			}
			if n := len(next.changes(t)); n != rows {
				t.Errorf("got %d changes, want %d", n, rows)
			}
			users, posts = nextUsers, nextPosts
		}
	}
}

// difference is where two texts differ.
func difference(a, b string) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	return fmt.Sprintf("%.200q, not %.200q", a[i:], b[i:])
}

// awkward adds users and posts whose texts are hard on formats.
func awkward(t *testing.T, w *world) {
	t.Helper()
	id, history := w.ids.New("user"), directory.History{CreatedAt: w.now, UpdatedAt: w.now.Add(time.Microsecond), Version: rules.MaxVersion}
	u, faults := directory.UserRecord(id, "o'neil;x", "o'neil|x@example.com", history)
	if err := faults.Err(); err != nil {
		t.Fatal(err)
	}
	records := []*directory.Record{u}
	for i, part := range []string{" ", "=1", "'=1", "null", "\\N", "\r\n", "a\rb", `"x","`, "<&>", "\ufeff", "\u2028", "ÿ😀", "\x01", strings.Repeat("é", 127)} {
		for j, identity := range []rules.Identity{{Issuer: part, Subject: "s"}, {Issuer: "i", Subject: part}} {
			u := fixture.User(t, w.ids.New("user"), fmt.Sprintf("account%d.%d", i, j), fixture.At(w.now))
			if err := u.SetIdentity(&identity).Err(); err != nil {
				t.Fatal(err)
			}
			if f := u.SetStatus("SUSPENDED"); f != nil {
				t.Fatal(f)
			}
			records = append(records, u)
		}
	}
	for _, text := range []string{
		"", " ", "\r", "\n", "\r\n", "a\r\nb\rc\nd\r", `"`, `""`, `","`, ",;\t|", "\\N", "\\.", "\\n\\t", "NULL", "null", "=1+1", "\ufeff", "\u2028\u2029\u0085",
		"\x01\x7f", "<b>&amp;</b>", "😀\u200d", "{}", strings.Repeat("x\n", 5000), "\v\f\b",
	} {
		title := strings.NewReplacer("\r", "", "\n", "", "\t", "", "\u2028", "", "\u2029", "", "\u0085", "", "\x01", "", "\x7f", "", "\v", "", "\f", "", "\b", "").Replace("t" + text[:min(len(text), 20)])
		records = append(records, fixture.Post(t, w.ids.New("post"), id, title, text, fixture.At(w.now)))
	}
	fixture.Write(t, w.db, records...)
}

// TestImportAccounts imports status and identity: what a file does not have stays as it is.
func TestImportAccounts(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		w := newWorld(migrated.Open(t, e))
		for _, step := range []struct {
			name, text string
			want       []string // users, without IDs, times and versions
			faults     []string
			former     int
			mode       directory.OnConflict
		}{
			{
				name: "new users",
				text: "username,email,status,identityIssuer,identitySubject\nada,ada@example.com,SUSPENDED,i,a\nbob,bob@example.com,,,\ncleo,cleo@example.com,ACTIVE,j,a\n",
				want: []string{"ada SUSPENDED i a", "bob ACTIVE  ", "cleo ACTIVE j a"},
			},
			{
				name: "without the columns", text: "username,email\nada,a@example.com\ndora,dora@example.com\n",
				want: []string{"ada SUSPENDED i a", "bob ACTIVE  ", "cleo ACTIVE j a", "dora ACTIVE  "},
			},
			{
				name: "with empty cells", text: "username,email,status,identityIssuer,identitySubject\nADA,ada@example.com,,,\n",
				want: []string{"ADA SUSPENDED i a", "bob ACTIVE  ", "cleo ACTIVE j a", "dora ACTIVE  "},
			},
			{
				name: "JSON without the members", text: `{"username":"ada","email":"ada@example.com","status":null}`,
				want: []string{"ada SUSPENDED i a", "bob ACTIVE  ", "cleo ACTIVE j a", "dora ACTIVE  "},
			},
			{
				name: "identities of others", text: "username,email,identityIssuer,identitySubject\nbob,bob@example.com,i,a\nbob,bob@example.com,I,a\neve,eve@example.com,j,a\neva,eva@example.com,I,a\n",
				want:   []string{"ada SUSPENDED i a", "bob ACTIVE I a", "cleo ACTIVE j a", "dora ACTIVE  "},
				faults: []string{"2 identity is taken", "4 identity is taken", "5 identity is taken"},
			},
			{
				name: "an identity that moves, one that is exchanged, and a removed one",
				text: `{"username":"ada","email":"ada@example.com","identity":null}` + "\n" + `{"username":"bob","email":"bob@example.com","identity":{"issuer":"i","subject":"a"},"status":"SUSPENDED"}` + "\n" +
					`{"username":"cleo","email":"cleo@example.com","identity":{"issuer":"I","subject":"a"}}` + "\n" + `{"username":"dora","email":"dora@example.com","identity":{"issuer":"j","subject":"a"}}`,
				want:   []string{"ada SUSPENDED  ", "bob SUSPENDED i a", "cleo ACTIVE I a", "dora ACTIVE j a"},
				former: 4,
			},
			{
				name: "one user that changes several times",
				text: `{"username":"ada","email":"ada@example.com","status":"ACTIVE","identity":{"issuer":"k","subject":"1"}}` + "\n" + `{"username":"ada","email":"ada@example.com","identity":{"issuer":"k","subject":"2"}}` + "\n" +
					`{"username":"ada","email":"ada@example.com","identity":{"issuer":"k","subject":"1"}}` + "\n" + `{"username":"ada","email":"ada@example.com","identity":null}` + "\n" +
					`{"username":"eva","email":"eva@example.com","identity":{"issuer":"k","subject":"1"}}` + "\n" + `{"username":"eva","email":"eva@example.com","identity":{"issuer":"k","subject":"2"}}`,
				want:   []string{"ada ACTIVE  ", "bob SUSPENDED i a", "cleo ACTIVE I a", "dora ACTIVE j a", "eva ACTIVE k 2"},
				former: 6,
			},
			{
				name: "conflicts", mode: directory.Fail, text: "username,email,identityIssuer,identitySubject\nfay,fay@example.com,j,a\nada,x@example.com,i,a\nfay,fay@example.com,j,A\n",
				want:   []string{"ada ACTIVE  ", "bob SUSPENDED i a", "cleo ACTIVE I a", "dora ACTIVE j a", "eva ACTIVE k 2", "fay ACTIVE j A"},
				faults: []string{"2 identity is taken", "3 username is taken", "3 identity is taken"}, former: 6,
			},
			{
				name: "conflicts that are skipped", mode: directory.Skip, text: "username,email,identityIssuer,identitySubject\ngus,gus@example.com,j,a\n",
				want: []string{"ada ACTIVE  ", "bob SUSPENDED i a", "cleo ACTIVE I a", "dora ACTIVE j a", "eva ACTIVE k 2", "fay ACTIVE j A"}, former: 6,
			},
		} {
			_, faults, err := w.take(t, step.text, transfer.ImportOptions{OnConflict: cmp.Or(step.mode, directory.Update), Tolerant: true})
			users, _ := w.export(t, transfer.CSV)
			var got []string
			for line := range strings.Lines(users) {
				if cells := strings.Split(line, ","); cells[0] != "id" {
					got = append(got, strings.Join([]string{cells[1], cells[3], cells[4], cells[5]}, " "))
				}
			}
			if err != nil || !slices.Equal(got, step.want) || !slices.Equal(faults, step.faults) || len(w.former(t)) != step.former {
				t.Errorf("%s: got %q, faults %q, %d hashes of identities and users, %v, want %q, %q, %d", step.name, got, faults, len(w.former(t)), err, step.want, step.faults, step.former)
			}
		}
	})
}

// TestImportStatements counts statements: those that look up identities do not depend on the number of rows, and a file
// without identities has none.
func TestImportStatements(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		sent := 0
		w := newWorld(migrated.Open(t, e, func(o *database.Options) { o.Observe = func(string) { sent++ } }))
		count := func(rows int, row func(i int) string) int {
			before, text := sent, ""
			for i := range rows {
				text += row(i) + "\n"
			}
			if _, faults, err := w.take(t, text, transfer.ImportOptions{OnConflict: directory.Update}); err != nil {
				t.Fatal(faults, err)
			}
			return sent - before
		}
		plain := func(i int) string { return fmt.Sprintf(`{"username":"u%d","email":"u%d@example.com"}`, i, i) }
		with := func(subject int) func(i int) string {
			return func(i int) string {
				return fmt.Sprintf(`{"username":"u%d","email":"u%d@example.com","identity":{"issuer":"i","subject":"%d"}}`, i, i, subject+i)
			}
		}
		count(1000, plain)
		unchanged := count(1000, plain)
		count(1000, with(10_000))
		if got := count(1000, with(10_000)); got != unchanged+1 {
			t.Errorf("with identities: got %d statements, want one more than the %d without", got, unchanged)
		}
		two, many := count(2, with(20_000)), count(500, with(30_000)) // all have an identity, and lose it
		if many != two {
			t.Errorf("other identities: got %d statements for 500 users, want %d as for two", many, two)
		}
	})
}

// TestImportAll takes nothing when a row is rejected, or only the batches before it; and nothing in a dry run.
func TestImportAll(t *testing.T) {
	t.Parallel()
	const text = "username,email\na,a@example.com\nb,b@example.com\nc,c@example.com\nd,d@example.com\nB,e@example.com\nf,f@example.com\n"
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		w := newWorld(migrated.Open(t, e))
		total := func(want int) {
			t.Helper()
			if users, _ := w.export(t, transfer.CSV); strings.Count(users, "@") != want || len(w.changes(t)) != want {
				t.Errorf("got %s, want %d users, each with a change", users, want)
			}
		}
		summary, faults, err := w.take(t, text, transfer.ImportOptions{OnConflict: directory.Fail})
		if !errors.Is(err, transfer.ErrRejected) || summary != (transfer.Summary{}) || !slices.Equal(faults, []string{"6 username is taken"}) {
			t.Errorf("got %+v, %q, %v, want only a fault of line 6", summary, faults, err)
		}
		total(0)
		summary, _, err = w.take(t, text, transfer.ImportOptions{OnConflict: directory.Skip, DryRun: true, Batch: 2})
		if want := (transfer.Summary{Users: transfer.Counts{directory.Created: 5, directory.Skipped: 1}}); err != nil || summary != want {
			t.Errorf("got %+v, %v, want %+v", summary, err, want)
		}
		total(0)
		summary, _, err = w.take(t, text, transfer.ImportOptions{OnConflict: directory.Fail, Batch: 2})
		if want := (transfer.Summary{Users: transfer.Counts{directory.Created: 4}}); !errors.Is(err, transfer.ErrRejected) || summary != want {
			t.Errorf("got %+v, %v, want %+v", summary, err, want)
		}
		total(4)
		summary, _, err = w.take(t, text, transfer.ImportOptions{OnConflict: directory.Skip, Batch: 2})
		if want := (transfer.Summary{Users: transfer.Counts{directory.Created: 1, directory.Skipped: 5}}); err != nil || summary != want {
			t.Errorf("got %+v, %v, want %+v", summary, err, want)
		}
		total(5)
		full := errors.New("the disk is full")
		r, err := transfer.NewReader(strings.NewReader("username,email\nx,x@example.com\n"), "", 100)
		if err != nil {
			t.Fatal(err)
		}
		_, err = transfer.Import(everyone(t), w.db, r, transfer.ImportOptions{
			OnConflict: directory.Fail, Now: w.now, IDs: w.ids, BeforeCommit: func() error { return full },
		})
		if !errors.Is(err, full) {
			t.Errorf("got %v, want %v", err, full)
		}
		total(5)
	})
}

func TestForbidden(t *testing.T) {
	t.Parallel()
	db := migrated.Open(t, dbtest.SQLite)
	r, err := transfer.NewReader(strings.NewReader("username,email\na,a@example.com\n"), "", 100)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(db)
	if _, err := transfer.Import(t.Context(), db, r, transfer.ImportOptions{OnConflict: directory.Fail, Now: w.now, IDs: w.ids}); err == nil {
		t.Error("import without a caller: got no error, want a ForbiddenError")
	}
	if _, err := transfer.Export(t.Context(), db, transfer.Users, transfer.CSV, new(bytes.Buffer)); err == nil {
		t.Error("export without a caller: got no error, want a ForbiddenError")
	}
	member := rules.WithCaller(t.Context(), rules.Caller{Subject: "ada", Roles: []rules.Role{rules.Member}, User: w.ids.New("user")})
	for kind, want := range map[transfer.Kind]string{transfer.Users: "the caller may not read User.identity", transfer.Posts: "<nil>"} {
		if _, err := transfer.Export(member, db, kind, transfer.CSV, new(bytes.Buffer)); fmt.Sprint(err) != want {
			t.Errorf("export of %s as a MEMBER: got %v, want %s", kind, err, want)
		}
	}
	if users, _ := w.export(t, transfer.CSV); strings.Contains(users, "@") {
		t.Errorf("after a forbidden import: got %s, want no users", users)
	}
}

// TestImportMeetsWriter imports a name that another transaction takes at the same time: whoever is first has it, and the
// import takes all of its rows or none.
func TestImportMeetsWriter(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		w := newWorld(migrated.Open(t, e))
		tx := directory.New(w.db.Session(database.Write), directory.Options{Clock: func() time.Time { return w.now }, IDs: w.ids})
		defer tx.Rollback()
		_, err := tx.CreateUsers(everyone(t), []directory.CreateUser{{Username: "ada", Email: "first@example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			_, _, err := w.take(t, "username,email\nbob,bob@example.com\nADA,second@example.com\n", transfer.ImportOptions{OnConflict: directory.Fail})
			done <- err
		}()
		if err := tx.Commit(everyone(t), nil); err != nil {
			t.Fatal(err)
		}
		failure := database.AsFailure(<-done)
		if users, _ := w.export(t, transfer.CSV); strings.Count(users, "@") != 1 || !strings.Contains(users, "first@") {
			t.Errorf("got %s and %v, want only the user of the transaction", users, failure)
		}
		if failure != nil && failure.Kind != database.Unique {
			t.Errorf("got the failure %v, want one of a unique key", failure)
		}
	})
}
