package database_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"entgo.io/ent/dialect/sql"

	"roster/ent/rules"
	"roster/ent/user"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/typeid"
)

// beforeFold is the version before the migration that computes the keys of addresses again.
const beforeFold = 20261122205753

// beforeAuthentication is the version before the migration that adds identities and API keys.
const beforeAuthentication = 20261128090000

// versionBefore returns the migrations of the release before fold_addresses.
func versionBefore(t *testing.T) fs.FS {
	return before(t, "_fold_addresses.", "_authentication.", "_feed_counts.", "_backups.")
}

// folding returns the migrations of the release with fold_addresses.
func folding(t *testing.T) fs.FS { return before(t, "_authentication.", "_feed_counts.", "_backups.") }

// before returns the migrations without those that are named.
func before(t *testing.T, names ...string) fs.FS {
	t.Helper()
	files, err := with(nil)
	if err != nil {
		t.Fatal(err)
	}
	left, ok := files.(fstest.MapFS)
	if !ok {
		t.Fatalf("the migrations: got a %T, want a fstest.MapFS", files)
	}
	maps.DeleteFunc(left, func(file string, _ *fstest.MapFile) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.Contains(file, name) })
	})
	return left
}

// account is a user that the version before wrote, and the key that its address gets.
type account struct {
	username, email string
	former, key     string // of the address
	left            string // what the log says of it
}

// accounts returns one account for each case, in the order of their IDs.
func accounts() []account {
	return []account{
		{"ada", "Ada@Example.COM", "ada@example.com", "ada@example.com", ""},
		{"zero", "a\u200bb@example.com", "a\u200bb@example.com", "a\u200bb@example.com", "email is invalid"},
		{"turk", "m\u0130ke@example.com", "mike@example.com", "mi\u0307ke@example.com", ""},
		{"sigma", "\u03bf\u03b4\u03c5\u03c3\u03c3\u03b5\u03c5\u03c2@example.com", "\u03bf\u03b4\u03c5\u03c3\u03c3\u03b5\u03c5\u03c2@example.com", "\u03bf\u03b4\u03c5\u03c3\u03c3\u03b5\u03c5\u03c3@example.com", ""},
		{"short", "strasse@example.com", "strasse@example.com", "strasse@example.com", ""},
		{"sharp", "Stra\u00dfe@example.com", "stra\u00dfe@example.com", "stra\u00dfe@example.com", "email is taken"},
		{"puny", "ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example", "ada@b\u00fccher.example", ""},
		{"umlaut", "ada@B\u00dcCHER.example", "ada@b\u00fccher.example", "ada@b\u00fccher.example", ""}, // see below
		// The first takes the key that the second gives up.
		{"first", "\u017fi@example.com", "\u017fi@example.com", "si@example.com", ""},
		{"second", "s\u0130@example.com", "si@example.com", "si\u0307@example.com", ""},
		{"\u0301mark", "mark@example.com", "mark@example.com", "mark@example.com", "username is invalid"},
		{"\u5c0f\u660e", "\u5c0f\u660e@\u4f8b\u5b50.\u5e7f\u544a", "\u5c0f\u660e@\u4f8b\u5b50.\u5e7f\u544a", "\u5c0f\u660e@\u4f8b\u5b50.\u5e7f\u544a", ""},
	}
}

// expected returns accounts with their final keys. If two want the same key, the one that has it keeps it.
func expected() []account {
	list := accounts()
	for i := range list {
		if list[i].username == "puny" {
			list[i].key, list[i].left = list[i].former, "email is taken"
		}
	}
	return list
}

// createBefore writes accounts as a server of the version before does, and returns their IDs.
func createBefore(t *testing.T, db *database.DB, list []account) (all []typeid.ID) {
	t.Helper()
	ids := typeid.NewSource(time.Now, rand.Reader)
	now := time.Now().UTC().Truncate(time.Microsecond)
	s := db.Session(database.Write)
	defer s.Rollback()
	insert := sql.Dialect(s.Dialect()).Insert(user.Table).
		Columns("id", "created_at", "updated_at", "version", "username", "username_key", "email", "email_key")
	for _, a := range list {
		key, fault := rules.Username(a.username)
		if fault != nil {
			key = a.username
		}
		id := ids.New(user.Label)
		insert.Values(id, now, now, 1, a.username, key, a.email, a.former)
		all = append(all, id)
	}
	query, args := insert.Query()
	if _, err := database.Affected(t.Context(), s, query, args...); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	return all
}

// keysOf returns the keys of all addresses, in the order of the IDs.
func keysOf(t *testing.T, db *database.DB) []string {
	t.Helper()
	var keys []string
	const all = "SELECT email, email_key, version, created_at, updated_at FROM users ORDER BY id"
	err := database.Each(t.Context(), db.Session(database.Single), all, nil, func(rows *sql.Rows) error {
		var email, key string
		var version int
		var created, updated time.Time
		err := rows.Scan(&email, &key, &version, &created, &updated)
		keys = append(keys, key)
		if version != 1 || !updated.Equal(created) {
			t.Errorf("%s: got version %d, updated at %v, want version 1, updated at %v", email, version, updated, created)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func formerKeys(list []account) (keys []string) {
	for _, a := range list {
		keys = append(keys, a.former)
	}
	return keys
}

func newKeys(list []account) (keys []string) {
	for _, a := range list {
		keys = append(keys, a.key)
	}
	return keys
}

func sameKeys(t *testing.T, db *database.DB, want []string) {
	t.Helper()
	if got := keysOf(t, db); !slices.Equal(got, want) {
		t.Errorf("keys: got\n%q, want\n%q", got, want)
	}
}

// logging opens a database with a log.
func logging(t *testing.T, url string) (*database.DB, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	o := options(url)
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	return open(t, o), &log
}

// lists checks that a log names the accounts that keep their old key, and no others.
func lists(t *testing.T, log *bytes.Buffer, list []account, ids []typeid.ID) {
	t.Helper()
	said := log.String()
	log.Reset()
	want := 0
	for i, a := range list {
		if a.left == "" {
			if strings.Contains(said, ids[i].String()) {
				t.Errorf("got %s in the log, want no line about it:\n%s", a.username, said)
			}
			continue
		}
		want++
		field, what, _ := strings.Cut(a.left, " is ")
		reason := map[string]string{"taken": "another user has it", "invalid": "by the rules of this version it must"}[what]
		if line := fmt.Sprintf("id=%v field=%s reason=%q", ids[i], field, reason); !strings.Contains(said, strings.TrimSuffix(line, `"`)) {
			t.Errorf("got the log\n%s\nwant a line with %s", said, line)
		}
	}
	if got := strings.Count(said, `msg="a text keeps its old key"`); got != want {
		t.Errorf("users in the log: got %d, want %d:\n%s", got, want, said)
	}
}

func TestFoldAddresses(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := dbtest.Empty(t, e)
		db, log := logging(t, url)
		db = db.Released(folding(t))
		older := db.Released(versionBefore(t))
		up(t, older, len(status(t, older, 0)))
		before, after := accounts(), expected()
		ids := createBefore(t, older, before)

		up(t, db, 1)
		lists(t, log, after, ids)
		sameKeys(t, db, newKeys(after))
		if got := texts(t, db, "SELECT count(*) FROM changes"); !slices.Equal(got, []string{"0"}) {
			t.Errorf("changes in the feed: got %q, want 0", got)
		}
		up(t, db, 0)
		lists(t, log, after, ids)
		sameKeys(t, db, newKeys(after))

		// A server of the version before goes on: the next who migrates does its rows.
		late := []account{
			{"late", "LATE\u00df@example.com", "late\u00df@example.com", "latess@example.com", ""},
			{"later", "latest\u0130@example.com", "latesti@example.com", "latesti\u0307@example.com", ""},
			{"twice", "\u03bf\u03b4\u03c5\u03c3\u03c3\u03b5\u03c5\u03c3@EXAMPLE.\u03c2\u03c2", "\u03bf\u03b4\u03c5\u03c3\u03c3\u03b5\u03c5\u03c3@example.\u03c2\u03c2", "\u03bf\u03b4\u03c5\u03c3\u03c3\u03b5\u03c5\u03c3@example.\u03c3\u03c3", ""},
			{"double", "STRA\u00dfE@EXAMPLE.\u03c2", "stra\u00dfe@example.\u03c2", "strasse@example.\u03c3", ""},
		}
		ids = append(ids, createBefore(t, older, late)...)
		before, after = append(before, late...), append(after, late...)
		up(t, db, 0)
		lists(t, log, after, ids)
		sameKeys(t, db, newKeys(after))

		// The version before comes back.
		down(t, db, beforeFold, 1)
		sameKeys(t, db, formerKeys(before))
		up(t, older, 0)
		log.Reset()
		up(t, db, 1)
		sameKeys(t, db, newKeys(after))
		down(t, db, -1, 1)
		sameKeys(t, db, formerKeys(before))
		log.Reset()

		// What was in the way goes, and the key is free.
		up(t, db, 1)
		write(t, db, "DELETE FROM users WHERE username IN ('short', 'umlaut')")
		up(t, db, 0)
		if got := texts(t, db, "SELECT email_key FROM users WHERE username IN ('sharp', 'puny') ORDER BY id"); !slices.Equal(got, []string{"strasse@example.com", "ada@b\u00fccher.example"}) {
			t.Errorf("got the keys %q, want those by the new rules", got)
		}
	})
}

// TestFoldAddressesOfMany has more users than one statement reads, one transaction locks, or the log names.
func TestFoldAddressesOfMany(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db, log := logging(t, dbtest.Empty(t, e))
		db = db.Released(folding(t))
		older := db.Released(versionBefore(t))
		up(t, older, len(status(t, older, 0)))
		var all []account
		for i := range 10_500 {
			a := account{username: fmt.Sprint("u", i), email: fmt.Sprintf("u%d@example.com", i)}
			a.former, a.key = a.email, a.email
			switch {
			case i%50 == 0:
				a.email, a.former, a.key = fmt.Sprintf("\u00df%d@example.com", i), fmt.Sprintf("\u00df%d@example.com", i), fmt.Sprintf("ss%d@example.com", i)
			case i%100 == 1:
				a.email = "\u200b" + a.email
				a.former, a.key = a.email, a.email
			}
			all = append(all, a)
		}
		for some := range slices.Chunk(all, 1000) {
			createBefore(t, older, some)
		}
		up(t, db, 1)
		sameKeys(t, db, newKeys(all))
		said := log.String()
		if n := strings.Count(said, `msg="a text keeps its old key"`); n != 100 || !strings.Contains(said, `msg="more texts keep their old keys" count=5 `) {
			t.Errorf("users in the log: got %d, want 100 and a line with count=5:\n%.500s", n, said)
		}
		down(t, db, -1, 1)
		sameKeys(t, db, formerKeys(all))
	})
}

// TestFoldAddressesKilled kills the program before each statement, up and down.
func TestFoldAddressesKilled(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := dbtest.Empty(t, e)
		db := open(t, options(url))
		older := db.Released(versionBefore(t))
		up(t, older, len(status(t, older, 0)))
		before, after := accounts(), expected()
		createBefore(t, older, before)
		n := 1
		for ; !t.Failed(); n++ {
			inUp := killed(t, url, "fold", n)
			if _, err := db.MigrateUp(t.Context()); err != nil {
				t.Fatalf("up, after statement %d: got %v, want no error", n, err)
			}
			sameKeys(t, db, newKeys(after))
			inDown := killed(t, url, "unfold", n)
			if _, err := db.MigrateDown(t.Context(), beforeFold); err != nil {
				t.Fatalf("down, after statement %d: got %v, want no error", n, err)
			}
			sameKeys(t, db, formerKeys(before))
			if !inUp && !inDown {
				break
			}
		}
		if n < 6 { // at least one for each key that changes
			t.Errorf("got kills before %d statements, want at least 5", n-1)
		}
	})
}

// TestFoldAddressesBesideWriters migrates again and again while servers of the version before change addresses.
func TestFoldAddressesBesideWriters(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := open(t, options(dbtest.Empty(t, e)))
		older := db.Released(versionBefore(t))
		up(t, older, len(status(t, older, 0)))
		const users, writers, rounds = 120, 3, 25
		var list []account
		for i := range users {
			email := fmt.Sprintf("\u00df%d@example.com", i)
			list = append(list, account{username: fmt.Sprint("u", i), email: email, former: email, key: fmt.Sprintf("ss%d@example.com", i)})
		}
		ids := createBefore(t, older, list)
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for round := range rounds {
					s := db.Session(database.Write)
					for i := w; i < users; i += 40 + w {
						if err := run(t.Context(), s, "UPDATE users SET email = ?, email_key = ? WHERE id = ?", list[i].email, list[i].former, ids[i]); err != nil {
							if f := database.AsFailure(err); f == nil || f.Kind != database.Retry {
								t.Errorf("writer %d, round %d: got %v, want a lost race", w, round, err)
							}
							break
						}
					}
					if s.Failure() != nil {
						s.Rollback()
					} else if err := s.Commit(); err != nil {
						t.Errorf("writer %d, round %d: got %v, want no error", w, round, err)
					}
				}
			})
		}
		for range 10 {
			if _, err := db.MigrateUp(t.Context()); err != nil {
				t.Error(err)
			}
		}
		all.Wait()
		up(t, db, 0)
		sameKeys(t, db, newKeys(list))
	})
}

// TestUsersOfEarlierReleases creates users as a server of the release before authentication does, on the schema of today.
func TestUsersOfEarlierReleases(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		db := open(t, options(dbtest.Empty(t, e)))
		up(t, db, len(status(t, db, 0)))
		createBefore(t, db, accounts()[:2])
		if got := texts(t, db, "SELECT status FROM users WHERE identity_issuer IS NULL AND identity_subject IS NULL"); !slices.Equal(got, []string{"ACTIVE", "ACTIVE"}) {
			t.Errorf("got the statuses %q, want two ACTIVE users without an identity", got)
		}
	})
}
