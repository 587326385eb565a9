package e2e

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"roster/internal/database"
	"roster/internal/dbtest"
)

// TestOldAddresses migrates a database with addresses of the version before: the ones that collide or are invalid now are
// listed by their IDs each time, and the server goes on with them.
func TestOldAddresses(t *testing.T) {
	t.Parallel()
	binary := build(t)
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := dbtest.Empty(t, e)
		prints(t, binary, url, "migrate up", 0, `(applied  \d{14} \w+\n)+`, "")
		prints(t, binary, url, "migrate down --to 20261122205753", 0, `undone   \d{14} backups\nundone   \d{14} feed_counts\nundone   \d{14} authentication\nundone   \d{14} fold_addresses\n`, "")
		db, err := database.Open(t.Context(), database.Options{
			URL: url, MaxConnections: 2, PoolWait: time.Minute, ConnectTimeout: time.Minute, StatementTimeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		id := map[dbtest.Engine]string{
			dbtest.SQLite: "x'0190000000007000800000000000000%d'", dbtest.MySQL: "x'0190000000007000800000000000000%d'",
			dbtest.PostgreSQL: "'01900000-0000-7000-8000-00000000000%d'",
		}[e]
		s := db.Session(database.Write)
		for i, email := range []string{"strasse@example.com", "straße@example.com", "a\u200bb@example.com", "ada@xn--bcher-kva.example"} {
			err = errors.Join(err, s.Exec(t.Context(), fmt.Sprintf("INSERT INTO users (id, created_at, updated_at, version, username, username_key, email, email_key) VALUES ("+
				id+", '2026-01-31 09:30:00', '2026-01-31 09:30:00', 1, 'u%d', 'u%d', '%s', '%s')", i, i, i, email, email), []any{}, nil))
		}
		if err := errors.Join(err, s.Commit(), db.Close()); err != nil {
			t.Fatal(err)
		}
		const listed = `.*level=WARN msg="a text keeps its old key" id=user_01j0000000e008000000000001 field=email reason="another user has it .*" todo="change one .*"\n` +
			`.*level=WARN msg="a text keeps its old key" id=user_01j0000000e008000000000002 field=email reason=".* must be an address .*" todo="change it.*"\n`
		prints(t, binary, url, "migrate up", 0, `applied  \d{14} fold_addresses\napplied  \d{14} authentication\napplied  \d{14} feed_counts\napplied  \d{14} backups\n`, listed)
		prints(t, binary, url, "migrate up", 0, `nothing to apply\n`, listed)
		server := start(t, binary, url, displayName(t, e, url))
		for request, want := range map[string]string{
			`{ user(by: {email: "ADA@bücher.example"}) { username } }`:  `{"data":{"user":{"username":"u3"}}}`,
			`{ user(by: {email: "STRASSE@example.com"}) { username } }`: `{"data":{"user":{"username":"u0"}}}`,
			`{ user(by: {email: "straße@example.com"}) { username } }`:  `{"data":{"user":{"username":"u1"}}}`,
		} {
			if got := server.ask(t, request); got != want {
				t.Errorf("%s: got %s, want %s", request, got, want)
			}
		}
		if n := strings.Count(server.Log.String(), "a text keeps its old key"); n != 2 {
			t.Errorf("got %d texts in the server's log, want 2:\n%s", n, server.Log)
		}
		server.stop(t, syscall.SIGTERM)
	})
}
