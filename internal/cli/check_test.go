package cli_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"roster/internal/auth/provider"
	"roster/internal/cli"
	"roster/internal/database"
	"roster/internal/dbtest"
	"roster/internal/dbtest/migrated"
	"roster/internal/dbtest/servers"
)

// A checkup runs roster check on a machine with another clock, and with another amount of free bytes.
type checkup struct {
	clock func() time.Time
	free  int64
}

// result is a line of the output.
type result struct{ Name, Status, Detail, Remedy string }

// check returns the exit code and the results by name, and compares the two formats.
func (c checkup) check(t *testing.T, url string, flags ...string) (code int, results map[string]result) {
	t.Helper()
	if c.clock == nil {
		c.clock = time.Now
	}
	if c.free == 0 {
		c.free = math.MaxInt64
	}
	args := append([]string{"check", "--database-url", url}, flags...)
	if !strings.Contains(strings.Join(flags, " "), "--listen") {
		args = append(args, "--listen=127.0.0.1:0")
	}
	var stdout, stderr bytes.Buffer
	code = cli.RunWith(t.Context(), append(args, "--json"), &stdout, &stderr, c.clock, func(string) (int64, error) { return c.free, nil })
	var report struct {
		OK     bool
		Checks []result
	}
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil || report.OK != (code == 0) {
		t.Fatalf("got code %d, %v, stdout %q, stderr %q, want JSON with ok if the code is 0", code, err, &stdout, &stderr)
	}
	failures := 0
	var names []string
	results = map[string]result{}
	for _, r := range report.Checks {
		if r.Status == "failed" {
			failures++
		}
		if strings.Contains(r.Detail+r.Remedy, "s3cret") {
			t.Errorf("%s: got %+v, want no password", r.Name, r)
		}
		names = append(names, r.Name)
		results[r.Name] = r
	}
	const all = "authentication provider access tls trusted documents traces listen disk database encoding product migrations tables rights clock order of changes change feed counts backup replicas"
	if got := strings.Join(names, " "); got != all {
		t.Errorf("got the checks %s, want %s", got, all)
	}
	says := ""
	if failures > 0 {
		says = fmt.Sprintf("roster: check: failed: %d of %d\n", failures, len(names))
	}
	if stderr.String() != says || (failures > 0) != (code == 1) {
		t.Errorf("got code %d, stderr %q, want %q", code, &stderr, says)
	}
	return code, results
}

// finds runs a check and compares one result. The others must be fine, or left out because of it, or be among others.
func (c checkup) finds(t *testing.T, url, name, status, says string, flags ...string) {
	t.Helper()
	code, results := c.check(t, url, flags...)
	r := results[name]
	if r.Status != status || !strings.Contains(r.Detail+" "+r.Remedy, says) || code != map[string]int{"failed": 1}[status] {
		t.Errorf("%s: got code %d, %+v, want %s and %q", name, code, r, status, says)
	}
	for _, other := range results {
		if other.Name != name && other.Status == "failed" {
			t.Errorf("%s: got the failure of another check, %+v, want none", name, other)
		}
	}
}

// TestCheck checks databases without faults. It changes no row.
func TestCheck(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := dbtest.Empty(t, e)
		db := migrated.Open(t, e, func(o *database.Options) { o.URL = url })
		if code, _, stderr := run(t, "seed", "--users=5", "--log-level=error", "--database-url", url); code != 0 {
			t.Fatal(stderr)
		}
		if err := db.RecordBackup(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		before := migrated.Dump(t, db)
		code, results := checkup{}.check(t, url)
		absent := []string{"provider", "tls", "trusted documents", "traces", "disk", "replicas"}
		if e == dbtest.SQLite {
			absent = []string{"provider", "tls", "trusted documents", "traces", "clock", "order of changes", "replicas"}
		}
		for _, r := range results {
			want := "ok"
			if slices.Contains(absent, r.Name) {
				want = "left out"
			}
			if r.Status != want {
				t.Errorf("got %+v, want %s", r, want)
			}
		}
		if after := migrated.Dump(t, db); code != 0 || after != before {
			t.Errorf("got code %d and the rows\n%.500s\nwant 0 and\n%.500s", code, after, before)
		}
		code, stdout, stderr := run(t, "check", "--listen=127.0.0.1:0", "--no-counts", "--database-url", url)
		form := regexp.MustCompile(`(?m)^ok        backup             the last one is of \S+, \d+s ago$`)
		if code != 0 || stderr != "" || !form.MatchString(stdout) || !strings.Contains(stdout, "left out  counts             because of --no-counts\n") {
			t.Errorf("got code %d, stdout\n%s\nstderr %q, want code 0 and %v", code, stdout, stderr, form)
		}
	})
}

// TestCheckTables checks databases that lack something, or whose counts are wrong.
func TestCheckTables(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := dbtest.Empty(t, e)
		if e != dbtest.SQLite {
			checkup{}.finds(t, url, "migrations", "warning", "pending: roster serve applies them")
			checkup{}.finds(t, url, "migrations", "failed", "run roster migrate up", "--no-migrate")
		}
		db := migrated.Open(t, e, func(o *database.Options) { o.URL = url })
		exec := func(statement string) {
			t.Helper()
			s := db.Session(database.Write)
			defer s.Rollback()
			if _, err := database.Affected(t.Context(), s, statement); err != nil {
				t.Fatal(err)
			}
			if err := s.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		checkup{}.finds(t, url, "backup", "warning", "none is recorded")
		if err := db.RecordBackup(t.Context(), time.Now().AddDate(0, 0, -8)); err != nil {
			t.Fatal(err)
		}
		checkup{}.finds(t, url, "backup", "warning", "192h0m")
		exec("INSERT INTO counts (type, count) VALUES ('user', 7)")
		checkup{}.finds(t, url, "counts", "failed", "user has 0 rows, not 7")
		checkup{}.finds(t, url, "counts", "left out", "because of --no-counts", "--no-counts")
		exec("UPDATE feed SET counted = NULL")
		checkup{}.finds(t, url, "counts", "warning", "the rows are not counted yet")
		exec("DROP TABLE counts")
		checkup{}.finds(t, url, "tables", "failed", "it lacks the table counts")
		exec("INSERT INTO goose_db_version (version_id, is_applied) SELECT 29990101000000, is_applied FROM goose_db_version WHERE version_id = 0")
		checkup{}.finds(t, url, "migrations", "failed", "newer than this program's")
	})
}

// TestCheckPending checks a database after a migration was undone, and creates nothing in an empty one.
func TestCheckPending(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := dbtest.Empty(t, e)
		if e != dbtest.SQLite {
			for range 2 {
				checkup{}.finds(t, url, "migrations", "warning", " are pending: roster serve applies them")
			}
		} else {
			checkup{}.finds(t, url, "database", "failed", "there is no such file")
		}
		for _, args := range [][]string{{"migrate", "up"}, {"migrate", "down"}} {
			if code, _, stderr := run(t, append(args, "--database-url", url)...); code != 0 {
				t.Fatal(stderr)
			}
		}
		checkup{}.finds(t, url, "migrations", "warning", "1 are pending: roster serve applies them run roster migrate up")
		checkup{}.finds(t, url, "migrations", "failed", "1 are pending run roster migrate up", "--no-migrate")
	})
}

// TestCheckServers checks databases that cannot be opened, or not be used, as this user.
func TestCheckServers(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		if e == dbtest.SQLite {
			return // it has no users
		}
		name := dbtest.Empty(t, e)
		db := migrated.Open(t, e, func(o *database.Options) { o.URL = name })
		u, err := url.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		admin, err := servers.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { admin.Close() })
		exec := func(ctx context.Context, statement string) {
			t.Helper()
			if _, err := admin.ExecContext(ctx, statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		user := "check" + strings.ToLower(rand.Text()[:8])
		on, of := "ALL TABLES IN SCHEMA public", user
		if e == dbtest.PostgreSQL {
			exec(t.Context(), "CREATE ROLE "+user+" LOGIN PASSWORD 's3cret'")
			t.Cleanup(func() {
				ctx := context.WithoutCancel(t.Context())
				exec(ctx, "DROP OWNED BY "+user)
				exec(ctx, "DROP ROLE "+user)
			})
		} else {
			on, of = u.Path[1:]+".*", "'"+user+"'@'%'"
			exec(t.Context(), "CREATE USER "+of+" IDENTIFIED BY 's3cret'")
			t.Cleanup(func() { exec(context.WithoutCancel(t.Context()), "DROP USER "+of) })
		}
		exec(t.Context(), "GRANT SELECT, INSERT, UPDATE ON "+on+" TO "+of)
		as := *u
		as.User = url.UserPassword(user, "s3cret")
		checkup{}.finds(t, as.String(), "rights", "failed", "grant it SELECT, INSERT, UPDATE and DELETE on all tables of Roster")
		exec(t.Context(), "GRANT DELETE ON "+on+" TO "+of)
		checkup{}.finds(t, as.String(), "rights", "ok", "")
		as.User = url.UserPassword(user, "wrong s3cret")
		checkup{}.finds(t, as.String(), "database", "failed", "the server refuses the user or the password")
		missing := *u
		missing.Path += "_missing"
		checkup{}.finds(t, missing.String(), "database", "failed", "there is no database of this name")

		_ = db.Close() // PostgreSQL cannot make another database of this one otherwise
		latin := *u
		if e == dbtest.PostgreSQL {
			latin.Path += "_latin1"
			exec(t.Context(), "CREATE DATABASE "+latin.Path[1:]+" TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")
			t.Cleanup(func() { exec(context.WithoutCancel(t.Context()), "DROP DATABASE "+latin.Path[1:]) })
		} else {
			exec(t.Context(), "ALTER DATABASE "+latin.Path[1:]+" CHARACTER SET utf8mb3")
		}
		checkup{}.finds(t, latin.String(), "encoding", "failed", map[dbtest.Engine]string{dbtest.PostgreSQL: "LATIN1", dbtest.MySQL: "utf8mb3"}[e])
	})
}

// disguised returns the URL of a PostgreSQL database whose server says that it has another version: a function hides its own.
func disguised(t *testing.T, url, version string) string {
	t.Helper()
	admin, err := servers.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	for _, statement := range []string{
		"CREATE SCHEMA IF NOT EXISTS disguise",
		"CREATE OR REPLACE FUNCTION disguise.version() RETURNS text LANGUAGE sql AS $$ SELECT '" + version + "' $$",
	} {
		if _, err := admin.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return url + "&search_path=public,disguise,pg_catalog"
}

// TestCheckProduct checks servers that Roster does not know, and those that are too old. Other commands go on, with a warning.
func TestCheckProduct(t *testing.T) {
	t.Parallel()
	url := dbtest.Empty(t, dbtest.PostgreSQL)
	migrated.Open(t, dbtest.PostgreSQL, func(o *database.Options) { o.URL = url })
	const allow = "--database-allow-unknown"
	for version, says := range map[string]string{
		"CockroachDB CCL v23.1.11 (x86_64-pc-linux-gnu, built 2023/09/27 01:53:43, go1.19.10)":               "the server is CockroachDB, with the version ",
		"PostgreSQL 11.2-YB-2.20.1.0-b0 on x86_64-pc-linux-gnu, compiled by clang version 16.0.6, 64-bit":    "the server is YugabyteDB, with the version ",
		"PostgreSQL 12.22 on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14+deb12u1) 12.2.0, 64-bit": "the server is PostgreSQL 12.22: Roster needs at least 13",
		"NewDB 1.0": `the server is an unknown product, with the version "NewDB 1.0": Roster is not tested on it see docs/engines.md, and then`,
	} {
		other := disguised(t, url, version)
		checkup{}.finds(t, other, "product", "failed", says)
		checkup{}.finds(t, other, "product", "warning", says[:20], allow)
		code, _, stderr := run(t, "stats", "--database-url", other)
		if code != 0 || strings.Count(stderr, "level=WARN") != 1 || !strings.Contains(stderr, "docs/engines.md") {
			t.Errorf("stats on %s: got code %d, stderr %q, want 0 and one warning", version, code, stderr)
		}
		if code, _, stderr := run(t, "stats", "--database-url", other, allow); code != 0 || stderr != "" {
			t.Errorf("stats %s on %s: got code %d, stderr %q, want 0 and no warning", allow, version, code, stderr)
		}
	}
	checkup{}.finds(t, disguised(t, url, "PostgreSQL 13.0 on x86_64-pc-linux-gnu, compiled by gcc, 64-bit"), "product", "ok", "PostgreSQL 13.0")
}

// TestCheckSQLite checks files that a server cannot use, and a full disk.
func TestCheckSQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("text.db"), []byte(strings.Repeat("text\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	execute(t, at("utf16.db"), "PRAGMA user_version = 1")
	content, err := fs.ReadFile(os.DirFS(dir), "utf16.db")
	if err != nil || len(content) < 100 {
		t.Fatalf("got %d bytes, %v, want a database", len(content), err)
	}
	content[59] = 2 // the encoding of texts, https://sqlite.org/fileformat2.html
	if err := os.WriteFile(at("utf16.db"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	checkup{}.finds(t, "sqlite:"+at("text.db"), "database", "failed", "the file is not an SQLite database")
	checkup{}.finds(t, "sqlite:"+at("utf16.db"), "encoding", "failed", "UTF-16le")
	checkup{}.finds(t, "nowhere", "database", "failed", "no scheme")
	good := "sqlite:" + pathOf(seeded(t, "--users=2", "--posts-per-user=1"))
	checkup{free: 1000}.finds(t, good, "disk", "failed", "room for 1000 more")
	checkup{free: 64<<20 - 1}.finds(t, good, "disk", "failed", "make room")
	checkup{free: 64 << 20}.finds(t, good, "disk", "warning", "make room")
	checkup{free: 1 << 30}.finds(t, good, "disk", "ok", "bytes")
	if free, err := database.Space(at("new.db")); err != nil || free <= 0 {
		t.Errorf("the room on the disk of the test: got %d, %v, want some", free, err)
	}
}

// TestCheckClock checks databases whose clock differs.
func TestCheckClock(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := dbtest.Empty(t, e)
		migrated.Open(t, e, func(o *database.Options) { o.URL = url })
		for skew, status := range map[time.Duration]string{0: "ok", time.Hour: "failed", -time.Hour: "failed", 20 * time.Second: "warning", -20 * time.Second: "warning"} {
			says := "differs by "
			if e == dbtest.SQLite {
				status, says = "left out", "the clock of this machine"
			}
			checkup{clock: func() time.Time { return time.Now().Add(skew) }}.finds(t, url, "clock", status, says)
		}
	})
}

// TestCheckOrder checks sequences that give IDs in another order.
func TestCheckOrder(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := dbtest.Empty(t, dbtest.PostgreSQL)
		db := migrated.Open(t, dbtest.PostgreSQL, func(o *database.Options) { o.URL = url })
		write(t, db, time.Now())
		write(t, db, time.Now())
		admin, err := servers.Open(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { admin.Close() })
		for _, test := range []struct{ statement, status, says string }{
			{"ALTER SEQUENCE changes_id_seq CACHE 10", "failed", "each connection takes IDs in advance"},
			{"ALTER SEQUENCE changes_id_seq CACHE 1", "ok", "rise"},
			{"SELECT setval('changes_id_seq', 1, false)", "failed", "set the sequence of changes.id behind the greatest ID"},
			{"SELECT setval('changes_id_seq', 100)", "ok", "rise"},
			{"ALTER SEQUENCE changes_id_seq INCREMENT -1", "failed", "a lower ID"},
		} {
			if _, err := admin.ExecContext(t.Context(), test.statement); err != nil {
				t.Fatal(err)
			}
			checkup{}.finds(t, url, "order of changes", test.status, test.says, "--no-counts")
		}
	})
	t.Run("mysql", func(t *testing.T) {
		t.Parallel()
		url := dbtest.Empty(t, dbtest.MySQL)
		migrated.Open(t, dbtest.MySQL, func(o *database.Options) { o.URL = url })
		checkup{}.finds(t, url, "order of changes", "ok", "rise")
		checkup{}.finds(t, url+"?auto_increment_increment=3", "order of changes", "failed", "auto_increment_increment of the database server is 3")
	})
}

// TestCheckFeed checks a database whose changes no server numbers.
func TestCheckFeed(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		url := dbtest.Empty(t, e)
		migrated.Open(t, e, func(o *database.Options) { o.URL = url })
		if code, _, stderr := run(t, "seed", "--users=5", "--log-level=error", "--database-url", url); code != 0 {
			t.Fatal(stderr)
		}
		status, says := "ok", "all changes have a number"
		if e != dbtest.SQLite {
			status, says = "warning", "start a server"
		}
		code, results := checkup{clock: func() time.Time { return time.Now().Add(time.Hour) }}.check(t, url)
		if r := results["change feed"]; r.Status != status || !strings.Contains(r.Detail+r.Remedy, says) {
			t.Errorf("got code %d, %+v, want %s and %s", code, r, status, says)
		}
	})
}

// TestCheckSettings checks settings with which a server would not start, or not work.
func TestCheckSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	closed, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	if err := errors.Join(closed.Close(), os.WriteFile(at("documents.json"), []byte(`{"a": "{ users { totalCount } }"}`), 0o600),
		os.WriteFile(at("wrong.json"), []byte(`{"a": "{ nothing }"}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	expires := selfSigned(t, at("cert.pem"), at("key.pem"))
	p, empty := provider.New(t), provider.New(t)
	empty.PublishMembers(map[string]any{"kty": "oct", "k": "c2VjcmV0"})
	good := "sqlite:" + pathOf(seeded(t, "--users=2", "--posts-per-user=1"))
	const tokens = " --auth-issuer=https://id.example.com --auth-audience=roster"
	tls := " --tls-cert=" + at("cert.pem") + " --tls-key=" + at("key.pem")
	for _, test := range []struct {
		c                         checkup
		flags, name, status, says string
	}{
		{checkup{}, "--insecure-no-auth", "authentication", "warning", "leave out --insecure-no-auth"},
		{checkup{}, "--auth-keys-only", "authentication", "ok", "API keys only"},
		{checkup{}, "--auth-keys-only", "provider", "left out", "API keys need no provider"},
		{checkup{}, "--auth-issuer=x", "authentication", "failed", "--auth-issuer has no effect without authentication"},
		{checkup{}, "--auth-jwks-url=http://" + closed.Addr().String() + "/keys" + tokens, "provider", "failed", "check that the provider runs"},
		{checkup{}, "--auth-jwks-url=" + empty.KeysURL + tokens, "provider", "failed", "no key that can verify tokens"},
		{checkup{}, "--auth-jwks-url=" + p.KeysURL + tokens, "provider", "ok", "keys that can verify tokens: 1"},
		{checkup{}, "--mode=production", "access", "failed", "--mode=production requires authentication"},
		{checkup{}, "--listen=0.0.0.0:0", "access", "failed", "can be reached from other machines"},
		{checkup{}, "--listen=" + taken.Addr().String(), "listen", "ok", "such as the running server"},
		{checkup{}, "--listen=192.0.2.1:0 --auth-keys-only", "listen", "failed", "choose another address"},
		{checkup{}, "--admin-listen=0.0.0.0:0", "access", "failed", "ROSTER_ADMIN_PUBLIC=true allows it"},
		{checkup{}, "--admin-listen=127.0.0.1:0", "listen", "ok", "127.0.0.1:0 is free"},
		{checkup{}, "--admin-listen=unix:" + at("admin.sock"), "listen", "ok", "admin.sock is there"},
		{checkup{}, "--admin-listen=unix:" + at("missing/admin.sock"), "listen", "failed", "choose another address with --admin-listen"},
		{checkup{}, "--trusted-documents=" + at("documents.json"), "trusted documents", "ok", "all 1 are valid"},
		{checkup{}, "--trusted-documents=" + at("wrong.json"), "trusted documents", "failed", "wrong.json"},
		{checkup{}, "--trusted-documents=" + at("missing.json"), "trusted documents", "failed", "there is no such file"},
		{checkup{}, "--tls-cert=" + at("missing") + " --tls-key=" + at("key.pem"), "tls", "failed", "there is no such file"},
		{checkup{}, tls, "tls", "ok", "is valid until"},
		{checkup{clock: func() time.Time { return expires.Add(-time.Hour) }}, tls, "tls", "warning", "renew it"},
		{checkup{clock: func() time.Time { return expires.Add(time.Hour) }}, tls, "tls", "failed", "has expired"},
		{checkup{clock: func() time.Time { return expires.AddDate(-10, 0, 0) }}, tls, "tls", "failed", "is not valid before"},
	} {
		t.Run(test.name+" "+test.status, func(t *testing.T) {
			t.Parallel()
			test.c.finds(t, good, test.name, test.status, test.says, strings.Fields(test.flags)...)
		})
	}
}

// TestCheckTraces sets variables of OpenTelemetry. There is no database.
func TestCheckTraces(t *testing.T) {
	t.Parallel()
	missing := "sqlite:" + filepath.Join(t.TempDir(), "missing.db")
	for value, want := range map[string]string{
		"":                       "left out  traces             no variable of OpenTelemetry asks for them\n",
		"http://collector.test":  "ok        traces             the variables of OpenTelemetry are valid\n",
		"user:s3cret@collector/": "failed    traces             OTEL_EXPORTER_OTLP_ENDPOINT must be an address such as http://localhost:4318\n",
	} {
		getenv := func(name string) string { return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": value}[name] }
		var stdout, stderr bytes.Buffer
		code := cli.Run(t.Context(), []string{"check", "--listen=127.0.0.1:0", "--database-url", missing}, getenv, strings.NewReader(""), &stdout, &stderr, "test")
		if code != 1 || !strings.Contains(stdout.String(), want) || strings.Contains(stdout.String(), "s3cret") {
			t.Errorf("%q: got code %d, %s, %s, want the line %q", value, code, &stdout, &stderr, want)
		}
	}
}

// selfSigned writes a certificate of a year, and its key, and returns its end.
func selfSigned(t *testing.T, certificate, key string) (end time.Time) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)); err != nil {
		t.Fatal(err)
	}
	return template.NotAfter
}
