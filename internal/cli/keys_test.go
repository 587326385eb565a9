package cli_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"roster/ent"
	"roster/ent/apikey"
	"roster/internal/auth"
	"roster/internal/cli"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/feed"
)

// TestKeys creates, lists and revokes keys, first of all in an empty database.
func TestKeys(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := "--database-url=" + dbtest.Empty(t, e)
		wantFailure(t, "migrate up", "keys", "list", url)
		code, secret, stderr := run(t, "keys", "create", url, "--log-level=error", "--name=Nightly Büild", "--role=ADMIN", "--role=MEMBER")
		key, err := auth.ParseAPIKey(strings.TrimSuffix(secret, "\n"))
		if code != 0 || err != nil || !strings.HasSuffix(secret, "\n") {
			t.Fatalf("got code %d, stderr %q, %v, want code 0 and a secret", code, stderr, err)
		}
		want := regexp.MustCompile(`^API key (api_key_\w{26}) of .*
  name     Nightly Büild
  roles    ADMIN,MEMBER
  prefix   ` + key.Prefix() + `
  expires  never
The secret is shown only now\.
$`)
		match := want.FindStringSubmatch(stderr)
		if match == nil || strings.Contains(stderr, key.Secret()) {
			t.Fatalf("got stderr\n%s\nwant %v", stderr, want)
		}
		id := match[1]
		db := migrated.Open(t, e, func(o *database.Options) { o.URL = strings.TrimPrefix(url, "--database-url=") })
		hash := key.Hash()
		n, err := ent.NewClient(ent.Driver(db.Session(database.Single))).ApiKey.Query().
			Where(apikey.SecretHash(hex.EncodeToString(hash[:]))).Count(t.Context())
		if err != nil || n != 1 {
			t.Errorf("got %d keys with the hash, %v, want 1", n, err)
		}
		if code, _, stderr := run(t, "keys", "create", url, "--name=b", "--role=MEMBER", "--expires-at=2999-01-31"); code != 0 {
			t.Fatalf("got code %d, stderr %q", code, stderr)
		}

		code, table, stderr := run(t, "keys", "list", url)
		wantTable := regexp.MustCompile(`^ID +NAME +ROLES +PREFIX +CREATED +EXPIRES +LAST USED +REVOKED
` + id + `  Nightly Büild  ADMIN,MEMBER  ` + key.Prefix() + `  20\S+Z  never                 never      no
api_key_\w{26}  b              MEMBER        rost_\w{6}  20\S+Z  2999-01-31T00:00:00Z  never      no
$`)
		if code != 0 || !wantTable.MatchString(table) || stderr != "" {
			t.Errorf("got code %d, stderr %q, stdout\n%s\nwant %v", code, stderr, table, wantTable)
		}

		for range 2 { // the second one changes nothing
			code, stdout, stderr := run(t, "keys", "revoke", url, id)
			if want := id + " (Nightly Büild) of " + db.String() + " is revoked. Servers refuse it within a second.\n"; code != 0 || stdout != want || stderr != "" {
				t.Errorf("got code %d, stderr %q, stdout %q, want %q", code, stderr, stdout, want)
			}
		}
		_, lines, _ := run(t, "keys", "list", url, "--format=jsonl")
		if strings.Contains(table+lines, key.Secret()) || strings.Contains(table+lines, hex.EncodeToString(hash[:])) {
			t.Errorf("got a secret in\n%s%s", table, lines)
		}
		var first struct {
			ID, Name, Prefix                 string
			Roles                            []string
			ExpiresAt, LastUsedAt, RevokedAt *string
		}
		err = json.NewDecoder(strings.NewReader(lines)).Decode(&first)
		if err != nil || strings.Count(lines, "\n") != 2 || first.ID != id || len(first.Roles) != 2 || first.ExpiresAt != nil || first.LastUsedAt != nil || first.RevokedAt == nil {
			t.Errorf("got %v, %+v, want two lines, the first of the revoked key %s:\n%s", err, first, id, lines)
		}
		if err := feed.Number(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		page, err := read(t, db, nil)
		if err != nil || len(page.Changes) != 3 || page.Changes[0].Actor != "" {
			t.Errorf("got %v, %+v, want three changes without an actor", err, page)
		}
		wantFailure(t, "no API key of "+db.String()+" has the ID api_key_01jvsz5r0xe3k8m1p4s6t9w2yb: roster keys list has all IDs",
			"keys", "revoke", url, "api_key_01jvsz5r0xe3k8m1p4s6t9w2yb")
	})
}

// wantFailure runs a command that fails.
func wantFailure(t *testing.T, want string, args ...string) {
	t.Helper()
	if code, stdout, stderr := run(t, args...); code != 1 || stdout != "" || !strings.Contains(stderr, want) {
		t.Errorf("%v: got code %d, stdout %q, stderr %q, want code 1 and %q", args, code, stdout, stderr, want)
	}
}

// TestManyKeys lists more keys than a page has.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	url := "--database-url=" + dbtest.Empty(t, dbtest.SQLite)
	for range 101 {
		if code, _, stderr := run(t, "keys", "create", url, "--name=a", "--role=MEMBER", "--expires-in=720h"); code != 0 {
			t.Fatalf("got code %d, stderr %q, want code 0", code, stderr)
		}
	}
	if _, table, _ := run(t, "keys", "list", url); strings.Count(table, "\n") != 102 {
		t.Errorf("got %d lines, want 102", strings.Count(table, "\n"))
	}
}

// TestKeyFaults gives a key values that break a rule. No key is created.
func TestKeyFaults(t *testing.T) {
	t.Parallel()
	url := "--database-url=" + dbtest.Empty(t, dbtest.SQLite)
	for _, test := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--name= ", "--role=ADMIN"}, "--name must not be blank"},
		{[]string{"--name=a\x1bb", "--role=ADMIN"}, "--name must not contain control characters"},
		{[]string{"--name=a", "--role=ADMIN,ADMIN"}, "--role must not have a role twice"},
		{[]string{"--name=a", "--role=ADMIN", "--expires-at=2020-01-31"}, "--expires-at must be in the future"},
		{[]string{"--name=a", "--role=ADMIN", "--expires-in=2000000h"}, ""}, // 228 years
	} {
		code, stdout, stderr := run(t, append([]string{"keys", "create", url, "--log-level=error"}, test.flags...)...)
		if test.want != "" && (code != 2 || stdout != "" || stderr != "roster: "+test.want+"; see roster keys create --help\n") || test.want == "" && code != 0 {
			t.Errorf("%q: got code %d, stdout %q, stderr %q, want %q", test.flags, code, stdout, stderr, test.want)
		}
	}
	if _, table, _ := run(t, "keys", "list", url); strings.Count(table, "\n") != 2 {
		t.Errorf("got the keys\n%s\nwant one", table)
	}
}

// full is a disk without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }

// TestLostSecret tests a secret that cannot be written. The key exists, so the error has its ID.
func TestLostSecret(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	args := []string{"keys", "create", "--database-url=" + dbtest.Empty(t, dbtest.SQLite), "--log-level=error", "--name=a", "--role=ADMIN"}
	code := cli.Run(t.Context(), args, noEnvironment, strings.NewReader(""), full{}, &stderr, "1.2.3")
	want := regexp.MustCompile(`^roster: api_key_\w{26} exists now, but its secret cannot be written: revoke it with roster keys revoke: no space\n$`)
	if code != 1 || !want.MatchString(stderr.String()) {
		t.Errorf("got code %d, stderr %q, want code 1 and %v", code, &stderr, want)
	}
}
