package cli_test

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"roster/ent"
	"roster/ent/rules"
	"roster/internal/cli"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/directory"
	"roster/internal/feed"
	"roster/internal/idempotency"
	"roster/internal/typeid"
)

// The texts of the person, with characters that JSON escapes.
const (
	personName    = `o"n<e>&il\`
	personEmail   = "bücher&o'neill@example.com"
	personSubject = "auth0|o\"n<e>&il\\ 🐘\u2028"
	issuer        = "https://id.example.com/"
)

// people is a database with the person, and with others.
type people struct {
	*testing.T
	db     *database.DB
	url    string // the flag
	ids    *typeid.Source
	person *ent.User
	posts  []*ent.Post // of the person
	others []*ent.User // their names have the name of the person in them, or are in it
}

func newPeople(t *testing.T, e dbtest.Engine) *people {
	t.Helper()
	p := &people{T: t}
	p.db = migrated.Open(t, e, func(o *database.Options) { p.url = "--database-url=" + o.URL })
	return p
}

// populate creates the person with posts, by another person, and others. All of them wrote changes, and have stored answers.
func (p *people) populate(posts int) *people {
	p.Helper()
	if p.ids == nil { // the same IDs on every engine
		p.ids = typeid.NewSource(func() time.Time { return time.Unix(1_700_000_000, 0) }, rand.NewChaCha8([32]byte{}))
	}
	p.posts = nil
	input := []directory.CreateUser{
		{Username: personName, Email: personEmail, Status: rules.Active, Identity: &rules.Identity{Issuer: issuer, Subject: personSubject}},
		{Username: personName + "x", Email: "x" + personEmail, Status: rules.Active, Identity: &rules.Identity{Issuer: issuer, Subject: personSubject + "x"}},
		{Username: personName[1:], Email: "bücher@example.com", Status: rules.Suspended},
	}
	var users []*ent.User
	p.write("boss", func(ctx context.Context, tx *directory.Transaction) (err error) {
		users, err = tx.CreateUsers(ctx, input)
		return err
	})
	p.person, p.others = users[0], users[1:]
	for _, u := range p.others {
		p.post(u, personSubject+"x")
	}
	for range posts {
		p.posts = append(p.posts, p.post(p.person, personSubject))
	}
	return p
}

// write writes as the subject.
func (p *people) write(subject string, write func(ctx context.Context, tx *directory.Transaction) error) {
	p.Helper()
	if err := p.try(subject, write); err != nil {
		p.Fatal(err)
	}
}

func (p *people) try(subject string, write func(ctx context.Context, tx *directory.Transaction) error) error {
	ctx := rules.WithCaller(p.Context(), rules.Caller{Issuer: issuer, Subject: subject, Roles: []rules.Role{rules.Admin}})
	clock := func() time.Time { return time.Date(2026, 1, 31, 9, 30, 0, 1000, time.UTC) }
	tx := directory.New(p.db.Session(database.Write), directory.Options{Clock: clock, IDs: p.ids})
	defer tx.Rollback()
	if err := write(ctx, tx); err != nil {
		return err
	}
	return tx.Commit(ctx, nil)
}

// post creates a post.
func (p *people) post(author *ent.User, subject string) (post *ent.Post) {
	p.Helper()
	p.write(subject, func(ctx context.Context, tx *directory.Transaction) error {
		posts, err := tx.CreatePosts(ctx, []directory.CreatePost{{AuthorID: author.ID, Title: "A title", Body: "<body>\n\"é\""}}, false)
		if err == nil {
			post = posts[0]
		}
		return err
	})
	return post
}

// storeAt stores an answer to an ADMIN that claims its key at a time.
func (p *people) storeAt(at time.Time, key string, data any) {
	p.Helper()
	p.claim(at, key, "ADMIN", data)
}

// store stores an answer.
func (p *people) store(key, authority string, data any) *idempotency.Entry {
	p.Helper()
	return p.claim(time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC), key, authority, data)
}

func (p *people) claim(at time.Time, key, authority string, data any) *idempotency.Entry {
	p.Helper()
	text, err := json.Marshal(data)
	if err != nil {
		p.Fatal(err)
	}
	entry, err := idempotency.NewEntry(key, idempotency.Request{Authority: authority, Admin: authority == "ADMIN"})
	if err != nil {
		p.Fatal(err)
	}
	tx := p.db.Session(database.Write)
	defer tx.Rollback()
	if _, err := entry.Claim(p.Context(), tx, at); err != nil {
		p.Fatal(err)
	}
	if err := errors.Join(entry.Store(p.Context(), tx, text), tx.Commit()); err != nil {
		p.Fatal(err)
	}
	return entry
}

// answers stores answers with and without data of the person, by what they have.
func (p *people) answers() (with, without map[string]*idempotency.Entry) {
	p.Helper()
	return p.answersOf("")
}

// answersOf is answers with other keys.
func (p *people) answersOf(keys string) (with, without map[string]*idempotency.Entry) {
	p.Helper()
	with, without = map[string]*idempotency.Entry{}, map[string]*idempotency.Entry{}
	for key, data := range map[string]any{
		"the username":   map[string]any{"u": personName},
		"the email":      map[string]any{"a": []any{map[string]any{"e": personEmail}}},
		"the subject":    map[string]any{"s": personSubject},
		"the ID":         map[string]any{"deletedId": p.person.ID.String()},
		"the ID of post": map[string]any{"x": []any{p.posts[len(p.posts)-1].ID.String()}},
	} {
		with[key] = p.store(keys+key, "ADMIN", data)
	}
	with["its own"] = p.store(keys+"its own", p.person.ID.String(), map[string]any{"__typename": "Mutation"})
	for key, data := range map[string]any{
		"similar names": map[string]any{"a": personName + "x", "b": personName[1:], "c": strings.ToUpper(personEmail), "d": "x " + personSubject},
		"a member name": map[string]any{personName: 1},
		"other IDs":     map[string]any{"a": p.others[0].ID.String(), "b": p.ids.New("post").String(), "c": "post_x"},
	} {
		without[key] = p.store(keys+key, "ADMIN", data)
	}
	without["of another user"] = p.store(keys+"of another user", p.others[0].ID.String(), map[string]any{"n": 1})
	return with, without
}

// dump returns all values of all tables.
func (p *people) dump() string {
	p.Helper()
	return migrated.Dump(p, p.db)
}

// changes returns all changes.
func (p *people) changes() []feed.Change {
	p.Helper()
	if err := feed.Number(p.Context(), p.db); err != nil {
		p.Fatal(err)
	}
	var all []feed.Change
	err := feed.Scan(p.Context(), p.db.Session(database.Single), func(page []feed.Change) error {
		all = append(all, page...)
		return nil
	})
	if err != nil {
		p.Fatal(err)
	}
	return all
}

// exportOf is the form of an export.
type exportOf struct {
	User struct {
		ID, Username, Email, Status string
		Identity                    *struct{ Issuer, Subject string }
	}
	Posts         []struct{ ID, Title, Body string }
	ChangesAbout  []map[string]any
	ChangesBy     *[]map[string]any
	StoredAnswers []struct {
		Own  bool
		Data any
	}
	FormerIdentity struct{ IdentityHash, UserHash bool }
	NotInRoster    map[string]string
}

func (p *people) export(id typeid.ID, flags ...string) (text string, x exportOf) {
	p.Helper()
	code, text, stderr := run(p.T, slices.Concat([]string{"user", "export", p.url, "--log-level=warn", id.String()}, flags)...)
	if code != 0 || stderr != "" {
		p.Fatalf("got code %d, stderr %q, want code 0", code, stderr)
	}
	if err := json.Unmarshal([]byte(text), &x); err != nil && len(flags) == 0 {
		p.Fatalf("got %v, want JSON:\n%s", err, text)
	}
	return text, x
}

// TestUserExport exports a person with posts, changes and answers, and one without. Every engine gives the same bytes.
func TestUserExport(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	texts := map[string]dbtest.Engine{}
	t.Cleanup(func() {
		if len(texts) != 1 {
			t.Errorf("got the exports %v, want one for all engines", texts)
		}
	})
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		p := newPeople(t, e).populate(3)
		with, _ := p.answers()
		text, x := p.export(p.person.ID)
		mu.Lock()
		texts[text] = e
		mu.Unlock()
		if again, _ := p.export(p.person.ID); again != text {
			t.Errorf("the second time: got\n%s\nwant\n%s", again, text)
		}
		if u := x.User; u.ID != p.person.ID.String() || u.Username != personName || u.Email != personEmail || u.Status != "ACTIVE" || u.Identity.Issuer != issuer || u.Identity.Subject != personSubject {
			t.Errorf("got the user %+v, want the person", u)
		}
		if len(x.Posts) != 3 || x.Posts[2].ID != p.posts[2].ID.String() || x.Posts[0].Body != "<body>\n\"é\"" {
			t.Errorf("got the posts %+v, want the three of the person", x.Posts)
		}
		if got := x.ChangesAbout; len(got) != 4 || got[0]["kind"] != "CREATED" || got[0]["type"] != "USER" || got[0]["byPerson"] != false || got[3]["byPerson"] != true || got[3]["nodeId"] != p.posts[2].ID.String() {
			t.Errorf("got the changes about the person %v, want one of the user and three of its posts", got)
		}
		if got := *x.ChangesBy; len(got) != 3 || got[0]["actor"] != personSubject {
			t.Errorf("got the changes by the person %v, want those of the three posts", got)
		}
		own := 0
		for _, a := range x.StoredAnswers {
			if a.Own {
				own++
			}
		}
		if len(x.StoredAnswers) != len(with) || own != 1 {
			t.Errorf("got the answers %v, want %d, one of which is the person's own", x.StoredAnswers, len(with))
		}
		if strings.Contains(text, "boss") || len(x.NotInRoster) == 0 || x.FormerIdentity.IdentityHash || x.FormerIdentity.UserHash {
			t.Errorf("got\n%s\nwant no actor but the person, no hash, and the places that are not read", text)
		}

		_, x = p.export(p.others[1].ID)
		if x.User.Identity != nil || x.ChangesBy != nil || len(x.ChangesAbout) != 2 || x.User.Status != "SUSPENDED" || len(x.Posts) != 1 {
			t.Errorf("without an identity: got %+v, want null for it and the changes by it", x)
		}

		file := filepath.Join(t.TempDir(), "person.json")
		if stdout, _ := p.export(p.person.ID, "-o", file); stdout != "" {
			t.Errorf("to a file: got stdout %q, want nothing", stdout)
		}
		data, err := os.ReadFile(file)
		info, statErr := os.Stat(file)
		if err != nil || statErr != nil || string(data) != text || info.Mode().Perm() != 0o600 {
			t.Errorf("got the file %q, %v, %v, want the export, for its owner alone", data, info.Mode(), errors.Join(err, statErr))
		}
		missing := p.ids.New("user")
		wantFailure(t, fmt.Sprintf("roster: no user of %v has the ID %v: roster export users has all IDs\n", p.db, missing), "user", "export", p.url, "--log-level=warn", missing.String(), "-o", file)
		if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, data) {
			t.Errorf("got the file %q, %v after a failure, want it as before", again, err)
		}
	})
}

// erase runs an erasure that must succeed, and returns what it prints.
func (p *people) erase(id typeid.ID, flags ...string) string {
	p.Helper()
	code, stdout, stderr := run(p.T, slices.Concat([]string{"user", "erase", p.url, "--log-level=warn", id.String()}, flags)...)
	if code != 0 || stderr != "" {
		p.Fatalf("got code %d, stderr %q, want code 0", code, stderr)
	}
	return stdout
}

// wantErased checks that no table has a text of the person, and that the numbers are printed.
func (p *people) wantErased(summary string, users, posts, answers, actors int) {
	p.Helper()
	want := fmt.Sprintf("  users                   %d\n  posts                   %d\n  stored answers          %d\n  actors of changes       %d\n", users, posts, answers, actors)
	if !strings.Contains(summary, want) || !strings.Contains(summary, "What remains, and for how long:\n") {
		p.Errorf("got\n%s\nwant in it\n%s", summary, want)
	}
	dump := p.dump()
	for _, other := range []string{personName + "x", "x" + personEmail, personSubject + "x"} {
		if !strings.Contains(dump, other) {
			p.Errorf("got a dump without %q, want it as before", other)
		}
	}
	p.wantNothing()
}

// wantNothing checks that no table has a text of the person.
func (p *people) wantNothing() {
	p.Helper()
	dump := p.dump()
	for _, other := range []string{personName + "x", "x" + personEmail, personSubject + "x", "x " + personSubject} {
		dump = strings.ReplaceAll(strings.ReplaceAll(dump, quoted(other), ""), other, "")
	}
	dump = strings.ReplaceAll(dump, `{`+quoted(personName)+`:1}`, "") // the name of a member, which clients choose
	for _, text := range []string{personName, personEmail, personSubject} {
		if strings.Contains(dump, text) || strings.Contains(dump, strings.Trim(quoted(text), `"`)) {
			p.Errorf("got %q in the dump, want it nowhere:\n%s", text, dump)
		}
	}
}

// quoted returns a text as JSON.
func quoted(text string) string {
	data, _ := json.Marshal(text) // a text cannot fail
	return string(data)
}

// TestUserErase erases a person, and nothing else.
func TestUserErase(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		p := newPeople(t, e).populate(3)
		with, without := p.answers()
		before, dump := p.changes(), p.dump()
		for _, flags := range [][]string{{}, {"--posts=refuse"}, {"--dry-run"}} {
			want := fmt.Sprintf("roster: erase %v of %v: the user has 3 posts: --posts=delete deletes them; nothing is erased\n", p.person.ID, p.db)
			wantFailure(t, want, slices.Concat([]string{"user", "erase", p.url, p.person.ID.String()}, flags)...)
		}
		dry := p.erase(p.person.ID, "--posts=delete", "--dry-run")
		if !strings.Contains(dry, " would be erased.\n") || !strings.Contains(dry, "This was a dry run: nothing is erased.\n") || p.dump() != dump {
			t.Errorf("a dry run: got\n%s\nwant that it says so, and no change", dry)
		}
		summary := p.erase(p.person.ID, "--posts=delete")
		p.wantErased(summary, 1, 3, len(with), 3)
		p.wantErased(strings.Replace(dry, "would be", "is", 1), 1, 3, len(with), 3)

		after := p.changes()
		for i, c := range after {
			switch {
			case i < len(before):
				want := before[i]
				if want.Actor == personSubject {
					want.Actor = ""
				}
				if fmt.Sprint(c) != fmt.Sprint(want) {
					t.Errorf("change %d: got %+v, want %+v", i, c, want)
				}
			case c.Kind != feed.Deleted || c.Actor != "":
				t.Errorf("got %+v, want a delete without an actor", c)
			}
		}
		if deleted := after[len(before):]; len(deleted) != 4 || deleted[3].NodeID != p.person.ID || deleted[0].NodeID != p.posts[0].ID {
			t.Errorf("got the changes %+v, want those of the three posts, then of the user", deleted)
		}
		for key, entry := range with {
			p.wantAnswer(key, entry, idempotency.ErrErased)
		}
		for key, entry := range without {
			p.wantAnswer(key, entry, nil)
		}

		dump = p.dump()
		for _, flags := range [][]string{{}, {"--posts=delete"}, {"--dry-run"}} {
			got := p.erase(p.person.ID, flags...)
			if want := fmt.Sprintf("No user of %v has the ID %v.\nNothing is left to erase.\n", p.db, p.person.ID); !strings.HasPrefix(got, want) || p.dump() != dump {
				t.Errorf("again with %v: got\n%s\nwant no change, and\n%s", flags, got, want)
			}
		}
		other := p.others[1]
		if summary := p.erase(other.ID, "--posts=delete"); !strings.Contains(summary, "The identity of the user is not known.") || !strings.Contains(summary, "users                   1\n") {
			t.Errorf("without an identity: got\n%s\nwant that it says so", summary)
		}
	})
}

// wantAnswer claims the key of an answer again.
func (p *people) wantAnswer(key string, entry *idempotency.Entry, want error) {
	p.Helper()
	tx := p.db.Session(database.Write)
	defer tx.Rollback()
	data, err := entry.Claim(p.Context(), tx, time.Now())
	if !errors.Is(err, want) || (want == nil) != (len(data) > 0) {
		p.Errorf("the answer with %s: got %s, %v, want %v", key, data, err, want)
	}
}

// TestUserEraseWithoutPosts erases a suspended user that has no posts, with the default.
func TestUserEraseWithoutPosts(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		p := newPeople(t, e).populate(0)
		p.store("a", "ADMIN", map[string]any{"id": p.person.ID.String()})
		p.write(personSubject, func(ctx context.Context, tx *directory.Transaction) error {
			_, err := tx.UpdateUsers(ctx, []directory.UpdateUser{{
				Target: directory.Target{ID: p.person.ID}, Status: directory.Optional[rules.Status]{Set: true, Value: new(rules.Suspended)},
			}})
			return err
		})
		summary := p.erase(p.person.ID)
		if !strings.Contains(summary, "users                   1\n") || !strings.Contains(summary, "actors of changes       1\n") || strings.Contains(p.dump(), personSubject+"\n") {
			t.Errorf("got\n%s\nwant the user erased, with the actor of its change", summary)
		}
	})
}

// TestUserEraseDeleted erases the answers of a user that a mutation has deleted.
func TestUserEraseDeleted(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		p := newPeople(t, e).populate(0)
		entry := p.store("a", "ADMIN", map[string]any{"id": p.person.ID.String(), "email": personEmail})
		own := p.store("b", p.person.ID.String(), map[string]any{"email": personEmail})
		p.write("boss", func(ctx context.Context, tx *directory.Transaction) error {
			_, err := tx.DeleteUsers(ctx, []directory.DeleteUser{{Target: directory.Target{ID: p.person.ID}}})
			return err
		})
		wantFailure(t, "has the ID "+p.person.ID.String(), "user", "export", p.url, p.person.ID.String())
		summary := p.erase(p.person.ID)
		p.wantErased(summary, 0, 0, 2, 0)
		if !strings.Contains(summary, "keep their actor: --keep-changes.") {
			t.Errorf("got\n%s\nwant that the actor is not known", summary)
		}
		p.wantAnswer("the ID", entry, idempotency.ErrErased)
		p.wantAnswer("its own", own, idempotency.ErrErased)
	})
}

// TestUserEraseMany erases more posts and changes than a transaction takes, while the person writes more and others erase
// the same person, number and prune. No command fails. Nothing is left, and each delete is in the feed once.
func TestUserEraseMany(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		p := newPeople(t, e).populate(1)
		const posts = 2300
		for range posts / 100 {
			p.write(personSubject, func(ctx context.Context, tx *directory.Transaction) error {
				list := make([]directory.CreatePost, 100)
				for i := range list {
					list[i] = directory.CreatePost{AuthorID: p.person.ID, Title: "T"}
				}
				_, err := tx.CreatePosts(ctx, list, true)
				return err
			})
		}
		done := make(chan struct{})
		var writing, erasing sync.WaitGroup
		repeat := func(do func() error) {
			writing.Go(func() {
				for {
					err := do()
					failure := database.AsFailure(err)
					_, faults := errors.AsType[rules.Faults](err)
					if err != nil && !faults && (failure == nil || failure.Kind != database.Retry && failure.Kind != database.ForeignKey) {
						t.Error(err)
						return
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		repeat(func() error {
			return p.try(personSubject, func(ctx context.Context, tx *directory.Transaction) error {
				_, err := tx.CreatePosts(ctx, []directory.CreatePost{{AuthorID: p.person.ID, Title: "New"}}, false)
				return err
			})
		})
		repeat(func() error { return feed.Number(p.Context(), p.db) })
		repeat(func() error { _, err := feed.Prune(p.Context(), p.db, time.Unix(1, 0)); return err })
		for range 2 {
			erasing.Go(func() {
				if code, _, stderr := run(t, "user", "erase", p.url, p.person.ID.String(), "--posts=delete", "--log-level=error"); code != 0 {
					t.Errorf("got code %d, stderr %q, want code 0", code, stderr)
				}
			})
		}
		erasing.Wait()
		close(done)
		writing.Wait()
		changes := p.changes()
		last := map[typeid.ID]feed.Kind{}
		deleted := 0
		for _, c := range changes {
			if c.Actor == personSubject {
				t.Fatalf("got %+v, want no actor", c)
			}
			if last[c.NodeID] == feed.Deleted {
				t.Errorf("got %+v after the delete of this node, want no change", c)
			}
			if last[c.NodeID] = c.Kind; c.Kind == feed.Deleted {
				deleted++
			}
		}
		if deleted < posts+2 || last[p.person.ID] != feed.Deleted || changes[len(changes)-1].NodeID != p.person.ID {
			t.Errorf("got %d deletes, the last change %+v, want at least %d and the user last", deleted, changes[len(changes)-1], posts+2)
		}
		if _, x := p.export(p.others[0].ID); len(x.Posts) != 1 {
			t.Errorf("got %d posts of another user, want 1", len(x.Posts))
		}
	})
}

// TestUserEraseInterrupted interrupts erasures. Each says so, and the next one goes on.
func TestUserEraseInterrupted(t *testing.T) {
	t.Parallel()
	p := newPeople(t, dbtest.SQLite).populate(3)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var stdout, stderr bytes.Buffer
	code := cli.Run(ctx, []string{"user", "erase", p.url, p.person.ID.String(), "--posts=delete"}, noEnvironment, strings.NewReader(""), &stdout, &stderr, "1.2.3")
	if code != 130 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("got code %d, stdout %q, stderr %q, want code 130", code, &stdout, &stderr)
	}
	p.wantErased(p.erase(p.person.ID, "--posts=delete"), 1, 3, 0, 3)
}

// TestUserWrongUse gives the commands wrong arguments.
func TestUserWrongUse(t *testing.T) {
	t.Parallel()
	const id = "user_01jvsz5r0xe3k8m1p4s6t9w2yb"
	for _, wrong := range []string{
		"post_01jvsz5r0xe3k8m1p4s6t9w2yb", "api_key_01jvsz5r0xe3k8m1p4s6t9w2yb", strings.ToUpper(id), id[:30], id + " ", "x", "ada",
	} {
		for _, command := range []string{"export", "erase"} {
			want := fmt.Sprintf("roster: <id> must be the ID of a user, such as %s, not %q; see roster user %s --help\n", id, wrong, command)
			if code, stdout, stderr := run(t, "user", command, wrong); code != 2 || stdout != "" || stderr != want {
				t.Errorf("%s %q: got code %d, stdout %q, stderr %q, want code 2 and %q", command, wrong, code, stdout, stderr, want)
			}
		}
	}
	for line, want := range map[string]string{
		"user":                              `roster: the command is missing: export or erase; see roster user --help`,
		"user erase":                        `see roster user erase --help`,
		"user erase " + id + " --posts=all": `--posts must be`,
	} {
		if code, stdout, stderr := run(t, strings.Fields(line)...); code != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: got code %d, stdout %q, stderr %q, want code 2 and %q", line, code, stdout, stderr, want)
		}
	}
	url := "--database-url=sqlite:" + filepath.Join(t.TempDir(), "missing.db")
	for _, command := range []string{"export", "erase"} {
		if code, stdout, stderr := run(t, "user", command, url, id); code != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s without a database: got code %d, stdout %q, stderr %q, want code 1 and one line", command, code, stdout, stderr)
		}
	}
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		empty := "--database-url=" + dbtest.Empty(t, e) // without tables
		wantFailure(t, "roster migrate up", "user", "export", empty, id)
		wantFailure(t, "roster migrate up", "user", "erase", empty, id)
	})
}

// TestUserRecord logs each command with its person and its numbers.
func TestUserRecord(t *testing.T) {
	t.Parallel()
	p := newPeople(t, dbtest.SQLite).populate(1)
	by := " by=" + operatorName(t)
	id := p.person.ID.String()
	for _, step := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"export", id}, 0, "msg=exported" + by + " file=- result=complete kind=user user=" + id + " posts=1 changes=3 answers=0"},
		{[]string{"export", p.ids.New("user").String()}, 1, " result=failed kind=user "},
		{[]string{"erase", id}, 1, "msg=erased" + by + " user=" + id + " result=failed dry_run=false users=0 posts=0 answers=0 actors=0"},
		{[]string{"erase", id, "--posts=delete", "--dry-run"}, 0, "msg=erased" + by + " user=" + id + " result=complete dry_run=true users=1 posts=1 answers=0 actors=1"},
		{[]string{"erase", id, "--posts=delete"}, 0, "msg=erased" + by + " user=" + id + " result=complete dry_run=false users=1 posts=1 answers=0 actors=1"},
	} {
		code, _, stderr := run(t, append([]string{"user", step.args[0], p.url}, step.args[1:]...)...)
		if code != step.code || !strings.Contains(stderr, step.want) {
			t.Errorf("%v: got code %d, stderr\n%s\nwant code %d, and in the log\n%s", step.args, code, stderr, step.code, step.want)
		}
	}
}

// TestUserEraseLosesDatabase loses the connection at the first request of an erasure to the database, at the fourth, and so on.
// Each run ends, and the next one completes it: nothing of the person is left, and each delete is in the feed once.
func TestUserEraseLosesDatabase(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			p := newPeople(t, e)
			behind, proxy := dbtest.ProxyURL(t, strings.TrimPrefix(p.url, "--database-url="))
			lost := 0
			for n := 1; ; n += 3 {
				p.populate(2)
				with, _ := p.answersOf(fmt.Sprint(n))
				left := n
				var mu sync.Mutex
				proxy.LoseAnswers(func([]byte) bool {
					mu.Lock()
					defer mu.Unlock()
					left--
					return left == 0
				})
				code, stdout, stderr := run(t, "user", "erase", "--database-url="+behind, p.person.ID.String(), "--posts=delete", "--log-level=error")
				proxy.LoseAnswers(nil)
				mu.Lock()
				over := left > 0
				mu.Unlock()
				switch {
				case code == 1 && stdout == "" && strings.Count(stderr, "\n") == 1:
					lost++
				case code != 0 || stderr != "":
					t.Errorf("request %d: got code %d, stdout %q, stderr %q, want an error of one line", n, code, stdout, stderr)
				}
				p.erase(p.person.ID, "--posts=delete")
				p.wantNothing()
				for key, entry := range with {
					p.wantAnswer(key, entry, idempotency.ErrErased)
				}
				deletes := map[typeid.ID]int{}
				for _, c := range p.changes() {
					if c.Kind == feed.Deleted {
						deletes[c.NodeID]++
					}
				}
				for _, id := range []typeid.ID{p.person.ID, p.posts[0].ID, p.posts[1].ID} {
					if deletes[id] != 1 {
						t.Errorf("request %d: got %d deletes of %v, want 1", n, deletes[id], id)
					}
				}
				for _, u := range p.others {
					p.erase(u.ID, "--posts=delete")
				}
				if over || t.Failed() {
					break
				}
			}
			t.Logf("%d of the erasures failed", lost)
			if lost < 10 {
				t.Errorf("got %d erasures that failed, want at least 10", lost)
			}
		})
	}
}

// TestUserReadOnly exports from a database that takes no changes. An erasure fails there, and changes nothing.
func TestUserReadOnly(t *testing.T) {
	t.Parallel()
	p := newPeople(t, dbtest.PostgreSQL).populate(1)
	want, _ := p.export(p.person.ID)
	name := "reader_" + strings.ToLower(cryptorand.Text())
	admin := func(statements ...string) {
		t.Helper()
		session := p.db.Session(database.Write)
		defer session.Rollback()
		for _, statement := range statements {
			if err := session.Exec(context.WithoutCancel(t.Context()), statement, []any{}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := session.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	admin("CREATE ROLE "+name+" LOGIN PASSWORD 'reader'", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+name)
	t.Cleanup(func() { admin("DROP OWNED BY "+name, "DROP ROLE "+name) })
	address, err := url.Parse(strings.TrimPrefix(p.url, "--database-url="))
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword(name, "reader")
	reader := "--database-url=" + address.String()
	dump := p.dump()
	if code, got, stderr := run(t, "user", "export", reader, p.person.ID.String(), "--log-level=error"); code != 0 || got != want {
		t.Errorf("got code %d, stderr %q, stdout\n%s\nwant\n%s", code, stderr, got, want)
	}
	wantFailure(t, "permission denied", "user", "erase", reader, p.person.ID.String(), "--posts=delete")
	if p.dump() != dump {
		t.Error("got a change by a failed erasure, want none")
	}
}

// TestUserEraseChanged changes the person while it is erased: at the first request of the erasure to the database, at the
// eighth, and so on. The new username, email address and subject are erased too, with the answer that has them.
func TestUserEraseChanged(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			p := newPeople(t, e)
			behind, proxy := dbtest.ProxyURL(t, strings.TrimPrefix(p.url, "--database-url="))
			changed := 0
			for n, over := 1, false; !over && !t.Failed(); n += 7 {
				p.populate(2)
				var mu sync.Mutex
				var changing sync.WaitGroup
				left := n
				proxy.LoseAnswers(func([]byte) bool {
					mu.Lock()
					defer mu.Unlock()
					if left--; left == 0 {
						changing.Go(func() {
							if p.change(fmt.Sprint("new", n)) {
								changed++
							}
						})
					}
					return false
				})
				if code, _, stderr := run(t, "user", "erase", "--database-url="+behind, p.person.ID.String(), "--posts=delete", "--log-level=error"); code != 0 {
					t.Errorf("request %d: got code %d, stderr %q, want code 0", n, code, stderr)
				}
				proxy.LoseAnswers(nil)
				mu.Lock()
				over = left > 0
				mu.Unlock()
				changing.Wait()
				// An earlier subject is not known any more if it was changed before the command read it.
				if dump := p.dump(); strings.Contains(dump, fmt.Sprint("new", n)) {
					t.Errorf("request %d: got the new texts in the dump, want them nowhere:\n%s", n, dump)
				}
				for _, u := range p.others {
					p.erase(u.ID, "--posts=delete")
				}
			}
			if changed < 5 {
				t.Errorf("got %d changes of the person, want at least 5", changed)
			}
		})
	}
}

// TestUserEraseNewAnswers stores an answer about the person just before a lock of the user: before the posts are deleted,
// between two parts of them, and before the last transaction. No part of the command may miss it.
func TestUserEraseNewAnswers(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			p := newPeople(t, e)
			behind, proxy := dbtest.ProxyURL(t, strings.TrimPrefix(p.url, "--database-url="))
			locks := 0
			for at := 1; at == 1 || locks >= at-1; at++ { // one more lock than there are: the loop has seen all of them
				p.populate(1)
				p.write(personSubject, func(ctx context.Context, tx *directory.Transaction) error {
					many := make([]directory.CreatePost, 1000) // with the post of populate, more than one transaction deletes
					for i := range many {
						many[i] = directory.CreatePost{AuthorID: p.person.ID, Title: "A title"}
					}
					_, err := tx.CreatePosts(ctx, many, false)
					return err
				})
				locks = 0
				proxy.LoseAnswers(func(sent []byte) bool {
					if bytes.Contains(sent, []byte("FOR UPDATE")) && bytes.Contains(sent, []byte("users")) {
						if locks++; locks == at {
							p.storeAt(time.Now(), fmt.Sprint("a name ", at), map[string]any{"u": personName})
							p.storeAt(time.Now(), fmt.Sprint("a post ", at), map[string]any{"id": p.posts[0].ID.String(), "title": "A secret title"})
						}
					}
					return false
				})
				code, _, stderr := run(t, "user", "erase", "--database-url="+behind, "--database-statement-cache=0", p.person.ID.String(),
					"--posts=delete", "--log-level=error")
				proxy.LoseAnswers(nil)
				if code != 0 {
					t.Fatalf("lock %d: got code %d, stderr %q, want code 0", at, code, stderr)
				}
				if dump := p.dump(); strings.Contains(dump, "A secret title") {
					t.Errorf("lock %d: got the title of a post in the dump, want it nowhere", at)
				}
				p.wantNothing()
				for _, u := range p.others {
					p.erase(u.ID, "--posts=delete")
				}
			}
			if locks < 3 {
				t.Errorf("got %d locks of the user, want one for each part of the posts, and one for the user", locks)
			}
		})
	}
}

// TestUserEraseWord exports and erases a user whose name is a word of the contract, and so in all answers of most clients.
func TestUserEraseWord(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		p := newPeople(t, e)
		p.populate(1)
		var users []*ent.User
		p.write("boss", func(ctx context.Context, tx *directory.Transaction) (err error) {
			users, err = tx.CreateUsers(ctx, []directory.CreateUser{{Username: "User", Email: "user@example.com", Status: rules.Active}})
			return err
		})
		answer := map[string]any{"__typename": "User", "username": personName, "status": "ACTIVE"}
		other := p.store("other", "ADMIN", answer)
		own := p.store("own", "ADMIN", map[string]any{"__typename": "User", "username": "User", "email": "user@example.com"})
		if text, x := p.export(users[0].ID); len(x.StoredAnswers) != 1 || strings.Contains(text, personName) {
			t.Errorf("got %s, want the answer about the user alone", text)
		}
		p.erase(users[0].ID)
		p.wantAnswer("other", other, nil)
		p.wantAnswer("own", own, idempotency.ErrErased)
	})
}

// change gives the person another username, email address and subject, and lets it change itself again, as a server does
// with an idempotency key of an ADMIN. It reports whether the person existed.
func (p *people) change(name string) bool {
	update := directory.UpdateUser{
		Target:   directory.Target{ID: p.person.ID},
		Username: directory.Optional[string]{Set: true, Value: new(name)},
		Email:    directory.Optional[string]{Set: true, Value: new(name + "@example.com")},
		Identity: directory.Optional[rules.Identity]{Set: true, Value: &rules.Identity{Issuer: issuer, Subject: name + " subject"}},
	}
	for _, step := range []struct {
		subject string
		update  directory.UpdateUser
	}{
		{"boss", update},
		{name + " subject", directory.UpdateUser{Target: update.Target, Status: directory.Optional[rules.Status]{Set: true, Value: new(rules.Suspended)}}},
	} {
		entry, err := idempotency.NewEntry(name+step.subject, idempotency.Request{Authority: "ADMIN", Admin: true})
		if err != nil {
			p.Error(err)
			return false
		}
		for {
			err := p.storing(step.subject, entry, `{"username":"`+name+`"}`, step.update)
			if err == nil {
				break
			}
			if failure := database.AsFailure(err); failure != nil && failure.Kind == database.Retry {
				continue
			}
			if _, ok := errors.AsType[rules.Faults](err); !ok {
				p.Error(err)
			}
			return false
		}
	}
	return true
}

// storing updates a user, and stores an answer in the same transaction.
func (p *people) storing(subject string, entry *idempotency.Entry, data string, update directory.UpdateUser) error {
	ctx := rules.WithCaller(p.Context(), rules.Caller{Issuer: issuer, Subject: subject, Roles: []rules.Role{rules.Admin}})
	session := p.db.Session(database.Write)
	tx := directory.New(session, directory.Options{Clock: time.Now, IDs: p.ids})
	defer tx.Rollback()
	if _, err := entry.Claim(ctx, session, time.Now()); err != nil {
		return err
	}
	if _, err := tx.UpdateUsers(ctx, []directory.UpdateUser{update}); err != nil {
		return err
	}
	return tx.Commit(ctx, func(ctx context.Context) error { return entry.Store(ctx, session, []byte(data)) })
}

// TestUserEraseNewPost adds a post while its author is erased without its posts. Either the user is erased and the post is
// refused, or both stay and the error says so.
func TestUserEraseNewPost(t *testing.T) {
	t.Parallel()
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			p := newPeople(t, e)
			behind, proxy := dbtest.ProxyURL(t, strings.TrimPrefix(p.url, "--database-url="))
			outcomes := map[string]int{}
			for n, over := 1, false; !over && !t.Failed(); n += 7 {
				p.populate(0)
				var mu sync.Mutex
				var adding sync.WaitGroup
				var added error
				left := n
				proxy.LoseAnswers(func([]byte) bool {
					mu.Lock()
					defer mu.Unlock()
					if left--; left == 0 {
						adding.Go(func() {
							added = p.try(personSubject, func(ctx context.Context, tx *directory.Transaction) error {
								_, err := tx.CreatePosts(ctx, []directory.CreatePost{{AuthorID: p.person.ID, Title: "New"}}, true)
								return err
							})
						})
					}
					return false
				})
				code, _, stderr := run(t, "user", "erase", "--database-url="+behind, p.person.ID.String(), "--log-level=error")
				proxy.LoseAnswers(nil)
				mu.Lock()
				over = left > 0
				mu.Unlock()
				adding.Wait()
				switch {
				case code == 0 && (over || added != nil):
					outcomes["erased"]++
					p.wantNothing()
				case code == 1 && added == nil && strings.Contains(stderr, "the user has 1 post: --posts=delete deletes it; "):
					outcomes["refused"]++
					if _, x := p.export(p.person.ID); len(x.Posts) != 1 {
						t.Errorf("request %d: got the posts %v, want the new one", n, x.Posts)
					}
				default:
					t.Errorf("request %d: got code %d, stderr %q, and %v for the post, want one of both refused", n, code, stderr, added)
				}
				for _, u := range append(p.others, p.person) {
					p.erase(u.ID, "--posts=delete")
				}
			}
			if outcomes["erased"] == 0 || outcomes["refused"] == 0 {
				t.Errorf("got the outcomes %v, want both", outcomes)
			}
		})
	}
}
